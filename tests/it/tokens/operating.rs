//! What operators do while flights are in the air, and how a process ends.

use std::time::Duration;

use pleo_gateway::model::connection::State;
use pleo_gateway::sandbox::Minted;
use pleo_gateway::secret::Secret;
use pleo_gateway::tokens::ObtainError;
use pleo_gateway::tokens::operate::{Bundle, ImportTerms, OperateError};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::bench::{Bench, Room, name, until};

/// A refresh that Pleo answers once faults are called off.
async fn in_the_air(
    bench: &Bench,
    room: &Room,
) -> impl Future<Output = Result<u64, OperateError>> + use<> {
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "1m"}));
    let flight = room.refresh("acme");
    bench.faults_played().await;
    async move { flight.await.unwrap().map(|row| row.generation.0) }
}

/// Pleo answers after a moment in which others have begun to wait.
async fn answered_late(bench: &Bench) {
    sleep(Duration::from_millis(200)).await;
    bench.sandbox.call_off_faults();
}

#[tokio::test]
async fn a_flight_in_the_air_does_not_bring_back_what_was_disconnected() {
    let (bench, room) = Bench::with_acme().await;
    let flight = in_the_air(&bench, &room).await;
    room.tokens.disconnect(&name("acme"), false).await.unwrap();
    bench.sandbox.call_off_faults();
    assert!(matches!(flight.await, Err(OperateError::NotConnected(_))));
    let row = room.row("acme").await;
    assert_eq!(row.state, State::Disconnected);
    assert_eq!(row.refresh_token(), None);
    let error = room.token("acme").await.unwrap_err();
    assert!(matches!(error, ObtainError::NotConnected { .. }));
}

#[tokio::test]
async fn an_import_waits_for_a_flight_in_the_air_and_replaces_only_on_request() {
    let (bench, room) = Bench::with_acme().await;
    let flight = in_the_air(&bench, &room).await;
    let minted = bench.sandbox.mint(None, None);
    let bundle = || Bundle {
        access: None,
        refresh: minted.refresh_token.clone(),
        expires_in: None,
        scopes: None,
        company: None,
    };
    let terms = ImportTerms {
        replace: true,
        ..ImportTerms::default()
    };
    let kept = room
        .tokens
        .import(&name("acme"), bundle(), &ImportTerms::default())
        .await;
    assert!(matches!(kept, Err(OperateError::WouldReplace(_))));
    let acme = name("acme");
    let (row, ()) = tokio::join!(
        room.tokens.import(&acme, bundle(), &terms),
        answered_late(&bench)
    );
    assert_eq!(flight.await.unwrap(), 1, "it waited for the flight");
    assert_eq!(row.unwrap().epoch.0, 2);
    // Without an access token the first use refreshes.
    let token = room.token("acme").await.unwrap();
    assert!(room.works(&token).await);
    assert!(bench.was_kept());
}

#[tokio::test]
async fn an_operator_s_refresh_is_carried_out_though_a_flight_is_in_the_air_for_something_else() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    room.import("acme", &minted, false).await;
    bench.fault(&json!({"endpoint": "introspect", "kind": "delay", "delay": "300ms"}));
    let tokens = room.tokens.clone();
    room.tasks
        .spawn(async move { tokens.obtain(&super::bench::permit("acme")).await });
    bench.faults_played().await;
    let row = room.tokens.refresh(&name("acme")).await.unwrap();
    assert_eq!(row.generation.0, 1);
}

#[tokio::test]
async fn a_refresh_decided_upon_an_old_row_is_not_sent_for_the_new_one() {
    let bench = Bench::new().await;
    let (one, other) = (bench.room().await, bench.room().await);
    one.connected(&bench, "acme").await;
    // Both have decided, and one is kept from beginning until the other has done it.
    bench.fault(&json!({"endpoint": "introspect", "kind": "delay", "delay": "1m"}));
    let late = async { one.tokens.refresh(&name("acme")).await };
    let quick = async {
        bench.faults_played().await;
        let refreshed = other.tokens.refresh(&name("acme")).await;
        bench.sandbox.call_off_faults();
        refreshed
    };
    let (late, quick) = tokio::join!(late, quick);
    assert_eq!(quick.unwrap().generation.0, 1);
    assert_eq!(late.unwrap().generation.0, 1);
    assert_eq!(bench.count("refreshes"), 1);
}

