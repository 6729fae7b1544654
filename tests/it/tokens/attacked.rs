//! Faults that a reviewer found: each test fails until its fault is mended.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pleo_gateway::model::connection::State;
use pleo_gateway::pleo::answer::TokenAnswer;
use pleo_gateway::sandbox::Minted;
use pleo_gateway::secret::Secret;
use pleo_gateway::store::ConnectionStore;
use pleo_gateway::tokens::consent::Consent;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::bench::{Bench, name, permit};

/// The access token of a consent's pair dies while nobody could ask whose it is: its refresh token lives on.
#[tokio::test]
async fn a_consent_s_pair_is_not_erased_because_its_access_token_died_of_age() {
    let bench = Bench::new().await;
    let room = bench.room().await;
    let minted = bench.sandbox.mint(None, None);
    bench.fault(&json!({"endpoint": "introspect", "kind": "status", "status": 503}));
    room.tokens.begin_consent(&name("acme")).await.unwrap();
    let given = Consent {
        tenant: name("acme"),
        answer: TokenAnswer {
            access: minted.access_token.clone(),
            refresh: Some(minted.refresh_token.clone()),
            life: Some(minted.expires_in),
            scopes: None,
        },
        asked_at: room.store.now().await.unwrap(),
        expected_company: None,
        allow_shared_company: false,
        asked_scopes: minted.scopes.clone(),
        who: "browser".to_owned(),
    };
    room.tokens.adopt(given).await.unwrap_err();
    // As when the process was killed here, and started again after lunch.
    bench.clock.pass(minted.expires_in + Duration::from_mins(5));
    let keeper = room.tokens.clone();
    room.tasks.spawn(async move { keeper.keep().await });
    let asked = bench.count("introspections");
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end && room.row("acme").await.candidate.is_some() {
        sleep(Duration::from_millis(10)).await;
    }
    let row = room.row("acme").await;
    assert!(
        row.candidate.is_some() || row.state == State::Active,
        "the pair is gone, after {} more questions",
        bench.count("introspections") - asked,
    );
}

/// Introspection refused the token here while another process's refresh was under way: calls wait for its pair, as they
/// do where a token has died of age.
#[tokio::test]
async fn calls_wait_for_another_s_refresh_where_the_old_token_is_known_to_be_dead() {
    let bench = Bench::new().await;
    let (other, room) = (bench.room().await, bench.room().await);
    room.connected(&bench, "acme").await;
    let current = room.tokens.obtain(&permit("acme")).await.unwrap();
    bench.fault(
        &json!({"endpoint": "introspect", "kind": "status", "status": 401, "delay": "500ms"}),
    );
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "2s", "commit": true}));
    let (tokens, bearer) = (room.tokens.clone(), current.clone());
    let refused =
        (room.tasks).spawn(async move { tokens.rejected(&permit("acme"), &bearer).await });
    // Until the question is on its way, the row still at rest.
    sleep(Duration::from_millis(150)).await;
    let tokens = other.tokens.clone();
    let refresh = (other.tasks).spawn(async move { tokens.refresh(&name("acme")).await });
    let _ = refused.await.unwrap();
    assert_eq!(room.state("acme").await, State::Refreshing);
    let begun = Instant::now();
    let token = room.token("acme").await;
    let waited = begun.elapsed();
    refresh.await.unwrap().unwrap();
    assert!(token.is_ok(), "{token:?} after {waited:?}");
}

/// A pair without terms is learned about before it is used; if Pleo refuses its access token, it is refreshed.
#[tokio::test]
async fn an_imported_pair_without_terms_whose_access_token_is_dead_is_refreshed() {
    let bench = Bench::new().await;
    let room = bench.room().await;
    let minted = bench.sandbox.mint(None, None);
    let dead = Minted {
        access_token: Secret::new("dead"),
        ..minted
    };
    room.import("acme", &dead, false).await;
    let token = room.token("acme").await;
    assert!(token.is_ok(), "{token:?}");
}

/// The clock has jumped and the store is away: a token that nobody has refused is used all the same (R11).
#[tokio::test]
async fn a_store_that_is_away_fails_no_call_after_a_jump_of_the_clock() {
    let bench = Bench::new().await;
    let room = bench.room().await;
    room.connected(&bench, "acme").await;
    room.token("acme").await.unwrap();
    let keeper = room.tokens.clone();
    room.tasks.spawn(async move { keeper.keep().await });
    sleep(Duration::from_millis(400)).await;
    room.store.away.store(true, Ordering::SeqCst);
    bench.clock.set(60);
    sleep(Duration::from_millis(800)).await;
    let token = room.token("acme").await;
    assert!(token.is_ok(), "{token:?}");
}

/// A commit that stalled was carried out all the same: its pair is shown on, no call has to ask the store.
#[tokio::test]
async fn a_commit_that_was_only_slow_takes_no_living_token_from_memory() {
    let bench = Bench::new().await;
    let room = bench.room().await;
    room.connected(&bench, "acme").await;
    room.token("acme").await.unwrap();
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "500ms", "commit": true}));
    let tokens = room.tokens.clone();
    let refresh = (room.tasks).spawn(async move { tokens.refresh(&name("acme")).await });
    bench.faults_played().await;
    let file = bench.folder.path().join("data/gateway.db");
    let hog = rusqlite::Connection::open(file).unwrap();
    hog.execute_batch("begin immediate").unwrap();
    let _ = refresh.await.unwrap();
    assert!(room.tokens.hold_unstored(), "served from memory");
    sleep(Duration::from_millis(500)).await;
    hog.execute_batch("rollback").unwrap();
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        let at_once = room.tokens.obtain_now(&permit("acme"));
        assert!(at_once.is_some(), "nothing is remembered");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(room.row("acme").await.generation.0, 1);
}

