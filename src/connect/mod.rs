//! Floor 6: the browser's journey: link, start, callback, pages. It ends with a pair in use (`tokens::consent`); the door
//! that browsers knock on is opened by `app`.

mod callback;
mod cookie;
mod failure;
pub mod link;
mod pages;
pub mod parameters;
mod start;
#[cfg(test)]
mod tests;
pub mod ticket;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::ALLOW;
use http::request::Parts as Head;
use http::{HeaderValue, Method, Response};
use http_body_util::Full;

use cookie::Binding;
use failure::Failure;
use pages::{Pages, Reply};

use crate::drain::Tasks;
use crate::model::ids::{CompanyId, TenantName};
use crate::model::snapshot::Snapshot;
use crate::pleo::Pleo;
use crate::store::{ConnectionStore, StoreError};
use crate::tokens::Tokens;

/// Where a link's pages are.
const LINKS: &str = "/connect/";

/// What the room is built from.
#[derive(Debug)]
pub struct Parts {
    /// Where links and visits are kept.
    pub store: Arc<dyn ConnectionStore>,
    /// Pleo.
    pub pleo: Arc<Pleo>,
    /// Where consents go.
    pub tokens: Tokens,
    /// Whose company is pinned; the newest generation counts.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Consents are carried out here, so that shutdown waits for them.
    pub tasks: Tasks,
    /// How browsers reach us: an origin without a trailing slash.
    pub public_url: String,
    /// What Pleo calls itself in `iss` (RFC 9207), if that is known.
    pub issuer: Option<String>,
}

/// The room's door. Clones are the same room.
#[derive(Clone)]
pub struct Connect(Arc<Ready>);

struct Ready {
    parts: Parts,
    pages: Pages,
    binding: Binding,
}

impl Connect {
    /// `None` if Pleo's authorise URL cannot stand in a header.
    pub fn new(parts: Parts) -> Option<Self> {
        let pages = Pages::new(&parts.pleo.options().endpoints.authorize)?;
        let binding = Binding::new(parts.public_url.starts_with("https://"));
        Some(Self(Arc::new(Ready {
            parts,
            pages,
            binding,
        })))
    }

    /// The answer to a browser's request. Bodies are of no interest.
    pub async fn answer(&self, head: &Head) -> Response<Full<Bytes>> {
        let routed = self.route(head).await;
        let mut reply = routed.unwrap_or_else(|failure| self.pages().failed(failure));
        if head.method == Method::HEAD {
            *reply.body_mut() = Full::default();
        }
        reply
    }

    async fn route(&self, head: &Head) -> Result<Reply, &'static Failure> {
        let path = head.uri.path();
        if path == self.pleo().options().redirect_uri.path() {
            return match head.method {
                Method::GET => {
                    let query = head.uri.query().unwrap_or_default();
                    self.callback(query, &head.headers).await
                }
                _ => Ok(self.method_refused("GET")),
            };
        }
        let ticket = path.strip_prefix(LINKS).ok_or(Failure::NOTHING_HERE)?;
        match head.method {
            Method::GET | Method::HEAD => self.show(ticket).await,
            Method::POST => self.start(ticket, &head.headers).await,
            _ => Ok(self.method_refused("GET, HEAD, POST")),
        }
    }

    fn method_refused(&self, allowed: &'static str) -> Reply {
        let mut reply = self.pages().failed(Failure::METHOD_REFUSED);
        let allowed = HeaderValue::from_static(allowed);
        reply.headers_mut().insert(ALLOW, allowed);
        reply
    }

    /// The company that the configuration pins this tenant to.
    fn expected_company(&self, tenant: &TenantName) -> Option<CompanyId> {
        let snapshot = self.0.parts.snapshot.load();
        snapshot.tenants.get(tenant)?.company.clone()
    }

    fn store(&self) -> &dyn ConnectionStore {
        self.0.parts.store.as_ref()
    }

    fn pleo(&self) -> &Pleo {
        &self.0.parts.pleo
    }

    fn tokens(&self) -> &Tokens {
        &self.0.parts.tokens
    }

    fn tasks(&self) -> &Tasks {
        &self.0.parts.tasks
    }

    fn public_url(&self) -> &str {
        &self.0.parts.public_url
    }

    fn issuer(&self) -> Option<&str> {
        self.0.parts.issuer.as_deref()
    }

    fn pages(&self) -> &Pages {
        &self.0.pages
    }

    fn binding(&self) -> Binding {
        self.0.binding
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connect").field(&self.0.parts).finish()
    }
}

/// Writes down why a consent came to nothing, and hands the page on.
fn trouble(
    tenant: &TenantName,
    error: &(dyn Error + 'static),
    failure: &'static Failure,
) -> &'static Failure {
    let reference = failure.reference;
    tracing::warn!(%tenant, reference, error, "a consent met trouble");
    failure
}

/// Writes down that the store failed a browser whose tenant is not known yet.
fn store_away(error: &StoreError) -> &'static Failure {
    let error: &(dyn Error + 'static) = error;
    tracing::error!(error, "the store failed a browser");
    Failure::STORE_AWAY
}
