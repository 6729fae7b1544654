//! A link's page and its button. Opening the page spends nothing (mail scanners open links); pressing the button sends the
//! browser to Pleo with a `state` and a PKCE challenge of its own. What comes back is not handled here (`callback`).

use std::time::Duration;

use http::HeaderMap;
use http::header::{ORIGIN, SET_COOKIE};

use super::failure::Failure;
use super::pages::{self, LinkPage, Reply};
use super::ticket::Ticket;
use super::{Connect, store_away, trouble};
use crate::clock::Timestamp;
use crate::pleo::oauth::Pkce;
use crate::store::{ConnectLink, Visit};

/// How long a browser may be under way.
const VISIT_TAKES: Duration = Duration::from_mins(10);

/// A link that may be used now.
struct GoodLink {
    digest: [u8; 32],
    link: ConnectLink,
    now: Timestamp,
}

impl Connect {
    /// The link's page.
    pub(super) async fn show(&self, ticket: &str) -> Result<Reply, &'static Failure> {
        let GoodLink { link, .. } = self.good_link(ticket).await?;
        let options = self.pleo().options();
        Ok(self.pages().link(&LinkPage {
            tenant: link.tenant.as_ref(),
            environment: options.environment.as_str(),
            pleo_host: options.endpoints.authorize.host_str().unwrap_or("Pleo"),
            scopes: pages::lines(&link.scopes),
            until: link.expires_at.into(),
        }))
    }

    /// Off to Pleo.
    pub(super) async fn start(
        &self,
        ticket: &str,
        headers: &HeaderMap,
    ) -> Result<Reply, &'static Failure> {
        self.check_site(headers)?;
        let GoodLink { digest, link, now } = self.good_link(ticket).await?;
        let (state, pkce) = (Ticket::make(), Pkce::make());
        let browser = self.binding().ticket(headers);
        let visit = Visit {
            link: digest,
            tenant: link.tenant.clone(),
            verifier: pkce.verifier.clone(),
            cookie: browser.digest(),
            expires_at: now + VISIT_TAKES,
        };
        let kept = self.store().put_visit(state.digest(), visit).await;
        kept.map_err(|error| trouble(&link.tenant, &error, Failure::STORE_AWAY))?;
        tracing::info!(tenant = %link.tenant, "a browser set out to consent");
        let target = self
            .pleo()
            .authorize_url(&link.scopes, state.secret(), &pkce);
        let mut reply = self.pages().see_other(&target);
        let cookie = self.binding().give(&browser).ok_or(Failure::INTERNAL)?;
        reply.headers_mut().insert(SET_COOKIE, cookie);
        Ok(reply)
    }

    async fn good_link(&self, ticket: &str) -> Result<GoodLink, &'static Failure> {
        let digest = Ticket::parse(ticket).ok_or(Failure::LINK_UNKNOWN)?.digest();
        let found = async {
            let link = self.store().link(&digest).await?;
            Ok((link, self.store().now().await?))
        };
        let (link, now) = found.await.map_err(|error| store_away(&error))?;
        let link = link.ok_or(Failure::LINK_UNKNOWN)?;
        if link.spent_at.is_some() {
            return Err(Failure::LINK_USED);
        }
        if link.expires_at <= now {
            return Err(Failure::LINK_EXPIRED);
        }
        Ok(GoodLink { digest, link, now })
    }

    /// The button is pressed on our own page only. `Origin` is `null` there, since the page sends no referrer.
    fn check_site(&self, headers: &HeaderMap) -> Result<(), &'static Failure> {
        let says = |name: &str, own: &[&str]| {
            let value = headers.get(name).map(|value| value.to_str().unwrap_or(""));
            value.is_none_or(|value| own.contains(&value))
        };
        let origin = says(ORIGIN.as_str(), &["null", self.public_url()]);
        let site = says("sec-fetch-site", &["same-origin", "none"]);
        if origin && site {
            Ok(())
        } else {
            Err(Failure::CROSS_SITE)
        }
    }
}
