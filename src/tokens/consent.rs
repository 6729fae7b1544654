//! Putting a consent's pair into use: first made durable, then compared, then served (contract.md section 4, design.md R13).

use std::time::Duration;

use super::rows::{ChangeError, LOOK_AGAIN};
use super::tend::PROBE_LIMIT;
use super::{House, Timing, Tokens};
use crate::clock::Timestamp;
use crate::model::connection::{Access, Candidate, Connection, State};
use crate::model::ids::{CompanyId, TenantName};
use crate::model::scope::ScopeSet;
use crate::pleo::answer::TokenAnswer;
use crate::pleo::introspect::{Credential, Probe};
use crate::refresh::policy::{EVIDENCE_APART, Policy};
use crate::refresh::{Event, Refused};
use crate::store::{StoreError, Taken};

/// No attempt begins for this long, or longer where the token endpoint may take longer, while a code is being exchanged.
const CONSENT_TAKES: Duration = Duration::from_mins(1);
/// What an exchange needs beside the call.
const BESIDE_THE_CALL: Duration = Duration::from_secs(10);

/// A consent whose code is being exchanged: until it is adopted, abandoned, or its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenConsent {
    /// No attempt begins before this, by the store's clock.
    until: Timestamp,
}

/// What the browser brought back, exchanged.
#[derive(Debug)]
pub struct Consent {
    /// For whom.
    pub tenant: TenantName,
    /// What [`Tokens::begin_consent`] gave.
    pub open: OpenConsent,
    /// The token endpoint's answer to the code.
    pub answer: TokenAnswer,
    /// When the code was sent, by the store's clock.
    pub asked_at: Timestamp,
    /// The company pinned by the configuration.
    pub expected_company: Option<CompanyId>,
    /// Whether another tenant may have the same company.
    pub allow_shared_company: bool,
    /// What was asked for: taken as granted where the answer does not say.
    pub asked_scopes: ScopeSet,
    /// Who consented, for the audit.
    pub who: String,
}

/// A consent in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Adopted {
    /// The company it belongs to.
    pub company: Option<CompanyId>,
    /// What was granted.
    pub scopes: Option<ScopeSet>,
}

/// Why a consent is not in use.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// The person consented for another company than this tenant's. The new pair is erased, the old one stays.
    #[error("the consent is for another company")]
    WrongCompany {
        /// The tenant's company.
        expected: CompanyId,
        /// The one consented for.
        got: Option<CompanyId>,
    },
    /// Another tenant has this company. The new pair is erased.
    #[error("tenant {0} is connected to this company already")]
    CompanyTaken(TenantName),
    /// The pair is stored; Pleo did not say whose it is yet. The gateway asks again by itself.
    #[error("Pleo did not say whose the tokens are yet")]
    Unverified,
    /// Pleo refused the very tokens it gave, or gave no refresh token.
    #[error("Pleo's tokens cannot be used")]
    Unusable,
    /// A refresh is in the air and does not end.
    #[error("a refresh of this tenant is under way")]
    Busy,
    /// An operator, or another consent, ended or replaced the connection meanwhile: nobody uses this pair.
    #[error("the consent was overtaken by another, or by an operator")]
    Overtaken,
    /// The store failed.
    #[error("the consent could not be stored")]
    Store(#[source] StoreError),
}

