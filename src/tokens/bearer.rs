//! A ready-made credential for one call; only this room makes one. It knows how many requests are being sent with it, so
//! that a refresh can let them go first (design.md R8).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderValue;
use tokio::sync::Notify;

use super::tend::credential_of;
use crate::model::connection::Connection;
use crate::model::ids::{Epoch, Generation};
use crate::secret::Secret;

/// Set while somebody waits for the last of the requests to be sent.
const WAITED_FOR: usize = 1 << (usize::BITS - 1);

/// The `Authorization` value of one connection and generation, marked sensitive. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bearer(Arc<Issued>);

#[derive(Debug)]
struct Issued {
    value: HeaderValue,
    epoch: Epoch,
    generation: Generation,
    /// Requests of this process that are being sent with it.
    sends: AtomicUsize,
    sent: Notify,
}

/// A request is being sent with a bearer, until this is dropped.
#[derive(Debug)]
pub struct Sending(Bearer);

impl Drop for Sending {
    fn drop(&mut self) {
        let issued = &self.0.0;
        if issued.sends.fetch_sub(1, Ordering::AcqRel) == WAITED_FOR | 1 {
            issued.sent.notify_one();
        }
    }
}

impl Bearer {
    /// The header's value.
    pub fn value(&self) -> &HeaderValue {
        &self.0.value
    }

    /// The access token in it. `None` for an API key.
    pub(super) fn access_token(&self) -> Option<Secret> {
        let text = self.0.value.to_str().ok()?;
        text.strip_prefix("Bearer ").map(Secret::new)
    }

    /// The epoch it belongs to.
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// The generation it belongs to.
    pub fn generation(&self) -> Generation {
        self.0.generation
    }

    /// From now on a request is being sent with it: no lock, no allocation.
    pub fn sending(&self) -> Sending {
        self.0.sends.fetch_add(1, Ordering::AcqRel);
        Sending(self.clone())
    }

    /// Waits until no request is being sent with it. One waits at a time: the tenant's flight.
    pub(super) async fn quiet(&self) {
        while self.0.sends.fetch_or(WAITED_FOR, Ordering::AcqRel) & !WAITED_FOR > 0 {
            self.0.sent.notified().await;
        }
        self.0.sends.fetch_and(!WAITED_FOR, Ordering::AcqRel);
    }

    /// True if it belongs to an older pair than `other`.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        (self.epoch(), self.generation()) < (other.epoch(), other.generation())
    }

    /// What a row's calls bear.
    pub(super) fn of(row: &Connection) -> Option<Self> {
        Some(Self(Arc::new(Issued {
            value: credential_of(row)?.header()?,
            epoch: row.epoch,
            generation: row.generation,
            sends: AtomicUsize::new(0),
            sent: Notify::new(),
        })))
    }
}
