//! Floor 5: fresh bearers. The only writer of connections: every change is a step of `refresh`, carried out here.
//! Who may ask is decided before (`access`); how Pleo is asked is `pleo`.

mod attempt;
pub mod bearer;
pub mod consent;
mod entry;
mod flight;
mod keeper;
pub mod operate;
mod pair;
mod rejected;
mod rows;
mod salvaged;
pub mod summary;
mod tend;
mod watched;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::ops::compute::Op;
use moka::sync::Cache;
use tokio::sync::Semaphore;

use crate::access::grant::{GrantDenial, granted};
use crate::access::permit::Permit;
use crate::clock::{Boot, SharedClock, Timestamp};
use crate::drain::Tasks;
use crate::model::connection::{Connection, Reason, State};
use crate::model::ids::{Owner, TenantName};
use crate::model::scope::ScopeSet;
use crate::pleo::Pleo;
use crate::refresh::policy::Policy;
use crate::store::ConnectionStore;
use crate::store::owners::Owners;
use crate::store::salvage::Salvage;
use crate::telemetry::metrics::{Lookup, Metrics};

use bearer::Bearer;
use entry::Entry;
use flight::Flights;
use rejected::Inquiry;
pub use rows::ChangeError;
use tend::{Purpose, Tended};
use watched::Watched;

/// Far above any table of tenants: the cache's policy never has to choose.
const MOST_TENANTS: u64 = 1_000_000;

/// What the room is built from.
#[derive(Debug)]
pub struct Parts {
    /// Where connections are kept.
    pub store: Arc<dyn ConnectionStore>,
    /// Pleo.
    pub pleo: Arc<Pleo>,
    /// The clocks.
    pub clock: SharedClock,
    /// This process.
    pub owner: Owner,
    /// Which processes of this machine live.
    pub owners: Owners,
    /// Where pairs go whose commit failed.
    pub salvage: Salvage,
    /// `[refresh]`.
    pub policy: Policy,
    /// New sends wait this long at most while a refresh runs (R8).
    pub hold: Duration,
    /// Refreshes at once.
    pub concurrency: usize,
    /// Requests of a tenant that wait for a token.
    pub max_queue_per_tenant: usize,
    /// Where flights run, and what shutdown waits for.
    pub tasks: Tasks,
    /// What is counted.
    pub metrics: Metrics,
    /// Who acts, for the audit: `gateway`, `cli`.
    pub who: String,
}

/// The room's door. Clones are the same room.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<House>);

#[derive(Debug)]
pub(crate) struct House {
    store: Arc<dyn ConnectionStore>,
    pleo: Arc<Pleo>,
    clock: SharedClock,
    owner: Owner,
    owners: Owners,
    salvage: Salvage,
    policy: Policy,
    hold: Duration,
    refreshing: Semaphore,
    max_queue_per_tenant: usize,
    tasks: Tasks,
    metrics: Metrics,
    who: String,
    cache: Cache<TenantName, Arc<Entry>>,
    flights: Flights<TenantName, Tended>,
    inquiries: Flights<TenantName, Inquiry>,
    watched: Watched,
    waiting: Mutex<HashMap<TenantName, usize>>,
    /// Pairs that are served and could not be stored yet (R6).
    unstored: AtomicUsize,
}

/// The store's time, and this machine's clock when it was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    now: Timestamp,
    boot: Boot,
}

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
    /// Nobody has heard of this tenant: neither the configuration nor the store.
    #[error("the tenant is not known")]
    TenantUnknown,
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
    /// Builds the room. Nothing runs yet but what callers ask for; see [`Tokens::keep`].
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(House {
            flights: Flights::new(parts.tasks.clone()),
            inquiries: Flights::new(parts.tasks.clone()),
            refreshing: Semaphore::new(parts.concurrency.max(1)),
            cache: Cache::new(MOST_TENANTS),
            waiting: Mutex::default(),
            unstored: AtomicUsize::new(0),
            watched: Watched::default(),
            store: parts.store,
            pleo: parts.pleo,
            clock: parts.clock,
            owner: parts.owner,
            owners: parts.owners,
            salvage: parts.salvage,
            policy: parts.policy,
            hold: parts.hold,
            max_queue_per_tenant: parts.max_queue_per_tenant,
            tasks: parts.tasks,
            metrics: parts.metrics,
            who: parts.who,
        }))
    }

    /// The bearer for a permitted call if no waiting is needed: the warm path. `None`: ask [`Tokens::obtain`].
    pub fn obtain_now(&self, permit: &Permit) -> Option<Result<Bearer, ObtainError>> {
        let entry = self.0.cache.get(permit.tenant())?;
        let now = self.0.clock.boot();
        let bearer = entry.live(now).filter(|_| !entry.is_held())?;
        if !knows_enough(&entry, permit) {
            return None;
        }
        self.0.metrics.token_lookup(Lookup::Hit);
        entry.use_it();
        if entry.ask_once(now) {
            self.0.board(permit.tenant(), Purpose::Due);
        }
        Some(check(permit, &entry).map(|()| bearer.clone()))
    }

    /// The bearer for a permitted call: from memory, or by one refresh shared by all who wait. `Err` at once if the
    /// grant does not cover the route.
    pub async fn obtain(&self, permit: &Permit) -> Result<Bearer, ObtainError> {
        if let Some(answer) = self.obtain_now(permit) {
            return answer;
        }
        let _place = self.0.queue_up(permit.tenant())?;
        if let Some(entry) = self.0.wait_out_hold(permit).await {
            entry.use_it();
            return check(permit, &entry)
                .and_then(|()| entry.bearer.clone().ok_or_else(|| entry.trouble()));
        }
        self.0.metrics.token_lookup(Lookup::Wait);
        let entry = self.0.settled(permit).await.map_err(|error| match error {
            ObtainError::NotConnected { state: None } if !permit.is_known() => {
                ObtainError::TenantUnknown
            }
            error => error,
        })?;
        entry.use_it();
        check(permit, &entry)?;
        entry
            .live(self.0.clock.boot())
            .cloned()
            .ok_or_else(|| entry.trouble())
    }

    /// False while a pair is served that could not be stored: the process should not be relied upon (design.md R6).
    pub fn has_stored_all(&self) -> bool {
        self.0.unstored.load(Ordering::Relaxed) == 0
    }

    /// Pleo answered 401 to a call that bore `bearer` (design.md R7).
    pub async fn rejected(
        &self,
        permit: &Permit,
        bearer: &Bearer,
    ) -> Result<Rejected, ObtainError> {
        self.0.rejected(permit.tenant(), bearer).await
    }
}

