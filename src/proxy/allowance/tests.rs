//! Rates, shares, calls at once, and Pleo's word about waiting.

use std::num::NonZeroU32;

use super::*;
use crate::model::caller::Caller;
use crate::model::route::Route;
use crate::model::tenant::Tenant;
use crate::proxy::fixture;

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
        Err(ProxyError::RateLimited { retry_after, .. }) => retry_after,
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
    for unclear in [
        HeaderMap::new(),
        said("soon"),
        said("Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        allowance.heed(&unclear, acme.tenant(), now);
        assert_eq!(refused(allowance.take(&acme, &snapshot, now)), SOON);
    }
    let mut dated = said("Sun, 06 Nov 1994 08:49:37 GMT");
    dated.insert(DATE, "Sun, 06 Nov 1994 08:49:34 GMT".parse().unwrap());
    allowance.heed(&dated, acme.tenant(), now);
    assert_eq!(refused(allowance.take(&acme, &snapshot, now)), SOON * 3);
    for odd in ["-7", "+7", "1.5", ""] {
        allowance.heed(&said(odd), beta.tenant(), now);
        assert_eq!(
            refused(allowance.take(&beta, &snapshot, now)),
            SOON,
            "{odd}"
        );
    }
    for huge in ["86400", "99999999999999999999999"] {
        allowance.heed(&said(huge), beta.tenant(), now);
        assert_eq!(refused(allowance.take(&beta, &snapshot, now)), LONGEST_WAIT);
    }
    allowance.heed(&said("0"), beta.tenant(), now);
    allowance.heed(&said("7"), acme.tenant(), now);
    let wait = refused(allowance.take(&acme, &snapshot, now));
    assert_eq!(wait, Duration::from_secs(7));
    assert!(allowance.take(&beta, &snapshot, now).is_ok());
    assert!(allowance.take(&acme, &snapshot, now + wait).is_ok());
    assert!(allowance.take(&acme, &snapshot, now).unwrap().is_none());
}

#[test]
fn only_what_pleo_says_itself_shortens_the_wait() {
    let snapshot = fixture::snapshot();
    let acme = fixture::permit(&snapshot, "/x", FOR_ACME);
    let allowance = Allowance::default();
    let now = Instant::now();
    let said = |wait: &str| HeaderMap::from_iter([(RETRY_AFTER, wait.parse().unwrap())]);
    let waits = |headers: &HeaderMap| {
        allowance.heed(headers, acme.tenant(), now);
        refused(allowance.take(&acme, &snapshot, now))
    };
    assert_eq!(waits(&HeaderMap::new()), SOON);
    assert_eq!(waits(&said("60")), SOON * 60);
    assert_eq!(waits(&HeaderMap::new()), SOON * 60);
    assert_eq!(waits(&said("soon")), SOON * 60);
    assert_eq!(waits(&said("9")), SOON * 9);
}

/// Callers `a`, `b` and `c` share `acme`'s rate; `a` never stops asking.
#[test]
fn one_caller_does_not_eat_the_rate_of_its_tenant() {
    let (mut snapshot, permits) = fixture::shared(["a", "b", "c"]);
    let name = TenantName::parse("acme").unwrap();
    let minute = Duration::from_mins(1);
    let tenant = Tenant {
        name: name.clone(),
        company: None,
        scopes: None,
        rate: Some(rate(60, minute)),
    };
    snapshot.tenants.insert(name, tenant);
    let allowance = Allowance::default();
    let begin = Instant::now();
    let mut served = [0; 3];
    for tenths in 0..6_000 {
        let now = begin + Duration::from_millis(100) * tenths;
        // b comes every 3 s, which is its share; c once a minute with ten calls at once, which is half of its.
        let asks = [
            1,
            usize::from(tenths % 30 == 0),
            if tenths % 600 == 5 { 10 } else { 0 },
        ];
        for (caller, times) in asks.into_iter().enumerate() {
            for _ in 0..times {
                let taken = allowance.take(&permits[caller], &snapshot, now);
                assert!(caller == 0 || taken.is_ok(), "{caller} at {tenths}");
                served[caller] += usize::from(taken.is_ok());
            }
        }
    }
    assert_eq!(served[1..], [200, 100]);
    // What the others leave is its: 600 in ten minutes, and half a minute's worth at once.
    assert!((300..=331).contains(&served[0]), "{served:?}");
    let alone = (0..600).filter(|s| {
        allowance
            .take(
                &permits[0],
                &snapshot,
                begin + minute * 20 + Duration::from_secs(*s),
            )
            .is_ok()
    });
    assert_eq!(alone.count(), 600);
}

