//! What every page promises to a browser.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use url::Url;

use super::{HOUR, House, PAIR, company_of};
use crate::connect::pages::Pages;

/// Requirement 91.
#[tokio::test]
async fn every_page_is_uncached_unframed_and_tells_no_address() {
    let house = House::new().await;
    let link = house.link(HOUR).await;
    for (method, target) in [
        (Method::GET, link.as_str()),
        (Method::POST, link.as_str()),
        (Method::GET, "/connect/x"),
        (Method::GET, "/oauth/callback"),
    ] {
        let seen = house.ask(method, target, &[]).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(seen.head[name], value, "{target}");
        }
        let policy = seen.head["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

/// Requirement 91.
#[tokio::test]
async fn no_parameter_leads_the_browser_elsewhere() {
    let house = House::new().await;
    house.says((200, PAIR), company_of("c-1"));
    let elsewhere =
        "next=https://evil.example&redirect_uri=https://evil.example/&return_to=//evil.example";
    let link = format!("{}?{elsewhere}", house.link(HOUR).await);
    let shown = house.get(&link).await;
    assert!(!shown.text.contains("evil"), "{}", shown.text);
    let off = house.ask(Method::POST, &link, &[("origin", "null")]).await;
    let target = off.head["location"].to_str().unwrap();
    assert!(target.starts_with("http://127.0.0.1:"), "{target}");
    assert!(!target.contains("evil"), "{target}");
    let (cookie, state) = house.set_out(&link).await;
    let query = format!("code=c&state={state}&{elsewhere}");
    let done = house.come_back(&cookie, &query).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert!(!done.head.contains_key("location") && !done.text.contains("evil"));
}

#[tokio::test]
async fn the_links_page_shows_what_it_is_for_and_may_lead_to_pleo() {
    let house = House::new().await;
    let link = house.link(HOUR).await;
    let seen = house.get(&link).await;
    for shown in [
        "lang=\"en\"",
        "acme",
        "custom",
        "127.0.0.1",
        "Read users",
        "export-jobs:write",
        "method=\"post\"",
    ] {
        assert!(seen.text.contains(shown), "{shown}");
    }
    assert!(!seen.text.contains(link.strip_prefix("/connect/").unwrap()));
    let policy = seen.head["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("form-action 'self' http://127.0.0.1:"),
        "{policy}"
    );
}

#[tokio::test]
async fn the_style_is_the_one_that_the_policy_allows() {
    let house = House::new().await;
    let seen = house.get("/connect/x").await;
    let style = seen
        .text
        .split("<style>")
        .nth(1)
        .unwrap()
        .split("</style>")
        .next()
        .unwrap();
    let hash = BASE64_STANDARD.encode(digest(&SHA256, style.as_bytes()));
    let policy = seen.head["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains(&format!("style-src 'sha256-{hash}'")),
        "{policy}"
    );
}

#[tokio::test]
async fn over_http_on_loopback_the_cookie_is_plain() {
    let house = House::pinned(None, "http://127.0.0.1:8081").await;
    let link = house.link(HOUR).await;
    let off = house
        .ask(Method::POST, &link, &[("origin", "http://127.0.0.1:8081")])
        .await;
    let cookie = off.head["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("pleo-connect="), "{cookie}");
    assert!(!cookie.contains("Secure"), "{cookie}");
}

#[test]
fn pleos_own_hosts_may_pass_the_browser_among_them() {
    let pleo = Url::parse("https://auth.pleo.io/oauth/authorize").unwrap();
    let pages = format!("{:?}", Arc::new(Pages::new(&pleo).unwrap()));
    assert!(
        pages.contains("form-action 'self' https://auth.pleo.io https://*.pleo.io;"),
        "{pages}"
    );
    let other = Url::parse("https://evilpleo.io/").unwrap();
    let pages = format!("{:?}", Pages::new(&other).unwrap());
    assert!(
        pages.contains("form-action 'self' https://evilpleo.io;"),
        "{pages}"
    );
}
