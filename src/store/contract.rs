//! What every store promises, whatever it is built on. Files, keys and modes of one kind of store are not here (`tests`).

use std::sync::Arc;
use std::time::Duration;

use super::{Change, ConnectLink, ConnectionStore, Revision, StoreError, Taken, Visit, Written};
use crate::clock::Timestamp;
use crate::model::connection::{
    Access, Attempt, Candidate, Connection, CredentialKind, Evidence, Held, Outcome, Reason, State,
    Verdict,
};
use crate::model::ids::{AttemptId, CompanyId, Epoch, Generation, Owner, TenantName};
use crate::model::ledger::{AuditEntry, AuditKind, LedgerEntry, LedgerOutcome, Phase};
use crate::model::scope::ScopeSet;
use crate::secret::Secret;

mod met;
pub(super) mod rotation;

type Store = Arc<dyn ConnectionStore>;

/// Runs every promise. `open` opens one and the same store again for a provider; it is empty at first.
pub(super) async fn run(open: impl AsyncFn(&str) -> Store) {
    a_row_is_read_back_as_it_was_written(&open).await;
    of_two_writers_one_wins(&open).await;
    a_row_is_made_once(&open).await;
    what_is_written_is_there_after_reopening(&open).await;
    providers_do_not_see_one_another(&open).await;
    a_company_belongs_to_one_tenant(&open).await;
    met::a_token_that_is_brought_is_new_to_the_store(&open).await;
    every_change_is_seen_once(&open).await;
    the_ledger_tells_tokens_apart(&open).await;
    a_link_is_spent_once(&open).await;
    a_visit_is_taken_once(&open).await;
    of_a_links_visits_the_last_ones_are_kept(&open).await;
    a_closed_store_is_not_available(&open).await;
}

pub(super) fn tenant(name: &str) -> TenantName {
    TenantName::parse(name).unwrap()
}

/// A row with something in every field.
pub(super) fn full(name: &str) -> Connection {
    let at = Timestamp(1_700_000_000_000_000);
    let attempt = Attempt {
        id: AttemptId::make(),
        owner: Owner::make(),
        begun_at: at,
        deadline: at + Duration::from_secs(25),
        adopt_until: at + Duration::from_secs(145),
        forced: true,
        oracle: true,
        outcome: Some(Outcome::NoPair),
    };
    Connection {
        epoch: Epoch(2),
        generation: Generation(5),
        state: State::Uncertain,
        reason: Some(Reason::Restored),
        credential: CredentialKind::Oauth,
        company: Some(CompanyId::new(format!("company-of-{name}"))),
        scopes: Some(ScopeSet::parse("a:read b:write").unwrap()),
        held: Held::Pair {
            access: Some(Access {
                token: Secret::new(format!("access-canary-{name}")),
                since: at,
                expires_at: at + Duration::from_mins(15),
                life_known: true,
            }),
            refresh: Secret::new(format!("refresh-canary-{name}")),
        },
        verdict: Verdict::Accepted,
        attempts: vec![attempt],
        evidence: Evidence {
            accepted_at: Some(at),
            refused_at: None,
            applied: false,
        },
        next_try_at: Some(at),
        failures: 3,
        refreshed_at: Some(at),
        consented_at: Some(at),
        consent_until: Some(at),
        candidate: Some(Box::new(Candidate {
            access: Access {
                token: Secret::new(format!("access-canary-new-{name}")),
                since: at,
                expires_at: at + Duration::from_mins(15),
                life_known: false,
            },
            refresh: Secret::new(format!("refresh-canary-new-{name}")),
            scopes: Some(ScopeSet::parse("a:read").unwrap()),
            expected_company: Some(CompanyId::new("c")),
            allow_shared_company: true,
            who: "browser".to_owned(),
        })),
        ..Connection::pending(tenant(name))
    }
}

pub(super) fn change(row: &Connection, expected: Revision) -> Change {
    Change {
        row: row.clone(),
        expected,
        brought: false,
        ledger: Vec::new(),
        audit: Vec::new(),
    }
}

/// Writes a row over whatever is there.
pub(super) async fn put(store: &Store, row: &Connection) -> Revision {
    let seen = store.read(&row.tenant).await.unwrap().revision;
    match store.write(change(row, seen)).await.unwrap() {
        Written::Done(revision) => revision,
        other => panic!("{other:?}"),
    }
}

async fn a_row_is_read_back_as_it_was_written(open: &impl AsyncFn(&str) -> Store) {
    let store = open("p").await;
    let key = Connection {
        held: Held::Key(Secret::new("key")),
        credential: CredentialKind::IntegratedKey,
        ..Connection::pending(tenant("row-key"))
    };
    let mut bare = full("row-bare");
    bare.held = Held::Pair {
        access: None,
        refresh: Secret::new("only"),
    };
    for row in [
        full("row-full"),
        bare,
        key,
        Connection::pending(tenant("row-new")),
    ] {
        assert_eq!(store.read(&row.tenant).await.unwrap().row, None);
        let revision = put(&store, &row).await;
        let seen = store.read(&row.tenant).await.unwrap();
        assert_eq!((seen.row.as_ref(), seen.revision), (Some(&row), revision));
        assert!(store.list().await.unwrap().contains(&Ok(row)));
    }
}

