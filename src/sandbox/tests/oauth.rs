//! Consent, exchange and refresh.

use super::*;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "http://127.0.0.1:8081/oauth/callback";

fn authorize_query() -> String {
    format!(
        "response_type=code&client_id=sandbox&redirect_uri={CALLBACK}&scope=vendors:read%20users:read\
         &state=s1&code_challenge={CHALLENGE}&code_challenge_method=S256"
    )
}

async fn decide(client: &Client, decision: &str) -> url::Url {
    let company = &client.running.company_ids()[1];
    let form = format!(
        "{}&company={company}&decision={decision}",
        authorize_query()
    );
    let sent_on = client.send("POST /oauth/authorize", &[FORM], &form).await;
    assert_eq!(sent_on.status, 303);
    url::Url::parse(sent_on.header("location")).unwrap()
}

fn parameter(url: &url::Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn a_customer_consents_and_the_code_buys_one_pair() {
    let client = Client::start(Options::default()).await;
    let page = client
        .send(
            &format!("GET /oauth/authorize?{}", authorize_query()),
            &[],
            "",
        )
        .await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("vendors:read") && page.body.contains("value=\"approve\""));
    let back = decide(&client, "approve").await;
    assert_eq!(parameter(&back, "state").as_deref(), Some("s1"));
    let exchange = format!(
        "grant_type=authorization_code&code={}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}",
        parameter(&back, "code").unwrap()
    );
    let bought = client.token(&exchange).await.unwrap();
    assert_eq!(
        (bought.status, bought.json()["expires_in"].as_u64()),
        (200, Some(900))
    );
    let access = bought.field("access_token");
    let who = client.introspect(&access).await.json();
    let subject = format!("urn:pleo:company:{}", client.running.company_ids()[1]);
    assert_eq!(who["data"]["subjectURN"], subject);
    assert_eq!(who["data"]["scope"], "users:read vendors:read");
    assert!(client.broken().is_empty());

    let again = client.token(&exchange).await.unwrap();
    assert_eq!(
        (again.status, again.field("error").as_str()),
        (400, "invalid_grant")
    );
    assert_eq!(
        client.introspect(&access).await.status,
        401,
        "its pair died"
    );
    assert_eq!(client.broken(), ["code_reused"]);
}

#[tokio::test]
async fn a_customer_who_denies_is_sent_back_with_the_state() {
    let client = Client::start(Options::default()).await;
    let back = decide(&client, "deny").await;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&back, "state").as_deref(), Some("s1"));
    assert_eq!(parameter(&back, "code"), None);
}

#[tokio::test]
async fn an_unsound_authorise_request_is_told_or_sent_back() {
    let client = Client::start(Options::default()).await;
    let ask = |from: &'static str, to: &'static str| {
        let query = authorize_query().replace(from, to);
        let client = &client;
        async move {
            client
                .send(&format!("GET /oauth/authorize?{query}"), &[], "")
                .await
        }
    };
    assert_eq!(
        ask("8081/oauth/callback", "8081/elsewhere").await.status,
        400
    );
    assert_eq!(
        ask("client_id=sandbox", "client_id=other").await.status,
        400
    );
    for (from, to, error) in [
        ("S256", "plain", "invalid_request"),
        ("&state=s1", "", "invalid_request"),
        ("vendors:read", "vendors:eat", "invalid_scope"),
        ("=code&", "=token&", "unsupported_response_type"),
    ] {
        let reply = ask(from, to).await;
        assert_eq!(reply.status, 303, "{to}");
        let location = reply.header("location");
        assert!(location.contains(&format!("error={error}")), "{location}");
    }
    let rules = [
        "bad_client",
        "bad_redirect",
        "pkce_missing",
        "state_missing",
    ];
    assert!(
        rules
            .iter()
            .all(|rule| client.broken().iter().any(|broken| broken == rule))
    );
}

#[tokio::test]
async fn a_refresh_replaces_both_tokens_and_a_replay_ends_everything() {
    let client = Client::start(Options::default()).await;
    let first = client.running.mint(None, None);
    let second = client.refresh(&first).await.unwrap();
    assert_eq!(second.status, 200);
    let access = second.field("access_token");
    assert_eq!(
        client.introspect(first.access_token.expose()).await.status,
        401
    );
    assert_eq!(client.introspect(&access).await.status, 200);
    let replayed = client.refresh(&first).await.unwrap();
    assert_eq!(
        (replayed.status, replayed.field("error").as_str()),
        (400, "invalid_grant")
    );
    assert_eq!(client.introspect(&access).await.status, 401);
    let state = client.running.state();
    assert_eq!(
        state["authorisations"][0]["ended_because"],
        "refresh_token_replayed"
    );
    assert_eq!(state["authorisations"][0]["refresh_calls"], 2);
    assert_eq!(state["refresh_token_presented_twice"], 1);
    let shown = state.to_string();
    assert!(!shown.contains(&access) && !shown.contains(first.refresh_token.expose()));
}

#[tokio::test]
async fn a_wrong_client_is_refused_and_harms_nothing() {
    let (client, pair) = Client::with_pair().await;
    let form = format!(
        "grant_type=refresh_token&refresh_token={}&client_id=sandbox&client_secret=wrong",
        pair.refresh_token.expose()
    );
    let refused = client.send("POST /oauth/token", &[FORM], &form).await;
    assert_eq!(
        (refused.status, refused.field("error").as_str()),
        (401, "invalid_client")
    );
    assert_eq!(client.refresh(&pair).await.unwrap().status, 200);
}

#[tokio::test]
async fn introspection_tells_the_client_about_either_token() {
    let (client, pair) = Client::with_pair().await;
    for (token, active) in [
        (pair.access_token.expose(), true),
        (pair.refresh_token.expose(), true),
        ("made-up", false),
    ] {
        let form = format!("token={token}");
        let line = "POST /oauth/token/introspect";
        let told = client
            .send(line, &[&basic("sandbox:sandbox-secret"), FORM], &form)
            .await
            .json();
        assert_eq!(told["active"], active);
        assert_eq!(
            told["sub"].as_str(),
            active.then_some(pair.company_id.as_str())
        );
    }
    let form = format!("token={}", pair.access_token.expose());
    let stranger = client
        .send("POST /oauth/token/introspect", &[FORM], &form)
        .await;
    assert_eq!(stranger.status, 401);
}
