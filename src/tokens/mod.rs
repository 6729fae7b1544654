//! Floor 5: fresh bearers. The only writer of connections.

pub mod bearer;

use std::time::Duration;

use crate::access::permit::Permit;
use crate::model::connection::{Reason, State};
use crate::model::scope::ScopeSet;

use bearer::Bearer;

/// The room's door. Clones are the same room.
#[derive(Clone, Debug)]
pub struct Tokens {}

/// What to do with a 401 of Pleo (design.md R7).
#[derive(Clone, Debug)]
pub enum Rejected {
    /// It was sent with a pair that is not the current one any more: send again with this.
    Replay(Bearer),
    /// Pleo stands by the token: the 401 is about something else; hand it on.
    HandOn,
}

/// Why there is no bearer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ObtainError {
    /// No connection, one that nobody consented to yet, or one that an operator ended.
    #[error("the tenant has no connection")]
    NotConnected {
        /// Where it stands, if it exists.
        state: Option<State>,
    },
    /// Pleo ended the authorisation.
    #[error("a person has to consent again")]
    ReauthorizationRequired {
        /// Why.
        reason: Option<Reason>,
    },
    /// Refreshing does not work for now, or is being resolved.
    #[error("no fresh token for now")]
    Unavailable {
        /// Where the connection stands.
        state: State,
        /// When to come again.
        retry_after: Duration,
    },
    /// The store does not answer.
    #[error("the store is not available")]
    StoreUnavailable,
    /// Too many wait for this tenant's token already.
    #[error("too many requests wait for this tenant's token")]
    Overloaded,
    /// The process is about to end and starts no refresh.
    #[error("shutting down")]
    Draining,
    /// The consent does not cover the route.
    #[error("the consent lacks scopes")]
    ScopeMissing(ScopeSet),
    /// The request names another company than the connection's.
    #[error("the request names another company")]
    WrongCompany,
}

impl Tokens {
    /// The bearer for a permitted call: from memory, or by one refresh shared by all who wait. `Err` at once if the
    /// grant does not cover the route.
    pub async fn obtain(&self, permit: &Permit) -> Result<Bearer, ObtainError> {
        let _ = permit;
        Err(ObtainError::Draining)
    }

    /// The bearer for a permitted call if no waiting is needed: the warm path, without an await.
    pub fn obtain_now(&self, permit: &Permit) -> Option<Result<Bearer, ObtainError>> {
        let _ = permit;
        None
    }

    /// Pleo answered 401 to a call that bore `bearer`.
    pub async fn rejected(
        &self,
        permit: &Permit,
        bearer: &Bearer,
    ) -> Result<Rejected, ObtainError> {
        let _ = (permit, bearer);
        Err(ObtainError::Draining)
    }
}
