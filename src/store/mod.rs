//! Floor 4: connections at rest. One trait with its two implementations, `SQLite` and `PostgreSQL`; seals and salvage. How
//! rows change is not decided here (`refresh`, `tokens`).

mod candidate;
#[cfg(test)]
mod contract;
mod guests;
pub mod high_water;
mod lines;
pub mod open;
mod own;
pub mod owners;
pub mod postgres;
pub mod private;
pub mod rotation;
mod rows;
pub mod salvage;
pub mod seal;
pub mod sealing_keys;
mod sqlite;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::model::connection::Connection;
use crate::model::ids::{CompanyId, ProviderId, TenantName};
use crate::model::ledger::{AuditEntry, LedgerEntry, LedgerLine};
use crate::model::scope::ScopeSet;
use crate::secret::Secret;

pub use open::{Database, OpenError, OpenFault, Opened, StoreOptions, open};
pub use private::PrivateError;
pub use seal::SealError;

/// A row's version; any change of the row makes a new one, greater than all before it in this store. 0 is "no row".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A row as it was seen, with the store's time of seeing it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The store's clock.
    pub now: Timestamp,
    /// The row's version; 0 if there is none.
    pub revision: Revision,
    /// The row, if there is one.
    pub row: Option<Connection>,
}

/// One compare-and-set with what is written down about it, all or nothing.
#[derive(Clone, Debug)]
pub struct Change {
    /// The row as it shall be.
    pub row: Connection,
    /// The version it was made from; 0 to make the row.
    pub expected: Revision,
    /// Whether its refresh token was brought from outside: it is not taken if this store has met it ([`Taken`]).
    pub brought: bool,
    /// Ledger lines.
    pub ledger: Vec<LedgerEntry>,
    /// Audit lines.
    pub audit: Vec<AuditEntry>,
}

/// What came of a compare-and-set. Once this is returned, what it says is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Written, and durable (`SQLite` `synchronous=FULL`, `PostgreSQL` synchronous commit; design.md R3).
    Done(Revision),
    /// The row is not the expected one any more: nothing was written; read again.
    Conflict,
    /// Something in the row is another's already: nothing was written.
    Taken(Taken),
}

/// What only one connection can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Taken {
    /// Another tenant's connection has this company and sharing was not allowed.
    #[error("tenant {0} is connected to this company already")]
    Company(TenantName),
    /// Another tenant's connection holds the refresh token that was brought.
    #[error("tenant {0} holds this refresh token already")]
    Token(TenantName),
    /// The refresh token that was brought was presented to Pleo before, as far as is known not in vain.
    #[error("this refresh token was presented to Pleo before")]
    SpentToken,
}

/// A connect link, kept by the digest of its secret part (contract.md section 4).
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectLink {
    /// For whom.
    pub tenant: TenantName,
    /// Which scopes it asks for.
    pub scopes: ScopeSet,
    /// Whether another tenant may have the same company.
    pub allow_shared_company: bool,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When a consent succeeded with it: used up.
    pub spent_at: Option<Timestamp>,
}

/// A browser under way to Pleo and back, kept by the digest of its `state`.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// Digest of the link it came by.
    pub link: [u8; 32],
    /// For whom.
    pub tenant: TenantName,
    /// PKCE (RFC 7636).
    pub verifier: Secret,
    /// Digest of the cookie that binds it to its browser.
    pub cookie: [u8; 32],
    /// When it ends (10 minutes).
    pub expires_at: Timestamp,
}

/// Something that is sealed in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealedPlace {
    /// A tenant's row: its tokens or key, its candidate, and the seal over the whole.
    Row {
        /// Whose client's.
        provider: ProviderId,
        /// Whose.
        tenant: TenantName,
    },
    /// A visit's PKCE verifier.
    Visit {
        /// Digest of its `state`.
        state: [u8; 32],
        /// For whom.
        tenant: TenantName,
    },
}

impl fmt::Display for SealedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { tenant, .. } => write!(f, "the row of tenant {tenant}"),
            Self::Visit { tenant, .. } => write!(f, "a browser's visit for tenant {tenant}"),
        }
    }
}

