//! The API's door: credential, limit, operation, scopes, company; then `entities` makes the answer.

use std::collections::BTreeSet;

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer::Answer;
use super::entities;
use super::grants::Ended;
use super::keys::{Principal, principal};
use super::options::CLIENT_ID;
use super::router::Call;
use super::server::Sandbox;
use super::state::{Company, Payer};
use crate::clock::Timestamp;
use crate::model::catalogue::Operation;

/// A call that is let in.
pub(super) struct Visit<'a> {
    pub(super) operation: &'static Operation,
    /// The path's parameters in order.
    pub(super) ids: Vec<&'a str>,
    pub(super) company: &'a Company,
    pub(super) seed: u64,
    /// The query's parameters in order, decoded.
    pub(super) query: Vec<(String, String)>,
    /// The body, if it is JSON; null if there is none.
    pub(super) body: Value,
}

/// Answers a call.
pub(super) fn answer(sandbox: &Sandbox, call: &Call, now: Timestamp) -> Answer {
    let principal = match enter(sandbox, call, now) {
        Ok(principal) => principal,
        Err(answer) => return answer,
    };
    let visit = match admit(sandbox, call, &principal) {
        Ok(visit) => visit,
        Err(answer) => return answer,
    };
    match visit.operation.operation_id {
        "introspect" => introspect(&principal),
        "deleteClientInstallation" => uninstall(sandbox, &principal),
        _ => entities::answer(&visit),
    }
}

/// The credential and the limit.
fn enter(sandbox: &Sandbox, call: &Call, now: Timestamp) -> Result<Principal, Answer> {
    let mut state = sandbox.state();
    if call.uri.path() == "/v1/introspect" {
        state.counters.introspections += 1;
    } else {
        state.counters.api_calls += 1;
    }
    let Some(principal) = principal(&state, &sandbox.companies, &call.headers, now) else {
        state.counters.unauthorised += 1;
        return Err(unauthorised());
    };
    match state.spend(principal.payer.clone(), now) {
        Ok(()) => Ok(principal),
        Err(wait) => {
            let mut answer = Answer::api_error(
                StatusCode::TOO_MANY_REQUESTS,
                "RATE_LIMITED",
                "too many requests this minute",
            );
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            answer.headers.push((RETRY_AFTER, seconds));
            Err(answer)
        }
    }
}

/// The operation, its scopes and the company.
fn admit<'a>(
    sandbox: &'a Sandbox,
    call: &'a Call,
    principal: &Principal,
) -> Result<Visit<'a>, Answer> {
    let Some((operation, ids)) = sandbox.routes.find(&call.method, call.uri.path()) else {
        sandbox.state().counters.unknown_routes += 1;
        return Err(unknown(&sandbox.routes.methods(call.uri.path())));
    };
    let forbidden = |problem: &str| {
        sandbox.state().counters.forbidden += 1;
        Answer::api_error(StatusCode::FORBIDDEN, "ACCESS_DENIED", problem)
    };
    if !operation.scopes.is_covered_by(&principal.scopes) {
        let missing = operation.scopes.missing_from(&principal.scopes);
        return Err(forbidden(&format!("missing scope: {missing}")));
    }
    let company = (sandbox.companies.iter())
        .find(|company| company.id == principal.company_id)
        .ok_or_else(|| forbidden("this company is gone"))?;
    let query: Vec<(String, String)> =
        form_urlencoded::parse(call.uri.query().unwrap_or("").as_bytes())
            .into_owned()
            .collect();
    let body = body(call)?;
    if !is_own_company(company, &query, &body) {
        return Err(forbidden("this credential is for another company"));
    }
    let named = query.iter().any(|(name, _)| name == "company_id");
    if operation.flags.company_required && !named {
        return Err(invalid("company_id is missing"));
    }
    Ok(Visit {
        operation,
        ids,
        company,
        seed: sandbox.options.seed,
        query,
        body,
    })
}

/// No operation, or one of another method.
fn unknown(methods: &BTreeSet<&str>) -> Answer {
    if methods.is_empty() {
        let problem = "there is no such operation";
        return Answer::api_error(StatusCode::NOT_FOUND, "NOT_FOUND", problem);
    }
    let methods: Vec<&str> = methods.iter().copied().collect();
    let methods = methods.join(", ");
    let problem = format!("here it is: {methods}");
    let mut answer = Answer::api_error(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        &problem,
    );
    let allowed = HeaderValue::from_str(&methods).ok();
    answer
        .headers
        .extend(allowed.map(|allowed| (ALLOW, allowed)));
    answer
}

/// `400` for what the query says.
pub(super) fn invalid(problem: &str) -> Answer {
    Answer::api_error(
        StatusCode::BAD_REQUEST,
        "PARAMETER_VALIDATION_FAILED",
        problem,
    )
}

fn unauthorised() -> Answer {
    let problem = "the credential is missing, wrong or expired";
    Answer::api_error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", problem)
        .with(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")
}

/// A body that is kept only in part is not looked at.
fn body(call: &Call) -> Result<Value, Answer> {
    if call.body.is_empty() || call.body_cut {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&call.body).map_err(|_| {
        let problem = "the body is not JSON";
        Answer::api_error(StatusCode::BAD_REQUEST, "JSON_MAPPING_EXCEPTION", problem)
    })
}

fn is_own_company(company: &Company, query: &[(String, String)], body: &Value) -> bool {
    let in_query = query.iter().all(|(name, value)| match name.as_str() {
        "company_id" | "companyId" => *value == company.id,
        "organization_id" => *value == company.organisation_id,
        _ => true,
    });
    in_query && body["companyId"].as_str().is_none_or(|id| id == company.id)
}

fn introspect(principal: &Principal) -> Answer {
    let oauth = matches!(principal.payer, Payer::Authorisation(_));
    let (method, client) = if oauth {
        ("OAUTH2", Some(CLIENT_ID))
    } else {
        ("API_KEY", None)
    };
    let shown = json!({"data": {
        "authMethod": method,
        "clientId": client,
        "applicationName": "Sandbox",
        "scope": principal.scopes.to_string(),
        "subjectURN": format!("urn:pleo:company:{}", principal.company_id),
    }});
    Answer::json(StatusCode::OK, &shown)
}

fn uninstall(sandbox: &Sandbox, principal: &Principal) -> Answer {
    if let Payer::Authorisation(id) = principal.payer {
        sandbox.state().grants.end(id, Ended::Uninstalled);
    }
    Answer::empty(StatusCode::NO_CONTENT)
}
