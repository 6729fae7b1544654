//! The token endpoint and the introspection beside it (pleo.md sections 3 to 5). The rules of tokens are in `grants`.

use http::StatusCode;
use http::header::{CACHE_CONTROL, PRAGMA};
use serde_json::{Value, json};

use super::answer::Answer;
use super::client::{Form, Refused, authenticate, invalid_request};
use super::codes::Offer;
use super::counters::Rule;
use super::grants::{Ended, Minted, Refusal};
use super::options::CLIENT_ID;
use super::router::Call;
use super::seed::sha256;
use super::state::State;
use crate::clock::Timestamp;

/// `POST /oauth/token`.
pub(super) fn token(state: &mut State, call: &Call, now: Timestamp) -> Answer {
    state.counters.token_calls += 1;
    match grant(state, call, now) {
        Ok(minted) => Answer::json(StatusCode::OK, &pair(&minted))
            .with(CACHE_CONTROL, "no-store")
            .with(PRAGMA, "no-cache"),
        Err((rule, answer)) => {
            if let Some(rule) = rule {
                state.broke(rule);
            }
            answer
        }
    }
}

/// The refresh token of a request that is at the token endpoint, if that is what it brings.
pub(super) fn refresh_token_of(call: &Call) -> Option<String> {
    let form = Form::parse(&call.body).ok()?;
    form.get("refresh_token").map(str::to_owned)
}

/// A pair as the token endpoint writes it.
pub(super) fn pair(minted: &Minted) -> Value {
    json!({
        "access_token": minted.access_token.expose(),
        "refresh_token": minted.refresh_token.expose(),
        "expires_in": minted.expires_in.as_secs(),
        "token_type": "Bearer",
        "scope": minted.scopes.to_string(),
    })
}

/// `POST /oauth/token/introspect`: for the client that obtained the token.
pub(super) fn introspect(state: &mut State, call: &Call, now: Timestamp) -> Answer {
    state.counters.introspections += 1;
    match introspected(state, call, now) {
        Ok(value) => Answer::json(StatusCode::OK, &value).with(CACHE_CONTROL, "no-store"),
        Err((rule, answer)) => {
            state.broke(rule);
            answer
        }
    }
}

fn grant(state: &mut State, call: &Call, now: Timestamp) -> Result<Minted, (Option<Rule>, Answer)> {
    let form = identified(call).map_err(broken)?;
    let outcome = match form.need("grant_type").map_err(broken)? {
        "authorization_code" => {
            let code = form.need("code").map_err(broken)?;
            let redirect_uri = form.need("redirect_uri").map_err(broken)?;
            let verifier = form.get("code_verifier").ok_or_else(|| {
                broken(invalid_request(
                    Rule::PkceMissing,
                    "code_verifier is missing",
                ))
            })?;
            let offer = Offer {
                code,
                redirect_uri,
                verifier,
            };
            let minted = state.grants.exchange(offer, now);
            state.counters.exchanges += u64::from(minted.is_ok());
            minted
        }
        "refresh_token" => {
            let refresh = form.need("refresh_token").map_err(broken)?;
            let minted = state.grants.refresh(refresh, now);
            state.counters.refreshes += u64::from(minted.is_ok());
            minted
        }
        _ => return Err(broken(unsupported_grant())),
    };
    outcome.map_err(refused)
}

fn identified(call: &Call) -> Result<Form, Refused> {
    let form = Form::posted(&call.headers, call.uri.query(), &call.body)?;
    authenticate(&call.headers, &form)?;
    Ok(form)
}

fn broken((rule, answer): Refused) -> (Option<Rule>, Answer) {
    (Some(rule), answer)
}

fn unsupported_grant() -> Refused {
    let problem = "authorization_code or refresh_token";
    let status = StatusCode::BAD_REQUEST;
    let answer = Answer::oauth_error(status, "unsupported_grant_type", problem);
    (Rule::UnsupportedFlow, answer)
}

fn refused(refusal: Refusal) -> (Option<Rule>, Answer) {
    let (rule, problem) = match refusal {
        Refusal::Broken(rule) => (Some(rule), told(rule)),
        Refusal::Ended(why) => (None, told_end(why)),
    };
    let answer = Answer::oauth_error(StatusCode::BAD_REQUEST, "invalid_grant", problem);
    (rule, answer)
}

fn told(rule: Rule) -> &'static str {
    match rule {
        Rule::CodeUnknown => "this code was never issued",
        Rule::CodeReused => "this code was used before; its authorisation has ended",
        Rule::CodeExpired => "this code is too old",
        Rule::BadRedirect => "redirect_uri differs from the one of the authorise request",
        Rule::PkceWrong => "code_verifier does not fit",
        Rule::RefreshTokenReplayed => "this token was replaced; its authorisation has ended",
        Rule::RefreshTokenExpired => "this token has expired; its authorisation has ended",
        Rule::RefreshAfterRejection => "this token was refused before",
        _ => "this token was never issued",
    }
}

fn told_end(why: Ended) -> &'static str {
    match why {
        Ended::RefreshTokenReplayed => "the authorisation ended: a replaced token was presented",
        Ended::RefreshTokenExpired => "the authorisation ended: an expired token was presented",
        Ended::CodeReused => "the authorisation ended: its code was presented again",
        Ended::Uninstalled => "the authorisation ended: the app was uninstalled",
        Ended::Revoked => "the authorisation ended: the customer revoked it",
    }
}

fn introspected(state: &State, call: &Call, now: Timestamp) -> Result<Value, Refused> {
    let form = identified(call)?;
    let token = form.need("token")?;
    let Some(alive) = state.grants.either(token, now) else {
        return Ok(json!({"active": false}));
    };
    let company = &alive.authorisation.company_id;
    Ok(json!({
        "active": true,
        "sub": company,
        "client_id": CLIENT_ID,
        "scope": alive.authorisation.scopes.to_string(),
        "token_type": "at+JWT",
        "aud": "https://external.pleo.io",
        "iss": "pleo.sandbox",
        "iat": alive.issued.0 / 1_000_000,
        "exp": alive.expires.0 / 1_000_000,
        "jti": sha256(token).challenge(),
        "urn:pleo:params:oauth:subject_urn": format!("urn:pleo:company:{company}"),
    }))
}
