//! `/_sandbox/`: what a test or a person orders from the sandbox itself. Pleo has nothing like it.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::Answer;
use super::faults::Fault;
use super::grants::{Ended, Minted};
use super::json::Span;
use super::keys::all_scopes;
use super::router::Call;
use super::server::Sandbox;
use super::token::pair;
use crate::clock::Timestamp;
use crate::model::scope::ScopeSet;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    /// A company's id or name.
    company: Option<String>,
    scopes: Option<Words>,
    access_ttl: Option<Span>,
}

/// Scopes as a list, or separated by blanks.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    List(ScopeSet),
    Text(String),
}

/// Answers a call.
pub(super) fn answer(sandbox: &Sandbox, call: &Call, now: Timestamp) -> Answer {
    let path = call.uri.path().trim_start_matches("/_sandbox/");
    let outcome = match (&call.method, path) {
        (&Method::GET, "state") => Ok(sandbox.state().show(now)),
        (&Method::GET, "companies") => Ok(companies(sandbox)),
        (&Method::POST, "faults") => read::<Fault>(call).and_then(|fault| order(sandbox, fault)),
        (&Method::DELETE, "faults") => {
            sandbox.state().faults.call_off();
            Ok(json!({}))
        }
        (&Method::POST, "authorisations") => {
            match read(call).and_then(|order| mint_ordered(sandbox, order)) {
                Ok(minted) => return made(&minted),
                Err(problem) => Err(problem),
            }
        }
        (&Method::DELETE, path) if let Some(id) = path.strip_prefix("authorisations/") => {
            revoke(sandbox, id)
        }
        (&Method::POST, "reset") => {
            sandbox.reset();
            Ok(json!({}))
        }
        _ => Err((
            StatusCode::NOT_FOUND,
            "there is no such thing here".to_owned(),
        )),
    };
    match outcome {
        Ok(value) => Answer::json(StatusCode::OK, &value),
        Err((status, problem)) => Answer::api_error(status, "SANDBOX", &problem),
    }
}

/// A new authorisation, without a customer.
pub(super) fn mint(
    sandbox: &Sandbox,
    company_id: Option<String>,
    scopes: Option<ScopeSet>,
    access_ttl: Option<Span>,
) -> Minted {
    let company_id = company_id.unwrap_or_else(|| {
        (sandbox.companies.first()).map_or_else(String::new, |company| company.id.clone())
    });
    let scopes = scopes.unwrap_or_else(|| all_scopes().clone());
    let (now, ttl) = (sandbox.now(), access_ttl.map(|span| span.0));
    sandbox.state().grants.mint(company_id, scopes, ttl, now)
}

type Outcome<T> = Result<T, (StatusCode, String)>;

fn read<T: DeserializeOwned>(call: &Call) -> Outcome<T> {
    let body: &[u8] = if call.body.is_empty() {
        b"{}"
    } else {
        &call.body
    };
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn bad(problem: &str) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, problem.to_owned())
}

fn order(sandbox: &Sandbox, fault: Fault) -> Outcome<Value> {
    let mut state = sandbox.state();
    state.faults.order(fault).map_err(bad)?;
    Ok(json!({"waiting": state.faults.waiting()}))
}

fn mint_ordered(sandbox: &Sandbox, order: Order) -> Outcome<Minted> {
    let company_id = match order.company {
        Some(wanted) => Some(
            (sandbox.companies.iter())
                .find(|company| company.id == wanted || company.name == wanted)
                .map(|company| company.id.clone())
                .ok_or_else(|| bad("no such company; GET /_sandbox/companies lists them"))?,
        ),
        None => None,
    };
    let scopes = match order.scopes {
        Some(Words::List(scopes)) => Some(scopes),
        Some(Words::Text(text)) => Some(ScopeSet::parse(&text).map_err(|_| bad("not a scope"))?),
        None => None,
    };
    Ok(mint(sandbox, company_id, scopes, order.access_ttl))
}

/// In the shape that `connections import` takes, and where it can be ended.
fn made(minted: &Minted) -> Answer {
    let mut shown = pair(minted);
    shown["company_id"] = minted.company_id.clone().into();
    let place = format!("/_sandbox/authorisations/{}", minted.authorisation);
    Answer::json(StatusCode::OK, &shown).made_at(&place)
}

fn revoke(sandbox: &Sandbox, id: &str) -> Outcome<Value> {
    let ended = id
        .parse()
        .is_ok_and(|id| sandbox.state().grants.end(id, Ended::Revoked));
    if ended {
        Ok(json!({}))
    } else {
        Err((
            StatusCode::NOT_FOUND,
            "no living authorisation of that id".to_owned(),
        ))
    }
}

fn companies(sandbox: &Sandbox) -> Value {
    (sandbox.companies.iter())
        .map(|company| json!({"id": company.id, "name": company.name}))
        .collect()
}
