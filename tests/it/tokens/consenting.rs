//! Putting a consent's pair into use (contract.md section 4, design.md R13).

use std::time::Duration;

use pleo_gateway::model::connection::State;
use pleo_gateway::model::ids::CompanyId;
use pleo_gateway::pleo::answer::TokenAnswer;
use pleo_gateway::sandbox::Minted;
use pleo_gateway::tokens::consent::{Consent, ConsentError};
use serde_json::json;

use super::bench::{Bench, Room, name, until};

/// A consent is begun, and its code exchanged.
async fn consent(room: &Room, tenant: &str, minted: &Minted) -> Consent {
    use pleo_gateway::store::ConnectionStore;
    Consent {
        tenant: name(tenant),
        open: room.tokens.begin_consent(&name(tenant)).await.unwrap(),
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
    }
}

#[tokio::test]
async fn a_consent_is_compared_and_put_into_use() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    let given = consent(&room, "acme", &minted).await;
    let adopted = room.tokens.adopt(given).await.unwrap();
    assert_eq!(adopted.company.unwrap().as_ref(), minted.company_id);
    let token = room.token("acme").await.unwrap();
    assert_eq!(token, minted.access_token.expose());
}

#[tokio::test]
async fn another_company_is_refused_and_the_old_pair_stays() {
    let (bench, room) = Bench::with_room().await;
    let old = room.connected(&bench, "acme").await;
    let other = bench.sandbox.company_ids()[1].clone();
    let minted = bench.sandbox.mint(Some(other.clone()), None);
    let given = consent(&room, "acme", &minted).await;
    let error = room.tokens.adopt(given).await.unwrap_err();
    let wrong = matches!(&error, ConsentError::WrongCompany { got: Some(got), .. } if got.as_ref() == other);
    assert!(wrong, "{error:?}");
    let row = room.row("acme").await;
    assert_eq!((row.candidate, row.consent_until), (None, None));
    let token = room.token("acme").await.unwrap();
    assert_eq!(token, old.access_token.expose());
}

#[tokio::test]
async fn a_pinned_company_is_held_to() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    let given = Consent {
        expected_company: Some(CompanyId::new("another")),
        ..consent(&room, "acme", &minted).await
    };
    let error = room.tokens.adopt(given).await.unwrap_err();
    assert!(matches!(error, ConsentError::WrongCompany { .. }));
    assert_eq!(room.state("acme").await, State::Pending);
}

#[tokio::test]
async fn a_company_that_another_tenant_has_is_refused() {
    let (bench, room) = Bench::with_room().await;
    for tenant in ["acme", "beta"] {
        let minted = bench.sandbox.mint(None, None);
        let given = consent(&room, tenant, &minted).await;
        let adopted = room.tokens.adopt(given).await;
        match tenant {
            "acme" => assert!(adopted.is_ok()),
            _ => assert!(
                matches!(adopted, Err(ConsentError::CompanyTaken(taken)) if taken == name("acme"))
            ),
        }
    }
    assert_eq!(room.row("beta").await.candidate, None);
}

#[tokio::test]
async fn while_pleo_does_not_say_whose_it_is_the_pair_is_kept_and_asked_about_again() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    bench.fault(&json!({"endpoint": "introspect", "kind": "status", "status": 503}));
    let given = consent(&room, "acme", &minted).await;
    let error = room.tokens.adopt(given).await.unwrap_err();
    assert!(matches!(error, ConsentError::Unverified), "{error:?}");
    assert!(room.row("acme").await.candidate.is_some());
    room.token("acme").await.unwrap_err();
    // The consent's own time has passed.
    bench.clock.pass(Duration::from_mins(2));
    room.keep();
    until("it is in use", async || {
        room.state("acme").await == State::Active
    })
    .await;
    let token = room.token("acme").await.unwrap();
    assert_eq!(token, minted.access_token.expose());
}

#[tokio::test]
async fn a_pair_that_pleo_is_silent_about_is_asked_about_seldom_and_holds_the_old_one_for_a_while()
{
    let (bench, room) = Bench::with_room().await;
    let old = room.connected(&bench, "acme").await;
    room.token("acme").await.unwrap();
    let minted = bench.sandbox.mint(None, None);
    bench.fault(&json!({"endpoint": "introspect", "kind": "status", "status": 503, "count": 99}));
    let given = consent(&room, "acme", &minted).await;
    room.tokens.adopt(given).await.unwrap_err();
    bench.clock.pass(Duration::from_mins(5));
    room.keep();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(room.token("acme").await.unwrap(), old.access_token.expose());
    bench.clock.pass(Duration::from_mins(8));
    until("the old pair is refreshed", async || {
        room.row("acme").await.generation.0 == 1
    })
    .await;
    assert!(
        room.row("acme").await.candidate.is_some(),
        "and the new one kept"
    );
}

