//! `GET /openapi.json`: what this door answers, for programs. Not here: the sandbox's own, which describes Pleo's API.

use serde_json::{Map, Value, json};

/// One thing that is done to a connection.
struct OfTenant {
    method: &'static str,
    /// What follows `/v1/connections/{tenant}`.
    path: &'static str,
    about: &'static str,
    /// The schema of what is sent.
    body: Option<&'static str>,
    /// What the query may hold.
    flags: &'static [&'static str],
}

const fn plain(method: &'static str, path: &'static str, about: &'static str) -> OfTenant {
    OfTenant {
        method,
        path,
        about,
        body: None,
        flags: &[],
    }
}

const OF_TENANT: [OfTenant; 8] = [
    plain("get", "", "One connection"),
    plain("get", "/history", "Its ledger, oldest first"),
    plain("post", "/refresh", "Force one refresh"),
    plain("post", "/verify", "Ask Pleo who we are, and compare"),
    OfTenant {
        flags: &["uninstall"],
        ..plain("post", "/disconnect", "Erase the tokens")
    },
    OfTenant {
        flags: &["expires_in", "allow_shared_company"],
        ..plain("post", "/link", "Make a link for a person who may consent")
    },
    OfTenant {
        body: Some("Pair"),
        flags: &["replace", "verify", "allow_shared_company"],
        ..plain("post", "/import", "Take a pair")
    },
    OfTenant {
        body: Some("Key"),
        flags: &["replace", "allow_shared_company"],
        ..plain("put", "/key", "Take an API key")
    },
];

/// The document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for (path, about) in [
        ("/livez", "The process answers"),
        ("/readyz", "It can serve; `?verbose` shows each check"),
        ("/startupz", "Every door is open"),
        ("/metrics", "OpenMetrics"),
    ] {
        let mut shown = operation(about, "text/plain", &json!({"type": "string"}));
        shown["security"] = json!([]);
        paths.insert(path.to_owned(), json!({ "get": shown }));
    }
    let reload = operation(
        "Read the configuration again",
        "text/plain",
        &json!({"type": "string"}),
    );
    paths.insert("/-/reload".to_owned(), json!({ "post": reload }));
    let this = operation(
        "This document",
        "application/json",
        &json!({"type": "object"}),
    );
    paths.insert("/openapi.json".to_owned(), json!({ "get": this }));
    let list = operation(
        "Every connection",
        "application/json",
        &named("Connections"),
    );
    paths.insert("/v1/connections".to_owned(), json!({ "get": list }));
    for OfTenant {
        method,
        path,
        about,
        body,
        flags,
    } in OF_TENANT
    {
        let answer = match path {
            "/history" => json!({"type": "array", "items": named("LedgerLine")}),
            "/link" => named("Link"),
            _ => named("Connection"),
        };
        let mut shown = operation(about, "application/json", &answer);
        shown["parameters"] = parameters(flags);
        if let Some(body) = body {
            let content = json!({"application/json": {"schema": named(body)}});
            shown["requestBody"] = json!({"required": true, "content": content});
        }
        let path = format!("/v1/connections/{{tenant}}{path}");
        paths.entry(path).or_insert_with(|| json!({}))[method] = shown;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Operators' door of pleo-gateway",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
        },
    })
}

fn named(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// Whatever is not described succeeds with 200; what fails is a problem.
fn operation(about: &str, media: &str, answer: &Value) -> Value {
    let problem = json!({"application/problem+json": {"schema": named("Problem")}});
    json!({
        "summary": about,
        "responses": {
            "200": {"description": "Done", "content": {media: {"schema": answer}}},
            "default": {"description": "Not done", "content": problem},
        },
    })
}

fn parameters(flags: &[&str]) -> Value {
    let tenant = json!({"name": "tenant", "in": "path", "required": true,
        "schema": {"type": "string", "pattern": "^[a-z0-9-]{1,63}$"}});
    let flags = flags.iter().map(|name| {
        let kind = match *name {
            "expires_in" => "integer",
            _ => "boolean",
        };
        json!({"name": name, "in": "query", "schema": {"type": kind}})
    });
    std::iter::once(tenant).chain(flags).collect()
}

fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let number = || json!({"type": "integer"});
    let time = || json!({"type": ["string", "null"], "format": "date-time"});
    let optional = || json!({"type": ["string", "null"]});
    json!({
        "Connections": object(&json!({
            "connections": {"type": "array", "items": named("Connection")},
            "unreadable": {"type": "array", "items": object(&json!({"tenant": text(), "why": text()}))},
        })),
        "Connection": object(&json!({
            "tenant": text(),
            "state": {"enum": ["pending", "active", "refreshing", "uncertain", "reauthorization_required", "disconnected"]},
            "credential": {"enum": ["oauth", "integrated_key", "standalone_key"]},
            "company_id": optional(),
            "scopes": {"type": ["array", "null"], "items": text()},
            "generation": number(),
            "epoch": number(),
            "access_expires_at": time(),
            "refreshed_at": time(),
            "consented_at": time(),
            "reason": {"enum": [null, "revoked", "answer_lost", "restored", "key_rejected", "disconnected"]},
            "next_refresh_at": time(),
        })),
        "LedgerLine": object(&json!({
            "at": {"type": "string", "format": "date-time"},
            "epoch": number(),
            "generation": number(),
            "attempt": optional(),
            "replica": text(),
            "phase": text(),
            "outcome": optional(),
            "access_fingerprint": optional(),
            "refresh_fingerprint": optional(),
        })),
        "Link": object(&json!({
            "tenant": text(),
            "url": {"type": "string", "format": "uri"},
            "expires_at": {"type": "string", "format": "date-time"},
        })),
        "Pair": {
            "type": "object",
            "required": ["refresh_token"],
            "properties": {
                "access_token": text(), "refresh_token": text(), "expires_in": {}, "scope": text(), "company_id": text(),
            },
        },
        "Key": {
            "type": "object",
            "required": ["key"],
            "properties": {"key": text(), "kind": {"enum": ["integrated", "standalone"]}},
        },
        "Problem": object(&json!({
            "type": text(), "title": text(), "status": number(), "detail": text(),
        })),
    })
}

/// All of its members are there, always.
fn object(properties: &Value) -> Value {
    let required: Vec<&String> = properties
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .collect();
    json!({"type": "object", "required": required, "properties": properties})
}
