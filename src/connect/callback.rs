//! A browser returns from Pleo: everything is checked before the code is used, the code is used once, and what it brought is
//! stored before it is served (contract.md section 4). The work is a task of its own: a browser that goes away changes
//! nothing.

use http::HeaderMap;

use super::failure::{self, Failure};
use super::pages::{self, DonePage, Reply};
use super::parameters::{self, Outcome, Parameters};
use super::{Connect, store_away, trouble};
use crate::clock::Timestamp;
use crate::model::scope::ScopeSet;
use crate::pleo::answer::TokenAnswer;
use crate::secret::Secret;
use crate::store::{ConnectLink, Visit};
use crate::tokens::acting;
use crate::tokens::consent::{Adopted, Consent, OpenConsent};

/// Who consents, for the audit.
const WHO: &str = "browser";

/// A visit that is over, and the link it came by.
struct Arrived {
    visit: Visit,
    link: ConnectLink,
}

impl Connect {
    /// Pleo's redirect.
    pub(super) async fn callback(
        &self,
        query: &str,
        headers: &HeaderMap,
    ) -> Result<Reply, &'static Failure> {
        let parameters = parameters::read(query).ok_or(Failure::ANSWER_UNREADABLE)?;
        let arrived = self.arrived(&parameters, headers).await?;
        let code = self.code(parameters, &arrived)?;
        let connect = self.clone();
        let carried_out = async move { connect.carry_out(arrived, code).await };
        let task = self.tasks().spawn(acting::on_behalf_of(WHO, carried_out));
        task.await.unwrap_or(Err(Failure::INTERNAL))
    }

    /// Takes the visit that this `state` belongs to: from here on it is used up, whatever happens.
    async fn arrived(
        &self,
        parameters: &Parameters,
        headers: &HeaderMap,
    ) -> Result<Arrived, &'static Failure> {
        let taken = self.store().take_visit(&parameters.state.digest()).await;
        let visit = taken
            .map_err(|error| store_away(&error))?
            .ok_or(Failure::STATE_UNKNOWN)?;
        if !self.binding().holds(headers, &visit.cookie) {
            return Err(refused(&visit, Failure::OTHER_BROWSER));
        }
        let link = self.store().link(&visit.link).await;
        let link = link
            .map_err(|error| store_away(&error))?
            .ok_or(Failure::LINK_UNKNOWN)?;
        if link.spent_at.is_some() {
            return Err(Failure::LINK_USED);
        }
        Ok(Arrived { visit, link })
    }

    fn code(&self, parameters: Parameters, arrived: &Arrived) -> Result<Secret, &'static Failure> {
        let visit = &arrived.visit;
        match (parameters.issuer, self.issuer()) {
            (Some(said), Some(expected)) if said != expected => {
                return Err(refused(visit, Failure::OTHER_ISSUER));
            }
            (Some(_) | None, _) => {}
        }
        match parameters.outcome {
            Outcome::Code(code) => Ok(code),
            Outcome::Declined => Err(refused(visit, Failure::DECLINED)),
            Outcome::Failed(word) => {
                let error = word.as_deref().unwrap_or("unprintable");
                tracing::warn!(tenant = %visit.tenant, error, "Pleo's authorise page failed");
                Err(Failure::PLEO_FAILED)
            }
        }
    }

    /// Code for tokens, tokens into use, link used up.
    async fn carry_out(&self, arrived: Arrived, code: Secret) -> Result<Reply, &'static Failure> {
        let Arrived { visit, link } = arrived;
        let tenant = &link.tenant;
        let open = self
            .tokens()
            .begin_consent(tenant)
            .await
            .map_err(|error| trouble(tenant, &error, failure::of_consent(&error)))?;
        let consent = self.exchange(&visit, &link, &code, open).await?;
        let adopted = self
            .tokens()
            .adopt(consent)
            .await
            .map_err(|error| trouble(tenant, &error, failure::of_consent(&error)))?;
        if let Err(error) = self.store().spend_link(&visit.link).await {
            // The connection is made; the link merely lives until it expires.
            trouble(tenant, &error, Failure::STORE_AWAY);
        }
        tracing::info!(tenant = %tenant, "consented");
        Ok(self.done(&link, &adopted))
    }

    async fn exchange(
        &self,
        visit: &Visit,
        link: &ConnectLink,
        code: &Secret,
        open: OpenConsent,
    ) -> Result<Consent, &'static Failure> {
        let tenant = &link.tenant;
        let exchanged = self.exchanged(visit, code).await;
        if exchanged.is_err() {
            // Refreshes need not wait for a consent that came to nothing.
            if let Err(error) = self.tokens().abandon_consent(tenant, open).await {
                trouble(tenant, &error, failure::of_consent(&error));
            }
        }
        let (asked_at, answer) = exchanged?;
        Ok(Consent {
            tenant: tenant.clone(),
            open,
            answer,
            asked_at,
            expected_company: self.expected_company(tenant),
            allow_shared_company: link.allow_shared_company,
            asked_scopes: link.scopes.clone(),
            who: WHO.to_owned(),
        })
    }

    async fn exchanged(
        &self,
        visit: &Visit,
        code: &Secret,
    ) -> Result<(Timestamp, TokenAnswer), &'static Failure> {
        let now = self.store().now().await;
        let asked_at = now.map_err(|error| store_away(&error))?;
        let answer = self.pleo().exchange(code, &visit.verifier).await;
        let answer =
            answer.map_err(|error| trouble(&visit.tenant, &error, failure::of_exchange(&error)))?;
        Ok((asked_at, answer))
    }

    fn done(&self, link: &ConnectLink, adopted: &Adopted) -> Reply {
        let granted = adopted.scopes.clone().unwrap_or_default();
        let missing = match adopted.scopes {
            Some(_) => link.scopes.missing_from(&granted),
            None => ScopeSet::default(),
        };
        self.pages().done(&DonePage {
            tenant: link.tenant.as_ref(),
            environment: self.pleo().options().environment.as_str(),
            company: adopted.company.as_ref().map(AsRef::as_ref),
            granted: pages::lines(&granted),
            missing: pages::lines(&missing),
        })
    }
}

/// Logs why a browser was refused.
fn refused(visit: &Visit, failure: &'static Failure) -> &'static Failure {
    let reference = failure.reference;
    tracing::warn!(tenant = %visit.tenant, reference, "a browser's answer was not used");
    failure
}
