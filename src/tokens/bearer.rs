//! A ready-made credential for one call. Only this room makes one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::model::connection::{Connection, Held};
use crate::model::ids::{Epoch, Generation};

/// The `Authorization` value of one connection and generation, marked sensitive. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bearer {
    value: HeaderValue,
    epoch: Epoch,
    generation: Generation,
}

impl Bearer {
    /// The header's value.
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// The epoch it belongs to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The generation it belongs to.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// True if it belongs to an older pair than `other`.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        (self.epoch, self.generation) < (other.epoch, other.generation)
    }

    /// What a row's calls bear: `Bearer token` (RFC 6750), or `Basic base64(key:)` for API keys (pleo.md section 6).
    pub(super) fn of(row: &Connection) -> Option<Self> {
        let text = match &row.held {
            Held::Pair { access, .. } => {
                Zeroizing::new(format!("Bearer {}", access.as_ref()?.token.expose()))
            }
            Held::Key(key) => {
                let pair = Zeroizing::new(format!("{}:", key.expose()));
                Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
            }
            Held::Nothing => return None,
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(Self {
            value,
            epoch: row.epoch,
            generation: row.generation,
        })
    }
}
