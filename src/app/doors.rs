//! Opening the doors: addresses, certificates, threads. Who answers behind a callers' door is `edge`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::rooms::StartError;
use crate::config::{Address, Environment, Settings, TlsFiles};
use crate::model::limits::Limits;
use crate::net::listener::{Bound, DoorAddress, DoorOptions, Inherited, bind};
use crate::net::peer_limit::PeerLimit;
use crate::net::server::ServerLimits;
use crate::net::tls::{self, ServerTls};

/// Threads that serve callers: one per core unless the configuration says otherwise.
pub(super) fn threads(settings: &Settings) -> usize {
    match settings.proxy.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    }
}

/// Every door, open and not yet served.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) callers: Vec<Bound>,
    pub(super) connect: Bound,
    pub(super) admin: Bound,
}

/// Opens every door: all of them, or none stays open.
pub(super) async fn open(
    settings: &Settings,
    environment: &Environment,
    threads: usize,
) -> Result<Opened, StartError> {
    let names = environment.var("LISTEN_FDNAMES");
    let mut inherited = names.map_or_else(Inherited::none, Inherited::named);
    let (connect, admin) = (&settings.connect, &settings.admin);
    let opened = Opened {
        callers: bind_callers(settings, threads, &mut inherited).await?,
        connect: bind_one(&connect.listen, connect.tls.as_ref(), &mut inherited).await?,
        admin: bind_one(&admin.listen, admin.tls.as_ref(), &mut inherited).await?,
    };
    for socket in inherited.left() {
        tracing::warn!(
            socket,
            "a socket was handed over and no door has its name: who calls there gets no answer"
        );
    }
    Ok(opened)
}

/// The certificate of each door that has one.
#[derive(Debug)]
pub(super) struct Certificates {
    doors: Vec<Option<Arc<ServerTls>>>,
}

impl Certificates {
    /// Door by door: those of callers in their order, then of browsers, then of operators.
    pub(super) fn all(&self) -> impl Iterator<Item = Option<&ServerTls>> {
        self.doors.iter().map(Option::as_deref)
    }
}

impl Opened {
    /// Where callers, browsers and operators arrive, with the ports that were found.
    pub(super) fn addresses(&self) -> (Vec<DoorAddress>, DoorAddress, DoorAddress) {
        let callers = self.callers.iter().map(|door| door.address().clone());
        let (connect, admin) = (&self.connect, &self.admin);
        (
            callers.collect(),
            connect.address().clone(),
            admin.address().clone(),
        )
    }

    pub(super) fn certificates(&self) -> Certificates {
        let desk = [&self.connect, &self.admin];
        Certificates {
            doors: self.callers.iter().chain(desk).map(Bound::tls).collect(),
        }
    }
}

/// Opens every door for callers, each for all threads.
async fn bind_callers(
    settings: &Settings,
    threads: usize,
    inherited: &mut Inherited,
) -> Result<Vec<Bound>, StartError> {
    let mut doors = Vec::with_capacity(settings.listens.len());
    for (index, listen) in settings.listens.iter().enumerate() {
        let options = DoorOptions {
            address: resolve(&listen.address, listen.mode).await?,
            tls: load_tls(listen.tls.as_ref())?,
            half_close: listen.half_close,
            index,
        };
        doors.push(bind(&options, threads, inherited)?);
    }
    Ok(doors)
}

/// Opens a door that one thread serves.
async fn bind_one(
    address: &Address,
    files: Option<&TlsFiles>,
    inherited: &mut Inherited,
) -> Result<Bound, StartError> {
    let address = resolve(address, PRIVATE).await?;
    let options = DoorOptions {
        address,
        tls: load_tls(files)?,
        half_close: false,
        index: 0,
    };
    Ok(bind(&options, 1, inherited)?)
}

/// Of the unix sockets of operators and browsers.
const PRIVATE: u32 = 0o600;

async fn resolve(address: &Address, mode: u32) -> Result<DoorAddress, StartError> {
    Ok(match address {
        Address::Tcp(address) => DoorAddress::Tcp(*address),
        Address::Unix(path) => DoorAddress::Unix(path.clone(), mode),
        Address::Inherited(name) => DoorAddress::Inherited(name.clone()),
        Address::Host(name, port) => {
            let failed = |source| StartError::Resolve {
                name: name.clone(),
                source,
            };
            let found = tokio::net::lookup_host((name.as_str(), *port)).await;
            let found: Vec<_> = found.map_err(failed)?.collect();
            DoorAddress::Tcp(of_its_kind(&found, address.is_local()).map_err(failed)?)
        }
    })
}

/// The first of a name's addresses. What a door serves that only this machine can reach is decided by its name: it is
/// opened nowhere else, whatever a hosts file says.
fn of_its_kind(found: &[SocketAddr], is_local: bool) -> io::Result<SocketAddr> {
    let first = found
        .iter()
        .find(|found| !is_local || found.ip().is_loopback());
    first.copied().ok_or_else(|| {
        let why = match found.first() {
            Some(other) => format!("it leads to {}, which is not loopback", other.ip()),
            None => "it has no address".to_owned(),
        };
        io::Error::new(io::ErrorKind::NotFound, why)
    })
}

fn load_tls(files: Option<&TlsFiles>) -> Result<Option<Arc<ServerTls>>, StartError> {
    let loaded = files.map(|files| ServerTls::load(&tls_files(files)));
    Ok(loaded.transpose()?.map(Arc::new))
}

pub(super) fn tls_files(files: &TlsFiles) -> tls::TlsFiles {
    tls::TlsFiles {
        cert_file: files.cert_file.clone(),
        key_file: files.key_file.clone(),
        client_ca_file: files.client_ca_file.clone(),
        client_crl_file: files.client_crl_file.clone(),
    }
}

/// What links may take, and how many there may be at once. Clones share the counts.
pub(super) fn server_limits(limits: &Limits, links: usize) -> ServerLimits {
    let per_peer = u32::try_from(limits.max_connections_per_peer).unwrap_or(u32::MAX);
    ServerLimits {
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        body_idle_timeout: limits.body_idle_timeout,
        drain_timeout: limits.drain_timeout,
        max_header_bytes: u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX),
        max_headers: limits.max_headers,
        max_streams: limits.max_streams,
        links: Arc::new(Semaphore::new(links)),
        per_peer: (per_peer > 0).then(|| PeerLimit::new(per_peer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_for_this_machine_opens_on_loopback_or_not_at_all() {
        let [here, there] = ["[::1]:1", "10.9.9.9:1"].map(|text| text.parse().unwrap());
        assert_eq!(of_its_kind(&[there, here], true).unwrap(), here);
        assert_eq!(of_its_kind(&[there, here], false).unwrap(), there);
        let error = of_its_kind(&[there], true).unwrap_err();
        assert!(error.to_string().contains("10.9.9.9"), "{error}");
        of_its_kind(&[], false).unwrap_err();
    }
}
