//! A ready-made credential for one call. Only this room makes one.

use http::HeaderValue;

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
}
