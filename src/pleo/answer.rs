//! Reads the token endpoint's answers (RFC 6749 section 5), strict about what a connection rests on and lenient about the
//! rest: a pair that Pleo has already rotated to must not be lost to a comma. What an answer means is not decided here
//! (`failure`).

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::model::scope::ScopeSet;
use crate::secret::Secret;

/// Longer than any token lives: a life beyond it is nonsense.
const LONGEST_LIFE: f64 = 366.0 * 24.0 * 3600.0;

/// What the token endpoint gave.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenAnswer {
    /// The new access token, fit to be put in a header.
    pub access: Secret,
    /// The new refresh token; `None` keeps the old one (RFC 6749 section 6).
    pub refresh: Option<Secret>,
    /// How long the access token lives, counted from when it was asked for; `None` if Pleo did not say, or nonsense.
    pub life: Option<Duration>,
    /// What was granted, if Pleo said.
    pub scopes: Option<ScopeSet>,
}

/// What must be right.
#[derive(Deserialize)]
struct Pair {
    access_token: Secret,
    refresh_token: Option<Secret>,
    token_type: Option<String>,
}

/// What may be missing or wrong. Read on its own, so that a fault here never costs the pair.
#[derive(Default, Deserialize)]
struct Terms {
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    scope: Value,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// The pair in a body; `None` if it cannot be read: not JSON, cut off, a name twice, no usable access token, or a type
/// other than Bearer.
pub(super) fn pair(body: &[u8]) -> Option<TokenAnswer> {
    let pair: Pair = serde_json::from_slice(body).ok()?;
    let is_bearer = |kind: &String| kind.eq_ignore_ascii_case("bearer");
    if !pair.token_type.as_ref().is_none_or(is_bearer) || !fits_a_header(&pair.access_token) {
        return None;
    }
    let terms: Terms = serde_json::from_slice(body).unwrap_or_default();
    Some(TokenAnswer {
        access: pair.access_token,
        refresh: pair.refresh_token.filter(|token| !token.is_empty()),
        life: life(&terms.expires_in),
        scopes: scopes(&terms.scope),
    })
}

/// The `error` of a refusal (RFC 6749 section 5.2), if there is one.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    Some(refusal.error)
}

/// One word of visible ASCII: wider than `b64token` (RFC 6750 section 2.1), since tokens are opaque.
pub(crate) fn fits_a_header(token: &Secret) -> bool {
    !token.is_empty() && token.expose().bytes().all(|byte| byte.is_ascii_graphic())
}

/// A life in seconds, in every form that makes sense; `None` for nonsense.
pub(crate) fn life(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (1.0..=LONGEST_LIFE)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds.floor()))
}

fn scopes(value: &Value) -> Option<ScopeSet> {
    ScopeSet::parse(value.as_str()?)
        .ok()
        .filter(|scopes| !scopes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life_of(json: &str) -> Option<u64> {
        let body = format!(r#"{{"access_token":"a","refresh_token":"r","expires_in":{json}}}"#);
        let answer = pair(body.as_bytes()).expect("the pair is never lost to its life");
        answer.life.map(|life| life.as_secs())
    }

    /// Requirement 103.
    #[test]
    fn a_life_is_read_in_every_form_that_makes_sense() {
        for good in ["900", "900.0", "9e2", "\"900\"", "\" 900.0 \""] {
            assert_eq!(life_of(good), Some(900), "{good}");
        }
        for bad in [
            "0",
            "-1",
            "0.5",
            "1e400",
            "1e99",
            "99999999999999999999999",
            "\"\"",
            "\"soon\"",
            "\"NaN\"",
            "\"inf\"",
            "null",
            "true",
            "[900]",
            "{}",
        ] {
            assert_eq!(life_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_answer_may_be_bare() {
        let bare = pair(br#"{"access_token":"a"}"#).unwrap();
        assert_eq!((bare.refresh, bare.life, bare.scopes), (None, None, None));
        let full = pair(
            br#"{"access_token":"a","token_type":"BEARER","refresh_token":"r","scope":"b a","x":1}"#,
        )
        .unwrap();
        assert_eq!(full.refresh, Some(Secret::new("r")));
        assert_eq!(full.scopes.unwrap().to_string(), "a b");
    }

    #[test]
    fn odd_scopes_and_an_empty_refresh_token_count_as_not_said() {
        for scope in ["\"\"", "3", "\"a \\\" b\"", "[\"a\"]"] {
            let body = format!(r#"{{"access_token":"a","refresh_token":"","scope":{scope}}}"#);
            let answer = pair(body.as_bytes()).unwrap();
            assert_eq!((answer.scopes, answer.refresh), (None, None), "{scope}");
        }
    }

    /// Requirement 92.
    #[test]
    fn what_is_no_pair_is_not_taken_for_one() {
        for bad in [
            "",
            "{",
            "null",
            "[]",
            "<html>",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":null,"refresh_token":"r"}"#,
            r#"{"access_token":"a b"}"#,
            r#"{"access_token":"a\n"}"#,
            r#"{"access_token":"a","token_type":"mac"}"#,
            r#"{"access_token":"a","access_token":"b"}"#,
            r#"{"access_token":"a","refresh_token":"r","refresh_token":"s"}"#,
            r#"{"access_token":"a","refresh_token":"r"#,
            r#"{"access_token":"a"}{"access_token":"b"}"#,
        ] {
            assert_eq!(pair(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn an_error_code_is_read_only_where_it_belongs() {
        assert_eq!(
            error_code(br#"{"error":"invalid_grant","error_description":"x"}"#).as_deref(),
            Some("invalid_grant")
        );
        for none in [
            r#"{"message":"invalid_grant"}"#,
            "invalid_grant",
            r#"{"error":{}}"#,
        ] {
            assert_eq!(error_code(none.as_bytes()), None, "{none}");
        }
    }
}
