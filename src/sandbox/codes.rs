//! Authorisation codes: one minute, one use, bound to the redirect URI and to the challenge (RFC 6749 section 4.1.2,
//! RFC 7636). What a code buys is in `grants`.

use std::collections::HashMap;
use std::time::Duration;

use super::counters::Rule;
use super::seed::{Digest, sha256, token};
use crate::clock::Timestamp;
use crate::model::scope::ScopeSet;
use crate::secret::Secret;

const CODE_TTL: Duration = Duration::from_mins(1);

/// What a customer consents to on the authorise page.
#[derive(Clone, Debug)]
pub(super) struct Consent {
    pub(super) company_id: String,
    pub(super) scopes: ScopeSet,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
}

#[derive(Debug)]
struct Code {
    consent: Consent,
    expires: Timestamp,
    used_for: Option<u64>,
}

/// A code that buys nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadCode {
    pub(super) rule: Rule,
    /// The authorisation that it bought before.
    pub(super) used_for: Option<u64>,
}

/// What a client brings to buy a pair. No `Debug`: it is all secret.
#[derive(Clone, Copy)]
pub(super) struct Offer<'a> {
    pub(super) code: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) verifier: &'a str,
}

/// All codes that were issued.
#[derive(Debug, Default)]
pub(super) struct Codes(HashMap<Digest, Code>);

impl Codes {
    /// A code for what was consented to.
    pub(super) fn issue(&mut self, consent: Consent, now: Timestamp) -> Secret {
        let code = token("sandbox_code");
        let record = Code {
            consent,
            expires: now + CODE_TTL,
            used_for: None,
        };
        self.0.insert(sha256(code.expose()), record);
        code
    }

    /// What the code stands for; from here on it is used, for the authorisation `buyer`.
    pub(super) fn redeem(
        &mut self,
        offer: Offer<'_>,
        buyer: u64,
        now: Timestamp,
    ) -> Result<Consent, BadCode> {
        let used_for = None;
        let rule = Rule::CodeUnknown;
        let record = (self.0.get_mut(&sha256(offer.code))).ok_or(BadCode { rule, used_for })?;
        if let Some(rule) = record.objection(offer, now) {
            let used_for = record.used_for;
            return Err(BadCode { rule, used_for });
        }
        record.used_for = Some(buyer);
        Ok(record.consent.clone())
    }
}

impl Code {
    fn objection(&self, offer: Offer<'_>, now: Timestamp) -> Option<Rule> {
        if self.used_for.is_some() {
            Some(Rule::CodeReused)
        } else if now >= self.expires {
            Some(Rule::CodeExpired)
        } else if self.consent.redirect_uri != offer.redirect_uri {
            Some(Rule::BadRedirect)
        } else if !is_verifier(offer.verifier)
            || sha256(offer.verifier).challenge() != self.consent.challenge
        {
            Some(Rule::PkceWrong)
        } else {
            None
        }
    }
}

/// The grammar of RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && (text.bytes()).all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CALLBACK: &str = "http://127.0.0.1:8081/oauth/callback";

    fn issued() -> (Codes, Secret) {
        let mut codes = Codes::default();
        let consent = Consent {
            company_id: "c".to_owned(),
            scopes: ScopeSet::default(),
            redirect_uri: CALLBACK.to_owned(),
            challenge: sha256(VERIFIER).challenge(),
        };
        let code = codes.issue(consent, NOW);
        (codes, code)
    }

    fn offer(code: &Secret) -> Offer<'_> {
        Offer {
            code: code.expose(),
            redirect_uri: CALLBACK,
            verifier: VERIFIER,
        }
    }

    #[test]
    fn a_code_is_good_once() {
        let (mut codes, code) = issued();
        assert!(codes.redeem(offer(&code), 7, NOW).is_ok());
        let again = codes.redeem(offer(&code), 8, NOW).unwrap_err();
        let (rule, used_for) = (Rule::CodeReused, Some(7));
        assert_eq!(again, BadCode { rule, used_for });
    }

    #[test]
    fn a_code_wants_its_verifier_its_redirect_and_its_minute() {
        let (mut codes, code) = issued();
        let good = offer(&code);
        let other = "x".repeat(43);
        for (offer, now, rule) in [
            (Offer { code: "x", ..good }, NOW, Rule::CodeUnknown),
            (
                Offer {
                    verifier: &other,
                    ..good
                },
                NOW,
                Rule::PkceWrong,
            ),
            (
                Offer {
                    verifier: "short",
                    ..good
                },
                NOW,
                Rule::PkceWrong,
            ),
            (
                Offer {
                    redirect_uri: "http://127.0.0.1:8082/oauth/callback",
                    ..good
                },
                NOW,
                Rule::BadRedirect,
            ),
            (good, NOW + CODE_TTL, Rule::CodeExpired),
        ] {
            assert_eq!(codes.redeem(offer, 7, now).unwrap_err().rule, rule);
        }
        assert!(
            codes.redeem(good, 7, NOW).is_ok(),
            "a failed try uses nothing up"
        );
    }
}
