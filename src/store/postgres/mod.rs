//! Connections in a `PostgreSQL` database that replicas share. Every question is one call of a function that the migration
//! created; what those do is in `migrations/postgres`. How a row is sealed is not here (`rows`).

mod address;
mod news;
mod reseal;
mod schema;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::news::News;
use self::server::Server;
use super::guests::{LinkRecord, REMEMBERED, VISITS_OF_A_LINK, VisitRecord};
use super::lines::{AuditLine, Line};
use super::own::Unlocked;
use super::rows::{Blob, Record, Seals, holds_alone, signed, unsealed, unsigned};
use super::seal::hex;
use super::sealing_keys::KeySource;
use super::{
    Change, ConnectLink, ConnectionStore, OpenError, Revision, SealedPlace, Seen, StoreError,
    Taken, Visit, Written,
};
use crate::clock::Timestamp;
use crate::model::connection::Connection;
use crate::model::ids::{CompanyId, ProviderId, TenantName};
use crate::model::ledger::{AuditEntry, LedgerLine};

pub use address::{AddressError, ServerAddress};
pub use server::ServerError;

/// A store in a database that was opened ([`unlock`]).
#[derive(Debug)]
pub(super) struct PostgresStore {
    id: String,
    seals: Arc<Seals>,
    server: Server,
    news: News,
}

/// A row as it lies in the table.
#[derive(Serialize, Deserialize)]
struct Stored {
    provider: String,
    #[serde(default)]
    revision: i64,
    #[serde(flatten)]
    record: Record,
    sealed_by: String,
    seal: Blob,
}

#[derive(Deserialize)]
struct Read {
    now: i64,
    row: Option<Value>,
}

#[derive(Deserialize)]
struct Changed {
    last: i64,
    tenants: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum Came {
    Done { revision: i64 },
    Conflict,
    CompanyTaken { tenant: String },
    TokenTaken { tenant: String },
    TokenSpent,
}

#[derive(Deserialize)]
struct TakenVisit {
    now: i64,
    visit: Option<VisitRecord>,
}

/// Opens the database for the first time in this process: its tables, and its key.
pub(super) async fn unlock(
    address: &ServerAddress,
    keys: &[KeySource],
) -> Result<(Server, Unlocked), OpenError> {
    let server = Server::new(address)?;
    let unlocked = schema::unlock(&server, &address.to_string(), keys).await?;
    Ok((server, unlocked))
}

/// True if the database holds our tables. Makes none.
pub(super) async fn is_founded(address: &ServerAddress) -> Result<bool, OpenError> {
    let server = Server::new(address)?;
    let founded = schema::is_founded(&server, &address.to_string()).await;
    server.close().await;
    founded
}

impl Stored {
    fn seal(row: &Connection, made_from: Revision, seals: &Seals) -> Result<Self, StoreError> {
        let mut record = Record::seal(row, signed(made_from.0), seals).map_err(unsealed)?;
        Ok(Self {
            provider: seals.provider.to_string(),
            revision: 0,
            seal: std::mem::take(&mut record.seal),
            record,
            sealed_by: seals.sealer.first().to_string(),
        })
    }

    /// `None` for a row with a column that we did not write.
    fn of(row: Value) -> Option<(Revision, Record)> {
        let stored: Self = serde_json::from_value(row).ok()?;
        let mut record = stored.record;
        record.seal = stored.seal;
        Some((Revision(unsigned(stored.revision)?), record))
    }
}

impl PostgresStore {
    pub(super) fn new(id: String, seals: Arc<Seals>, server: Server) -> Self {
        let news = News::default();
        server.beside(news.clone().listen(server.clone()));
        Self {
            id,
            seals,
            server,
            news,
        }
    }

    fn provider(&self) -> &str {
        self.seals.provider.as_ref()
    }

    async fn reading<T: DeserializeOwned>(
        &self,
        function: &str,
        asked: Value,
    ) -> Result<T, StoreError> {
        let answer = self.server.call(function, &asked).await;
        told(answer.map_err(ServerError::of_read)?)
    }