impl Tokens {
    /// Settles attempts in the air, and lets none begin until the consent is carried out (R13).
    pub async fn begin_consent(&self, tenant: &TenantName) -> Result<OpenConsent, ConsentError> {
        let house = &self.0;
        let takes = CONSENT_TAKES.max(house.policy.timeout + BESIDE_THE_CALL);
        let give_up = house.clock.boot() + house.settles_within();
        loop {
            let now = house.store.now().await.map_err(ConsentError::Store)?;
            let until = now + takes;
            match house.apply(tenant, &Event::BeginConsent { until }).await {
                Ok(_) => return Ok(OpenConsent { until }),
                Err(ChangeError::Refused(_)) if house.clock.boot() < give_up => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Ends a consent that came to nothing: what was there before stays, attempts may begin again.
    pub async fn abandon_consent(
        &self,
        tenant: &TenantName,
        open: OpenConsent,
    ) -> Result<(), ConsentError> {
        let event = Event::Abandon { until: open.until };
        self.0.apply(tenant, &event).await.map_err(failed)?;
        Ok(())
    }

    /// Stores the pair, asks Pleo whose it is, compares, and puts it into use.
    pub async fn adopt(&self, consent: Consent) -> Result<Adopted, ConsentError> {
        let house = &self.0;
        let Some(refresh) = consent.answer.refresh.clone() else {
            self.abandon_consent(&consent.tenant, consent.open).await?;
            return Err(ConsentError::Unusable);
        };
        let candidate = Candidate {
            access: house.access_of(&consent.answer, consent.asked_at),
            refresh,
            scopes: consent.answer.scopes.clone().or(Some(consent.asked_scopes)),
            expected_company: consent.expected_company,
            allow_shared_company: consent.allow_shared_company,
            who: consent.who,
        };
        house
            .apply_until_written(&consent.tenant, &Event::Offer(Box::new(candidate)))
            .await
            .map_err(failed)?;
        let open = Some(consent.open.until);
        house.decide_candidate(&consent.tenant, open).await
    }
}

impl House {
    /// Compares the candidate's company and puts it into use, or erases it. `open`: until when attempts wait for its
    /// consent.
    async fn decide_candidate(
        &self,
        tenant: &TenantName,
        open: Option<Timestamp>,
    ) -> Result<Adopted, ConsentError> {
        let (seen, timing) = self.look(tenant).await.map_err(ConsentError::Store)?;
        let Some((row, candidate)) = seen
            .row
            .and_then(|row| row.candidate.clone().map(|c| (row, c)))
        else {
            return Err(ConsentError::Overtaken);
        };
        // Another consent may have brought another candidate meanwhile: what Pleo says of this one is not about that.
        let is_this = |row: &Connection| row.candidate.as_ref() == Some(&candidate);
        let decline = Event::Decline { until: open };
        let said = self.compared(&row, &candidate, timing).await;
        if let Err(ConsentError::Unusable | ConsentError::WrongCompany { .. }) = &said {
            self.apply_if_until_written(tenant, &decline, is_this)
                .await
                .map_err(failed)?;
        }
        let (company, scopes) = said?;
        let accept = Event::Accept { company, scopes };
        match self.apply_if_until_written(tenant, &accept, is_this).await {
            Ok(row) => Ok(adopted(row)),
            Err(ChangeError::Taken(Taken::Company(other))) => {
                self.apply_if_until_written(tenant, &decline, is_this)
                    .await
                    .map_err(failed)?;
                Err(ConsentError::CompanyTaken(other))
            }
            // Written already: by the keeper, or by a write whose outcome was not known.
            Err(ChangeError::Refused(Refused::Superseded)) => self.in_use(tenant, &candidate).await,
            Err(error) => Err(failed(error)),
        }
    }

    /// Whose a consent's pair is and what it may do, if it is the right company's.
    async fn compared(
        &self,
        row: &Connection,
        candidate: &Candidate,
        timing: Timing,
    ) -> Result<(Option<CompanyId>, Option<ScopeSet>), ConsentError> {
        let expected = expected_company(row, candidate);
        let Some(said) = self.whose(&candidate.access, timing).await else {
            // Its refresh token lives on: whose it is the next access token can tell.
            return if expected.is_none() {
                Ok((None, None))
            } else {
                tracing::warn!(tenant = %row.tenant, "a new consent's access token died before Pleo said whose it is: it is kept, but not used; ask the customer to consent again");
                Err(ConsentError::Unverified)
            };
        };
        match (said, expected) {
            (Probe::Refused, _) => Err(ConsentError::Unusable),
            (Probe::Silent(_), _) => Err(ConsentError::Unverified),
            (Probe::Accepted(identity), Some(expected))
                if identity.company.as_ref() != Some(expected) =>
            {
                Err(ConsentError::WrongCompany {
                    expected: expected.clone(),
                    got: identity.company,
                })
            }
            (Probe::Accepted(identity), _) => Ok((identity.company, identity.scopes)),
        }
    }

    /// Asks Pleo whose an access token is. One refusal alone proves nothing (R5). `None` once it is too old to be asked
    /// with.
    async fn whose(&self, access: &Access, timing: Timing) -> Option<Probe> {
        let credential = Credential::Bearer(&access.token);
        let mut refused = 0;
        loop {
            let now = timing.now + timing.boot.until(self.clock.boot());
            if now >= Policy::oracle_until(access) {
                return None;
            }
            match self.pleo.who_am_i(credential, PROBE_LIMIT).await {
                Probe::Refused if refused == 0 => refused += 1,
                said => return Some(said),
            }
            tokio::time::sleep(EVIDENCE_APART).await;
        }
    }

    async fn in_use(
        &self,
        tenant: &TenantName,
        candidate: &Candidate,
    ) -> Result<Adopted, ConsentError> {
        let (seen, _) = self.look(tenant).await.map_err(ConsentError::Store)?;
        let holds = |row: &Connection| row.access() == Some(&candidate.access);
        let row = seen.row.filter(holds).ok_or(ConsentError::Overtaken)?;
        Ok(adopted(row))
    }

    /// The way of flights to a candidate whose company could not be compared yet. While Pleo is silent, it is asked ever
    /// more seldom, and the row is tended apart from it.
    pub(super) async fn verify_candidate(
        &self,
        row: &Connection,
        timing: Timing,
    ) -> Result<(), ChangeError> {
        match self.decide_candidate(&row.tenant, row.consent_until).await {
            Err(ConsentError::Store(error)) => Err(ChangeError::Store(error)),
            Err(ConsentError::Unverified) => {
                if let Some(entry) = self.cache.get(&row.tenant) {
                    let waited =
                        (row.consent_until).map_or(Duration::ZERO, |at| at.until(timing.now));
                    entry.leave_candidate(self.clock.boot(), waited);
                }
                Ok(())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn adopted(row: Connection) -> Adopted {
    Adopted {
        company: row.company,
        scopes: row.scopes,
    }
}

/// The company pinned, or on a re-consent the one before (R13).
fn expected_company<'a>(row: &'a Connection, candidate: &'a Candidate) -> Option<&'a CompanyId> {
    let before = (row.company.as_ref()).filter(|_| row.state != State::Disconnected);
    candidate.expected_company.as_ref().or(before)
}

fn failed(error: ChangeError) -> ConsentError {
    match error {
        // Nobody brings a pair in a consent.
        ChangeError::Refused(Refused::OldEpoch | Refused::Superseded)
        | ChangeError::Taken(Taken::Token(_) | Taken::SpentToken) => ConsentError::Overtaken,
        ChangeError::Refused(_) => ConsentError::Busy,
        ChangeError::Taken(Taken::Company(other)) => ConsentError::CompanyTaken(other),
        ChangeError::Store(error) => ConsentError::Store(error),
    }
}
