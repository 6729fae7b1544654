//! Our doors: binding their addresses, one socket per thread. Not here: what happens on accepted links.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpSocket;

pub use super::inherited::Inherited;
use super::inherited::Unfit;
use super::link::Link;
use super::peer::Peer;
use super::tls::ServerTls;
use super::unix_socket;

/// Links that have come in and are not yet accepted, per thread.
const BACKLOG: u32 = 1024;

/// Where a door is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorAddress {
    /// An address and port; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A socket file and its permissions.
    Unix(PathBuf, u32),
    /// A socket that the service manager hands over under this name (`fd:NAME`).
    Inherited(String),
}

impl fmt::Display for DoorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path, _) => write!(f, "unix:{}", path.display()),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

/// What a door is like.
#[derive(Clone, Debug)]
pub struct DoorOptions {
    /// Where it is.
    pub address: DoorAddress,
    /// TLS, if it has any.
    pub tls: Option<Arc<ServerTls>>,
    /// Serve clients that close their sending side early; their going away is then noticed late.
    pub half_close: bool,
    /// Its number, for [`Peer::door`].
    pub index: usize,
}

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has it.
    #[error("{0} is in use; stop the other program or choose another address")]
    InUse(DoorAddress),
    /// We may not.
    #[error(
        "{0} may not be used by this user; ports below 1024 and foreign folders need a permission"
    )]
    Denied(DoorAddress),
    /// This machine has no such address.
    #[error("{0} is not an address of this machine")]
    NotOurs(DoorAddress),
    /// Something that is no socket is at the path.
    #[error("{0} exists and is not a socket; remove it or choose another path")]
    NotASocket(DoorAddress),
    /// The service manager handed over no such socket.
    #[error(
        "{0} was not handed over by the service manager; check FileDescriptorName in the socket unit"
    )]
    NotInherited(DoorAddress),
    /// The service manager handed over several sockets of that name.
    #[error(
        "{0} was handed over more than once; give each socket a unit with a FileDescriptorName of its own, and a door"
    )]
    InheritedTwice(DoorAddress),
    /// What the service manager handed over does not listen.
    #[error(
        "{0} was handed over and is no stream socket that listens; check ListenStream and Accept=no in the socket unit"
    )]
    NotListening(DoorAddress),
    /// Anything else.
    #[error("{address} cannot be opened")]
    Io {
        /// The door.
        address: DoorAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BindError {
    fn new(address: &DoorAddress, source: io::Error) -> Self {
        let address = address.clone();
        match source.kind() {
            ErrorKind::AddrInUse => Self::InUse(address),
            ErrorKind::PermissionDenied => Self::Denied(address),
            ErrorKind::AddrNotAvailable => Self::NotOurs(address),
            ErrorKind::AlreadyExists => Self::NotASocket(address),
            _ => Self::Io { address, source },
        }
    }
}

/// A door that is open but not yet served: links that come in wait.
#[derive(Debug)]
pub struct Bound {
    address: DoorAddress,
    doors: Vec<Door>,
}

impl Bound {
    /// Where it is; with the port that was found, if any was asked for.
    pub fn address(&self) -> &DoorAddress {
        &self.address
    }

    /// Its certificate, to be loaded again; all threads share it.
    pub fn tls(&self) -> Option<Arc<ServerTls>> {
        self.doors.first().and_then(|door| door.tls.clone())
    }

    /// One door for each thread, to be given to `server::serve` there.
    pub fn into_doors(self) -> Vec<Door> {
        self.doors
    }
}

/// One thread's share of a door.
#[derive(Debug)]
pub struct Door {
    pub(super) socket: Socket,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) half_close: bool,
    pub(super) index: usize,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Opens a door for `threads` threads. Must be called inside a tokio runtime (any).
pub fn bind(
    options: &DoorOptions,
    threads: usize,
    inherited: &mut Inherited,
) -> Result<Bound, BindError> {
    let failed = |source| BindError::new(&options.address, source);
    let mut address = options.address.clone();
    let sockets = match &options.address {
        DoorAddress::Tcp(wanted) => {
            let sockets = tcp(*wanted, threads).map_err(failed)?;
            if let Some(Socket::Tcp(first)) = sockets.first() {
                address = DoorAddress::Tcp(first.local_addr().map_err(failed)?);
            }
            sockets
        }
        DoorAddress::Unix(path, mode) => {
            let socket = unix_socket::listen(path, *mode).map_err(failed)?;
            shared(&Socket::Unix(socket), threads).map_err(failed)?
        }
        DoorAddress::Inherited(name) => {
            let socket = inherited.take(name).map_err(|why| match why {
                Unfit::Absent => BindError::NotInherited(address.clone()),
                Unfit::Several => BindError::InheritedTwice(address.clone()),
                Unfit::Deaf => BindError::NotListening(address.clone()),
                Unfit::Io(source) => failed(source),
            })?;
            shared(&socket, threads).map_err(failed)?
        }
    };
    let door = |socket| Door {
        socket,
        tls: options.tls.clone(),
        half_close: options.half_close,
        index: options.index,
    };
    let doors = sockets.into_iter().map(door).collect();
    Ok(Bound { address, doors })
}

/// A socket of its own for each thread, all on one port. Such sockets could also share the port with another gateway and
/// silently take half of its traffic; so it is bound alone first, which fails if anybody has it.
fn tcp(wanted: SocketAddr, threads: usize) -> io::Result<Vec<Socket>> {
    let probe = tcp_socket(wanted)?;
    probe.bind(wanted)?;
    drop(probe);
    let (mut address, mut sockets) = (wanted, Vec::with_capacity(threads));
    for _ in 0..threads {
        let socket = tcp_socket(wanted)?;
        if threads > 1 {
            socket.set_reuseport(true)?;
        }
        socket.bind(address)?;
        address = socket.local_addr()?;
        sockets.push(Socket::Tcp(socket.listen(BACKLOG)?.into_std()?));
    }
    Ok(sockets)
}

/// Addresses in `TIME_WAIT` do not count as in use.
fn tcp_socket(wanted: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match wanted {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

fn shared(socket: &Socket, threads: usize) -> io::Result<Vec<Socket>> {
    (0..threads)
        .map(|_| match socket {
            Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                socket.try_clone().map(Socket::Tcp)
            }
            Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                socket.try_clone().map(Socket::Unix)
            }
        })
        .collect()
}

/// A socket on the runtime of its thread.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Listener {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(socket) => tokio::net::TcpListener::from_std(socket).map(Self::Tcp),
            Socket::Unix(socket) => tokio::net::UnixListener::from_std(socket).map(Self::Unix),
        }
    }

    /// The next link, and what the socket knows of its other end.
    pub(super) async fn accept(&self) -> io::Result<(Link, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let peer = Peer {
                    address: Some(address),
                    ..Peer::default()
                };
                Ok((Link::Tcp(stream), peer))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer {
                    unix_uid: Some(stream.peer_cred()?.uid()),
                    ..Peer::default()
                };
                Ok((Link::Unix(stream), peer))
            }
        }
    }
}
