//! A connection as a row of its table, sealed and opened. How a database keeps its columns is not here (`sqlite`,
//! `postgres`).
//!
//! Tokens are sealed one by one, so that an operator can still read the rest; one more seal covers the whole row, so that no
//! other hand can change any of it.

use aws_lc_rs::digest::{SHA256, digest};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::seal::{Fingerprints, Label, SealError, Sealer, hex, key_of};
use super::sealing_keys::KeyId;
use super::{StoreError, candidate};
use crate::clock::Timestamp;
use crate::model::connection::{Access, Candidate, Connection, Held, State};
use crate::model::ids::{CompanyId, Epoch, Generation, ProviderId, TenantName};
use crate::model::scope::ScopeSet;
use crate::secret::Secret;

/// What rows are sealed and told apart with.
#[derive(Clone, Debug)]
pub(super) struct Seals {
    pub(super) provider: ProviderId,
    pub(super) sealer: Sealer,
    pub(super) fingerprints: Fingerprints,
}

impl Seals {
    /// For the rows of another provider.
    pub(super) fn of(&self, provider: &ProviderId) -> Self {
        Self {
            provider: provider.clone(),
            ..self.clone()
        }
    }
}

/// A row as it lies in the table. Names and order of the fields are part of what is sealed: new ones go to the end.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) tenant: String,
    /// `SQLite`: its own. `PostgreSQL` gives a row its revision only while it writes: there it is the one that the row
    /// was made from.
    pub(super) sealed_revision: i64,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) credential: String,
    pub(super) company_id: Option<String>,
    pub(super) shared_company: bool,
    pub(super) scopes: Option<String>,
    pub(super) epoch: i64,
    pub(super) generation: i64,
    pub(super) access: Option<Blob>,
    pub(super) access_since: Option<i64>,
    pub(super) access_expires_at: Option<i64>,
    pub(super) access_life_known: Option<bool>,
    pub(super) refresh: Option<Blob>,
    pub(super) api_key: Option<Blob>,
    pub(super) verdict: String,
    pub(super) attempts: String,
    pub(super) evidence: String,
    pub(super) next_try_at: Option<i64>,
    pub(super) failures: u32,
    pub(super) refreshed_at: Option<i64>,
    pub(super) consented_at: Option<i64>,
    pub(super) consent_until: Option<i64>,
    pub(super) candidate: Option<Blob>,
    #[serde(skip)]
    pub(super) seal: Blob,
}

/// Bytes of a column; as text, how `PostgreSQL` writes and reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Blob(pub(super) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("\\x{}", hex(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.strip_prefix("\\x")
            .and_then(bytes_of)
            .map(Self)
            .ok_or_else(|| D::Error::custom("no bytes"))
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    (hex.as_bytes().chunks_exact(2))
        .map(|pair| u8::try_from(digit(&pair[0])? * 16 + digit(&pair[1])?).ok())
        .collect()
}

/// A row that cannot be one of ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("its seals do not fit")]
    Seal(#[from] SealError),
    #[error("a column is not as it was written")]
    Column,
}

impl Record {
    /// True if nothing of it is sealed by another key.
    pub(super) fn is_sealed_by(&self, key: KeyId) -> bool {
        key_of(&self.seal.0) == Some(key)
    }

    /// Seals a connection.
    pub(super) fn seal(
        row: &Connection,
        sealed_revision: i64,
        seals: &Seals,
    ) -> Result<Self, SealError> {
        let one = |field: &str, secret: Option<&Secret>| {
            let label = label(&seals.provider, row, field);
            secret
                .map(|secret| seals.sealer.seal(&label, secret.expose().as_bytes()))
                .transpose()
                .map(|sealed| sealed.map(Blob))
        };
        let access = row.access();
        let key = match &row.held {
            Held::Key(key) => Some(key),
            Held::Nothing | Held::Pair { .. } => None,
        };
        let mut record = Self {
            tenant: row.tenant.to_string(),
            sealed_revision,
            state: row.state.as_str().to_owned(),
            reason: row.reason.map(|reason| word(&reason)),
            credential: word(&row.credential),
            company_id: row.company.as_ref().map(ToString::to_string),
            shared_company: row.shared_company,
            scopes: row.scopes.as_ref().map(ToString::to_string),
            epoch: signed(row.epoch.0),
            generation: signed(row.generation.0),
            access: one("access", access.map(|access| &access.token))?,
            access_since: access.map(|access| access.since.0),
            access_expires_at: access.map(|access| access.expires_at.0),
            access_life_known: access.map(|access| access.life_known),
            refresh: one("refresh", row.refresh_token())?,
            api_key: one("api_key", key)?,
            verdict: word(&row.verdict),
            attempts: plain_json(&row.attempts),
            evidence: plain_json(&row.evidence),
            next_try_at: row.next_try_at.map(|at| at.0),
            failures: row.failures,
            refreshed_at: row.refreshed_at.map(|at| at.0),
            consented_at: row.consented_at.map(|at| at.0),
            consent_until: row.consent_until.map(|at| at.0),
            candidate: one(
                "candidate",
                row.candidate.as_deref().map(candidate::text).as_ref(),
            )?,
            seal: Blob::default(),
        };
        let label = label(&seals.provider, row, "row");
        record.seal = Blob(seals.sealer.seal(&label, &record.digest())?);
        Ok(record)
    }

