//! Connections in one `SQLite` file that several processes of this machine may share. One thread writes, one reads. How a
//! row is sealed is not here (`rows`), nor how a handle is kept (`worker`).

mod columns;
mod journal;
mod reseal;
mod schema;
mod unlock;
mod visits;
mod worker;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Transaction, params};

use self::columns::{COLUMNS, tenants};
pub(super) use self::unlock::unlock;
pub(super) use self::worker::is_busy;
use self::worker::{Handle, Worker};
use super::rows::{Record, Seals, holds_alone, signed, unsealed, unsigned};
use super::{
    Change, ConnectLink, ConnectionStore, OpenError, Revision, SealedPlace, Seen, StoreError,
    Taken, Visit, Written,
};
use crate::clock::{SharedClock, Timestamp};
use crate::model::connection::Connection;
use crate::model::ids::{CompanyId, TenantName};
use crate::model::ledger::{AuditEntry, LedgerLine};

/// A store on an `SQLite` file that was unlocked.
#[derive(Debug)]
pub(super) struct SqliteStore {
    id: String,
    seals: Arc<Seals>,
    clock: SharedClock,
    writer: Worker,
    reader: Worker,
}

impl SqliteStore {
    /// Starts the threads of a file that was unlocked.
    pub(super) fn start(
        path: &Path,
        id: String,
        seals: Arc<Seals>,
        clock: SharedClock,
    ) -> Result<Self, OpenError> {
        let worker = |name| {
            Worker::start(name, Handle::new(path.to_owned(), id.clone())).map_err(OpenError::Thread)
        };
        let (writer, reader) = (worker("store-write")?, worker("store-read")?);
        Ok(Self {
            id,
            seals,
            clock,
            writer,
            reader,
        })
    }

    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, &Seals) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let seals = Arc::clone(&self.seals);
        self.reader
            .ask(move |handle| handle.read(|transaction| work(transaction, &seals)))
            .await
    }

    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, &Seals) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let seals = Arc::clone(&self.seals);
        self.writer
            .ask(move |handle| handle.write(|transaction| work(transaction, &seals)))
            .await
    }
}

#[async_trait]
impl ConnectionStore for SqliteStore {
    fn id(&self) -> &str {
        &self.id
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.reading(|transaction, _| revision(transaction)).await?;
        Ok(self.clock.wall())
    }

    async fn read(&self, tenant: &TenantName) -> Result<Seen, StoreError> {
        let tenant = tenant.clone();
        let clock = Arc::clone(&self.clock);
        self.reading(move |transaction, seals| {
            let record = record(transaction, seals, &tenant)?;
            let number = record.as_ref().map_or(0, |record| record.sealed_revision);
            let row = record.map(|record| record.open(seals)).transpose();
            Ok(Seen {
                now: clock.wall(),
                revision: Revision(unsigned(number).unwrap_or(0)),
                row: row.map_err(|_| StoreError::Sealed(tenant.clone()))?,
            })
        })
        .await
    }

    async fn legible(&self, tenant: &TenantName) -> Result<Seen, StoreError> {
        let tenant = tenant.clone();
        let clock = Arc::clone(&self.clock);
        self.reading(move |transaction, seals| {
            let record = record(transaction, seals, &tenant)?;
            let number = record.as_ref().map_or(0, |record| record.sealed_revision);
            Ok(Seen {
                now: clock.wall(),
                revision: Revision(unsigned(number).unwrap_or(0)),
                row: record.and_then(|record| record.plain()),
            })
        })
        .await
    }

    async fn list(&self) -> Result<Vec<Result<Connection, TenantName>>, StoreError> {
        self.reading(|transaction, seals| {
            let sql = "select tenant from connections where provider = ?1 order by tenant";
            let tenants = tenants(transaction, sql, params![seals.provider.as_ref()])?;
            Ok(tenants
                .into_iter()
                .map(|tenant| opened(transaction, seals, &tenant).ok_or(tenant))
                .collect())
        })
        .await
    }

    async fn write(&self, change: Change) -> Result<Written, StoreError> {
        self.writing(move |transaction, seals| compare_and_set(transaction, seals, &change))
            .await
    }

    async fn changed_since(
        &self,
        mark: Revision,
    ) -> Result<(Revision, Vec<TenantName>), StoreError> {
        self.reading(move |transaction, seals| {
            let last = Revision(unsigned(revision(transaction)?).unwrap_or(0));
            // A store that is behind the mark was put back from a backup: everything may have changed.
            let from = if last < mark { 0 } else { signed(mark.0) };
            let sql = "select tenant from connections where provider = ?1 and revision > ?2 order by revision";
            let changed = tenants(transaction, sql, params![seals.provider.as_ref(), from])?;
            Ok((last, changed))
        })
        .await
    }

    async fn tenant_of(&self, company: &CompanyId) -> Result<Option<TenantName>, StoreError> {
        let company = company.clone();
        self.reading(move |transaction, seals| {
            let sql = "select tenant from connections where provider = ?1 and company_id = ?2 \
                       and state not in ('pending', 'disconnected') order by shared_company, tenant";
            let held = params![seals.provider.as_ref(), company.as_ref()];
            Ok(tenants(transaction, sql, held)?.into_iter().next())
        })
        .await
    }

    async fn history(&self, tenant: &TenantName) -> Result<Vec<LedgerLine>, StoreError> {
        let tenant = tenant.clone();
        self.reading(move |transaction, seals| journal::history(transaction, seals, &tenant))
            .await
    }

