//! Who is at the other end of a caller's link, and the request that came over it. Not here: which caller that is.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;

/// The other end of a link, as far as the network knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address; none on a unix socket.
    pub address: Option<SocketAddr>,
    /// Its user id, on a unix socket.
    pub unix_uid: Option<u32>,
    /// `dns:…`, `email:…`, `uri:…` and `ip:…` names in its verified client certificate; `None` if it showed none.
    pub certificate_names: Option<Vec<String>>,
    /// True under TLS.
    pub secure: bool,
    /// Which of the doors it came through.
    pub door: usize,
}

/// A request that came in, with who sent it. Only a door makes one.
#[derive(Debug)]
pub struct Arrival {
    pub(super) request: Request<Incoming>,
    pub(super) peer: Arc<Peer>,
}

impl Arrival {
    /// The request as it came, its body not yet read.
    pub fn request(&self) -> &Request<Incoming> {
        &self.request
    }

    /// Who sent it.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Both, to go on with.
    pub fn into_parts(self) -> (Request<Incoming>, Arc<Peer>) {
        (self.request, self.peer)
    }
}