impl House {
    /// What this process knows once the tenant's flight has landed, or at once if its trouble is known.
    async fn settled(self: &Arc<Self>, permit: &Permit) -> Result<Arc<Entry>, ObtainError> {
        let tenant = permit.tenant();
        let limit = self.policy.timeout + crate::refresh::policy::DEADLINE_MARGIN;
        // A flight that was in the air for something else may land without what this call needs: then one of its own.
        for _ in 0..3 {
            let known = self.cache.get(tenant);
            let now = self.clock.boot();
            if let Some(entry) = known
                .as_ref()
                .filter(|entry| entry.live(now).is_none() && entry.is_settled(now))
            {
                self.metrics.token_lookup(Lookup::Refused);
                return Err(entry.trouble());
            }
            let seat = self.board(tenant, Purpose::of_wait(known.as_deref()));
            match tokio::time::timeout(limit, seat.landed()).await {
                Ok(Some(Tended::Settled)) => {}
                Ok(Some(Tended::Failed(error))) => return Err(error),
                Ok(None) | Err(_) => break,
            }
            let Some(entry) = self.cache.get(tenant) else {
                return Err(ObtainError::NotConnected { state: None });
            };
            if entry.live(self.clock.boot()).is_none() {
                return Err(entry.trouble());
            }
            if knows_enough(&entry, permit) {
                return Ok(entry);
            }
        }
        Err(ObtainError::Unavailable {
            state: State::Refreshing,
            retry_after: Duration::from_secs(1),
        })
    }

    /// R8: while a refresh is about to be sent, wait for its end, at most `hold`; then go on with the old token.
    async fn wait_out_hold(self: &Arc<Self>, permit: &Permit) -> Option<Arc<Entry>> {
        let entry = self.cache.get(permit.tenant())?;
        if !entry.is_held() {
            return None;
        }
        let since = self.clock.boot();
        let seat = self.board(permit.tenant(), Purpose::Due);
        let _ = tokio::time::timeout(self.hold, seat.landed()).await;
        self.metrics.held(since.until(self.clock.boot()));
        let entry = self.cache.get(permit.tenant())?;
        entry.live(self.clock.boot())?;
        knows_enough(&entry, permit).then_some(entry)
    }

    /// Shows a row to this process's callers; not one that was read before a newer pair came in: that would serve a token
    /// which Pleo has killed. Where the newer pair is of no use any more, the row has the word.
    pub(super) fn show(&self, row: &Connection, timing: Timing) {
        let due = row.access().map(|access| self.policy.due_at(access));
        let due = [due, row.next_try_at].into_iter().flatten().max();
        self.cache
            .entry_by_ref(&row.tenant)
            .and_compute_with(|shown| {
                let mut entry = Entry::of(row, timing, due);
                if let Some(old) = shown.map(moka::Entry::into_value) {
                    if old.pair > entry.pair && old.live(timing.boot).is_some() {
                        return Op::Nop;
                    }
                    entry.succeed(&old);
                }
                Op::Put(Arc::new(entry))
            });
    }

    /// A place in the queue for a tenant's token, while there is one.
    fn queue_up(&self, tenant: &TenantName) -> Result<Place<'_>, ObtainError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = waiting.entry(tenant.clone()).or_default();
        if *queue >= self.max_queue_per_tenant {
            return Err(ObtainError::Overloaded);
        }
        *queue += 1;
        Ok(Place {
            house: self,
            tenant: tenant.clone(),
        })
    }

    fn leave_queue(&self, tenant: &TenantName) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = waiting.get_mut(tenant) {
            *queue -= 1;
            if *queue == 0 {
                waiting.remove(tenant);
            }
        }
    }
}

/// A place in a queue. Given back also when its holder goes away.
struct Place<'a> {
    house: &'a House,
    tenant: TenantName,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.house.leave_queue(&self.tenant);
    }
}

/// True if what a call's check needs is known: the scopes, and the company where the route or the tenant names one.
fn knows_enough(entry: &Entry, permit: &Permit) -> bool {
    let company = entry.company.is_some() || !permit.needs_company();
    (entry.scopes.is_some() && company) || !entry.row.oauth
}

fn check(permit: &Permit, entry: &Entry) -> Result<(), ObtainError> {
    granted(permit, entry.scopes.as_ref(), entry.company.as_ref()).map_err(|denial| match denial {
        GrantDenial::MissingScopes(scopes) => ObtainError::ScopeMissing(scopes),
        GrantDenial::WrongCompany => ObtainError::WrongCompany,
        GrantDenial::ForeignCompany => ObtainError::NotConnected {
            state: Some(entry.state),
        },
    })
}