    async fn writing<T: DeserializeOwned>(
        &self,
        function: &str,
        asked: Value,
    ) -> Result<T, StoreError> {
        let answer = self.server.call(function, &asked).await;
        told(answer.map_err(ServerError::of_write)?)
    }

    async fn record(
        &self,
        provider: &ProviderId,
        tenant: &TenantName,
    ) -> Result<(Timestamp, Option<(Revision, Record)>), StoreError> {
        let asked = json!({ "provider": provider.as_ref(), "tenant": tenant.as_ref() });
        let read: Read = self.reading("read", asked).await?;
        let record = match read.row {
            // A column of another kind: nobody but us writes rows.
            Some(row) => Some(Stored::of(row).ok_or_else(|| StoreError::Sealed(tenant.clone()))?),
            None => None,
        };
        Ok((Timestamp(read.now), record))
    }
}

#[async_trait]
impl ConnectionStore for PostgresStore {
    fn id(&self) -> &str {
        &self.id
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let asked = json!({ "provider": self.provider(), "tenant": "" });
        let read: Read = self.reading("read", asked).await?;
        Ok(Timestamp(read.now))
    }

    async fn read(&self, tenant: &TenantName) -> Result<Seen, StoreError> {
        let (now, record) = self.record(&self.seals.provider, tenant).await?;
        let (revision, row) = match record {
            Some((revision, record)) => (revision, Some(record.open(&self.seals))),
            None => (Revision(0), None),
        };
        let row = row
            .transpose()
            .map_err(|_| StoreError::Sealed(tenant.clone()))?;
        Ok(Seen { now, revision, row })
    }

    async fn legible(&self, tenant: &TenantName) -> Result<Seen, StoreError> {
        let (now, record) = self.record(&self.seals.provider, tenant).await?;
        let revision = record
            .as_ref()
            .map_or(Revision(0), |(revision, _)| *revision);
        let row = record.and_then(|(_, record)| record.plain());
        Ok(Seen { now, revision, row })
    }

    async fn list(&self) -> Result<Vec<Result<Connection, TenantName>>, StoreError> {
        let asked = json!({ "provider": self.provider() });
        let rows: Vec<Value> = self.reading("list", asked).await?;
        rows.into_iter()
            .map(|row| {
                let name = tenant(row["tenant"].as_str().unwrap_or_default())?;
                let opened = Stored::of(row).and_then(|(_, record)| record.open(&self.seals).ok());
                Ok(opened.ok_or(name))
            })
            .collect()
    }

    async fn write(&self, change: Change) -> Result<Written, StoreError> {
        let row = &change.row;
        let brought = row.refresh_token().filter(|_| change.brought);
        let lines = |entry| Line::of(entry, row, &self.seals);
        let audit = |entry| AuditLine::of(entry, &self.seals);
        let asked = json!({
            "row": Stored::seal(row, change.expected, &self.seals)?,
            "expected": signed(change.expected.0),
            "holds_alone": holds_alone(row).is_some(),
            "brought": brought.map(|refresh| self.seals.fingerprints.of(refresh)),
            "ledger": change.ledger.iter().map(lines).collect::<Vec<_>>(),
            "audit": change.audit.iter().map(audit).collect::<Vec<_>>(),
        });
        Ok(match self.writing("write", asked).await? {
            Came::Done { revision } => {
                self.server.tasks.spawn(news::announce(&self.server));
                Written::Done(Revision(unsigned(revision).unwrap_or(0)))
            }
            Came::Conflict => Written::Conflict,
            Came::CompanyTaken { tenant: name } => Written::Taken(Taken::Company(tenant(&name)?)),
            Came::TokenTaken { tenant: name } => Written::Taken(Taken::Token(tenant(&name)?)),
            Came::TokenSpent => Written::Taken(Taken::SpentToken),
        })
    }