#[tokio::test]
async fn a_pair_that_pleo_refuses_is_erased() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    bench.sandbox.revoke(minted.authorisation);
    let given = consent(&room, "acme", &minted).await;
    let error = room.tokens.adopt(given).await.unwrap_err();
    assert!(matches!(error, ConsentError::Unusable));
    assert_eq!(room.row("acme").await.candidate, None);
}

#[tokio::test]
async fn what_an_operator_ended_meanwhile_a_consent_does_not_bring_back() {
    let (bench, room) = Bench::with_acme().await;
    let minted = bench.sandbox.mint(None, None);
    let given = consent(&room, "acme", &minted).await;
    room.tokens.disconnect(&name("acme"), false).await.unwrap();
    room.tokens.adopt(given).await.unwrap_err();
    assert_eq!(room.state("acme").await, State::Disconnected);
}

#[tokio::test]
async fn an_acceptance_of_unknown_outcome_is_a_success() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    let given = consent(&room, "acme", &minted).await;
    // The offer, and then the acceptance.
    room.store
        .untold
        .store(2, std::sync::atomic::Ordering::SeqCst);
    room.tokens.adopt(given).await.unwrap();
    assert_eq!(room.state("acme").await, State::Active);
}

/// The access token of a consent's pair dies while nobody could ask whose it is: its refresh token lives on.
#[tokio::test]
async fn a_consent_s_pair_is_not_erased_because_its_access_token_died_of_age() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    bench.fault(&json!({"endpoint": "introspect", "kind": "status", "status": 503}));
    let given = consent(&room, "acme", &minted).await;
    room.tokens.adopt(given).await.unwrap_err();
    // As when the process was killed here, and started again after lunch.
    bench.clock.pass(minted.expires_in + Duration::from_mins(5));
    let token = room.token("acme").await.unwrap();
    assert_ne!(token, minted.access_token.expose(), "refreshed");
    let row = room.row("acme").await;
    assert_eq!((row.candidate, row.generation.0), (None, 1));
    assert_eq!(row.company.unwrap().as_ref(), minted.company_id);
}

/// Where a company is expected, nobody can say any more whose the pair is: it waits for a person.
#[tokio::test]
async fn a_consent_s_pair_that_cannot_be_compared_any_more_is_neither_used_nor_erased() {
    let (bench, room) = Bench::with_room().await;
    let old = room.connected(&bench, "acme").await;
    let minted = bench.sandbox.mint(None, None);
    bench.fault(&json!({"endpoint": "introspect", "kind": "status", "status": 503}));
    let given = consent(&room, "acme", &minted).await;
    room.tokens.adopt(given).await.unwrap_err();
    bench
        .clock
        .pass(minted.expires_in + Duration::from_mins(10));
    let token = room.token("acme").await.unwrap();
    assert_ne!(token, old.access_token.expose(), "the old pair, refreshed");
    let row = room.row("acme").await;
    assert!(row.candidate.is_some());
    assert_eq!((row.epoch.0, row.generation.0), (1, 1));
}

/// One refusal alone proves nothing about a pair that is seconds old (R5).
#[tokio::test]
async fn a_single_refusal_of_a_consent_s_pair_is_asked_about_again() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    bench.fault(&json!({"endpoint": "introspect", "kind": "status", "status": 401}));
    let given = consent(&room, "acme", &minted).await;
    room.tokens.adopt(given).await.unwrap();
    let token = room.token("acme").await.unwrap();
    assert_eq!(token, minted.access_token.expose());
}

/// A second consent that comes to nothing takes away nothing that the first one brought.
#[tokio::test]
async fn a_consent_that_came_to_nothing_leaves_the_pair_of_an_earlier_one() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    bench.fault(&json!({"endpoint": "introspect", "kind": "status", "status": 503}));
    let given = consent(&room, "acme", &minted).await;
    room.tokens.adopt(given).await.unwrap_err();
    bench.clock.pass(Duration::from_mins(2));
    let acme = name("acme");
    let open = room.tokens.begin_consent(&acme).await.unwrap();
    room.tokens.abandon_consent(&acme, open).await.unwrap();
    let token = room.token("acme").await.unwrap();
    assert_eq!(token, minted.access_token.expose());
}

#[tokio::test]
async fn a_consent_that_an_operator_overtook_says_so() {
    let (bench, room) = Bench::with_room().await;
    let given = consent(&room, "acme", &bench.sandbox.mint(None, None)).await;
    let other = bench.sandbox.mint(None, None);
    room.import("acme", &other, true).await;
    let error = room.tokens.adopt(given).await.unwrap_err();
    assert!(matches!(error, ConsentError::Overtaken), "{error:?}");
    assert_eq!(
        room.token("acme").await.unwrap(),
        other.access_token.expose()
    );
}
