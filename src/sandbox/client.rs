//! Forms, and who the OAuth client is: by Basic or in the body, never both in one request (pleo.md section 3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use url::form_urlencoded;

use super::answer::Answer;
use super::counters::Rule;
use super::options::{CLIENT_ID, CLIENT_SECRET};

/// A refused request of an OAuth endpoint, and the rule it broke.
pub(super) type Refused = (Rule, Answer);

/// `400 invalid_request`.
pub(super) fn invalid_request(rule: Rule, description: &str) -> Refused {
    let answer = Answer::oauth_error(StatusCode::BAD_REQUEST, "invalid_request", description);
    (rule, answer)
}

/// The parameters of a request, each at most once.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Refuses a parameter that comes twice (RFC 6749 section 3.2). The description names it, never its value.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Refused> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if pairs.iter().any(|(known, _)| *known == name) {
                let problem = format!("{} comes more than once", name.escape_default());
                return Err(invalid_request(Rule::ParameterMisplaced, &problem));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// A form in a body, with nothing in the query.
    pub(super) fn posted(
        headers: &HeaderMap,
        query: Option<&str>,
        body: &[u8],
    ) -> Result<Self, Refused> {
        let media = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media = media
            .and_then(|value| value.split(';').next())
            .unwrap_or("");
        if !media
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        {
            return Err(invalid_request(Rule::NotAForm, "the body has to be a form"));
        }
        if query.is_some_and(|query| !query.is_empty()) {
            let problem = "parameters belong in the body";
            return Err(invalid_request(Rule::ParameterMisplaced, problem));
        }
        Self::parse(body)
    }

    /// A parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        (self.0.iter())
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// A parameter that has to be there.
    pub(super) fn need(&self, name: &str) -> Result<&str, Refused> {
        self.get(name)
            .ok_or_else(|| invalid_request(Rule::ParameterMissing, &format!("{name} is missing")))
    }
}

/// Checks that the request comes from the one client.
pub(super) fn authenticate(headers: &HeaderMap, form: &Form) -> Result<(), Refused> {
    let in_body = form.get("client_secret").is_some();
    let right = match headers.get(AUTHORIZATION) {
        Some(_) if in_body => {
            let problem = "client credentials in the header and in the body";
            return Err(invalid_request(Rule::ClientAuthTwice, problem));
        }
        Some(value) => basic(value.as_bytes()).is_some_and(|pair| is_the_client(&pair)),
        None => {
            let text = |name| form.get(name).unwrap_or("").to_owned();
            is_the_client(&(text("client_id"), text("client_secret")))
        }
    };
    let named = form.get("client_id").is_none_or(|id| id == CLIENT_ID);
    if right && named {
        return Ok(());
    }
    let problem = "the client's id or secret is wrong";
    let answer = Answer::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", problem)
        .with(WWW_AUTHENTICATE, "Basic realm=\"sandbox\"");
    Err((Rule::BadClient, answer))
}

fn is_the_client(pair: &(String, String)) -> bool {
    pair.0 == CLIENT_ID && pair.1 == CLIENT_SECRET
}

/// Id and secret of a Basic header, each form-decoded after the split (RFC 6749 section 2.3.1).
fn basic(value: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decoded(id), form_decoded(secret)))
}

fn form_decoded(text: &str) -> String {
    // as the name of a parameter without a value; a literal '&' or '=' would end it, so they are kept out of the way
    let kept = text.replace('&', "%26").replace('=', "%3D");
    (form_urlencoded::parse(kept.as_bytes()).next())
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(basic: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(pair) = basic {
            let value = format!("Basic {}", STANDARD.encode(pair));
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
        }
        headers
    }

    fn rule(basic: Option<&str>, form: &str) -> Option<Rule> {
        let form = Form::parse(form.as_bytes()).ok().unwrap();
        authenticate(&headers(basic), &form)
            .err()
            .map(|(rule, _)| rule)
    }

    #[test]
    fn the_client_is_known_by_header_or_by_body_but_not_by_both() {
        let body = "client_id=sandbox&client_secret=sandbox-secret";
        assert_eq!(rule(Some("sandbox:sandbox-secret"), ""), None);
        assert_eq!(
            rule(Some("sandb%6Fx:sandbox%2Dsecret"), ""),
            None,
            "form-encoded"
        );
        assert_eq!(rule(None, body), None);
        assert_eq!(
            rule(Some("sandbox:sandbox-secret"), body),
            Some(Rule::ClientAuthTwice)
        );
        assert_eq!(rule(Some("sandbox:wrong"), ""), Some(Rule::BadClient));
        assert_eq!(rule(None, "client_id=sandbox"), Some(Rule::BadClient));
        assert_eq!(
            rule(Some("sandbox:sandbox-secret"), "client_id=x"),
            Some(Rule::BadClient)
        );
    }

    #[test]
    fn a_parameter_comes_once_and_in_the_body() {
        assert!(matches!(
            Form::parse(b"a=1&a=1"),
            Err((Rule::ParameterMisplaced, _))
        ));
        let mut form = HeaderMap::new();
        assert!(matches!(
            Form::posted(&form, None, b"a=1"),
            Err((Rule::NotAForm, _))
        ));
        let media = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        form.insert(CONTENT_TYPE, media);
        assert!(Form::posted(&form, None, b"a=1").is_ok());
        assert!(Form::posted(&form, Some("a=1"), b"").is_err());
    }
}