    async fn changed_since(
        &self,
        mark: Revision,
    ) -> Result<(Revision, Vec<TenantName>), StoreError> {
        let asked = json!({ "provider": self.provider(), "mark": signed(mark.0) });
        let changed: Changed = self.reading("changed", asked).await?;
        let tenants = changed.tenants.iter().map(|name| tenant(name));
        let last = Revision(unsigned(changed.last).unwrap_or(0));
        Ok((last, tenants.collect::<Result<_, _>>()?))
    }

    async fn tenant_of(&self, company: &CompanyId) -> Result<Option<TenantName>, StoreError> {
        let asked = json!({ "provider": self.provider(), "company": company.as_ref() });
        let found: Option<String> = self.reading("tenant_of", asked).await?;
        found.as_deref().map(tenant).transpose()
    }

    async fn history(&self, tenant: &TenantName) -> Result<Vec<LedgerLine>, StoreError> {
        let asked = json!({ "provider": self.provider(), "tenant": tenant.as_ref() });
        let lines: Vec<Line> = self.reading("history", asked).await?;
        let lines = lines.into_iter().map(Line::open);
        lines.collect::<Option<_>>().ok_or_else(nonsense)
    }

    async fn put_link(
        &self,
        digest: [u8; 32],
        link: ConnectLink,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        let asked = json!({
            "link": LinkRecord::of(&digest, &link, &self.seals),
            "audit": [AuditLine::of(&audit, &self.seals)],
            "forget": REMEMBERED.as_micros(),
        });
        self.writing::<bool>("put_link", asked).await.map(drop)
    }

    async fn link(&self, digest: &[u8; 32]) -> Result<Option<ConnectLink>, StoreError> {
        let asked = json!({ "provider": self.provider(), "digest": hex(digest) });
        let found: Option<LinkRecord> = self.reading("link", asked).await?;
        found.map(LinkRecord::open).transpose()
    }

    async fn spend_link(&self, digest: &[u8; 32]) -> Result<bool, StoreError> {
        let asked = json!({ "provider": self.provider(), "digest": hex(digest) });
        self.writing("spend_link", asked).await
    }

    async fn put_visit(&self, state: [u8; 32], visit: Visit) -> Result<(), StoreError> {
        let asked = json!({
            "visit": VisitRecord::seal(&state, &visit, &self.seals)?,
            "most": VISITS_OF_A_LINK,
        });
        self.writing::<bool>("put_visit", asked).await.map(drop)
    }

    async fn take_visit(&self, state: &[u8; 32]) -> Result<Option<Visit>, StoreError> {
        let asked = json!({ "provider": self.provider(), "state": hex(state) });
        let taken: TakenVisit = self.writing("take_visit", asked).await?;
        match taken.visit {
            Some(visit) => visit.open(Timestamp(taken.now), &self.seals),
            None => Ok(None),
        }
    }

    async fn note(&self, entry: AuditEntry) -> Result<(), StoreError> {
        let asked = json!({ "audit": [AuditLine::of(&entry, &self.seals)] });
        self.writing::<bool>("note", asked).await.map(drop)
    }

    async fn sealed_places(&self) -> Result<Vec<SealedPlace>, StoreError> {
        reseal::places(self).await
    }

    async fn reseal(&self, place: &SealedPlace) -> Result<bool, StoreError> {
        match place {
            SealedPlace::Row { provider, tenant } => reseal::row(self, provider, tenant).await,
            SealedPlace::Visit { state, .. } => reseal::visit(self, state).await,
        }
    }

    async fn changes(&self) {
        self.news.next().await;
    }

    async fn close(&self) {
        self.server.close().await;
    }
}

fn told<T: DeserializeOwned>(answer: Value) -> Result<T, StoreError> {
    serde_json::from_value(answer).map_err(|_| nonsense())
}

fn nonsense() -> StoreError {
    StoreError::Corrupt(ServerError::Nonsense.into())
}

/// A name that breaks the rule was not written by us.
fn tenant(name: &str) -> Result<TenantName, StoreError> {
    TenantName::parse(name).map_err(|error| StoreError::Corrupt(error.into()))
}