async fn of_two_writers_one_wins(open: &impl AsyncFn(&str) -> Store) {
    let (one, other) = (open("p").await, open("p").await);
    let mut row = full("two");
    let seen = put(&one, &row).await;
    let first = one.write(change(&row, seen));
    row.failures = 9;
    let second = other.write(change(&row, seen));
    let (first, second) = tokio::join!(first, second);
    let won = [first.unwrap(), second.unwrap()]
        .into_iter()
        .filter(|written| matches!(written, Written::Done(_)))
        .count();
    assert_eq!(won, 1);
    assert_eq!(
        other.write(change(&row, seen)).await.unwrap(),
        Written::Conflict
    );
}

async fn a_row_is_made_once(open: &impl AsyncFn(&str) -> Store) {
    let store = open("p").await;
    let row = full("once");
    let made = store.write(change(&row, Revision(0))).await.unwrap();
    assert!(matches!(made, Written::Done(_)));
    let again = store.write(change(&row, Revision(0))).await.unwrap();
    assert_eq!(again, Written::Conflict);
    let never = change(&full("never"), Revision(1));
    assert_eq!(store.write(never).await.unwrap(), Written::Conflict);
}

async fn what_is_written_is_there_after_reopening(open: &impl AsyncFn(&str) -> Store) {
    let store = open("p").await;
    let row = full("kept");
    let revision = put(&store, &row).await;
    let id = store.id().to_owned();
    store.close().await;
    let store = open("p").await;
    let seen = store.read(&row.tenant).await.unwrap();
    assert_eq!((seen.row, seen.revision), (Some(row), revision));
    assert_eq!(store.id(), id);
}

async fn providers_do_not_see_one_another(open: &impl AsyncFn(&str) -> Store) {
    let (here, there) = (open("p").await, open("q").await);
    let row = full("apart");
    put(&here, &row).await;
    assert_eq!(there.read(&row.tenant).await.unwrap().row, None);
    assert!(there.list().await.unwrap().is_empty());
    let company = row.company.clone().unwrap();
    assert_eq!(there.tenant_of(&company).await.unwrap(), None);
    assert!(there.changed_since(Revision(0)).await.unwrap().1.is_empty());
    let mut other = row.clone();
    other.failures = 77;
    put(&there, &other).await;
    assert_eq!(here.read(&row.tenant).await.unwrap().row, Some(row));
}

async fn a_company_belongs_to_one_tenant(open: &impl AsyncFn(&str) -> Store) {
    let store = open("p").await;
    let mut first = full("company-a");
    let company = first.company.clone().unwrap();
    put(&store, &first).await;
    let mut second = full("company-b");
    second.company = Some(company.clone());
    let taken = Written::Taken(Taken::Company(first.tenant.clone()));
    let refused = store.write(change(&second, Revision(0))).await.unwrap();
    assert_eq!(refused, taken);
    assert_eq!(store.read(&second.tenant).await.unwrap().row, None);

    second.shared_company = true;
    put(&store, &second).await;
    put(&store, &first).await;
    let owner = store.tenant_of(&company).await.unwrap();
    assert_eq!(owner, Some(first.tenant.clone()));

    first.state = State::Disconnected;
    put(&store, &first).await;
    let owner = store.tenant_of(&company).await.unwrap();
    assert_eq!(owner, Some(second.tenant.clone()));
    second.shared_company = false;
    put(&store, &second).await;
    first.state = State::Active;
    let seen = store.read(&first.tenant).await.unwrap().revision;
    let refused = store.write(change(&first, seen)).await.unwrap();
    assert_eq!(
        refused,
        Written::Taken(Taken::Company(second.tenant.clone()))
    );
}

async fn every_change_is_seen_once(open: &impl AsyncFn(&str) -> Store) {
    let (writer, watcher) = (open("p").await, open("p").await);
    let (mark, _) = watcher.changed_since(Revision(0)).await.unwrap();
    assert_eq!(watcher.changed_since(mark).await.unwrap(), (mark, vec![]));
    put(&writer, &full("seen-a")).await;
    put(&writer, &full("seen-b")).await;
    put(&writer, &full("seen-a")).await;
    let (next, mut tenants) = watcher.changed_since(mark).await.unwrap();
    tenants.sort();
    assert_eq!(tenants, [tenant("seen-a"), tenant("seen-b")]);
    assert_eq!(watcher.changed_since(next).await.unwrap(), (next, vec![]));
    let (_, all) = watcher.changed_since(Revision(u64::MAX)).await.unwrap();
    assert!(!all.is_empty(), "a mark from the future is no mark");
}

