//! How often and how many at once: the rates of callers, tenants and routes, their calls at once, and what Pleo said about
//! coming too often. Counted for the whole process; where nothing is limited, nothing is locked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use tokio::time::Instant;

use super::error::ProxyError;
use crate::access::permit::Permit;
use crate::model::caller::Rate;
use crate::model::ids::{CallerName, RouteName, TenantName};
use crate::model::snapshot::Snapshot;

/// When to come again where others have to end first.
const SOON: Duration = Duration::from_secs(1);
/// Pleo's word is believed for this long at most: its limit is one of requests per minute.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// What is left to whom. Clones count into the same.
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
}

/// Whose calls are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Caller(CallerName),
    Tenant(TenantName),
    Route(RouteName),
}

/// A call's places among those at once; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seats {
    allowance: Allowance,
    taken: Vec<Subject>,
}

impl Allowance {
    /// One more call, or when to come again. A call that is refused counts for nothing.
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
        let by_tenant = || Subject::Tenant(permit.tenant().clone());
        let by_route = || Subject::Route(route.name.clone());
        let rates = [
            limits[0].map(|rate| (by_caller(), rate)),
            limits[1].map(|rate| (by_tenant(), rate)),
            limits[2].map(|rate| (by_route(), rate)),
        ];
        let seats = [
            at_once[0].map(|most| (by_caller(), most.get())),
            at_once[1].map(|most| (by_route(), most.get())),
        ];
        let mut book = self.book();
        self.obey(&mut book, permit.tenant(), now)?;
        let taken = book.take(
            rates.into_iter().flatten(),
            seats.into_iter().flatten(),
            now,
        );
        Ok(Some(Seats {
            taken: taken.map_err(|retry_after| ProxyError::RateLimited { retry_after })?,
            allowance: self.clone(),
        }))
    }

    /// Remembers a 429 of Pleo's that says when to come again.
    pub(super) fn heed(&self, headers: &HeaderMap, tenant: &TenantName, now: Instant) {
        let said = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        if let Some(seconds) = said.and_then(|seconds| seconds.trim().parse().ok()) {
            let wait = Duration::from_secs(seconds).min(LONGEST_WAIT);
            let mut book = self.book();
            book.wait.insert(tenant.clone(), now + wait);
            self.0.told.store(book.wait.len(), Ordering::Relaxed);
        }
    }

    fn obey(&self, book: &mut Book, tenant: &TenantName, now: Instant) -> Result<(), ProxyError> {
        match book.wait.get(tenant) {
            Some(until) if *until > now => Err(ProxyError::RateLimited {
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

impl Book {
    /// All or nothing. The error is when to come again.
    fn take(
        &mut self,
        rates: impl Iterator<Item = (Subject, Rate)>,
        seats: impl Iterator<Item = (Subject, u32)>,
        now: Instant,
    ) -> Result<Vec<Subject>, Duration> {
        let mut dues = Vec::new();
        for (subject, rate) in rates {
            let due = self.due.get(&subject).map_or(now, |due| (*due).max(now));
            let step = rate.per / rate.count.get();
            // As many as the rate allows in its time may come together.
            let early = (due + step).saturating_duration_since(now + rate.per);
            if early > Duration::ZERO {
                return Err(early);
            }
            dues.push((subject, due + step));
        }
        let mut taken = Vec::new();
        for (subject, most) in seats {
            if self
                .at_once
                .get(&subject)
                .is_some_and(|seated| *seated >= most)
            {
                return Err(SOON);
            }
            taken.push(subject);
        }
        self.due.extend(dues);
        for subject in &taken {
            *self.at_once.entry(subject.clone()).or_default() += 1;
        }
        Ok(taken)
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
mod tests {
    use super::*;
    use crate::model::tenant::Tenant;
    use crate::proxy::fixture;
    use std::num::NonZeroU32;

    const FOR_ACME: &[(&str, &str)] = &[("pleo-gateway-tenant", "acme")];
    const FOR_BETA: &[(&str, &str)] = &[("pleo-gateway-tenant", "beta")];

    fn rate(count: u32, per: Duration) -> Rate {
        Rate {
            count: NonZeroU32::new(count).unwrap(),
            per,
        }
    }

    fn refused<T: std::fmt::Debug>(outcome: Result<T, ProxyError>) -> Duration {
        match outcome {
            Err(ProxyError::RateLimited { retry_after }) => retry_after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rate_refuses_what_is_over_it_and_says_when_to_come_again() {
        let mut snapshot = fixture::snapshot();
        let minute = Duration::from_mins(1);
        let name = TenantName::parse("acme").unwrap();
        let tenant = Tenant {
            name: name.clone(),
            company: None,
            scopes: None,
            rate: Some(rate(2, minute)),
        };
        snapshot.tenants.insert(name, tenant);
        let [acme, beta] = [FOR_ACME, FOR_BETA].map(|f| fixture::permit(&snapshot, "/x", f));
        let allowance = Allowance::default();
        let now = Instant::now();
        for _ in 0..2 {
            allowance.take(&acme, &snapshot, now).unwrap();
        }
        assert_eq!(refused(allowance.take(&acme, &snapshot, now)), minute / 2);
        assert!(allowance.take(&beta, &snapshot, now).is_ok());
        assert!(allowance.take(&acme, &snapshot, now + minute / 2).is_ok());
        refused(allowance.take(&acme, &snapshot, now + minute / 2));
        assert!(allowance.take(&acme, &snapshot, now + minute * 9).is_ok());
    }

    #[test]
    fn calls_at_once_are_bounded_until_one_ends() {
        let snapshot = fixture::snapshot_with(|caller, route| {
            caller.max_in_flight = NonZeroU32::new(2);
            route.max_in_flight = NonZeroU32::new(1);
        });
        let permit = fixture::permit(&snapshot, "/x", FOR_ACME);
        let allowance = Allowance::default();
        let now = Instant::now();
        let first = allowance.take(&permit, &snapshot, now).unwrap();
        assert_eq!(refused(allowance.take(&permit, &snapshot, now)), SOON);
        drop(first);
        assert!(allowance.take(&permit, &snapshot, now).is_ok());
    }

    #[test]
    fn what_pleo_said_about_waiting_is_obeyed_for_that_tenant() {
        let snapshot = fixture::snapshot();
        let [acme, beta] = [FOR_ACME, FOR_BETA].map(|f| fixture::permit(&snapshot, "/x", f));
        let allowance = Allowance::default();
        let now = Instant::now();
        let said = |wait: &str| HeaderMap::from_iter([(RETRY_AFTER, wait.parse().unwrap())]);
        allowance.heed(&said("soon"), acme.tenant(), now);
        assert!(allowance.take(&acme, &snapshot, now).unwrap().is_none());
        allowance.heed(&said("7"), acme.tenant(), now);
        let wait = refused(allowance.take(&acme, &snapshot, now));
        assert_eq!(wait, Duration::from_secs(7));
        assert!(allowance.take(&beta, &snapshot, now).is_ok());
        assert!(allowance.take(&acme, &snapshot, now + wait).is_ok());
        assert!(allowance.take(&acme, &snapshot, now).unwrap().is_none());
    }
}
