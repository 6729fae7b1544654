//! Making a connect link: the one thing an operator hands to whoever may consent. What the link shows is not here (`start`).

use std::sync::Arc;
use std::time::Duration;

use super::ticket::Ticket;
use crate::clock::Timestamp;
use crate::model::ids::TenantName;
use crate::model::ledger::{AuditEntry, AuditKind};
use crate::model::scope::ScopeSet;
use crate::store::{ConnectLink, ConnectionStore, StoreError};
use crate::telemetry::audit;
use crate::tokens::Tokens;
use crate::tokens::operate::OperateError;

/// A link that is shorter is over before anybody has read it.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long a link may be good, so that its end can be written.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// The life of a link, or what it may be.
pub fn life(life: Duration) -> Result<Duration, &'static str> {
    if (SHORTEST..=LONGEST).contains(&life) {
        return Ok(life);
    }
    Err("a link is good for 1s at least and 365d at most")
}

/// What a link is to be good for.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// What it asks for.
    pub scopes: ScopeSet,
    /// How long it is good.
    pub expires: Duration,
    /// Whether another tenant may have the same company.
    pub allow_shared_company: bool,
    /// Who makes it, for the audit: `cli`, `admin`.
    pub who: String,
}

/// A link that was made. Not `Debug`: whoever holds the URL may consent with it.
pub struct Issued {
    /// For whom.
    pub tenant: TenantName,
    /// What to open in a browser. Shown once: only its digest is kept.
    pub url: String,
    /// When it ends, by the store's clock.
    pub expires_at: Timestamp,
    /// What it asks for.
    pub scopes: ScopeSet,
}

impl Issued {
    /// `link --json`.
    pub fn to_json(&self) -> serde_json::Value {
        let expires_at = self.expires_at.to_string();
        serde_json::json!({ "tenant": self.tenant, "url": self.url, "expires_at": expires_at })
    }
}

/// Why no link was made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The link could not be kept.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The tenant could not be noted.
    #[error("the tenant could not be noted")]
    Tenant(#[from] OperateError),
}

/// Makes a link for a tenant on `public_url`, an origin without a trailing slash. From then on the tenant exists.
pub async fn issue(
    store: &Arc<dyn ConnectionStore>,
    tokens: &Tokens,
    public_url: &str,
    tenant: &TenantName,
    terms: Terms,
) -> Result<Issued, LinkError> {
    let ticket = Ticket::make();
    let now = store.now().await?;
    let expires_at = now + terms.expires;
    let link = ConnectLink {
        tenant: tenant.clone(),
        scopes: terms.scopes.clone(),
        allow_shared_company: terms.allow_shared_company,
        expires_at,
        spent_at: None,
    };
    let audit = AuditEntry {
        at: now,
        tenant: Some(tenant.clone()),
        who: terms.who,
        what: AuditKind::Linked,
        detail: format!("good until {expires_at}, asks for: {}", terms.scopes),
    };
    store.put_link(ticket.digest(), link, audit.clone()).await?;
    audit::say(&audit);
    tokens.linked(tenant).await?;
    Ok(Issued {
        tenant: tenant.clone(),
        url: format!("{public_url}/connect/{}", ticket.secret().expose()),
        expires_at,
        scopes: terms.scopes,
    })
}
