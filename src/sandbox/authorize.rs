//! The authorise endpoint: what a client asks for, the customer's decision, and the way back (pleo.md section 2).

use http::StatusCode;
use url::Url;

use super::answer::Answer;
use super::client::Form;
use super::codes::Consent;
use super::counters::Rule;
use super::keys::is_known;
use super::options::{CLIENT_ID, Options};
use super::pages;
use super::router::Call;
use super::state::{Company, State};
use crate::clock::Timestamp;
use crate::model::scope::ScopeSet;

/// What a sound authorise request asks for.
pub(super) struct Asked {
    pub(super) redirect_uri: Url,
    /// As it was written, which is what has to be repeated at the exchange.
    pub(super) redirect_text: String,
    pub(super) state: String,
    pub(super) scopes: ScopeSet,
    pub(super) challenge: String,
    /// The company that the client would like.
    pub(super) subject: Option<String>,
}

/// An unsound one: told to the customer where the redirect URI cannot be trusted, else to the client.
enum Unsound {
    Told(Rule, &'static str),
    SentBack(Rule, Url),
}

/// `GET /oauth/authorize`: the consent page.
pub(super) fn show(
    state: &mut State,
    options: &Options,
    companies: &[Company],
    call: &Call,
) -> Answer {
    match asked(options, call.uri.query().unwrap_or("").as_bytes()) {
        Ok((asked, _)) => pages::consent(&asked, companies),
        Err(unsound) => turned_down(state, unsound),
    }
}

/// `POST /oauth/authorize`: the customer's decision; the page's fields repeat what was asked.
pub(super) fn decide(
    state: &mut State,
    options: &Options,
    companies: &[Company],
    call: &Call,
    now: Timestamp,
) -> Answer {
    let (asked, form) = match asked(options, &call.body) {
        Ok(sound) => sound,
        Err(unsound) => return turned_down(state, unsound),
    };
    let company = form.get("company");
    let company = companies
        .iter()
        .find(|known| Some(known.id.as_str()) == company);
    match (form.get("decision"), company) {
        (Some("approve"), Some(company)) => {
            let consent = Consent {
                company_id: company.id.clone(),
                scopes: asked.scopes,
                redirect_uri: asked.redirect_text,
                challenge: asked.challenge,
            };
            let code = state.grants.codes.issue(consent, now);
            let back = with_query(
                asked.redirect_uri,
                &[("code", code.expose()), ("state", &asked.state)],
            );
            Answer::see_other(back.as_str())
        }
        (Some("deny"), _) => Answer::see_other(
            sent_back(&asked.redirect_uri, "access_denied", Some(&asked.state)).as_str(),
        ),
        _ => pages::problem(StatusCode::BAD_REQUEST, "Choose a company and decide."),
    }
}

fn turned_down(state: &mut State, unsound: Unsound) -> Answer {
    match unsound {
        Unsound::Told(rule, problem) => {
            state.broke(rule);
            pages::problem(StatusCode::BAD_REQUEST, problem)
        }
        Unsound::SentBack(rule, back) => {
            state.broke(rule);
            Answer::see_other(back.as_str())
        }
    }
}

fn asked(options: &Options, text: &[u8]) -> Result<(Asked, Form), Unsound> {
    let form = Form::parse(text)
        .map_err(|(rule, _)| Unsound::Told(rule, "A parameter comes more than once."))?;
    if form.get("client_id") != Some(CLIENT_ID) {
        return Err(Unsound::Told(
            Rule::BadClient,
            "Pleo does not know this client.",
        ));
    }
    let redirect_text = form.get("redirect_uri").unwrap_or("").to_owned();
    let redirect_uri = (Url::parse(&redirect_text).ok())
        .filter(|_| options.allows_redirect(&redirect_text))
        .ok_or(Unsound::Told(
            Rule::BadRedirect,
            "The redirect URI is not registered for this client.",
        ))?;
    let refuse = |rule, error| {
        let back = sent_back(&redirect_uri, error, form.get("state"));
        Unsound::SentBack(rule, back)
    };
    if form.get("response_type") != Some("code") {
        return Err(refuse(Rule::UnsupportedFlow, "unsupported_response_type"));
    }
    let state = form
        .get("state")
        .ok_or_else(|| refuse(Rule::StateMissing, "invalid_request"))?;
    let challenge = (form.get("code_challenge"))
        .filter(|text| is_challenge(text) && form.get("code_challenge_method") == Some("S256"))
        .ok_or_else(|| refuse(Rule::PkceMissing, "invalid_request"))?;
    let scopes = ScopeSet::parse(form.get("scope").unwrap_or(""))
        .ok()
        .filter(|scopes| !scopes.is_empty() && scopes.iter().all(is_known))
        .ok_or_else(|| refuse(Rule::ScopeUnknown, "invalid_scope"))?;
    let subject = form.get("urn_pleo_params_oauth_subject");
    let subject = subject.and_then(|urn| urn.strip_prefix("urn:pleo:company:"));
    let asked = Asked {
        state: state.to_owned(),
        scopes,
        challenge: challenge.to_owned(),
        subject: subject.map(str::to_owned),
        redirect_text,
        redirect_uri,
    };
    Ok((asked, form))
}

/// The base64url form of a SHA-256.
fn is_challenge(text: &str) -> bool {
    text.len() == 43 && (text.bytes()).all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

fn sent_back(redirect_uri: &Url, error: &str, state: Option<&str>) -> Url {
    let mut pairs = vec![("error", error)];
    pairs.extend(state.map(|state| ("state", state)));
    with_query(redirect_uri.clone(), &pairs)
}

fn with_query(mut uri: Url, pairs: &[(&str, &str)]) -> Url {
    uri.query_pairs_mut().extend_pairs(pairs);
    uri
}
