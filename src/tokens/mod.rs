//! Floor 5: fresh bearers. The only writer of connections: every change is a step of `refresh`, carried out here. Who may
//! ask is decided earlier (`access`); how Pleo is asked is in `pleo`.

pub mod acting;
pub mod api_key;
mod attempt;
pub mod bearer;
mod breaker;
pub mod brought;
pub mod consent;
mod doubt;
mod entry;
mod flight;
mod jumps;
mod keeper;
pub mod operate;
mod pair;
mod rejected;
mod restored;
mod rows;
mod salvaged;
mod seldom;
pub mod summary;
mod tend;
mod undone;
mod unreadable;
mod wait;
mod watched;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moka::ops::compute::Op;
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::bearer::Bearer;
use self::breaker::Breaker;
use self::entry::{Entry, Reckoning};
use self::flight::Flights;
use self::jumps::Jumps;
use self::rejected::Inquiry;
pub use self::rows::ChangeError;
use self::seldom::Seldom;
use self::tend::{Purpose, Tended};
use self::watched::Watched;
use crate::access::grant::{GrantDenial, granted};
use crate::access::permit::Permit;
use crate::clock::{Boot, SharedClock, Timestamp};
use crate::drain::Tasks;
use crate::model::connection::{Attempt, Connection, Reason, State};
use crate::model::ids::{Epoch, Generation, Owner, TenantName};
use crate::model::scope::ScopeSet;
use crate::pleo::Pleo;
use crate::refresh::NewPair;
use crate::refresh::next::rests_until;
use crate::refresh::policy::Policy;
use crate::store::high_water::HighWater;
use crate::store::owners::Owners;
use crate::store::salvage::Salvage;
use crate::store::{ConnectionStore, Revision};
use crate::telemetry::metrics::{Lookup, Metrics};

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
    /// The newest pairs that were seen.
    pub high_water: HighWater,
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
    /// Turns of attempts.
    refreshing: Semaphore,
    /// Turns of flights that nobody waits for: so many, at most, stand before one that somebody waits for (R15).
    ahead: Arc<Semaphore>,
    max_queue_per_tenant: usize,
    tasks: Tasks,
    metrics: Metrics,
    who: String,
    cache: Cache<TenantName, Arc<Entry>>,
    flights: Flights<TenantName, Tended>,
    inquiries: Flights<(TenantName, Epoch, Generation), Inquiry>,
    watched: Watched,
    jumps: Jumps,
    client: Breaker,
    waiting: Mutex<HashMap<TenantName, usize>>,
    high_water: HighWater,
    /// The newest pair of each tenant that this process has made durable: an old database may lack it (R14).
    stored: Mutex<HashMap<TenantName, NewPair>>,
    /// Pairs that only memory and salvage hold (R6).
    unstored: AtomicUsize,
    /// An attempt of this process was left open.
    left_open: AtomicBool,
    /// What waits in salvage.
    seldom: Seldom,
}

/// The store's time, and this machine's clock when it was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    now: Timestamp,
    boot: Boot,
}