/// Whoever had used up an hourly rate is not held to it for an hour once it is raised.
#[test]
fn a_rate_that_a_reload_raises_counts_at_once() {
    let at = |generation, rate| {
        let snapshot = fixture::snapshot_with(|caller, _| caller.rate = Some(rate));
        Snapshot {
            generation,
            ..snapshot
        }
    };
    let (hourly, per_second) = (
        at(1, rate(1, Duration::from_hours(1))),
        at(2, rate(10, SOON)),
    );
    let [slow, fast] = [&hourly, &per_second].map(|s| fixture::permit(s, "/x", FOR_ACME));
    let allowance = Allowance::default();
    let now = Instant::now();
    allowance.take(&slow, &hourly, now).unwrap();
    assert!(refused(allowance.take(&slow, &hourly, now)) > SOON * 3000);
    assert_eq!(refused(allowance.take(&fast, &per_second, now)), SOON / 10);
    assert!(allowance.take(&fast, &per_second, now + SOON / 10).is_ok());
}

type Change = fn(&mut Caller, &mut Route);

#[test]
fn what_is_used_up_is_named() {
    let now = Instant::now();
    let changes: [(Change, Limit); 4] = [
        (|c, _| c.rate = Some(rate(1, SOON)), Limit::CallerRate),
        (|_, r| r.rate = Some(rate(1, SOON)), Limit::RouteRate),
        (
            |c, _| c.max_in_flight = NonZeroU32::new(1),
            Limit::CallerAtOnce,
        ),
        (
            |_, r| r.max_in_flight = NonZeroU32::new(1),
            Limit::RouteAtOnce,
        ),
    ];
    for (change, expected) in changes {
        let snapshot = fixture::snapshot_with(change);
        let permit = fixture::permit(&snapshot, "/x", FOR_ACME);
        let allowance = Allowance::default();
        let _seats = allowance.take(&permit, &snapshot, now).unwrap();
        match allowance.take(&permit, &snapshot, now) {
            Err(ProxyError::RateLimited { limit, .. }) => assert_eq!(limit, expected),
            other => panic!("{expected:?}: {other:?}"),
        }
    }
    let snapshot = fixture::snapshot();
    let permit = fixture::permit(&snapshot, "/x", FOR_ACME);
    let allowance = Allowance::default();
    allowance.heed(&HeaderMap::new(), permit.tenant(), now);
    let error = allowance.take(&permit, &snapshot, now).unwrap_err();
    assert_eq!(
        error.to_string(),
        "used up: what Pleo allows for this tenant"
    );
}

#[test]
fn nothing_is_kept_of_what_a_reload_took_away() {
    let mut snapshot = fixture::snapshot_with(|caller, _| caller.rate = Some(rate(1, SOON)));
    let permit = fixture::permit(&snapshot, "/x", FOR_ACME);
    let allowance = Allowance::default();
    let now = Instant::now();
    allowance.take(&permit, &snapshot, now).unwrap();
    refused(allowance.take(&permit, &snapshot, now));
    snapshot.generation += 1;
    refused(allowance.take(&permit, &snapshot, now));
    let free = fixture::snapshot_with(|_, route| route.rate = Some(rate(1, SOON)));
    let other = Snapshot {
        generation: snapshot.generation + 1,
        ..free
    };
    let permit = fixture::permit(&other, "/x", FOR_ACME);
    allowance.take(&permit, &other, now + SOON).unwrap();
    let book = allowance.book();
    assert_eq!(
        book.due.keys().collect::<Vec<_>>(),
        [&Subject::Route(RouteName::new("all"))]
    );
}
