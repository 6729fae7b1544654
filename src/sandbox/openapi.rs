//! `GET /openapi.json`: the sandbox's API as an `OpenAPI` document, made from the catalogue.

use http::Method;
use serde_json::{Map, Value, json};

use super::keys::all_scopes;
use crate::model::catalogue::{Operation, builtin};
use crate::model::scope::Scope;

/// The document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for operation in &builtin().operations {
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        methods[operation.method.as_str().to_ascii_lowercase()] = described(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sandbox of pleo-gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A stand-in for Pleo's API. Made from the gateway's catalogue; not a document of Pleo's.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "oauth": {"type": "oauth2", "flows": {"authorizationCode": {
                    "authorizationUrl": "/oauth/authorize",
                    "tokenUrl": "/oauth/token",
                    "refreshUrl": "/oauth/token",
                    "scopes": scopes(),
                }}},
                "apiKey": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The key is the user name, the password is empty.",
                },
            },
            "schemas": {"Error": {
                "type": "object",
                "required": ["type"],
                "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
            }},
        },
    })
}

fn scopes() -> Value {
    (all_scopes().iter())
        .map(|scope| (scope.to_string(), json!("")))
        .collect::<Map<_, _>>()
        .into()
}

fn described(operation: &Operation) -> Value {
    let needed: Vec<&str> = operation.scopes.iter().map(Scope::as_str).collect();
    let mut shown = json!({
        "operationId": operation.operation_id,
        "tags": [operation.api],
        "parameters": parameters(operation.path),
        "security": [{"oauth": needed}, {"apiKey": []}],
        "responses": responses(operation),
    });
    if operation.flags.deprecated {
        shown["deprecated"] = true.into();
    }
    if operation.method == Method::POST || operation.method == Method::PUT {
        let any = json!({"content": {"application/json": {"schema": {}}}});
        shown["requestBody"] = any;
    }
    shown
}

fn parameters(path: &str) -> Value {
    path.split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect()
}

fn responses(operation: &Operation) -> Value {
    let error = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}});
    let mut shown = Map::new();
    for status in &operation.responses {
        let described = status.canonical_reason().unwrap_or("");
        let content = if status.is_success() {
            json!({})
        } else {
            error.clone()
        };
        shown.insert(
            status.as_str().to_owned(),
            json!({"description": described, "content": content}),
        );
    }
    for (status, described) in [
        ("401", "No credential that works"),
        ("403", "Beyond the scopes"),
    ] {
        let refused = json!({"description": described, "content": error});
        shown.entry(status).or_insert(refused);
    }
    if !shown.keys().any(|status| status.starts_with('2')) {
        shown.insert("default".to_owned(), json!({"description": "The answer"}));
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_described() {
        let document = document();
        let described: usize = (document["paths"].as_object().unwrap().values())
            .map(|methods| methods.as_object().unwrap().len())
            .sum();
        assert_eq!(described, builtin().operations.len());
        let archive = &document["paths"]["/v1/vendors/{id}:archive"]["post"];
        assert_eq!(archive["parameters"][0]["name"], "id");
        assert_eq!(archive["security"][0]["oauth"][0], "vendors:write");
    }
}
