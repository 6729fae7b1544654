//! Authorisations, their codes and their tokens: the rules of pleo.md section 4, as functions of `now`. Tokens are kept
//! as digests. What a request has to look like is in `authorize` and `token`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Serialize;

use super::counters::Rule;
use super::seed::{Digest, sha256, token};
use crate::clock::Timestamp;
use crate::model::scope::ScopeSet;
use crate::secret::Secret;

/// How long an authorisation code lives.
pub(super) const CODE_TTL: Duration = Duration::from_mins(1);

/// A fresh pair, as the token endpoint answers it.
#[derive(Debug)]
pub struct Minted {
    /// Which authorisation it belongs to; `DELETE /_sandbox/authorisations/{id}` takes it.
    pub authorisation: u64,
    /// The company that consented.
    pub company_id: String,
    /// The access token.
    pub access_token: Secret,
    /// The refresh token.
    pub refresh_token: Secret,
    /// Life of the access token.
    pub expires_in: Duration,
    /// What was consented to.
    pub scopes: ScopeSet,
}

/// Why an authorisation is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ended {
    RefreshTokenReplayed,
    RefreshTokenExpired,
    CodeReused,
    Uninstalled,
    Revoked,
}

/// Why a grant is refused. All are `invalid_grant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A rule was broken.
    Broken(Rule),
    /// The authorisation ended before; nobody broke a rule by not knowing it.
    Ended(Ended),
}

/// What a customer consented to.
#[derive(Debug)]
pub(super) struct Authorisation {
    pub(super) company_id: String,
    pub(super) scopes: ScopeSet,
    /// How many refreshes took effect.
    pub(super) generation: u64,
    pub(super) ended: Option<Ended>,
    pub(super) access_ttl: Duration,
    pub(super) access_expires: Timestamp,
    /// Refreshes that arrived, whatever became of them.
    pub(super) refresh_calls: u64,
    pub(super) in_flight: u64,
    pub(super) most_in_flight: u64,
}

/// What a customer consents to on the authorise page.
#[derive(Clone, Debug)]
pub(super) struct Consent {
    pub(super) company_id: String,
    pub(super) scopes: ScopeSet,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Access,
    Refresh,
}

#[derive(Debug)]
struct Token {
    authorisation: u64,
    kind: Kind,
    generation: u64,
    issued: Timestamp,
    expires: Timestamp,
    presented: bool,
    refused: bool,
}

#[derive(Debug)]
struct Code {
    consent: Consent,
    expires: Timestamp,
    used_for: Option<u64>,
}

/// A token that lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alive<'a> {
    pub(super) id: u64,
    pub(super) authorisation: &'a Authorisation,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
}

/// A refresh that is at the token endpoint; see [`Grants::arrive`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) id: u64,
    pub(super) presented_before: bool,
    pub(super) in_flight: u64,
}

/// All authorisations.
#[derive(Debug)]
pub(super) struct Grants {
    access_ttl: Duration,
    refresh_ttl: Duration,
    authorisations: BTreeMap<u64, Authorisation>,
    tokens: HashMap<Digest, Token>,
    codes: HashMap<Digest, Code>,
}

impl Grants {
    pub(super) fn new(access_ttl: Duration, refresh_ttl: Duration) -> Self {
        Self {
            access_ttl,
            refresh_ttl,
            authorisations: BTreeMap::new(),
            tokens: HashMap::new(),
            codes: HashMap::new(),
        }
    }