/// The only pair that lives lies in salvage, and the database is put back to a time when the tenant was disconnected.
#[tokio::test]
async fn a_pair_in_salvage_outlives_a_backup_from_when_the_tenant_was_disconnected() {
    let bench = Bench::new().await;
    let data = bench.folder.path().join("data");
    let backup = bench.folder.path().join("backup.db");
    let room = bench.room().await;
    room.connected(&bench, "acme").await;
    room.tokens.disconnect(&name("acme"), false).await.unwrap();
    rusqlite::Connection::open(data.join("gateway.db"))
        .unwrap()
        .execute("vacuum into ?1", [backup.to_str().unwrap()])
        .unwrap();
    room.connected(&bench, "acme").await;
    room.token("acme").await.unwrap();
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "500ms", "commit": true}));
    let tokens = room.tokens.clone();
    let refresh = (room.tasks).spawn(async move { tokens.refresh(&name("acme")).await });
    bench.faults_played().await;
    room.store.set_read_only(true);
    let _ = refresh.await.unwrap();
    assert_eq!(bench.salvaged(), 1);
    room.end().await;
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("gateway.db{end}")));
    }
    // Copied into the file that is there: it keeps its mode.
    std::fs::write(data.join("gateway.db"), std::fs::read(&backup).unwrap()).unwrap();
    let room = bench.room().await;
    room.tokens.recover().await;
    assert_eq!(bench.salvaged(), 1, "it is gone");
}

/// What cannot stand in a header is no access token: said when it is brought, not by every call.
#[tokio::test]
async fn an_access_token_that_cannot_be_sent_costs_no_call() {
    let bench = Bench::new().await;
    let room = bench.room().await;
    let minted = bench.sandbox.mint(None, None);
    let pasted = Secret::new(format!("{}\n", minted.access_token.expose()));
    let bundle = pleo_gateway::tokens::operate::Bundle {
        access: Some(pasted),
        refresh: minted.refresh_token.clone(),
        expires_in: Some(minted.expires_in),
        scopes: Some(minted.scopes.clone()),
        company: None,
    };
    let terms = pleo_gateway::tokens::operate::ImportTerms::default();
    let imported = room.tokens.import(&name("acme"), bundle, &terms).await;
    let token = room.token("acme").await;
    assert!(imported.is_err() || token.is_ok(), "{token:?}");
}

/// A second consent that comes to nothing takes away nothing that the first one brought.
#[tokio::test]
async fn a_consent_that_came_to_nothing_leaves_the_pair_of_an_earlier_one() {
    let bench = Bench::new().await;
    let room = bench.room().await;
    let minted = bench.sandbox.mint(None, None);
    bench.fault(&json!({"endpoint": "introspect", "kind": "status", "status": 503}));
    room.tokens.begin_consent(&name("acme")).await.unwrap();
    let given = Consent {
        tenant: name("acme"),
        answer: TokenAnswer {
            access: minted.access_token.clone(),
            refresh: Some(minted.refresh_token.clone()),
            life: Some(minted.expires_in),
            scopes: None,
        },
        asked_at: room.store.now().await.unwrap(),
        expected_company: None,
        allow_shared_company: false,
        asked_scopes: minted.scopes.clone(),
        who: "browser".to_owned(),
    };
    room.tokens.adopt(given).await.unwrap_err();
    bench.clock.pass(Duration::from_mins(2));
    room.tokens.begin_consent(&name("acme")).await.unwrap();
    room.tokens.abandon_consent(&name("acme")).await.unwrap();
    assert!(room.row("acme").await.candidate.is_some(), "it is erased");
}

/// R14 knows no exception for API keys: a key whose successor, or whose end, was seen is not sent.
#[tokio::test]
async fn an_api_key_below_the_mark_is_not_sent() {
    use pleo_gateway::tokens::api_key::{ApiKey, KeyKind, KeyTerms};
    let bench = Bench::new().await;
    let room = bench.room().await;
    let key = ApiKey::parse(pleo_gateway::sandbox::INTEGRATED_KEY).unwrap();
    let terms = KeyTerms {
        kind: KeyKind::Integrated,
        expected_company: None,
        allow_shared_company: true,
        replace: false,
    };
    room.tokens
        .set_key(&name("acme"), key, &terms)
        .await
        .unwrap();
    let seen = pleo_gateway::model::ids::Epoch(2);
    let first = pleo_gateway::model::ids::Generation(0);
    // An operator ended or replaced it, and the database was put back.
    room.high_water.raise(&name("acme"), (seen, first));
    room.tokens.show(&name("acme")).await.unwrap();
    let row = room.row("acme").await;
    assert!(
        room.token("acme").await.is_err(),
        "{:?} {:?}",
        row.state,
        row.reason
    );
}

/// A pair that only memory holds is current: a 401 about something else is handed on (R7, R11).
#[tokio::test]
async fn a_401_about_something_else_is_handed_on_while_the_store_is_away() {
    use pleo_gateway::tokens::Rejected;
    let bench = Bench::new().await;
    let room = bench.room().await;
    room.connected(&bench, "acme").await;
    room.token("acme").await.unwrap();
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "500ms", "commit": true}));
    let tokens = room.tokens.clone();
    let refresh = (room.tasks).spawn(async move { tokens.refresh(&name("acme")).await });
    bench.faults_played().await;
    room.store.set_read_only(true);
    let _ = refresh.await.unwrap();
    let current = room.tokens.obtain(&permit("acme")).await.unwrap();
    assert_eq!(current.generation().0, 1);
    let answer = room.tokens.rejected(&permit("acme"), &current).await;
    assert!(matches!(answer, Ok(Rejected::HandOn)), "{answer:?}");
}
