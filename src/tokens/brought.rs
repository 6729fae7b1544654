//! A pair as operators bring it: JSON on standard input, as a line of a file, or as a request's body (contract.md section
//! 4, `import`). What is done with it is in `operate`.

use std::time::Duration;

use serde::Deserialize;

use super::operate::Bundle;
use crate::model::ids::CompanyId;
use crate::model::scope::ScopeSet;
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
    expires_in: Option<u64>,
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

/// Reads one object. The parser's own words could hold a piece of a token: only where it stumbled is told.
pub fn parse(text: &str) -> Result<Brought, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| told(&error))?;
    let scopes = line.scope.as_deref().map(ScopeSet::parse).transpose();
    let scopes = scopes.map_err(|error| format!("`scope`: {error}"))?;
    if line.refresh_token.is_empty() {
        return Err("`refresh_token` is empty".to_owned());
    }
    Ok(Brought {
        tenant: line.tenant,
        bundle: Bundle {
            access: line.access_token.filter(|token| !token.is_empty()),
            refresh: line.refresh_token,
            expires_in: line.expires_in.map(Duration::from_secs),
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