    /// All of them, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Authorisation)> {
        (self.authorisations.iter()).map(|(id, authorisation)| (*id, authorisation))
    }

    /// A new authorisation with its first pair. `ttl` replaces the usual life of its access tokens.
    pub(super) fn mint(
        &mut self,
        company_id: String,
        scopes: ScopeSet,
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Minted {
        let id = 1 + self.authorisations.keys().last().copied().unwrap_or(0);
        let authorisation = Authorisation {
            company_id,
            scopes,
            generation: 0,
            ended: None,
            access_ttl: ttl.unwrap_or(self.access_ttl),
            access_expires: now,
            refresh_calls: 0,
            in_flight: 0,
            most_in_flight: 0,
        };
        self.issue(id, authorisation, now)
    }

    /// A code for what was consented to.
    pub(super) fn code(&mut self, consent: Consent, now: Timestamp) -> Secret {
        let code = token("sandbox_code");
        let record = Code {
            consent,
            expires: now + CODE_TTL,
            used_for: None,
        };
        self.codes.insert(sha256(code.expose()), record);
        code
    }

    /// Exchanges a code. A second use ends the authorisation of the first (RFC 6749 section 4.1.2).
    pub(super) fn exchange(
        &mut self,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
        now: Timestamp,
    ) -> Result<Minted, Refusal> {
        let digest = sha256(code);
        let record = (self.codes.get(&digest)).ok_or(Refusal::Broken(Rule::CodeUnknown))?;
        if let Some(id) = record.used_for {
            self.end(id, Ended::CodeReused);
            return Err(Refusal::Broken(Rule::CodeReused));
        }
        let consent = &record.consent;
        let rule = if now >= record.expires {
            Some(Rule::CodeExpired)
        } else if consent.redirect_uri != redirect_uri {
            Some(Rule::BadRedirect)
        } else if !is_verifier(verifier) || sha256(verifier).challenge() != consent.challenge {
            Some(Rule::PkceWrong)
        } else {
            None
        };
        if let Some(rule) = rule {
            return Err(Refusal::Broken(rule));
        }
        let (company_id, scopes) = (consent.company_id.clone(), consent.scopes.clone());
        let minted = self.mint(company_id, scopes, None, now);
        if let Some(record) = self.codes.get_mut(&digest) {
            record.used_for = Some(minted.authorisation);
        }
        Ok(minted)
    }

    /// Replaces both tokens; the old ones are dead from here on. A replaced or expired refresh token ends everything.
    pub(super) fn refresh(&mut self, refresh: &str, now: Timestamp) -> Result<Minted, Refusal> {
        let unknown = Refusal::Broken(Rule::RefreshTokenUnknown);
        let token = (self.tokens.get_mut(&sha256(refresh)))
            .filter(|token| token.kind == Kind::Refresh)
            .ok_or(unknown)?;
        let id = token.authorisation;
        let authorisation = self.authorisations.get(&id).ok_or(unknown)?;
        let refusal = if token.refused {
            Some(Refusal::Broken(Rule::RefreshAfterRejection))
        } else if token.generation != authorisation.generation {
            Some(Refusal::Broken(Rule::RefreshTokenReplayed))
        } else if let Some(ended) = authorisation.ended {
            Some(Refusal::Ended(ended))
        } else if now >= token.expires {
            Some(Refusal::Broken(Rule::RefreshTokenExpired))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            token.refused = true;
            match refusal {
                Refusal::Broken(Rule::RefreshTokenReplayed) => {
                    self.end(id, Ended::RefreshTokenReplayed);
                }
                Refusal::Broken(Rule::RefreshTokenExpired) => {
                    self.end(id, Ended::RefreshTokenExpired);
                }
                Refusal::Broken(_) | Refusal::Ended(_) => {}
            }
            return Err(refusal);
        }
        let mut authorisation = self.authorisations.remove(&id).ok_or(unknown)?;
        authorisation.generation += 1;
        Ok(self.issue(id, authorisation, now))
    }

    /// The authorisation of an access token that lives.
    pub(super) fn access(&self, access: &str, now: Timestamp) -> Option<Alive<'_>> {
        self.alive(access, now, &[Kind::Access])
    }

    /// The authorisation of a token of either kind that lives.
    pub(super) fn either(&self, token: &str, now: Timestamp) -> Option<Alive<'_>> {
        self.alive(token, now, &[Kind::Access, Kind::Refresh])
    }

    /// Kills every token of it. False if there is none, or it was dead.
    pub(super) fn end(&mut self, id: u64, why: Ended) -> bool {
        match self.authorisations.get_mut(&id) {
            Some(authorisation) if authorisation.ended.is_none() => {
                authorisation.ended = Some(why);
                true
            }
            _ => false,
        }
    }

    /// Notes that a refresh token has arrived, before anything is decided. None for a token that was never issued.
    pub(super) fn arrive(&mut self, refresh: &str) -> Option<Arrival> {
        let token =
            (self.tokens.get_mut(&sha256(refresh))).filter(|token| token.kind == Kind::Refresh)?;
        let presented_before = std::mem::replace(&mut token.presented, true);
        let id = token.authorisation;
        let authorisation = self.authorisations.get_mut(&id)?;
        authorisation.refresh_calls += 1;
        authorisation.in_flight += 1;
        let in_flight = authorisation.in_flight;
        authorisation.most_in_flight = authorisation.most_in_flight.max(in_flight);
        Some(Arrival {
            id,
            presented_before,
            in_flight,
        })
    }

    /// Notes that a refresh has been answered, or given up.
    pub(super) fn leave(&mut self, arrival: Arrival) {
        if let Some(authorisation) = self.authorisations.get_mut(&arrival.id) {
            authorisation.in_flight = authorisation.in_flight.saturating_sub(1);
        }
    }

    fn alive(&self, text: &str, now: Timestamp, kinds: &[Kind]) -> Option<Alive<'_>> {
        let token = self.tokens.get(&sha256(text))?;
        let authorisation = self.authorisations.get(&token.authorisation)?;
        let lives = kinds.contains(&token.kind)
            && token.generation == authorisation.generation
            && authorisation.ended.is_none()
            && now < token.expires;
        lives.then_some(Alive {
            id: token.authorisation,
            authorisation,
            issued: token.issued,
            expires: token.expires,
        })
    }

    fn issue(&mut self, id: u64, mut authorisation: Authorisation, now: Timestamp) -> Minted {
        authorisation.access_expires = now + authorisation.access_ttl;
        let minted = Minted {
            authorisation: id,
            company_id: authorisation.company_id.clone(),
            access_token: token("sandbox_access"),
            refresh_token: token("sandbox_refresh"),
            expires_in: authorisation.access_ttl,
            scopes: authorisation.scopes.clone(),
        };
        for (secret, kind, expires) in [
            (
                &minted.access_token,
                Kind::Access,
                authorisation.access_expires,
            ),
            (&minted.refresh_token, Kind::Refresh, now + self.refresh_ttl),
        ] {
            let record = Token {
                authorisation: id,
                kind,
                generation: authorisation.generation,
                issued: now,
                expires,
                presented: false,
                refused: false,
            };
            self.tokens.insert(sha256(secret.expose()), record);
        }
        self.authorisations.insert(id, authorisation);
        minted
    }
}

/// The grammar of RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && (text.bytes()).all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}
