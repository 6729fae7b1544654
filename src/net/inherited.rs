//! Listening sockets handed over by the service manager (socket activation), by name. Not here: sockets of our own.

use std::io;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use super::listener::Socket;

/// The sockets that were handed over and not yet taken.
pub struct Inherited {
    sockets: ListenFd,
    /// Of each socket, in their order; none once it was taken.
    names: Vec<Option<String>>,
}

/// Why there is no door of a name.
#[derive(Debug)]
pub(super) enum Unfit {
    /// No socket has that name, or it was taken already.
    Absent,
    /// Several have it.
    Several,
    /// It is no stream socket that listens.
    Deaf,
    /// The system refused.
    Io(io::Error),
}

impl Inherited {
    /// Those that the service manager announced; `names` is the value of `LISTEN_FDNAMES`. To be called once.
    pub fn named(names: &str) -> Self {
        let sockets = ListenFd::from_env();
        let names = names.split(':').take(sockets.len());
        Self {
            names: names.map(|name| Some(name.to_owned())).collect(),
            sockets,
        }
    }

    /// None at all.
    pub fn none() -> Self {
        Self {
            sockets: ListenFd::empty(),
            names: Vec::new(),
        }
    }

    /// The names of those that were not taken.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.names.iter().flatten().map(String::as_str)
    }

    /// The socket of that name.
    pub(super) fn take(&mut self, name: &str) -> Result<Socket, Unfit> {
        let mut places = (0..self.names.len()).filter(|place| self.is_at(*place, name));
        let place = match (places.next(), places.next()) {
            (Some(place), None) => place,
            (Some(_), Some(_)) => return Err(Unfit::Several),
            (None, _) => return Err(Unfit::Absent),
        };
        let socket = match self.sockets.take_unix_listener(place) {
            Ok(socket) => socket.map(Socket::Unix),
            Err(_) => (self.sockets.take_tcp_listener(place))
                .map_err(|_| Unfit::Deaf)?
                .map(Socket::Tcp),
        };
        self.names[place] = None;
        let socket = socket.ok_or(Unfit::Absent)?;
        match socket_acceptconn(&socket) {
            Ok(true) => Ok(socket),
            Ok(false) => Err(Unfit::Deaf),
            Err(error) => Err(Unfit::Io(error.into())),
        }
    }

    fn is_at(&self, place: usize, name: &str) -> bool {
        self.names[place].as_deref() == Some(name)
    }
}

impl std::fmt::Debug for Inherited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inherited")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
