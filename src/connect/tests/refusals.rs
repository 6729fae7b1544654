//! Everything that is refused before a code is used (requirements 85 to 91).

use std::time::Duration;

use http::{Method, StatusCode};

use super::{HOUR, House, PAIR, company_of};

const STATE: &str = "0123456789012345678901234567890123456789abc";

async fn ready() -> (House, String) {
    let house = House::new().await;
    house.says((200, PAIR), company_of("c-1"));
    let link = house.link(HOUR).await;
    (house, link)
}

#[tokio::test]
async fn an_unknown_an_expired_and_a_broken_link_say_so() {
    let (house, link) = ready().await;
    let expired = house.link(Duration::ZERO).await;
    for (target, status, reference) in [
        (format!("/connect/{STATE}"), 404, "link-unknown"),
        (link[..link.len() - 1].to_owned(), 404, "link-unknown"),
        (expired, 410, "link-expired"),
        ("/".to_owned(), 404, "nothing-here"),
        ("/connect".to_owned(), 404, "nothing-here"),
    ] {
        for method in [Method::GET, Method::POST] {
            let seen = house.ask(method, &target, &[]).await;
            assert_eq!(seen.status.as_u16(), status, "{target}");
            assert!(seen.text.contains(reference), "{target}");
        }
    }
    let refused = house.ask(Method::DELETE, &link, &[]).await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.head["allow"], "GET, HEAD, POST");
}

/// Requirement 94.
#[tokio::test]
async fn another_site_cannot_press_the_button() {
    let (house, link) = ready().await;
    for headers in [
        [("origin", "https://evil.example"), ("accept", "*/*")],
        [("origin", "null"), ("sec-fetch-site", "cross-site")],
        [("origin", "null"), ("sec-fetch-site", "same-site")],
    ] {
        let seen = house.ask(Method::POST, &link, &headers).await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN, "{headers:?}");
        assert!(!seen.head.contains_key("set-cookie"));
    }
    let own = [
        ("origin", "https://gateway.example.com"),
        ("sec-fetch-site", "same-origin"),
    ];
    let seen = house.ask(Method::POST, &link, &own).await;
    assert_eq!(seen.status, StatusCode::SEE_OTHER);
}

/// Requirements 85 and 90: neither a `state` nor a code is used again.
#[tokio::test]
async fn a_state_is_good_once() {
    let (house, link) = ready().await;
    let (cookie, state) = house.set_out(&link).await;
    let query = format!("code=c&state={state}");
    assert_eq!(
        house.come_back(&cookie, &query).await.status,
        StatusCode::OK
    );
    let again = house.come_back(&cookie, &query).await;
    assert!(again.text.contains("state-unknown"), "{}", again.text);
    let foreign = house
        .come_back(&cookie, &format!("code=c&state={STATE}"))
        .await;
    assert!(foreign.text.contains("state-unknown"));
    assert_eq!(house.asked("/oauth/token"), 1);
}

/// Requirement 85.
#[tokio::test]
async fn another_browser_cannot_finish_what_this_one_began() {
    let (house, link) = ready().await;
    for cookie in [
        "",
        "__Host-pleo-connect=",
        &format!("__Host-pleo-connect={STATE}"),
    ] {
        let (_, state) = house.set_out(&link).await;
        let seen = house
            .come_back(cookie, &format!("code=c&state={state}"))
            .await;
        assert!(seen.text.contains("other-browser"), "{cookie}");
    }
    assert_eq!(house.asked("/oauth/token"), 0);
}

/// Requirement 89.
#[tokio::test]
async fn an_answer_that_pleo_would_not_send_is_not_used_and_spends_nothing() {
    let (house, link) = ready().await;
    let (cookie, state) = house.set_out(&link).await;
    for query in [
        String::new(),
        format!("state={state}"),
        format!("code=a&code=b&state={state}"),
        format!("code=a&state={state}&state={state}"),
        format!("code=a&error=access_denied&state={state}"),
        "code=a".to_owned(),
    ] {
        let seen = house.come_back(&cookie, &query).await;
        assert!(seen.text.contains("answer-unreadable"), "{query}");
        assert_eq!(seen.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(house.asked("/oauth/token"), 0);
    let good = house
        .come_back(&cookie, &format!("code=a&state={state}"))
        .await;
    assert_eq!(good.status, StatusCode::OK);
}

/// Requirements 87 and 89.
#[tokio::test]
async fn errors_of_pleo_and_a_foreign_issuer_have_pages_and_no_token_call() {
    let (house, link) = ready().await;
    for (rest, reference) in [
        ("error=access_denied", "declined"),
        ("error=server_error&error_description=evil", "pleo-failed"),
        ("error=%3Cscript%3Eevil", "pleo-failed"),
        ("code=c&iss=https%3A%2F%2Fevil.example", "other-issuer"),
    ] {
        let (cookie, state) = house.set_out(&link).await;
        let seen = house
            .come_back(&cookie, &format!("{rest}&state={state}"))
            .await;
        assert!(seen.text.contains(reference), "{rest}");
        assert!(!seen.text.contains("evil"), "{rest}");
    }
    assert_eq!(house.asked("/oauth/token"), 0);
    let (cookie, state) = house.set_out(&link).await;
    let good = house
        .come_back(&cookie, &format!("code=c&iss=pleo.test&state={state}"))
        .await;
    assert_eq!(good.status, StatusCode::OK);
}

#[tokio::test]
async fn the_callback_answers_get_only() {
    let (house, link) = ready().await;
    let (cookie, state) = house.set_out(&link).await;
    let target = format!("/oauth/callback?code=c&state={state}");
    for method in [Method::HEAD, Method::POST] {
        let seen = house.ask(method, &target, &[("cookie", &cookie)]).await;
        assert_eq!(seen.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(seen.head["allow"], "GET");
    }
    let good = house
        .come_back(&cookie, &format!("code=c&state={state}"))
        .await;
    assert_eq!(good.status, StatusCode::OK, "nothing was spent by them");
}
