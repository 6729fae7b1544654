//! Rows below the high-water mark (design.md R14): what is decided on them, and the ways back.

use std::time::Duration;

use pleo_gateway::model::connection::{Reason, State};
use pleo_gateway::model::ids::{Epoch, Generation};
use pleo_gateway::tokens::api_key::{ApiKey, KeyKind, KeyTerms};
use pleo_gateway::tokens::operate::OperateError;

use super::bench::{Bench, Room, name};

/// Somebody has seen a newer pair of acme than its row holds.
fn seen_newer(room: &Room, generation: u64) {
    room.high_water
        .raise(&name("acme"), (Epoch(1), Generation(generation)));
}

async fn decided(bench: &Bench, room: &Room) {
    for _ in 0..600 {
        let _ = room.token("acme").await;
        let _ = room.tokens.verify(&name("acme"), None).await;
        if room.state("acme").await != State::Uncertain {
            return;
        }
        bench.clock.pass(Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it is never decided");
}

#[tokio::test]
async fn an_old_row_is_served_but_not_presented_and_two_acceptances_bring_it_back_for_good() {
    let bench = Bench::new().await;
    let (room, other) = (bench.room().await, bench.room().await);
    let minted = room.connected(&bench, "acme").await;
    seen_newer(&room, 9);
    assert_eq!(
        room.token("acme").await.unwrap(),
        minted.access_token.expose()
    );
    room.tokens.refresh(&name("acme")).await.unwrap_err();
    let row = room.row("acme").await;
    assert_eq!(
        (row.state, row.reason),
        (State::Uncertain, Some(Reason::Restored))
    );
    assert_eq!(bench.count("token_calls"), 0);
    let retry = room.tokens.resolve(&name("acme"), true).await;
    assert!(matches!(retry, Err(OperateError::Restored(_))), "{retry:?}");

    decided(&bench, &room).await;
    let row = room.row("acme").await;
    assert_eq!((row.state, row.reason), (State::Active, None));
    assert_eq!(row.generation, Generation(10));
    // Not old again: for who has seen as much, for who has seen less, nor after another start.
    for room in [&room, &other, &bench.room().await] {
        room.tokens.refresh(&name("acme")).await.unwrap();
    }
    assert_eq!(room.row("acme").await.generation, Generation(13));
    assert!(bench.was_kept());
}

#[tokio::test]
async fn a_replica_that_has_seen_more_declares_it_again() {
    let bench = Bench::new().await;
    let (room, other) = (bench.room().await, bench.room().await);
    room.connected(&bench, "acme").await;
    seen_newer(&room, 3);
    seen_newer(&other, 20);
    room.tokens.show(&name("acme")).await.unwrap();
    assert_eq!(room.row("acme").await.generation, Generation(4));
    other.tokens.show(&name("acme")).await.unwrap();
    assert_eq!(room.row("acme").await.generation, Generation(21));
    assert_eq!(room.state("acme").await, State::Uncertain);
    decided(&bench, &room).await;
    assert_eq!(room.state("acme").await, State::Active);
    other.tokens.refresh(&name("acme")).await.unwrap();
    assert!(bench.was_kept());
}

#[tokio::test]
async fn where_it_cannot_be_written_down_that_a_row_is_old_nothing_is_decided_on_it() {
    let (bench, room) = Bench::with_acme().await;
    seen_newer(&room, 9);
    room.store.set_read_only(true);
    room.tokens.refresh(&name("acme")).await.unwrap_err();
    assert_eq!(room.state("acme").await, State::Active);
    bench.clock.pass(Duration::from_mins(15));
    room.token("acme").await.unwrap_err();
    assert_eq!(bench.count("token_calls"), 0);
    room.store.set_read_only(false);
    // Its access token has died meanwhile: nothing can show that it is good.
    decided(&bench, &room).await;
    let row = room.row("acme").await;
    assert_eq!(row.state, State::ReauthorizationRequired);
    assert_eq!(row.reason, Some(Reason::Restored));
    assert_eq!(bench.count("token_calls"), 0);
}

#[tokio::test]
async fn a_tenant_whose_row_is_gone_counts_on_from_what_was_seen() {
    let (bench, room) = Bench::with_room().await;
    seen_newer(&room, 9);
    room.connected(&bench, "acme").await;
    room.token("acme").await.unwrap();
    let row = room.row("acme").await;
    assert_eq!((row.state, row.epoch), (State::Active, Epoch(2)));
    room.tokens.refresh(&name("acme")).await.unwrap();
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
    room.refresh_unstored(&bench, "acme").await;
    assert_eq!(bench.salvaged(), 1);
    room.end().await;
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("gateway.db{end}")));
    }
    // Copied into the file that is there: it keeps its mode.
    std::fs::write(data.join("gateway.db"), std::fs::read(&backup).unwrap()).unwrap();
    let room = bench.room().await;
    room.tokens.recover().await;
    let row = room.row("acme").await;
    assert_eq!((row.state, row.reason), (State::Active, None));
    assert_eq!(bench.salvaged(), 0, "in use");
    assert!(room.token("acme").await.is_ok());
}

/// R14 knows no exception for API keys: a key whose successor, or whose end, was seen is not sent.
#[tokio::test]
async fn an_api_key_below_the_mark_is_not_sent() {
    let (_bench, room) = Bench::with_room().await;
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
    let seen = Epoch(2);
    let first = Generation(0);
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
