//! What leaves us: the requests as Pleo sees them.

use std::future::ready;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::{LIMIT, Server, json, options, pleo_with, token};
use crate::clock::SystemClock;
use crate::model::scope::ScopeSet;
use crate::pleo::endpoints::ClientAuth;
use crate::pleo::failure::{ExchangeError, NoPairCause};
use crate::pleo::oauth::Pkce;
use crate::secret::Secret;

const PAIR: &str = r#"{"access_token":"a","refresh_token":"r"}"#;

/// Requirement 75.
#[tokio::test]
async fn basic_encodes_id_and_secret_and_repeats_neither() {
    let server = Server::run(json("200 OK", PAIR));
    let came = server.pleo().refresh(&token(), LIMIT, || ready(true)).await;
    assert_eq!(came.to_string(), "a new pair");
    let seen = server.seen();
    assert!(seen.starts_with("POST /oauth/token HTTP/1.1\r\n"), "{seen}");
    // base64("client+one:s3cret%2Bcanary")
    assert!(seen.contains("authorization: Basic Y2xpZW50K29uZTpzM2NyZXQlMkJjYW5hcnk=\r\n"));
    assert!(seen.contains("connection: close\r\n"));
    assert!(seen.contains("content-type: application/x-www-form-urlencoded\r\n"));
    let body = seen.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(
        body,
        "grant_type=refresh_token&refresh_token=refresh-canary"
    );
}

#[tokio::test]
async fn post_puts_the_client_into_the_body_only() {
    let server = Server::run(json("200 OK", PAIR));
    let mut options = options(&server.base);
    options.client_auth = ClientAuth::Post;
    let pleo = pleo_with(options, Arc::new(SystemClock));
    pleo.refresh(&token(), LIMIT, || ready(true)).await;
    let seen = server.seen();
    assert!(!seen.to_lowercase().contains("authorization:"));
    assert!(seen.contains("client_id=client+one&client_secret=s3cret%2Bcanary"));
}

/// Requirements 84, 88 and 90: the verifier and the configured redirect URI, and a code sent once.
#[tokio::test]
async fn a_code_is_exchanged_with_its_verifier_and_the_same_redirect_uri() {
    let server = Server::run(json("200 OK", PAIR));
    let pkce = Pkce::make();
    let code = Secret::new("c o&de");
    server.pleo().exchange(&code, &pkce.verifier).await.unwrap();
    let verifier = pkce.verifier.expose();
    assert_eq!(
        server.seen().split_once("\r\n\r\n").unwrap().1,
        format!(
            "grant_type=authorization_code&code=c+o%26de&code_verifier={verifier}\
             &redirect_uri=https%3A%2F%2Fgateway.example.com%2Foauth%2Fcallback"
        )
    );
}

#[tokio::test]
async fn a_failed_exchange_says_why_and_nothing_else() {
    for (status, body, expected) in [
        (
            "400 Bad Request",
            r#"{"error":"invalid_grant"}"#,
            "Pleo refused the code (invalid_grant)",
        ),
        (
            "401 Unauthorized",
            r#"{"error":"invalid_client"}"#,
            "Pleo refused the OAuth client (invalid_client)",
        ),
        ("429 Too Many Requests", "canary", "Pleo refused for now"),
        ("502 Bad Gateway", "canary", "Pleo gave no tokens"),
    ] {
        let server = Server::run(json(status, body));
        let failed = server
            .pleo()
            .exchange(&Secret::new("canary"), &token())
            .await;
        let failed: ExchangeError = failed.unwrap_err();
        assert_eq!(failed.to_string(), expected);
        assert!(!format!("{failed:?}").contains("canary"));
    }
    let server = Server::run(json("200 OK", "{}"));
    let failed = server.pleo().exchange(&Secret::new("c"), &token()).await;
    assert!(matches!(
        failed,
        Err(ExchangeError::NoPair(NoPairCause::Unreadable))
    ));
}

/// Requirements 84 and 88.
#[test]
fn the_authorise_url_says_what_pleo_requires() {
    let pleo = pleo_with(options("http://127.0.0.1:1"), Arc::new(SystemClock));
    let pkce = Pkce::make();
    assert_eq!(pkce.verifier.expose().len(), 43);
    let scopes = ScopeSet::parse("users:read export-jobs:read").unwrap();
    let url = pleo.authorize_url(&scopes, &Secret::new("the-state"), &pkce);
    assert_eq!(url.path(), "/oauth/authorize");
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let value = |name: &str| {
        let mut values = query.iter().filter(|(key, _)| key == name);
        let (_, value) = values.next().expect(name);
        assert!(values.next().is_none(), "{name} once");
        value.as_str()
    };
    assert_eq!(value("response_type"), "code");
    assert_eq!(value("client_id"), "client one");
    assert_eq!(
        value("redirect_uri"),
        "https://gateway.example.com/oauth/callback"
    );
    assert_eq!(value("scope"), "export-jobs:read users:read");
    assert_eq!(value("state"), "the-state");
    assert_eq!(value("code_challenge_method"), "S256");
    let digested = digest(&SHA256, pkce.verifier.expose().as_bytes());
    assert_eq!(
        value("code_challenge"),
        BASE64_URL_SAFE_NO_PAD.encode(digested)
    );
    assert_ne!(
        pkce.verifier,
        Pkce::make().verifier,
        "each attempt has its own"
    );
    assert!(!url.as_str().contains(pkce.verifier.expose()));
}
