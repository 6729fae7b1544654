//! Authorisations and their tokens: the rules of pleo.md section 4, as functions of `now`. Tokens are kept
//! as digests. What a request has to look like is in `authorize` and `token`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Serialize;

use super::codes::{Codes, Offer};
use super::counters::Rule;
use super::seed::{Digest, sha256, token};
use crate::clock::Timestamp;
use crate::model::scope::ScopeSet;
use crate::secret::Secret;

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

impl Token {
    /// Why it does not refresh `authorisation`.
    fn objection(&self, authorisation: &Authorisation, now: Timestamp) -> Option<Refusal> {
        if self.refused {
            Some(Refusal::Broken(Rule::RefreshAfterRejection))
        } else if self.generation != authorisation.generation {
            Some(Refusal::Broken(Rule::RefreshTokenReplayed))
        } else if let Some(ended) = authorisation.ended {
            Some(Refusal::Ended(ended))
        } else if now >= self.expires {
            Some(Refusal::Broken(Rule::RefreshTokenExpired))
        } else {
            None
        }
    }
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
    pub(super) codes: Codes,
}

impl Grants {
    pub(super) fn new(access_ttl: Duration, refresh_ttl: Duration) -> Self {
        Self {
            access_ttl,
            refresh_ttl,
            authorisations: BTreeMap::new(),
            tokens: HashMap::new(),
            codes: Codes::default(),
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
        let id = self.next_id();
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

    /// Exchanges a code. A second use ends the authorisation of the first (RFC 6749 section 4.1.2).
    pub(super) fn exchange(&mut self, offer: Offer<'_>, now: Timestamp) -> Result<Minted, Refusal> {
        let buyer = self.next_id();
        match self.codes.redeem(offer, buyer, now) {
            Ok(consent) => Ok(self.mint(consent.company_id, consent.scopes, None, now)),
            Err(bad) => {
                if let Some(id) = bad.used_for {
                    self.end(id, Ended::CodeReused);
                }
                Err(Refusal::Broken(bad.rule))
            }
        }
    }

    /// Replaces both tokens; the old ones are dead from here on. A replaced or expired refresh token ends everything.
    pub(super) fn refresh(&mut self, refresh: &str, now: Timestamp) -> Result<Minted, Refusal> {
        let unknown = Refusal::Broken(Rule::RefreshTokenUnknown);
        let token = (self.tokens.get_mut(&sha256(refresh)))
            .filter(|token| token.kind == Kind::Refresh)
            .ok_or(unknown)?;
        let id = token.authorisation;
        let authorisation = self.authorisations.get(&id).ok_or(unknown)?;
        if let Some(refusal) = token.objection(authorisation, now) {
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

    fn next_id(&self) -> u64 {
        1 + self.authorisations.keys().last().copied().unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const QUARTER: Duration = Duration::from_mins(15);
    const LIFE: Duration = Duration::from_hours(60 * 24);

    fn minted() -> (Grants, Minted) {
        let mut grants = Grants::new(QUARTER, LIFE);
        let pair = grants.mint("c".to_owned(), ScopeSet::default(), None, NOW);
        (grants, pair)
    }

    fn why(grants: &Grants) -> Option<Ended> {
        grants.iter().next().unwrap().1.ended
    }

    #[test]
    fn a_refresh_kills_the_old_access_token_at_once() {
        let (mut grants, old) = minted();
        let new = grants.refresh(old.refresh_token.expose(), NOW).unwrap();
        assert!(grants.access(old.access_token.expose(), NOW).is_none());
        assert_eq!(grants.access(new.access_token.expose(), NOW).unwrap().id, 1);
        assert!(
            grants.access(new.refresh_token.expose(), NOW).is_none(),
            "not for the API"
        );
        assert!(grants.either(new.refresh_token.expose(), NOW).is_some());
        assert!(
            grants
                .access(new.access_token.expose(), NOW + QUARTER)
                .is_none()
        );
    }

    #[test]
    fn a_replaced_refresh_token_ends_the_authorisation() {
        let (mut grants, old) = minted();
        let new = grants.refresh(old.refresh_token.expose(), NOW).unwrap();
        let replayed = grants.refresh(old.refresh_token.expose(), NOW).unwrap_err();
        assert_eq!(replayed, Refusal::Broken(Rule::RefreshTokenReplayed));
        assert!(grants.access(new.access_token.expose(), NOW).is_none());
        let ended = grants.refresh(new.refresh_token.expose(), NOW).unwrap_err();
        assert_eq!(ended, Refusal::Ended(Ended::RefreshTokenReplayed));
        let pressed = grants.refresh(new.refresh_token.expose(), NOW).unwrap_err();
        assert_eq!(pressed, Refusal::Broken(Rule::RefreshAfterRejection));
    }

    #[test]
    fn an_expired_refresh_token_ends_the_authorisation() {
        let (mut grants, pair) = minted();
        let late = grants
            .refresh(pair.refresh_token.expose(), NOW + LIFE)
            .unwrap_err();
        assert_eq!(late, Refusal::Broken(Rule::RefreshTokenExpired));
        assert_eq!(why(&grants), Some(Ended::RefreshTokenExpired));
    }

    #[test]
    fn an_access_token_refreshes_nothing_and_harms_nothing() {
        let (mut grants, pair) = minted();
        for wrong in [pair.access_token.expose(), "made-up"] {
            let refusal = grants.refresh(wrong, NOW).unwrap_err();
            assert_eq!(refusal, Refusal::Broken(Rule::RefreshTokenUnknown));
        }
        assert_eq!(why(&grants), None);
    }

    #[test]
    fn refreshes_at_the_door_are_counted_together() {
        let (mut grants, pair) = minted();
        let first = grants.arrive(pair.refresh_token.expose()).unwrap();
        let second = grants.arrive(pair.refresh_token.expose()).unwrap();
        assert!(!first.presented_before && second.presented_before);
        assert_eq!((first.in_flight, second.in_flight), (1, 2));
        grants.leave(first);
        grants.leave(second);
        let third = grants.arrive(pair.refresh_token.expose()).unwrap();
        assert_eq!(third.in_flight, 1);
        assert!(grants.arrive(pair.access_token.expose()).is_none());
    }
}
