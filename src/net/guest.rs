//! Whoever is at the other end of a link, for as long as it lasts. The certificate shown at its beginning counts only while
//! it would still be accepted: a reload may have revoked it. Not here: who is let in at first (`net::conversation`).

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::peer::Peer;
use super::tls::{DoorSettings, ServerTls};

/// The other end of one link.
#[derive(Debug)]
pub(super) struct Guest {
    peer: Arc<Peer>,
    shown: Option<Shown>,
}

/// A certificate that was shown.
#[derive(Debug)]
struct Shown {
    door: Arc<ServerTls>,
    /// Leaf first.
    chain: Vec<CertificateDer<'static>>,
    /// What it was last checked against, and whether it passed.
    settings: RefCell<Arc<DoorSettings>>,
    stands: Cell<bool>,
}

impl Guest {
    /// One who showed no certificate.
    pub(super) fn bare(peer: Peer) -> Self {
        let peer = Arc::new(peer);
        Self { peer, shown: None }
    }

    /// One who showed this chain at a door, which let it in by these settings.
    pub(super) fn with_certificate(
        peer: Peer,
        chain: Vec<CertificateDer<'static>>,
        door: Arc<ServerTls>,
        settings: Arc<DoorSettings>,
    ) -> Self {
        let shown = Shown {
            door,
            chain,
            settings: RefCell::new(settings),
            stands: Cell::new(true),
        };
        Self {
            peer: Arc::new(peer),
            shown: Some(shown),
        }
    }

    /// Who sends the next request.
    pub(super) fn peer(&self) -> Arc<Peer> {
        if self.is_welcome() {
            return Arc::clone(&self.peer);
        }
        // A certificate was shown, and it is nobody's.
        Arc::new(Peer {
            certificate_names: Some(Vec::new()),
            ..Peer::clone(&self.peer)
        })
    }

    /// False once the door would no longer let it in.
    pub(super) fn is_welcome(&self) -> bool {
        self.shown.as_ref().is_none_or(Shown::stands)
    }
}

impl Shown {
    fn stands(&self) -> bool {
        let now = self.door.current();
        if !Arc::ptr_eq(&now, &self.settings.borrow()) {
            self.stands.set(now.accept(&self.chain));
            self.settings.replace(now);
        }
        self.stands.get()
    }
}
