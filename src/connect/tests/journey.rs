//! The journey that ends well, and what survives one that does not.

use http::header::LOCATION;
use http::{Method, StatusCode};
use url::Url;

use super::{HOUR, House, PAIR, company_of};
use crate::model::ids::TenantName;

#[tokio::test]
async fn a_consent_ends_with_a_connection_in_use() {
    let house = House::new().await;
    house.says((200, PAIR), company_of("c-1"));
    let link = house.link(HOUR).await;
    let done = house.consent(&link).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    for shown in [
        "acme",
        "is connected",
        "c-1",
        "Read users",
        "not granted",
        "Change export jobs",
    ] {
        assert!(done.text.contains(shown), "{shown}");
    }
    assert_eq!(house.company("acme").await.unwrap().as_ref(), "c-1");
    assert_eq!(house.asked("POST /oauth/token"), 1);
    let used = house.get(&link).await;
    assert_eq!(used.status, StatusCode::GONE);
    assert!(used.text.contains("link-used"));
}

#[tokio::test]
async fn the_browser_is_sent_to_pleo_with_state_and_challenge() {
    let house = House::new().await;
    let link = house.link(HOUR).await;
    let off = house
        .ask(Method::POST, &link, &[("sec-fetch-site", "same-origin")])
        .await;
    let target = Url::parse(off.head[LOCATION].to_str().unwrap()).unwrap();
    assert_eq!(target.path(), "/oauth/authorize");
    let names: Vec<_> = target
        .query_pairs()
        .map(|(name, _)| name.into_owned())
        .collect();
    for name in [
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
    ] {
        assert!(names.iter().any(|it| it == name), "{name}");
    }
    let cookie = off.head["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-pleo-connect="), "{cookie}");
    assert!(cookie.ends_with("; Secure"), "{cookie}");
}

#[tokio::test]
async fn looking_at_a_link_spends_nothing() {
    let house = House::new().await;
    house.says((200, PAIR), company_of("c-1"));
    let link = house.link(HOUR).await;
    for method in [Method::HEAD, Method::GET, Method::GET] {
        let seen = house.ask(method.clone(), &link, &[]).await;
        assert_eq!(seen.status, StatusCode::OK);
        assert_eq!(seen.text.is_empty(), method == Method::HEAD);
    }
    assert_eq!(house.consent(&link).await.status, StatusCode::OK);
}

/// Requirement 90: after a lost answer the journey begins anew; its code is not sent again.
#[tokio::test]
async fn a_link_survives_every_failure() {
    let house = House::new().await;
    let link = house.link(HOUR).await;
    let mut exchanges = 0;
    for (token, reference) in [
        ((400, r#"{"error":"invalid_grant"}"#), "code-refused"),
        ((401, r#"{"error":"invalid_client"}"#), "client-refused"),
        ((429, "canary"), "pleo-away"),
        ((503, "canary"), "answer-lost"),
        ((200, r#"{"access_token":"canary"}"#), "unusable"),
    ] {
        house.says(token, company_of("c-1"));
        let (cookie, state) = house.set_out(&link).await;
        let answer = format!("code=the-code&state={state}");
        let failed = house.come_back(&cookie, &answer).await;
        house.come_back(&cookie, &answer).await;
        exchanges += 1;
        assert_eq!(house.asked("POST /oauth/token"), exchanges);
        assert!(
            failed.text.contains(reference),
            "{reference}: {}",
            failed.text
        );
        assert!(failed.text.contains("What to do next"));
    }
    house.says((200, PAIR), company_of("c-1"));
    assert_eq!(house.consent(&link).await.status, StatusCode::OK);
}

/// Requirement 86: the tenant is that of the visit, whatever the callback says.
#[tokio::test]
async fn two_tabs_of_one_browser_can_be_under_way_at_once() {
    let house = House::new().await;
    house.says((200, PAIR), company_of("c-1"));
    let (one, other) = (
        house.link(HOUR).await,
        house.link_for("beta", HOUR).await.unwrap(),
    );
    let (cookie, first) = house.set_out(&one).await;
    let second = house
        .ask(Method::POST, &other, &[("cookie", &cookie)])
        .await;
    let kept = second.head["set-cookie"].to_str().unwrap();
    assert!(kept.starts_with(&cookie));
    let misled = format!("code=c&tenant=beta&state={first}");
    let done = house.come_back(&cookie, &misled).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(house.company("acme").await.unwrap().as_ref(), "c-1");
    assert_eq!(house.company("beta").await, None);
}

#[tokio::test]
async fn another_company_than_the_pinned_one_is_refused_and_the_link_stays_good() {
    let house = House::pinned(Some("c-1"), "https://gateway.example.com").await;
    house.says((200, PAIR), company_of("c-2"));
    let link = house.link(HOUR).await;
    let failed = house.consent(&link).await;
    assert_eq!(failed.status, StatusCode::CONFLICT);
    assert!(failed.text.contains("wrong-company"), "{}", failed.text);
    assert_eq!(house.company("acme").await, None);
    house.says((200, PAIR), company_of("c-1"));
    assert_eq!(house.consent(&link).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_company_of_another_tenant_is_refused_without_naming_it() {
    let house = House::new().await;
    house.says((200, PAIR), company_of("c-1"));
    let secret_name = house.link_for("hidden-tenant", HOUR).await.unwrap();
    assert_eq!(house.consent(&secret_name).await.status, StatusCode::OK);
    let failed = house.consent(&house.link(HOUR).await).await;
    assert!(failed.text.contains("company-taken"), "{}", failed.text);
    assert!(!failed.text.contains("hidden-tenant"));
}

#[tokio::test]
async fn what_pleo_does_not_confirm_is_kept_and_said_to_be_unfinished() {
    let house = House::new().await;
    house.says((200, PAIR), (503, String::new()));
    let kept = house.consent(&house.link(HOUR).await).await;
    assert!(kept.text.contains("unverified"), "{}", kept.text);
    let tenant = TenantName::parse("acme").unwrap();
    let row = house.store.read(&tenant).await.unwrap().row.unwrap();
    assert!(row.candidate.is_some(), "stored, and not served");
}
