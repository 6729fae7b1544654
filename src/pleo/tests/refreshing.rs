//! What a refresh makes of each thing that can come back (design.md R4).

use std::future::ready;
use std::time::Duration;

use tokio::net::TcpSocket;

use super::{LIMIT, Script, Server, answer, json, options, pleo_with, token};
use crate::clock::SystemClock;
use crate::pleo::failure::{NoPairCause, OAuthCode, Refreshed};
use crate::pleo::wire::{LostCause, NotSentCause};
use crate::secret::Secret;

const PAIR: &str = r#"{"access_token":"access-canary","refresh_token":"next-canary",
    "token_type":"bearer","expires_in":900,"scope":"users:read"}"#;

async fn refresh(script: Script) -> Refreshed {
    let server = Server::run(script);
    let came = server.pleo().refresh(&token(), LIMIT, || ready(true)).await;
    for text in [format!("{came:?}"), came.to_string()] {
        assert!(!text.contains("canary"), "{text}");
        assert!(!text.contains("html"), "{text}");
    }
    came
}

async fn no_pair(script: Script) -> NoPairCause {
    match refresh(script).await {
        Refreshed::NoPair(cause) => cause,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_good_answer_is_a_pair() {
    for status in ["200 OK", "201 Created"] {
        let Refreshed::Pair(pair) = refresh(json(status, PAIR)).await else {
            panic!("no pair");
        };
        assert_eq!(pair.access, Secret::new("access-canary"));
        assert_eq!(pair.refresh, Some(Secret::new("next-canary")));
        assert_eq!(pair.life, Some(Duration::from_mins(15)));
        assert_eq!(pair.scopes.unwrap().to_string(), "users:read");
    }
}

#[tokio::test]
async fn a_pair_is_read_whatever_the_framing_and_the_content_type() {
    let plain = answer("200 OK", "Content-Type: text/plain\r\n", PAIR);
    let mut ended_by_close = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    ended_by_close.extend_from_slice(PAIR.as_bytes());
    let size = PAIR.len();
    let chunked = format!(
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{PAIR}\r\n0\r\n\r\n"
    );
    for bytes in [plain, ended_by_close, chunked.into_bytes()] {
        let came = refresh(Script::Say(bytes)).await;
        assert!(matches!(came, Refreshed::Pair(_)), "{came}");
    }
}

#[tokio::test]
async fn only_the_three_words_on_400_and_401_reject_a_refresh_token() {
    for status in ["400 Bad Request", "401 Unauthorized"] {
        for (word, code) in [
            ("invalid_grant", OAuthCode::InvalidGrant),
            ("invalid_token", OAuthCode::InvalidToken),
            ("invalid_refresh_token", OAuthCode::InvalidRefreshToken),
        ] {
            let body = format!(r#"{{"error":"{word}","error_description":"canary"}}"#);
            let came = refresh(json(status, &body)).await;
            assert!(
                matches!(came, Refreshed::Rejected(it) if it == code),
                "{came}"
            );
        }
    }
    let elsewhere = json("403 Forbidden", r#"{"error":"invalid_grant"}"#);
    assert_eq!(no_pair(elsewhere).await, NoPairCause::Status(403));
    let in_a_pair = json("200 OK", r#"{"error":"invalid_grant"}"#);
    assert_eq!(no_pair(in_a_pair).await, NoPairCause::Unreadable);
}

#[tokio::test]
async fn a_refused_client_is_nobodys_rejection() {
    for word in ["invalid_client", "unauthorized_client"] {
        let body = format!(r#"{{"error":"{word}"}}"#);
        let came = refresh(json("401 Unauthorized", &body)).await;
        assert!(
            matches!(came, Refreshed::ClientRejected(it) if it.as_str() == word),
            "{came}"
        );
    }
}

/// Requirement 75: redirects are answers without a pair, never followed.
#[tokio::test]
async fn answers_without_a_pair_prove_nothing() {
    for (status, code) in [
        ("301 Moved Permanently", 301),
        ("302 Found", 302),
        ("400 Bad Request", 400),
        ("401 Unauthorized", 401),
        ("404 Not Found", 404),
        ("500 Internal Server Error", 500),
        ("503 Service Unavailable", 503),
    ] {
        let page = answer(
            status,
            "Location: http://127.0.0.1:1/canary\r\nRetry-After: 5\r\n",
            "<html>canary</html>",
        );
        assert_eq!(no_pair(Script::Say(page)).await, NoPairCause::Status(code));
    }
    let other = json("400 Bad Request", r#"{"error":"invalid_request"}"#);
    assert_eq!(no_pair(other).await, NoPairCause::Status(400));
}

#[tokio::test]
async fn a_200_that_cannot_be_read_is_no_pair() {
    for body in [
        "",
        "<html>canary</html>",
        r#"{"access_token":"canary","refresh_token":"#,
        r#"{"access_token":"canary","access_token":"canary2"}"#,
    ] {
        assert_eq!(no_pair(json("200 OK", body)).await, NoPairCause::Unreadable);
    }
}

#[tokio::test]
async fn a_429_is_a_refusal_for_now_with_its_time() {
    let later = {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(300);
        jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&at)
            .unwrap()
    };
    for (header, low, high) in [
        ("Retry-After: 7\r\n".to_owned(), 7, 7),
        (format!("Retry-After: {later}\r\n"), 200, 300),
        ("Retry-After: 99999999\r\n".to_owned(), 3600, 3600),
        (
            "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(),
            0,
            0,
        ),
    ] {
        let came = refresh(Script::Say(answer("429 Too Many Requests", &header, "{}"))).await;
        let Refreshed::RefusedForNow {
            retry_after: Some(wait),
        } = came
        else {
            panic!("{came:?}");
        };
        assert!((low..=high).contains(&wait.as_secs()), "{header} {wait:?}");
    }
    for header in ["", "Retry-After: soon\r\n", "Retry-After: -1\r\n"] {
        let came = refresh(Script::Say(answer("429 Too Many Requests", header, ""))).await;
        assert!(
            matches!(came, Refreshed::RefusedForNow { retry_after: None }),
            "{came:?}"
        );
    }
}

#[tokio::test]
async fn what_ends_after_sending_is_unanswered_or_cut_off() {
    let lost = |cause| NoPairCause::Lost(cause);
    assert_eq!(no_pair(Script::Reset).await, lost(LostCause::Unanswered));
    for (said, cause) in [
        ("", LostCause::Unanswered),
        ("HTTP/1.1 200 O", LostCause::Unanswered),
        ("no HTTP at all\r\n\r\n", LostCause::Unanswered),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"access_token\":",
            LostCause::CutOff,
        ),
    ] {
        let script = Script::Say(said.as_bytes().to_vec());
        assert_eq!(no_pair(script).await, lost(cause), "{said}");
    }
}

/// Requirement 102.
#[tokio::test]
async fn an_endless_answer_is_given_up() {
    let huge = " ".repeat(5 * 1024 * 1024);
    let came = no_pair(json("200 OK", &huge)).await;
    assert_eq!(came, NoPairCause::Lost(LostCause::TooLarge));
}

#[tokio::test]
async fn a_refused_link_is_not_sent() {
    // Nobody listens, and nobody else gets the port.
    let bound = TcpSocket::new_v4().unwrap();
    bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base = format!("http://{}", bound.local_addr().unwrap());
    let pleo = pleo_with(options(&base), std::sync::Arc::new(SystemClock));
    let came = pleo.refresh(&token(), LIMIT, || ready(true)).await;
    assert!(
        matches!(came, Refreshed::NotSent(NotSentCause::Dial(_))),
        "{came}"
    );
}