/// Why the store could not do what was asked. Nothing was changed, unless it says that this is not known.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Away, locked by another program, read-only, full: may pass.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A write was sent and its outcome is not known: read again before deciding.
    #[error("the outcome of a write is not known")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This row cannot be opened: changed by another hand, or sealed by a key that is not configured.
    #[error("the row of tenant {0} cannot be opened with the configured sealing keys")]
    Sealed(TenantName),
    /// The file is damaged, or is no database of ours.
    #[error("the store is corrupted")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// True if the data is bad, and no waiting mends it.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Sealed(_) | Self::Corrupt(_) => true,
            Self::Unavailable(_) | Self::Unknown(_) => false,
        }
    }
}

/// How often a store without hints is asked for changes: cheap, and well within the second that operators were promised.
const TICK: Duration = Duration::from_millis(250);

/// Where connections are kept. `SQLite` for one machine; `PostgreSQL` for replicas keeps the same promises.
#[async_trait]
pub trait ConnectionStore: Send + Sync + fmt::Debug {
    /// The store's own id, made with it (design.md R14).
    fn id(&self) -> &str;

    /// The store's clock, and proof that it answers.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// One tenant's row.
    async fn read(&self, tenant: &TenantName) -> Result<Seen, StoreError>;

    /// What of a row is legible without its seals, and proven by none: only good for ending a connection whose row cannot
    /// be opened.
    async fn legible(&self, tenant: &TenantName) -> Result<Seen, StoreError> {
        self.read(tenant).await
    }

    /// Every row of this provider, by tenant. Rows that cannot be opened are told by name and do not hide the others.
    async fn list(&self) -> Result<Vec<Result<Connection, TenantName>>, StoreError>;

    /// One compare-and-set.
    async fn write(&self, change: Change) -> Result<Written, StoreError>;

    /// Whose rows have changed since `mark`, and the mark to ask with next. Cheap when nothing has.
    async fn changed_since(
        &self,
        mark: Revision,
    ) -> Result<(Revision, Vec<TenantName>), StoreError>;

    /// Who has this company, if anybody that is neither pending nor disconnected.
    async fn tenant_of(&self, company: &CompanyId) -> Result<Option<TenantName>, StoreError>;

    /// A connection's ledger, oldest first.
    async fn history(&self, tenant: &TenantName) -> Result<Vec<LedgerLine>, StoreError>;

    /// Keeps a link by the digest of its secret part.
    async fn put_link(
        &self,
        digest: [u8; 32],
        link: ConnectLink,
        audit: AuditEntry,
    ) -> Result<(), StoreError>;

    /// A link that exists, spent and expired ones too (they are kept for a day to be told apart from unknown ones).
    async fn link(&self, digest: &[u8; 32]) -> Result<Option<ConnectLink>, StoreError>;

    /// Marks a link as used up. False if it was already.
    async fn spend_link(&self, digest: &[u8; 32]) -> Result<bool, StoreError>;

    /// Keeps a visit by the digest of its `state`.
    async fn put_visit(&self, state: [u8; 32], visit: Visit) -> Result<(), StoreError>;

    /// Takes a visit out: a `state` is good once. Expired ones are gone.
    async fn take_visit(&self, state: &[u8; 32]) -> Result<Option<Visit>, StoreError>;

    /// Adds a line to the audit that no change of a row brings about.
    async fn note(&self, entry: AuditEntry) -> Result<(), StoreError>;

    /// All places with something sealed, of every provider, in a settled order. The store's own secrets are not among
    /// them: opening the store with another first key seals those anew.
    async fn sealed_places(&self) -> Result<Vec<SealedPlace>, StoreError>;

    /// Seals what lies at a place under the first key, whatever changes meanwhile: it stays the same, and so does a row's
    /// revision. False if there is nothing to do: sealed so already, or gone.
    async fn reseal(&self, place: &SealedPlace) -> Result<bool, StoreError>;

    /// Resolves when rows may have changed: a hint, and a tick for what it missed. Never later than the 2 s in which
    /// watching wants a read (design.md R2).
    async fn changes(&self) {
        tokio::time::sleep(TICK).await;
    }

    /// Ends the store after what it was asked already. Whoever asks later is told that it is not available.
    async fn close(&self) {}
}
