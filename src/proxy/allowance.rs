//! How often, and how many at once: the rate limits of callers, tenants and routes, their limits on concurrent calls, and
//! what Pleo said about calling too often. Counted for the whole process; where nothing is limited, nothing is locked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::fmt::rfc2822;
use tokio::time::Instant;

use super::error::{Limit, ProxyError};
use crate::access::permit::Permit;
use crate::model::caller::Rate;
use crate::model::ids::{CallerName, RouteName, TenantName};
use crate::model::snapshot::Snapshot;

/// When to try again where others have to end first.
const SOON: Duration = Duration::from_secs(1);
/// Pleo's word is believed for this long at most: its limit is one of requests per minute.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// What is left for whom. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Allowance(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<Book>,
    /// How many tenants Pleo has told to wait.
    told: AtomicUsize,
}

/// Only what the configuration limits is in here, and the tenants that Pleo limits.
#[derive(Debug, Default)]
struct Book {
    /// When the next call would come if all came evenly (GCRA).
    due: HashMap<Subject, Instant>,
    at_once: HashMap<Subject, u32>,
    wait: HashMap<TenantName, Instant>,
    /// The configuration that the subjects are of.
    generation: u64,
}

/// Whose calls are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Caller(CallerName),
    Tenant(TenantName),
    /// A caller's part of what a tenant may.
    Share(CallerName, TenantName),
    Route(RouteName),
}

impl Subject {
    /// What is used up where it comes too often.
    fn rate(&self) -> Limit {
        match self {
            Self::Caller(_) => Limit::CallerRate,
            Self::Tenant(_) | Self::Share(..) => Limit::TenantRate,
            Self::Route(_) => Limit::RouteRate,
        }
    }

    /// What is used up where too many come at once: a tenant has no such limit.
    fn seats(&self) -> Limit {
        match self {
            Self::Caller(_) | Self::Tenant(_) | Self::Share(..) => Limit::CallerAtOnce,
            Self::Route(_) => Limit::RouteAtOnce,
        }
    }
}

/// A rate that one call counts against.
struct Claim {
    subject: Subject,
    rate: Rate,
    /// Whose share of it, and among how many it is shared; `None` where it is not.
    share: Option<(Subject, u32)>,
}

/// A call's places among those at once; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seats {
    allowance: Allowance,
    taken: Vec<Subject>,
}

impl Allowance {
    /// One more call, or when to try again. A call that is refused counts for nothing.
    pub(super) fn take(
        &self,
        permit: &Permit,
        snapshot: &Snapshot,
        now: Instant,
    ) -> Result<Option<Seats>, ProxyError> {
        let (caller, route) = (permit.caller(), permit.route());
        let tenant = snapshot.tenants.get(permit.tenant());
        let limits = [
            caller.rate,
            tenant.and_then(|tenant| tenant.rate),
            route.rate,
        ];
        let at_once = [caller.max_in_flight, route.max_in_flight];
        let told = self.0.told.load(Ordering::Relaxed) > 0;
        if !told && limits.iter().all(Option::is_none) && at_once.iter().all(Option::is_none) {
            return Ok(None);
        }
        let by_caller = || Subject::Caller(caller.name.clone());
        let by_route = || Subject::Route(route.name.clone());
        let claims = [
            limits[0].map(|rate| Claim::alone(by_caller(), rate)),
            limits[1].map(|rate| Claim {
                subject: Subject::Tenant(permit.tenant().clone()),
                rate,
                share: share(permit, snapshot),
            }),
            limits[2].map(|rate| Claim::alone(by_route(), rate)),
        ];
        let seats = [
            at_once[0].map(|most| (by_caller(), most.get())),
            at_once[1].map(|most| (by_route(), most.get())),
        ];
        let mut book = self.book();
        book.forget_what_is_over(snapshot.generation, now);
        self.obey(&mut book, permit.tenant(), now)?;
        let taken = book.take(
            claims.into_iter().flatten(),
            seats.into_iter().flatten(),
            now,
        );
        Ok(Some(Seats {
            taken: taken
                .map_err(|(limit, retry_after)| ProxyError::RateLimited { limit, retry_after })?,
            allowance: self.clone(),
        }))
    }

    /// Remembers a 429 of Pleo's: for as long as it says, or for a moment if it does not say. What it says later takes the
    /// place of what it said before, also where that is shorter: it knows best, and one that is too short brings the next
    /// 429. A later 429 that says nothing takes nothing back.
    pub(super) fn heed(&self, headers: &HeaderMap, tenant: &TenantName, now: Instant) {
        let asked = asked_wait(headers).map(|wait| now + wait.min(LONGEST_WAIT));
        let mut book = self.book();
        book.wait.retain(|_, until| *until > now);
        let until = asked.unwrap_or_else(|| {
            let known = book.wait.get(tenant).copied();
            known.map_or(now + SOON, |known| known.max(now + SOON))
        });
        book.wait.insert(tenant.clone(), until);
        self.0.told.store(book.wait.len(), Ordering::Relaxed);
    }

