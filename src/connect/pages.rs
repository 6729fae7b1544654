//! The pages and the headers that go with them: nothing is cached, framed, sniffed or executed, and no address leaks. Not
//! here: which page is due.

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use url::Url;

use super::failure::Failure;
use crate::clock::Timestamp;
use crate::model::scope::{Scope, ScopeSet};

/// What goes back to a browser.
pub(super) type Reply = Response<Full<Bytes>>;

const STYLE: &str = include_str!("templates/style.css");

/// Makes pages.
#[derive(Debug)]
pub(super) struct Pages {
    /// For pages without a form.
    plain_policy: HeaderValue,
    /// For the page whose form leads to Pleo.
    form_policy: HeaderValue,
}

#[derive(Template)]
#[template(path = "connect/templates/link.html", config = ".askama.toml")]
pub(super) struct LinkPage<'a> {
    pub(super) tenant: &'a str,
    pub(super) environment: &'a str,
    pub(super) pleo_host: &'a str,
    pub(super) scopes: Vec<ScopeLine<'a>>,
    pub(super) until: Moment,
}

#[derive(Template)]
#[template(path = "connect/templates/done.html", config = ".askama.toml")]
pub(super) struct DonePage<'a> {
    pub(super) tenant: &'a str,
    pub(super) environment: &'a str,
    pub(super) company: Option<&'a str>,
    pub(super) granted: Vec<ScopeLine<'a>>,
    pub(super) missing: Vec<ScopeLine<'a>>,
}

#[derive(Template)]
#[template(path = "connect/templates/failed.html", config = ".askama.toml")]
struct FailedPage<'a> {
    failure: &'a Failure,
}

/// A scope as people read it.
pub(super) struct ScopeLine<'a> {
    words: String,
    name: &'a str,
}

/// A time for people and for programs.
pub(super) struct Moment {
    shown: String,
    exact: Timestamp,
}

impl Pages {
    /// `authorize` is where the form finally leads: browsers apply `form-action` to the redirect after a form, too.
    pub(super) fn new(authorize: &Url) -> Option<Self> {
        let origin = authorize.origin().ascii_serialization();
        // Pleo's page may hand browsers on to its other hosts before anyone presses anything.
        let family = match authorize.host_str() {
            Some(host) if host.ends_with(".pleo.io") => " https://*.pleo.io",
            _ => "",
        };
        Some(Self {
            plain_policy: policy("'none'")?,
            form_policy: policy(&format!("'self' {origin}{family}"))?,
        })
    }

    pub(super) fn link(&self, page: &LinkPage<'_>) -> Reply {
        rendered(StatusCode::OK, page, self.form_policy.clone())
    }

    pub(super) fn done(&self, page: &DonePage<'_>) -> Reply {
        rendered(StatusCode::OK, page, self.plain_policy.clone())
    }

    pub(super) fn failed(&self, failure: &Failure) -> Reply {
        let page = FailedPage { failure };
        rendered(failure.status, &page, self.plain_policy.clone())
    }

    /// On to `target`, by GET.
    pub(super) fn see_other(&self, target: &Url) -> Reply {
        let mut reply = Response::new(Full::default());
        *reply.status_mut() = StatusCode::SEE_OTHER;
        guard(reply.headers_mut(), self.plain_policy.clone());
        if let Ok(target) = HeaderValue::from_str(target.as_str()) {
            reply.headers_mut().insert(LOCATION, target);
        }
        reply
    }
}

fn rendered(status: StatusCode, page: &impl Template, policy: HeaderValue) -> Reply {
    let Ok(text) = page.render() else {
        let mut reply = Response::new(Full::default());
        *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return reply;
    };
    let mut reply = Response::new(Full::new(text.into()));
    *reply.status_mut() = status;
    guard(reply.headers_mut(), policy);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    reply.headers_mut().insert(CONTENT_TYPE, html);
    reply
}

fn policy(form_action: &str) -> Option<HeaderValue> {
    let style = BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    HeaderValue::from_str(&format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action {form_action}; \
         base-uri 'none'; frame-ancestors 'none'"
    ))
    .ok()
}

fn guard(headers: &mut HeaderMap, policy: HeaderValue) {
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The scopes in plain words.
pub(super) fn lines(scopes: &ScopeSet) -> Vec<ScopeLine<'_>> {
    scopes.iter().map(line).collect()
}

fn line(scope: &Scope) -> ScopeLine<'_> {
    let name = scope.as_str();
    let words = match name.split_once(':') {
        Some((resource, "read")) => format!("Read {}", resource.replace('-', " ")),
        Some((resource, "write")) => format!("Change {}", resource.replace('-', " ")),
        Some((resource, other)) => format!("{}: {other}", resource.replace('-', " ")),
        None => name.to_owned(),
    };
    ScopeLine { words, name }
}

impl From<Timestamp> for Moment {
    fn from(exact: Timestamp) -> Self {
        let shown = jiff::Timestamp::from_microsecond(exact.0).map_or_else(
            |_| exact.to_string(),
            |time| time.strftime("%-d %B %Y, %H:%M UTC").to_string(),
        );
        Self { shown, exact }
    }
}
