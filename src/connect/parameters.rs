//! Reads the parameters with which Pleo sent the browser back (RFC 6749 section 4.1.2): each at most once, and of a sane
//! size. What they are good for is not decided here (`callback`).

use std::collections::HashMap;

use url::form_urlencoded;

use super::ticket::Ticket;
use crate::secret::Secret;

const LONGEST_QUERY: usize = 8 * 1024;
const LONGEST_CODE: usize = 4 * 1024;
const LONGEST_ERROR: usize = 64;

/// A readable answer of the authorise page.
#[derive(Debug, PartialEq)]
pub struct Parameters {
    /// Ours, from the visit that led there.
    pub state: Ticket,
    /// RFC 9207.
    pub issuer: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What the authorise page came to.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// Good for tokens, once.
    Code(Secret),
    /// The person declined: `access_denied`.
    Declined,
    /// Another `error`, if it is one word that may be shown.
    Failed(Option<String>),
}

/// `None` for anything that Pleo would not send: a parameter twice, none or both of `code` and `error`, no `state` of ours.
pub fn read(query: &str) -> Option<Parameters> {
    if query.len() > LONGEST_QUERY {
        return None;
    }
    let mut found = HashMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if found.insert(name, value).is_some() {
            return None;
        }
    }
    let state = Ticket::parse(found.get("state")?)?;
    let outcome = match (found.remove("code"), found.remove("error")) {
        (Some(code), None) => Outcome::Code(sound_code(&code)?),
        (None, Some(error)) if error == "access_denied" => Outcome::Declined,
        (None, Some(error)) => Outcome::Failed(word(&error)),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    let issuer = found.remove("iss").map(Into::into);
    Some(Parameters {
        state,
        issuer,
        outcome,
    })
}

fn sound_code(code: &str) -> Option<Secret> {
    let fits = (1..=LONGEST_CODE).contains(&code.len())
        && code.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    fits.then(|| Secret::new(code))
}

fn word(error: &str) -> Option<String> {
    let fits = (1..=LONGEST_ERROR).contains(&error.len())
        && error
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    fits.then(|| error.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "0123456789012345678901234567890123456789abc";

    #[test]
    fn a_code_an_error_and_an_issuer_are_read() {
        let read = |rest: &str| read(&format!("state={STATE}&{rest}")).unwrap();
        assert_eq!(
            read("code=a%2Fb+c").outcome,
            Outcome::Code(Secret::new("a/b c"))
        );
        assert_eq!(read("error=access_denied").outcome, Outcome::Declined);
        let failed = read("error=server_error&error_description=x&iss=pleo");
        assert_eq!(
            failed.outcome,
            Outcome::Failed(Some("server_error".to_owned()))
        );
        assert_eq!(failed.issuer.as_deref(), Some("pleo"));
        let shouted = read("error=%3Cscript%3E").outcome;
        assert_eq!(shouted, Outcome::Failed(None));
    }

    /// Requirement 89.
    #[test]
    fn what_pleo_would_not_send_is_not_read() {
        let long = format!("state={STATE}&code={}", "c".repeat(LONGEST_CODE + 1));
        let padded = format!("state={STATE}&code=c&x={}", "x".repeat(LONGEST_QUERY));
        for query in [
            "",
            "code=c",
            "state=short&code=c",
            &format!("state={STATE}"),
            &format!("state={STATE}&code="),
            &format!("state={STATE}&code=%00"),
            &format!("state={STATE}&code=c&code=c"),
            &format!("state={STATE}&state={STATE}&code=c"),
            &format!("state={STATE}&code=c&error=access_denied"),
            &format!("state={STATE}&code=c&x=1&%78=2"),
            &long,
            &padded,
        ] {
            assert_eq!(read(query), None, "{query}");
        }
    }
}
