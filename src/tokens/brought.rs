//! A pair as operators bring it: JSON on standard input, on a line of a file, or in a request's body (contract.md section 4,
//! `import`). What is done with it is in `operate`.

use std::time::Duration;

use serde::Deserialize;

use super::operate::Bundle;
use super::pair::LONGEST_LIFE;
use crate::model::ids::CompanyId;
use crate::model::scope::ScopeSet;
use crate::pleo::answer::{fits_a_header, life};
use crate::secret::Secret;

/// More than any pair needs, in bytes.
pub const LONGEST: usize = 1 << 20;

/// The shape of contract.md section 4. Other members are somebody's mistake, and said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    tenant: Option<String>,
    access_token: Option<Secret>,
    refresh_token: Secret,
    #[serde(default)]
    expires_in: serde_json::Value,
    scope: Option<String>,
    company_id: Option<CompanyId>,
    #[serde(rename = "token_type")]
    _token_type: Option<String>,
}

/// What was brought, and for whom if it says so.
#[derive(Debug)]
pub struct Brought {
    /// The tenant that it names.
    pub tenant: Option<String>,
    /// The pair.
    pub bundle: Bundle,
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    /// An access token is one word, since it is sent in a header.
    #[error(
        "`access_token` holds a blank, a line break or another character that no header can bear"
    )]
    Access,
    /// RFC 6749 appendix A.17.
    #[error(
        "`refresh_token` is empty, or holds a line break or another character that no token has"
    )]
    Refresh,
}

impl Bundle {
    /// Refuses what could never be sent; a life that makes no sense counts as not said, as in Pleo's own answers.
    pub(super) fn checked(mut self) -> Result<Self, NotAToken> {
        if !self.access.as_ref().is_none_or(fits_a_header) {
            return Err(NotAToken::Access);
        }
        let refresh = self.refresh.expose();
        if refresh.is_empty() || !refresh.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(NotAToken::Refresh);
        }
        let makes_sense = |life: &Duration| !life.is_zero() && *life <= LONGEST_LIFE;
        self.expires_in = self.expires_in.filter(makes_sense);
        Ok(self)
    }
}

/// Reads one object. The parser's own words could hold a piece of a token: only where it stumbled is told.
pub fn parse(text: &str) -> Result<Brought, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| told(&error))?;
    let scopes = line.scope.as_deref().map(ScopeSet::parse).transpose();
    let scopes = scopes.map_err(|error| format!("`scope`: {error}"))?;
    Ok(Brought {
        tenant: line.tenant,
        bundle: Bundle {
            access: line.access_token.filter(|token| !token.is_empty()),
            refresh: line.refresh_token,
            expires_in: life(&line.expires_in),
            scopes,
            company: line.company_id,
        },
    })
}

fn told(error: &serde_json::Error) -> String {
    let shape = r#"{"access_token","refresh_token","expires_in","scope","company_id"}"#;
    match error.classify() {
        serde_json::error::Category::Data => {
            format!("not the shape {shape}, at column {}", error.column())
        }
        _ => format!(
            "not JSON, at column {}: it should be {shape}",
            error.column()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_refresh_token_is_required() {
        assert!(parse(r#"{"refresh_token":"r"}"#).is_ok());
        assert!(parse(r#"{"access_token":"a"}"#).is_err());
    }

    #[test]
    fn what_could_never_be_sent_is_refused_and_a_senseless_life_is_not_believed() {
        let checked = |text: &str| parse(text).unwrap().bundle.checked();
        for access in ["a b", "a\\n", "\u{e9}"] {
            let text = format!(r#"{{"access_token":"{access}","refresh_token":"r"}}"#);
            assert_eq!(checked(&text).unwrap_err(), NotAToken::Access, "{text}");
        }
        for refresh in ["", "r\\n", "r\\u0000"] {
            let text = format!(r#"{{"refresh_token":"{refresh}"}}"#);
            assert_eq!(checked(&text).unwrap_err(), NotAToken::Refresh, "{text}");
        }
        for (said, life) in [
            ("900", Some(900)),
            ("\"900\"", Some(900)),
            ("900.0", Some(900)),
            ("null", None),
            ("0", None),
            ("18446744073709551615", None),
        ] {
            let text = format!(r#"{{"refresh_token":"r","expires_in":{said}}}"#);
            let life = life.map(Duration::from_secs);
            assert_eq!(checked(&text).unwrap().expires_in, life, "{said}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_never_repeated() {
        for text in [
            r#"{"refresh_token":"canary","x":1}"#,
            r#"{"refresh_token":{"canary":1}}"#,
            r#"{"canary"#,
        ] {
            let words = parse(text).err().unwrap();
            assert!(!words.contains("canary"), "{words}");
        }
    }
}
