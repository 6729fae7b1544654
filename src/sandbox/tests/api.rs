//! Credentials, limits, scopes and answers of the API.

use super::*;
use crate::model::catalogue::{Operation, builtin};
use crate::model::scope::ScopeSet;

#[tokio::test]
async fn the_api_checks_credential_scopes_company_and_route() {
    let client = Client::start(Options::default()).await;
    let scopes = ScopeSet::parse("vendors:read export-jobs:read users:read").unwrap();
    let pair = client.running.mint(None, Some(scopes));
    let access = pair.access_token.expose();
    let vendor = "/v1/vendors/0c9d3f2e-1111-4222-8333-444455556666";
    let found = client.get(vendor, access).await;
    assert_eq!(found.status, 200);
    assert_eq!(
        found.body,
        client.get(vendor, access).await.body,
        "always the same"
    );
    let bearer = bearer(access);
    let archive = client
        .send(&format!("POST {vendor}:archive"), &[&bearer], "")
        .await;
    assert_eq!(
        (archive.status, archive.field("type").as_str()),
        (403, "ACCESS_DENIED")
    );
    assert_eq!(
        client
            .get("/v2/employees?companyId=other", access)
            .await
            .status,
        403
    );
    assert_eq!(client.get("/v1/cards", access).await.status, 404);
    let other = client.send("PATCH /v1/vendors/7", &[&bearer], "{}").await;
    assert_eq!((other.status, other.header("allow")), (405, "GET, PUT"));
    let introspect = client.send("POST /v1/introspect", &[&bearer], "").await;
    assert_eq!(
        (introspect.status, introspect.header("allow")),
        (405, "GET")
    );
    let search = client
        .send("POST /v1/vendors:search", &[&bearer], "{}")
        .await;
    assert_eq!(search.status, 400, "it has to name the company");
    let dead = client.get(vendor, "sandbox_access_wrong").await;
    assert_eq!(dead.status, 401);
    assert_eq!(
        dead.header("www-authenticate"),
        "Bearer error=\"invalid_token\""
    );
    let page = client.get("/v3/export-jobs?limit=7", access).await.json();
    assert_eq!(page["data"].as_array().unwrap().len(), 7);
    assert_eq!(page["pagination"]["hasNextPage"], true);
}

#[tokio::test]
async fn an_entity_of_a_list_is_found_by_its_id() {
    let (client, pair) = Client::with_pair().await;
    let access = pair.access_token.expose();
    let page = client.get("/v3/export-jobs?limit=1", access).await.json();
    let path = format!(
        "/v3/export-jobs/{}",
        page["data"][0]["id"].as_str().unwrap()
    );
    assert_eq!(
        client.get(&path, access).await.json()["data"],
        page["data"][0]
    );
}

#[tokio::test]
async fn what_is_written_comes_back_with_an_id_and_its_place() {
    let (client, pair) = Client::with_pair().await;
    let bearer = bearer(pair.access_token.expose());
    let group = "0c9d3f2e-1111-4222-8333-444455556666";
    let line = format!("POST /v0/tag-groups/{group}/tags");
    let made = client
        .send(&line, &[&bearer], r#"{"name":"North","id":"mine"}"#)
        .await
        .json();
    let made = &made["data"];
    assert_eq!(
        (made["name"].as_str(), made["groupId"].as_str()),
        (Some("North"), Some(group))
    );
    assert!(![group, "mine"].contains(&made["id"].as_str().unwrap()));
    let line = format!("PUT /v0/tags/{group}");
    let kept = client
        .send(&line, &[&bearer], r#"{"archived":true}"#)
        .await
        .json();
    assert_eq!(
        (&kept["data"]["id"], &kept["data"]["archived"]),
        (&json!(group), &json!(true))
    );
    let odd = client.send(&line, &[&bearer], "{").await;
    assert_eq!(
        (odd.status, odd.field("type").as_str()),
        (400, "JSON_MAPPING_EXCEPTION")
    );
}

#[tokio::test]
async fn an_api_key_is_a_user_name_with_an_empty_password() {
    let client = Client::start(Options::default()).await;
    let ask = |pair: &str| {
        let header = basic(pair);
        let client = &client;
        async move { client.send("GET /v1/introspect", &[&header], "").await }
    };
    let known = ask("sandbox-standalone-key:").await;
    assert_eq!(known.json()["data"]["authMethod"], "API_KEY");
    assert!(known.body.contains(&client.running.company_ids()[1]));
    assert_eq!(ask("sandbox-standalone-key").await.status, 401);
    assert_eq!(ask("sandbox-standalone-key:x").await.status, 401);
    assert_eq!(
        client.introspect(INTEGRATED_KEY).await.status,
        401,
        "no bearer"
    );
}

#[tokio::test]
async fn the_limit_counts_per_authorisation() {
    let options = Options {
        requests_per_minute: Some(2),
        ..Options::default()
    };
    let client = Client::start(options).await;
    let (one, other) = (
        client.running.mint(None, None),
        client.running.mint(None, None),
    );
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.introspect(one.access_token.expose()).await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    let refused = client.introspect(one.access_token.expose()).await;
    assert!(refused.header("retry-after").parse::<u64>().is_ok());
    assert_eq!(
        client.introspect(other.access_token.expose()).await.status,
        200
    );
}

#[tokio::test]
async fn uninstalling_ends_the_authorisation() {
    let (client, pair) = Client::with_pair().await;
    let bearer = bearer(pair.access_token.expose());
    let gone = client
        .send("DELETE /v1/installations/me", &[&bearer], "")
        .await;
    assert_eq!(gone.status, 204);
    assert_eq!(client.refresh(&pair).await.unwrap().status, 400);
    assert_eq!(
        client.running.state()["authorisations"][0]["ended_because"],
        "uninstalled"
    );
    assert!(client.broken().is_empty(), "nobody knew");
}

#[tokio::test]
async fn every_operation_has_a_plausible_answer() {
    let client = Client::start(Options {
        requests_per_minute: None,
        ..Options::default()
    })
    .await;
    let company = client.running.company_ids().remove(0);
    for operation in &builtin().operations {
        let pair = client.running.mint(None, None);
        let (line, body) = sound(operation, &company);
        let bearer = bearer(pair.access_token.expose());
        let reply = client.send(&line, &[&bearer], &body).await;
        assert!((200..300).contains(&reply.status), "{line}: {}", reply.body);
        let listed = operation
            .responses
            .iter()
            .filter(|status| status.is_success());
        let listed: Vec<u16> = listed.map(http::StatusCode::as_u16).collect();
        assert!(
            listed.is_empty() || listed.contains(&reply.status),
            "{line}: {}",
            reply.status
        );
        assert!(
            reply.status == 204 || reply.json()["data"] != Value::Null,
            "{line}"
        );
    }
}

/// A sound request of an operation: its first line and its body.
fn sound(operation: &Operation, company: &str) -> (String, String) {
    let pieces = operation
        .path
        .split('/')
        .map(|part| match part.split_once('}') {
            Some((_, suffix)) => format!("{company}{suffix}"),
            None => part.to_owned(),
        });
    let path = pieces.collect::<Vec<_>>().join("/");
    let body = match operation.operation_id {
        "createAccountsBatchV1" => json!([{"name": "Travel"}]).to_string(),
        _ if operation.method == "GET" || operation.method == "DELETE" => String::new(),
        _ => json!({"companyId": company}).to_string(),
    };
    let query = if operation.flags.company_required {
        format!("?company_id={company}")
    } else {
        String::new()
    };
    (format!("{} {path}{query}", operation.method), body)
}