    async fn put_link(
        &self,
        digest: [u8; 32],
        link: ConnectLink,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        let now = self.clock.wall();
        self.writing(move |transaction, seals| {
            visits::put_link(transaction, seals, now, (&digest, &link))?;
            journal::audit(transaction, seals, &audit)
        })
        .await
    }

    async fn link(&self, digest: &[u8; 32]) -> Result<Option<ConnectLink>, StoreError> {
        let digest = *digest;
        self.reading(move |transaction, seals| visits::link(transaction, seals, &digest))
            .await
    }

    async fn spend_link(&self, digest: &[u8; 32]) -> Result<bool, StoreError> {
        let (digest, now) = (*digest, self.clock.wall());
        self.writing(move |transaction, seals| visits::spend_link(transaction, seals, now, &digest))
            .await
    }

    async fn put_visit(&self, state: [u8; 32], visit: Visit) -> Result<(), StoreError> {
        let now = self.clock.wall();
        self.writing(move |transaction, seals| {
            visits::put_visit(transaction, seals, now, (&state, &visit))
        })
        .await
    }

    async fn take_visit(&self, state: &[u8; 32]) -> Result<Option<Visit>, StoreError> {
        let (state, now) = (*state, self.clock.wall());
        self.writing(move |transaction, seals| visits::take_visit(transaction, seals, now, &state))
            .await
    }

    async fn note(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.writing(move |transaction, seals| journal::audit(transaction, seals, &entry))
            .await
    }

    async fn sealed_places(&self) -> Result<Vec<SealedPlace>, StoreError> {
        let now = self.clock.wall();
        self.reading(move |transaction, _| reseal::places(transaction, now))
            .await
    }

    async fn reseal(&self, place: &SealedPlace) -> Result<bool, StoreError> {
        let place = place.clone();
        self.writing(move |transaction, seals| reseal::reseal(transaction, seals, &place))
            .await
    }

    async fn close(&self) {
        self.writer.close().await;
        self.reader.close().await;
    }
}

fn compare_and_set(
    transaction: &Transaction<'_>,
    seals: &Seals,
    change: &Change,
) -> Result<Written, StoreError> {
    let row = &change.row;
    if current(transaction, seals, &row.tenant)? != signed(change.expected.0) {
        return Ok(Written::Conflict);
    }
    if let Some(other) = company_taken(transaction, seals, row)? {
        return Ok(Written::Taken(Taken::Company(other)));
    }
    if let Some(refresh) = row.refresh_token().filter(|_| change.brought)
        && let Some(taken) = journal::met(transaction, seals, &row.tenant, refresh)?
    {
        return Ok(Written::Taken(taken));
    }
    let sql = "update meta set value = value + 1 where name = 'revision' returning value";
    let revision: i64 = transaction.query_row(sql, [], |row| row.get(0))?;
    put(transaction, seals, (row, revision))?;
    for entry in &change.ledger {
        journal::ledger(transaction, seals, row, entry)?;
    }
    for entry in &change.audit {
        journal::audit(transaction, seals, entry)?;
    }
    Ok(Written::Done(Revision(unsigned(revision).unwrap_or(0))))
}

/// A row of another tenant that has the same company to itself, if the new one wants it to itself too.
fn company_taken(
    transaction: &Transaction<'_>,
    seals: &Seals,
    row: &Connection,
) -> Result<Option<TenantName>, StoreError> {
    let Some(company) = holds_alone(row) else {
        return Ok(None);
    };
    let sql = "select tenant from connections where provider = ?1 and company_id = ?2 and tenant <> ?3 \
               and state not in ('pending', 'disconnected') and not shared_company order by tenant";
    let held = params![
        seals.provider.as_ref(),
        company.as_ref(),
        row.tenant.as_ref()
    ];
    Ok(tenants(transaction, sql, held)?.into_iter().next())
}

fn put(
    transaction: &Transaction<'_>,
    seals: &Seals,
    (row, revision): (&Connection, i64),
) -> Result<(), StoreError> {
    let record = Record::seal(row, revision, seals).map_err(unsealed)?;
    Ok(columns::put(transaction, seals, &record)?)
}

/// The version of a tenant's row, 0 if there is none.
fn current(
    transaction: &Transaction<'_>,
    seals: &Seals,
    tenant: &TenantName,
) -> rusqlite::Result<i64> {
    let sql = "select revision from connections where provider = ?1 and tenant = ?2";
    let found = transaction
        .prepare_cached(sql)?
        .query_row([seals.provider.as_ref(), tenant.as_ref()], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// The last version that was given to any row.
fn revision(transaction: &Transaction<'_>) -> Result<i64, StoreError> {
    let sql = "select value from meta where name = 'revision'";
    Ok(transaction
        .prepare_cached(sql)?
        .query_row([], |row| row.get(0))?)
}

fn record(
    transaction: &Transaction<'_>,
    seals: &Seals,
    tenant: &TenantName,
) -> Result<Option<Record>, StoreError> {
    let sql = format!("select {COLUMNS} from connections where provider = ?1 and tenant = ?2");
    let found = transaction
        .prepare_cached(&sql)?
        .query_row([seals.provider.as_ref(), tenant.as_ref()], columns::read)
        .optional();
    match found {
        Ok(record) => Ok(record),
        // A column of another type: nobody but us writes rows.
        Err(error) if error.sqlite_error_code().is_none() => {
            Err(StoreError::Sealed(tenant.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

/// `None` for a row that is sealed or lies on a damaged page.
fn opened(transaction: &Transaction<'_>, seals: &Seals, tenant: &TenantName) -> Option<Connection> {
    let record = record(transaction, seals, tenant).ok()??;
    record.open(seals).ok()
}