#[tokio::test]
async fn what_another_process_did_is_noticed_within_a_second() {
    let bench = Bench::new().await;
    let (room, other) = (bench.room().await, bench.room().await);
    let old = room.connected(&bench, "acme").await;
    room.keep();
    let mut before = room.token("acme").await.unwrap();
    assert_eq!(before, old.access_token.expose());
    // A machine that sleeps a second delays one of them, not each.
    let mut quick = 0;
    for _ in 0..3 {
        other.tokens.refresh(&name("acme")).await.unwrap();
        let since = Instant::now();
        until("the new pair is noticed", async || {
            room.token("acme").await.unwrap() != before
        })
        .await;
        quick += usize::from(since.elapsed() < Duration::from_secs(1));
        before = room.token("acme").await.unwrap();
    }
    assert!(quick > 0, "not once within a second");
    other.tokens.disconnect(&name("acme"), false).await.unwrap();
    until("the end is noticed", async || {
        room.token("acme").await.is_err()
    })
    .await;
}

#[tokio::test]
async fn a_process_that_ends_lets_its_flight_land_and_starts_none() {
    let (bench, room) = Bench::with_acme().await;
    let flight = in_the_air(&bench, &room).await;
    room.tasks.stop();
    let acme = name("acme");
    let (joined, ()) = tokio::join!(room.tokens.refresh(&acme), answered_late(&bench));
    assert!(joined.is_ok(), "{joined:?}");
    assert_eq!(flight.await.unwrap(), 1);
    assert!(room.tokens.refresh(&name("acme")).await.is_err());
    assert_eq!(bench.count("token_calls"), 1);
    room.end().await;
    let next = bench.room().await;
    assert_eq!(next.row("acme").await.attempts, []);
}

#[tokio::test]
async fn a_connection_whose_row_cannot_be_opened_can_be_ended() {
    let (bench, room) = Bench::with_acme().await;
    let file = bench.folder.path().join("data").join("gateway.db");
    let spoil = "update connections set refresh = x'00' where tenant = 'acme'";
    let changed = rusqlite::Connection::open(file).unwrap().execute(spoil, []);
    assert_eq!(changed.unwrap(), 1);
    room.tokens.show(&name("acme")).await.unwrap_err();
    let ended = room.tokens.disconnect(&name("acme"), false).await.unwrap();
    assert_eq!((ended.state, ended.epoch.0), (State::Disconnected, 2));
    assert_eq!(room.state("acme").await, State::Disconnected);
    room.connected(&bench, "acme").await;
    room.token("acme").await.unwrap();
}

/// A pair without terms is learned about before it is used; if Pleo refuses its access token, it is refreshed.
#[tokio::test]
async fn an_imported_pair_without_terms_whose_access_token_is_dead_is_refreshed() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    let dead = Minted {
        access_token: Secret::new("dead"),
        ..minted
    };
    room.import("acme", &dead, false).await;
    let token = room.token("acme").await;
    assert!(token.is_ok(), "{token:?}");
}

/// Said when it is brought, not by every call.
#[tokio::test]
async fn what_cannot_be_sent_is_not_imported() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    let bundle = |access: &str, refresh: &str| Bundle {
        access: Some(Secret::new(access)),
        refresh: Secret::new(refresh),
        expires_in: Some(minted.expires_in),
        scopes: Some(minted.scopes.clone()),
        company: None,
    };
    let (access, refresh) = (minted.access_token.expose(), minted.refresh_token.expose());
    for pasted in [
        bundle(&format!("{access}\n"), refresh),
        bundle(access, &format!("{refresh}\n")),
    ] {
        let terms = ImportTerms::default();
        let imported = room.tokens.import(&name("acme"), pasted, &terms).await;
        let error = imported.unwrap_err();
        assert!(matches!(error, OperateError::NotAToken(_)), "{error:?}");
        assert!(!error.to_string().contains(access));
    }
    assert!(room.token("acme").await.is_err(), "nothing is stored");
}