async fn the_ledger_tells_tokens_apart(open: &impl AsyncFn(&str) -> Store) {
    let store = open("p").await;
    let row = full("ledger");
    let entry = |generation, outcome| LedgerEntry {
        at: Timestamp(5),
        epoch: row.epoch,
        generation,
        attempt: Some(row.attempts[0].id),
        replica: row.attempts[0].owner.clone(),
        phase: Phase::Committed,
        outcome,
    };
    let entries = vec![
        entry(row.generation, Some(LedgerOutcome::Ok)),
        entry(Generation(1), None),
        entry(row.generation, Some(LedgerOutcome::Salvaged)),
    ];
    let audit = AuditEntry {
        at: Timestamp(5),
        tenant: Some(row.tenant.clone()),
        who: "cli".to_owned(),
        what: AuditKind::Imported,
        detail: String::new(),
    };
    let made = Change {
        ledger: entries.clone(),
        audit: vec![audit],
        ..change(&row, Revision(0))
    };
    store.write(made.clone()).await.unwrap();
    assert_eq!(store.write(made).await.unwrap(), Written::Conflict);
    let lines = store.history(&row.tenant).await.unwrap();
    let read: Vec<_> = lines.iter().map(|line| line.entry.clone()).collect();
    assert_eq!(read, entries);
    assert_eq!(lines[0].access_fingerprint, lines[2].access_fingerprint);
    assert_ne!(lines[0].access_fingerprint, lines[0].refresh_fingerprint);
    assert_eq!(lines[0].refresh_fingerprint.as_ref().unwrap().len(), 16);
    assert_eq!(lines[1].refresh_fingerprint, None, "another pair's line");
}

async fn a_link_is_spent_once(open: &impl AsyncFn(&str) -> Store) {
    let (one, other) = (open("p").await, open("p").await);
    let mut link = ConnectLink {
        tenant: tenant("linked"),
        scopes: ScopeSet::parse("a b").unwrap(),
        allow_shared_company: true,
        expires_at: one.now().await.unwrap() + Duration::from_mins(1),
        spent_at: None,
    };
    let audit = AuditEntry {
        at: Timestamp(5),
        tenant: Some(tenant("linked")),
        who: "cli".to_owned(),
        what: AuditKind::Linked,
        detail: String::new(),
    };
    one.put_link([1; 32], link.clone(), audit).await.unwrap();
    assert_eq!(other.link(&[1; 32]).await.unwrap(), Some(link.clone()));
    assert_eq!(other.link(&[2; 32]).await.unwrap(), None);
    let (a, b) = tokio::join!(one.spend_link(&[1; 32]), other.spend_link(&[1; 32]));
    assert_eq!(u8::from(a.unwrap()) + u8::from(b.unwrap()), 1);
    assert!(!one.spend_link(&[2; 32]).await.unwrap());
    let spent = other.link(&[1; 32]).await.unwrap().unwrap();
    assert!(spent.spent_at.is_some());
    link.spent_at = spent.spent_at;
    assert_eq!(spent, link);
}

async fn a_visit_is_taken_once(open: &impl AsyncFn(&str) -> Store) {
    let (one, other) = (open("p").await, open("p").await);
    let now = one.now().await.unwrap();
    let visit = Visit {
        link: [1; 32],
        tenant: tenant("visiting"),
        verifier: Secret::new("verifier-canary"),
        cookie: [2; 32],
        expires_at: now + Duration::from_mins(10),
    };
    one.put_visit([3; 32], visit.clone()).await.unwrap();
    assert_eq!(open("q").await.take_visit(&[3; 32]).await.unwrap(), None);
    let (a, b) = tokio::join!(one.take_visit(&[3; 32]), other.take_visit(&[3; 32]));
    let taken: Vec<_> = [a.unwrap(), b.unwrap()].into_iter().flatten().collect();
    assert_eq!(taken, std::slice::from_ref(&visit));
    let expires_at = now - Duration::from_secs(1);
    one.put_visit(
        [4; 32],
        Visit {
            expires_at,
            ..visit
        },
    )
    .await
    .unwrap();
    assert_eq!(one.take_visit(&[4; 32]).await.unwrap(), None);
}

async fn of_a_links_visits_the_last_ones_are_kept(open: &impl AsyncFn(&str) -> Store) {
    let store = open("p").await;
    let now = store.now().await.unwrap();
    let visit = |link: u8, place: u8| Visit {
        link: [link; 32],
        tenant: tenant("visiting"),
        verifier: Secret::new("verifier-canary"),
        cookie: [2; 32],
        expires_at: now + Duration::from_secs(600 + u64::from(place)),
    };
    store.put_visit([200; 32], visit(1, 0)).await.unwrap();
    for place in 0..40 {
        store.put_visit([place; 32], visit(2, place)).await.unwrap();
    }
    for place in 0..40 {
        let taken = store.take_visit(&[place; 32]).await.unwrap();
        assert_eq!(taken.is_some(), place >= 8, "{place}");
    }
    assert!(store.take_visit(&[200; 32]).await.unwrap().is_some());
}

async fn a_closed_store_is_not_available(open: &impl AsyncFn(&str) -> Store) {
    let store = open("p").await;
    store.close().await;
    store.close().await;
    let error = store.now().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}
