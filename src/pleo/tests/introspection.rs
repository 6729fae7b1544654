//! What "who am I" proves, and what it does not (design.md R5).

use super::{LIMIT, Script, Server, answer, json, token};
use crate::pleo::introspect::{AuthMethod, Credential, Probe, SilentCause, UninstallError};
use crate::secret::Secret;

const COMPANY: &str = r#"{"data":{"authMethod":"OAUTH2","clientId":"c","scope":"b a",
    "applicationName":"x","subjectURN":"urn:pleo:company:7f0e4c1a-0000-4000-8000-000000000001"}}"#;

async fn probe(script: Script) -> Probe {
    let server = Server::run(script);
    let probe = server
        .pleo()
        .who_am_i(Credential::Bearer(&token()), LIMIT)
        .await;
    assert!(!format!("{probe:?}").contains("canary"), "{probe:?}");
    probe
}

#[tokio::test]
async fn an_access_token_tells_company_and_scopes() {
    let server = Server::run(json("200 OK", COMPANY));
    let Probe::Accepted(identity) = server
        .pleo()
        .who_am_i(Credential::Bearer(&token()), LIMIT)
        .await
    else {
        panic!("not accepted");
    };
    assert_eq!(identity.method, AuthMethod::OAuth2);
    assert_eq!(identity.client_id.as_deref(), Some("c"));
    assert_eq!(identity.scopes.unwrap().to_string(), "a b");
    assert_eq!(
        identity.company.unwrap().as_ref(),
        "7f0e4c1a-0000-4000-8000-000000000001"
    );
    let seen = server.seen();
    assert!(
        seen.starts_with("GET /v1/introspect HTTP/1.1\r\n"),
        "{seen}"
    );
    assert!(seen.contains("authorization: Bearer refresh-canary\r\n"));
    assert!(seen.contains("cache-control: no-cache\r\n"));
}

#[tokio::test]
async fn a_key_is_sent_as_user_name_without_password() {
    let body = r#"{"data":{"authMethod":"API_KEY","subjectURN":"urn:pleo:organization:o"}}"#;
    let server = Server::run(json("200 OK", body));
    let key = Secret::new("k");
    let Probe::Accepted(identity) = server.pleo().who_am_i(Credential::Key(&key), LIMIT).await
    else {
        panic!("not accepted");
    };
    assert_eq!((identity.company, identity.scopes), (None, None));
    assert_eq!(identity.subject.as_deref(), Some("urn:pleo:organization:o"));
    assert!(server.seen().contains("authorization: Basic azo=\r\n"));
}

#[tokio::test]
async fn only_a_401_of_pleos_own_making_refuses() {
    let real = json("401 Unauthorized", r#"{"type":"UNAUTHORIZED"}"#);
    assert!(matches!(probe(real).await, Probe::Refused));
    assert!(matches!(
        probe(json("401 Unauthorized", "")).await,
        Probe::Refused
    ));
    let page = answer("401 Unauthorized", "Content-Type: Text/HTML\r\n", "<html>");
    let came = probe(Script::Say(page)).await;
    assert!(
        matches!(came, Probe::Silent(SilentCause::Status(401))),
        "{came:?}"
    );
    let cut = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\n{".to_vec();
    assert!(matches!(
        probe(Script::Say(cut)).await,
        Probe::Silent(SilentCause::Lost(_))
    ));
}

#[tokio::test]
async fn all_else_is_silence() {
    for status in [
        "204 No Content",
        "302 Found",
        "403 Forbidden",
        "404 Not Found",
        "429 Too Many",
        "500 X",
        "503 X",
    ] {
        let came = probe(json(status, "")).await;
        assert!(
            matches!(came, Probe::Silent(SilentCause::Status(_))),
            "{status} {came:?}"
        );
    }
    for body in [
        "",
        "<html>canary</html>",
        "{}",
        r#"{"data":{}}"#,
        r#"{"data":null}"#,
    ] {
        let came = probe(json("200 OK", body)).await;
        assert!(
            matches!(came, Probe::Silent(SilentCause::Unreadable)),
            "{body} {came:?}"
        );
    }
    for method in ["NONE", "API_KEY", "oauth2"] {
        let body = format!(r#"{{"data":{{"authMethod":"{method}"}}}}"#);
        let came = probe(json("200 OK", &body)).await;
        assert!(
            matches!(came, Probe::Silent(SilentCause::OtherMethod)),
            "{method} {came:?}"
        );
    }
    assert!(matches!(
        probe(Script::Reset).await,
        Probe::Silent(SilentCause::Lost(_))
    ));
}

#[tokio::test]
async fn what_a_cache_says_proves_nothing() {
    let stale = answer("200 OK", "Age: 3\r\n", COMPANY);
    assert!(matches!(
        probe(Script::Say(stale)).await,
        Probe::Silent(SilentCause::Cached)
    ));
    let fresh = answer("200 OK", "Age: 0\r\n", COMPANY);
    assert!(matches!(
        probe(Script::Say(fresh)).await,
        Probe::Accepted(_)
    ));
}

#[tokio::test]
async fn a_credential_that_no_header_can_hold_is_not_sent() {
    let server = Server::run(json("200 OK", COMPANY));
    let broken = Secret::new("canary\nx");
    let came = server
        .pleo()
        .who_am_i(Credential::Bearer(&broken), LIMIT)
        .await;
    assert!(
        matches!(came, Probe::Silent(SilentCause::NotSent(_))),
        "{came:?}"
    );
}

#[tokio::test]
async fn uninstalling_deletes_the_installation() {
    let server = Server::run(json("204 No Content", ""));
    server
        .pleo()
        .uninstall(Credential::Bearer(&token()), LIMIT)
        .await
        .unwrap();
    assert!(
        server
            .seen()
            .starts_with("DELETE /v1/installations/me HTTP/1.1\r\n")
    );
    let server = Server::run(json("403 Forbidden", ""));
    let said = server
        .pleo()
        .uninstall(Credential::Bearer(&token()), LIMIT)
        .await;
    assert!(matches!(said, Err(UninstallError::Status(403))));
}
