//! Floor 4: everything about Pleo: endpoints, OAuth calls, introspection, how its failures sort. Every call is one request
//! on a link of its own. When to call, and what follows, is not decided here (`refresh`, `tokens`).

pub mod answer;
pub mod endpoints;
pub mod failure;
pub mod introspect;
pub mod oauth;
#[cfg(test)]
mod tests;
pub mod wire;

use std::fmt;
use std::sync::Arc;

use crate::clock::SharedClock;
use crate::net::dial::Dialer;
use crate::net::origin::{Origin, OriginError};
use endpoints::PleoOptions;
use wire::Wire;

/// Pleo, as we call it. Clones are the same.
#[derive(Clone)]
pub struct Pleo(Arc<Parts>);

/// Everything a call needs, ready-made.
struct Parts {
    options: PleoOptions,
    client: oauth::Client,
    token_origin: Origin,
    api_origin: Origin,
    wire: Wire,
}

impl Pleo {
    /// Fails if the token URL or the API's base is none that could be dialled.
    pub fn new(
        options: PleoOptions,
        dialer: Arc<Dialer>,
        clock: SharedClock,
    ) -> Result<Self, OriginError> {
        Ok(Self(Arc::new(Parts {
            client: oauth::client(&options),
            token_origin: Origin::from_url(&options.endpoints.token)?,
            api_origin: Origin::from_url(&options.endpoints.api)?,
            wire: Wire { dialer, clock },
            options,
        })))
    }

    /// The settings it was made with.
    pub fn options(&self) -> &PleoOptions {
        &self.0.options
    }
}

impl fmt::Debug for Pleo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pleo")
            .field("environment", &self.0.options.environment)
            .finish_non_exhaustive()
    }
}
