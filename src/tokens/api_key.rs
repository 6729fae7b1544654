//! API keys that operators bring (contract.md section 4, `set-key`): what passes for one, and how one comes into use: tried
//! first, and stored only if Pleo accepts it for the right company.

use super::operate::check_company;
use super::undone::OperateError;
use super::{House, Tokens};
use crate::model::connection::{Connection, CredentialKind, Held, State};
use crate::model::ids::{CompanyId, TenantName};
use crate::pleo::introspect::Credential;
use crate::refresh::{Event, Import};
use crate::secret::Secret;

/// No API key is longer, in bytes.
pub const LONGEST: usize = 4096;

/// A text that can be an API key: it fits into `Basic` (RFC 7617), where a user name has no colon.
#[derive(Debug)]
pub struct ApiKey(Secret);

/// Why a text is no API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// Nothing is there.
    #[error("there is no key: it is one line")]
    Empty,
    /// It is far longer than any key.
    #[error("it is longer than {LONGEST} bytes: that is no API key")]
    TooLong,
    /// It holds a blank, a line break, or another character that no key has.
    #[error("it holds a blank, a line break or another character that no API key has")]
    Characters,
    /// It is a user name with a password.
    #[error("it holds a colon: bring the key alone, without what follows the colon")]
    Colon,
}

/// How a key is taken.
#[derive(Clone, Debug)]
pub struct KeyTerms {
    /// Who made it: one of the two kinds of key.
    pub kind: KeyKind,
    /// The company pinned by the configuration.
    pub expected_company: Option<CompanyId>,
    /// Whether another tenant may have the same company.
    pub allow_shared_company: bool,
    /// Whether an active connection may be replaced.
    pub replace: bool,
}

/// The two kinds of API key (pleo.md section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Made by Pleo when an integration is installed.
    #[default]
    Integrated,
    /// Made by a person of the company.
    Standalone,
}

impl ApiKey {
    /// Takes a text as it was pasted: one line break at its end does not count.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(NotAKey::Empty);
        }
        if text.len() > LONGEST {
            return Err(NotAKey::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotAKey::Characters);
        }
        if text.contains(':') {
            return Err(NotAKey::Colon);
        }
        Ok(Self(Secret::new(text)))
    }
}

impl From<KeyKind> for CredentialKind {
    fn from(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Integrated => Self::IntegratedKey,
            KeyKind::Standalone => Self::StandaloneKey,
        }
    }
}

impl Tokens {
    /// Tries a key at Pleo, compares its company, and puts it into use. A key that Pleo refuses is not stored.
    pub async fn set_key(
        &self,
        tenant: &TenantName,
        ApiKey(key): ApiKey,
        terms: &KeyTerms,
    ) -> Result<Connection, OperateError> {
        let house = &self.0;
        let identity = house.identify(Credential::Key(&key)).await?;
        let company = identity.company.ok_or(OperateError::NoCompany)?;
        let before = match self.show(tenant).await {
            Ok(row) if row.state != State::Disconnected => row.company,
            Ok(_) | Err(OperateError::NotConnected(_)) => None,
            Err(error) => return Err(error),
        };
        // Who was connected to one company does not act for another one by mistake.
        let expected = terms.expected_company.as_ref().or(before.as_ref());
        check_company(expected, Some(&company))?;
        let import = Import {
            credential: terms.kind.into(),
            held: Held::Key(key),
            company: Some(company),
            scopes: identity.scopes,
            allow_shared_company: terms.allow_shared_company,
            replace: terms.replace,
        };
        house.import(tenant, import).await
    }
}

impl House {
    /// Writes down that Pleo refused this row's key, and says once what to do. True if the connection stands so now.
    pub(super) async fn reject_key(&self, row: &Connection) -> bool {
        let tenant = &row.tenant;
        let event = Event::RejectKey { epoch: row.epoch };
        match self.apply(tenant, &event).await {
            Ok(_) => {
                tracing::warn!(%tenant, "Pleo refuses the API key: replace the key with `connections set-key {tenant}`");
                true
            }
            // Somebody else was first, or the key was replaced.
            Err(super::ChangeError::Refused(_)) => true,
            Err(error) => {
                self.metrics.store_failed("write");
                tracing::warn!(%tenant, %error, "that Pleo refuses the API key could not be written down");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_does_not_count() {
        for text in ["pls_key", "pls_key\n", "pls_key\r\n"] {
            assert_eq!(ApiKey::parse(text).unwrap().0.expose(), "pls_key");
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_refused_and_not_repeated() {
        let long = "canary".repeat(LONGEST);
        for (text, why) in [
            ("", NotAKey::Empty),
            ("\n", NotAKey::Empty),
            ("canary\n\n", NotAKey::Characters),
            ("canary canary", NotAKey::Characters),
            ("canary\u{7}", NotAKey::Characters),
            ("canary\u{e9}", NotAKey::Characters),
            ("canary:", NotAKey::Colon),
            (long.as_str(), NotAKey::TooLong),
        ] {
            let error = ApiKey::parse(text).unwrap_err();
            assert_eq!(error, why, "{text:?}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