    /// Opens a row, if it is as it was written.
    pub(super) fn open(self, seals: &Seals) -> Result<Connection, Unreadable> {
        let mut row = self.plain().ok_or(Unreadable::Column)?;
        let whole = seals
            .sealer
            .open(&label(&seals.provider, &row, "row"), &self.seal.0)?;
        if whole.as_slice() != self.digest() {
            return Err(SealError::Refused.into());
        }
        row.held = self.held(&row, seals)?;
        row.candidate = self.candidate(&row, seals)?;
        Ok(row)
    }

    /// All but the secrets, proven by no seal.
    pub(super) fn plain(&self) -> Option<Connection> {
        let tenant = TenantName::parse(&self.tenant).ok()?;
        Some(Connection {
            epoch: Epoch(unsigned(self.epoch)?),
            generation: Generation(unsigned(self.generation)?),
            state: from_word(&self.state)?,
            reason: match &self.reason {
                Some(word) => Some(from_word(word)?),
                None => None,
            },
            credential: from_word(&self.credential)?,
            company: self.company_id.as_deref().map(CompanyId::new),
            shared_company: self.shared_company,
            scopes: self
                .scopes
                .as_deref()
                .map(ScopeSet::parse)
                .transpose()
                .ok()?,
            verdict: from_word(&self.verdict)?,
            attempts: serde_json::from_str(&self.attempts).ok()?,
            evidence: serde_json::from_str(&self.evidence).ok()?,
            next_try_at: self.next_try_at.map(Timestamp),
            failures: self.failures,
            refreshed_at: self.refreshed_at.map(Timestamp),
            consented_at: self.consented_at.map(Timestamp),
            consent_until: self.consent_until.map(Timestamp),
            ..Connection::pending(tenant)
        })
    }

    fn held(&self, row: &Connection, seals: &Seals) -> Result<Held, Unreadable> {
        let one = |field: &str, sealed: &Blob| {
            let label = label(&seals.provider, row, field);
            seals.sealer.open_text(&label, &sealed.0)
        };
        if let Some(key) = &self.api_key {
            return Ok(Held::Key(one("api_key", key)?));
        }
        let Some(refresh) = &self.refresh else {
            return Ok(Held::Nothing);
        };
        let access = match &self.access {
            Some(access) => Some(Access {
                token: one("access", access)?,
                since: Timestamp(self.access_since.ok_or(Unreadable::Column)?),
                expires_at: Timestamp(self.access_expires_at.ok_or(Unreadable::Column)?),
                life_known: self.access_life_known.ok_or(Unreadable::Column)?,
            }),
            None => None,
        };
        let refresh = one("refresh", refresh)?;
        Ok(Held::Pair { access, refresh })
    }

    fn candidate(
        &self,
        row: &Connection,
        seals: &Seals,
    ) -> Result<Option<Box<Candidate>>, Unreadable> {
        let Some(sealed) = &self.candidate else {
            return Ok(None);
        };
        let text = seals
            .sealer
            .open_text(&label(&seals.provider, row, "candidate"), &sealed.0)?;
        let candidate = candidate::read(&text).ok_or(Unreadable::Column)?;
        Ok(Some(Box::new(candidate)))
    }

    fn digest(&self) -> Vec<u8> {
        digest(&SHA256, plain_json(self).as_bytes())
            .as_ref()
            .to_vec()
    }
}

/// The company that a row wants to itself.
pub(super) fn holds_alone(row: &Connection) -> Option<&CompanyId> {
    let holds = !matches!(row.state, State::Pending | State::Disconnected);
    row.company
        .as_ref()
        .filter(|_| holds && !row.shared_company)
}

/// The machine could not seal: nothing was written.
pub(super) fn unsealed(error: SealError) -> StoreError {
    StoreError::Unavailable(error.into())
}

fn label<'a>(provider: &'a ProviderId, row: &'a Connection, field: &'a str) -> Label<'a> {
    Label {
        provider,
        tenant: row.tenant.as_ref(),
        epoch: row.epoch,
        generation: row.generation,
        field,
    }
}

/// A unit variant's word in the contract.
pub(super) fn word(value: &impl Serialize) -> String {
    plain_json(value).trim_matches('"').to_owned()
}

/// The variant of a word.
pub(super) fn from_word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(Value::String(word.to_owned())).ok()
}

#[expect(
    clippy::expect_used,
    reason = "plain structs with text keys always have a JSON form"
)]
pub(super) fn plain_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("JSON")
}

/// Databases count in signed numbers; ours never come near the limit.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// `None` for a number that we did not write.
pub(super) fn unsigned(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}