    fn obey(&self, book: &mut Book, tenant: &TenantName, now: Instant) -> Result<(), ProxyError> {
        match book.wait.get(tenant) {
            Some(until) if *until > now => Err(ProxyError::RateLimited {
                limit: Limit::Pleo,
                retry_after: *until - now,
            }),
            Some(_) => {
                book.wait.remove(tenant);
                self.0.told.store(book.wait.len(), Ordering::Relaxed);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3). A date is held against the answer's own `Date`, so
/// that our clock need not agree with Pleo's.
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let said = text(RETRY_AFTER)?;
    if !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = said.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds));
    }
    let date = |text| Some(rfc2822::parse(text).ok()?.timestamp());
    let wait = date(said)?.duration_since(date(text(DATE)?)?);
    Some(wait.try_into().unwrap_or(Duration::ZERO))
}

/// The caller's share of its tenant's rate, where others may call for that tenant too.
fn share(permit: &Permit, snapshot: &Snapshot) -> Option<(Subject, u32)> {
    let callers = snapshot.callers.count_for(permit.tenant());
    (callers > 1).then(|| {
        let caller = permit.caller().name.clone();
        (Subject::Share(caller, permit.tenant().clone()), callers)
    })
}

impl Claim {
    fn alone(subject: Subject, rate: Rate) -> Self {
        Self {
            subject,
            rate,
            share: None,
        }
    }
}

impl Book {
    /// All or nothing. The error is what is used up, and when to try again.
    fn take(
        &mut self,
        claims: impl Iterator<Item = Claim>,
        seats: impl Iterator<Item = (Subject, u32)>,
        now: Instant,
    ) -> Result<Vec<Subject>, (Limit, Duration)> {
        let mut dues = Vec::new();
        for claim in claims {
            let rate_of = claim.subject.rate();
            (self.count(claim, now, &mut dues)).map_err(|early| (rate_of, early))?;
        }
        let mut taken = Vec::new();
        for (subject, most) in seats {
            if self
                .at_once
                .get(&subject)
                .is_some_and(|seated| *seated >= most)
            {
                return Err((subject.seats(), SOON));
            }
            taken.push(subject);
        }
        self.due.extend(dues);
        for subject in &taken {
            *self.at_once.entry(subject.clone()).or_default() += 1;
        }
        Ok(taken)
    }

    /// As many as the rate allows in its time may come together. Of a rate that several callers share, half is open to
    /// whoever comes, and half is kept for those who have not had their share: an equal part of the rate. So a caller
    /// within its share is never refused for what another one does, and one that is alone gets all of the rate.
    fn count(
        &mut self,
        claim: Claim,
        now: Instant,
        dues: &mut Vec<(Subject, Instant)>,
    ) -> Result<(), Duration> {
        let Claim {
            subject,
            rate,
            share,
        } = claim;
        let step = rate.per / rate.count.get();
        let after = self.after(&subject, (step, rate.per), now);
        let over = |after: Instant, most: Duration| after.saturating_duration_since(now + most);
        let mut early = over(after, rate.per);
        if let Some((subject, among)) = share {
            let share_step = step * among;
            let most = (rate.per / 2).max(share_step);
            let share_after = self.after(&subject, (share_step, most), now);
            let beyond = over(share_after, most);
            if beyond.is_zero() {
                dues.push((subject, share_after));
            } else {
                // Until its share or what is open to all has room again.
                early = over(after, (rate.per / 2).max(step)).min(beyond.max(early));
            }
        }
        if early > Duration::ZERO {
            return Err(early);
        }
        dues.push((subject, after));
        Ok(())
    }

    /// When the call after this one would be due. Of what a slower rate left behind no more than `most` counts.
    fn after(
        &mut self,
        subject: &Subject,
        (step, most): (Duration, Duration),
        now: Instant,
    ) -> Instant {
        let due = self.due.get_mut(subject).map(|due| {
            *due = (*due).min(now + most);
            *due
        });
        due.map_or(now, |due| due.max(now)) + step
    }

    /// Nothing stays of callers, tenants and routes that a reload took away.
    fn forget_what_is_over(&mut self, generation: u64, now: Instant) {
        if self.generation != generation {
            self.generation = generation;
            self.due.retain(|_, due| *due > now);
            self.at_once.retain(|_, seated| *seated > 0);
        }
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        if self.taken.is_empty() {
            return;
        }
        let mut book = self.allowance.book();
        for subject in &self.taken {
            if let Some(seated) = book.at_once.get_mut(subject) {
                *seated = seated.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