/// What to do with a 401 from Pleo (design.md R7).
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
        /// When to try again.
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
            ahead: Arc::new(Semaphore::new(parts.concurrency.max(1))),
            jumps: Jumps::default(),
            cache: Cache::new(MOST_TENANTS),
            waiting: Mutex::default(),
            watched: Watched::default(),
            client: Breaker::default(),
            unstored: AtomicUsize::new(0),
            left_open: AtomicBool::new(false),
            seldom: Seldom::default(),
            store: parts.store,
            pleo: parts.pleo,
            clock: parts.clock,
            owner: parts.owner,
            owners: parts.owners,
            salvage: parts.salvage,
            high_water: parts.high_water,
            stored: Mutex::default(),
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
        let doubtful = entry.is_doubtful(self.0.jumps.count());
        let bearer = (entry.live(now)).filter(|_| !entry.is_held() && !doubtful)?;
        if !knows_enough(&entry, permit) {
            return None;
        }
        self.0.metrics.token_lookup(Lookup::Hit);
        entry.use_it();
        if entry.ask_once(now) {
            self.0.refresh_ahead(permit.tenant());
        }
        Some(check(permit, &entry).map(|()| bearer.clone()))
    }

    /// The bearer for a permitted call: from memory, or by one refresh shared by all who wait. `Err` at once if the
    /// grant does not cover the route.
    pub async fn obtain(&self, permit: &Permit) -> Result<Bearer, ObtainError> {
        if let Some(answer) = self.obtain_now(permit) {
            return answer;
        }
        let _place = match self.0.queue_up(permit.tenant()) {
            Ok(place) => place,
            // R11: a full queue fails nobody whose token lives.
            Err(full) => {
                return self
                    .0
                    .alive(permit)
                    .map_or(Err(full), |e| self.give(permit, &e));
            }
        };
        if let Some(entry) = self.0.wait_out_hold(permit).await {
            return self.give(permit, &entry);
        }
        let entry = self.0.settled(permit).await.map_err(|error| match error {
            ObtainError::NotConnected { state: None } if !permit.is_known() => {
                ObtainError::TenantUnknown
            }
            error => error,
        })?;
        self.give(permit, &entry)
    }

    fn give(&self, permit: &Permit, entry: &Entry) -> Result<Bearer, ObtainError> {
        let now = self.0.clock.boot();
        entry.use_it();
        check(permit, entry)?;
        entry.live(now).cloned().ok_or_else(|| entry.trouble(now))
    }

    /// Puts into use what earlier processes of this machine left in salvage (R6): before anybody is served.
    pub async fn recover(&self) {
        self.0.drain_salvage(None).await;
    }

    /// True while a new pair is not stored yet: not ready (R6).
    pub fn hold_unstored(&self) -> bool {
        self.0.unstored.load(Ordering::Relaxed) > 0
    }

    /// True if an attempt of this process could not be closed: its end is to look like a death (R2).
    pub fn left_open(&self) -> bool {
        self.0.left_open.load(Ordering::Relaxed)
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
    /// Shows a row to this process's callers, unless a newer one is shown already.
    pub(super) fn show(&self, row: &Connection, revision: Revision, timing: Timing) {
        self.forget_ended(row);
        self.put(row, Entry::of(row, revision, self.reckoning(row, timing)));
    }

    /// How a row's times are counted here, seen at `timing`.
    fn reckoning(&self, row: &Connection, timing: Timing) -> Reckoning {
        let standing = |attempt: &Attempt| self.standing(attempt, timing);
        let stands_back = self.policy.stands_back(row, &self.owner);
        Reckoning {
            timing,
            due_at: self.policy.due_at(row).map(|at| at + stands_back),
            rests_until: rests_until(row, &self.moment(timing, &standing)),
            jumps: self.jumps.count(),
        }
    }

    /// Starts a flight that nobody waits for, if it is its turn; the keeper comes back to those whose turn it is not.
    fn refresh_ahead(self: &Arc<Self>, tenant: &TenantName) {
        if let Ok(turn) = self.ahead.clone().try_acquire_owned() {
            self.fly_ahead(tenant, turn, Duration::ZERO);
        }
    }

    /// Starts a flight that nobody waits for. Its turn lasts until it has landed, and for `least` at least.
    fn fly_ahead(
        self: &Arc<Self>,
        tenant: &TenantName,
        turn: OwnedSemaphorePermit,
        least: Duration,
    ) {
        let seat = self.board(tenant, Purpose::Due);
        let tasks = self.tasks.clone();
        self.tasks.spawn(async move {
            let paced = tokio::time::timeout(least, tasks.stopping());
            let _ = tokio::join!(seat.landed(), paced);
            drop(turn);
        });
    }

    fn put(&self, row: &Connection, mut entry: Entry) {
        self.cache
            .entry_by_ref(&row.tenant)
            .and_compute_with(|old| {
                if let Some(old) = old.map(moka::Entry::into_value) {
                    if !entry.replaces(&old) {
                        return Op::Nop;
                    }
                    entry.succeed(&old);
                }
                Op::Put(Arc::new(entry))
            });
    }
}

/// True if what a call's check needs is known: the scopes, and the company where the route or the tenant names one.
fn knows_enough(entry: &Entry, permit: &Permit) -> bool {
    let company = entry.company.is_some() || !permit.needs_company();
    (entry.scopes.is_some() && company) || !entry.row.oauth
}

fn check(permit: &Permit, entry: &Entry) -> Result<(), ObtainError> {
    granted(permit, entry.scopes.as_ref(), entry.company.as_ref())
        .map_err(|denial| not_granted(denial, entry.state))
}

/// What it means for a call that its connection, in this state, was not granted what it needs.
pub fn not_granted(denial: GrantDenial, state: State) -> ObtainError {
    match denial {
        GrantDenial::MissingScopes(scopes) => ObtainError::ScopeMissing(scopes),
        GrantDenial::WrongCompany => ObtainError::WrongCompany,
        GrantDenial::ForeignCompany => ObtainError::NotConnected { state: Some(state) },
    }
}
