//! A store that can be told to fail; everything else is done by the real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pleo_gateway::clock::Timestamp;
use pleo_gateway::model::connection::Connection;
use pleo_gateway::model::ids::{CompanyId, TenantName};
use pleo_gateway::model::ledger::{AuditEntry, LedgerLine};
use pleo_gateway::store::{
    Change, ConnectLink, ConnectionStore, Revision, SealedPlace, Seen, StoreError, Visit, Written,
};

#[derive(Debug)]
pub(super) struct Faulty {
    real: Arc<dyn ConnectionStore>,
    /// Nothing can be written.
    pub(super) read_only: AtomicBool,
    /// Nothing can be read.
    pub(super) away: AtomicBool,
    /// So many writes are done, and their outcome is not told.
    pub(super) untold: AtomicUsize,
    /// Writes wait for as long as this holds.
    pub(super) stalls: AtomicBool,
    /// Rows that were read.
    pub(super) reads: AtomicUsize,
    /// How often the keeper has asked what changed.
    pub(super) looks: AtomicUsize,
}

impl Faulty {
    pub(super) fn over(real: Arc<dyn ConnectionStore>) -> Self {
        Self {
            real,
            read_only: AtomicBool::new(false),
            away: AtomicBool::new(false),
            untold: AtomicUsize::new(0),
            stalls: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
        }
    }

    pub(super) fn set_read_only(&self, on: bool) {
        self.read_only.store(on, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) {
            Err(StoreError::Unavailable("ordered by a test".into()))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl ConnectionStore for Faulty {
    fn id(&self) -> &str {
        self.real.id()
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.check()?;
        self.real.now().await
    }

    async fn read(&self, tenant: &TenantName) -> Result<Seen, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        self.real.read(tenant).await
    }

    async fn legible(&self, tenant: &TenantName) -> Result<Seen, StoreError> {
        self.real.legible(tenant).await
    }

    async fn list(&self) -> Result<Vec<Result<Connection, TenantName>>, StoreError> {
        self.real.list().await
    }

    async fn write(&self, change: Change) -> Result<Written, StoreError> {
        self.check()?;
        if self.read_only.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("ordered by a test".into()));
        }
        while self.stalls.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let written = self.real.write(change).await?;
        let untold = |left: usize| left.checked_sub(1);
        match self
            .untold
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, untold)
        {
            Ok(_) => Err(StoreError::Unknown("ordered by a test".into())),
            Err(_) => Ok(written),
        }
    }

    async fn changed_since(
        &self,
        mark: Revision,
    ) -> Result<(Revision, Vec<TenantName>), StoreError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        self.real.changed_since(mark).await
    }

    async fn tenant_of(&self, company: &CompanyId) -> Result<Option<TenantName>, StoreError> {
        self.real.tenant_of(company).await
    }

    async fn history(&self, tenant: &TenantName) -> Result<Vec<LedgerLine>, StoreError> {
        self.real.history(tenant).await
    }

    async fn put_link(
        &self,
        digest: [u8; 32],
        link: ConnectLink,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        self.real.put_link(digest, link, audit).await
    }

    async fn link(&self, digest: &[u8; 32]) -> Result<Option<ConnectLink>, StoreError> {
        self.real.link(digest).await
    }

    async fn spend_link(&self, digest: &[u8; 32]) -> Result<bool, StoreError> {
        self.real.spend_link(digest).await
    }

    async fn put_visit(&self, state: [u8; 32], visit: Visit) -> Result<(), StoreError> {
        self.real.put_visit(state, visit).await
    }

    async fn take_visit(&self, state: &[u8; 32]) -> Result<Option<Visit>, StoreError> {
        self.real.take_visit(state).await
    }

    async fn note(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.real.note(entry).await
    }

    async fn sealed_places(&self) -> Result<Vec<SealedPlace>, StoreError> {
        self.real.sealed_places().await
    }

    async fn reseal(&self, place: &SealedPlace) -> Result<bool, StoreError> {
        self.real.reseal(place).await
    }

    async fn close(&self) {
        self.real.close().await;
    }
}
