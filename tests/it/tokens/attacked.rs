//! Faults that a reviewer found: each test fails until its fault is mended.

use pleo_gateway::secret::Secret;

use super::bench::{Bench, name};

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
