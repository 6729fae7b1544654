//! A connection as a row of its table, sealed and opened. When rows are read and written is not decided here (`sqlite`).
//!
//! Tokens are sealed one by one, so that the rest stays legible to an operator; one more seal is over the whole row, so
//! that nothing of it can be changed by another hand.

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::types::Type;
use rusqlite::{Row, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::candidate;
use super::seal::{Fingerprints, Label, SealError, Sealer, key_of};
use super::sealing_keys::KeyId;
use crate::clock::Timestamp;
use crate::model::connection::{Access, Candidate, Connection, Held};
use crate::model::ids::{CompanyId, Epoch, Generation, ProviderId, TenantName};
use crate::model::scope::ScopeSet;
use crate::secret::Secret;

/// The columns that [`Record::read`] wants, in its order.
pub(super) const COLUMNS: &str = "tenant, revision, state, reason, credential, company_id, shared_company, scopes, \
     epoch, generation, access, access_since, access_expires_at, access_life_known, refresh, api_key, verdict, \
     attempts, evidence, next_try_at, failures, refreshed_at, consented_at, seal, consent_until, candidate";

/// All that rows are sealed and told apart with.
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

/// A row as it lies in the table. The order of the fields is part of what is sealed: new ones go to the end.
#[derive(Serialize)]
pub(super) struct Record {
    tenant: String,
    pub(super) revision: i64,
    state: String,
    reason: Option<String>,
    credential: String,
    company_id: Option<String>,
    shared_company: bool,
    scopes: Option<String>,
    epoch: i64,
    generation: i64,
    access: Option<Vec<u8>>,
    access_since: Option<i64>,
    access_expires_at: Option<i64>,
    access_life_known: Option<bool>,
    refresh: Option<Vec<u8>>,
    api_key: Option<Vec<u8>>,
    verdict: String,
    attempts: String,
    evidence: String,
    next_try_at: Option<i64>,
    failures: u32,
    refreshed_at: Option<i64>,
    consented_at: Option<i64>,
    consent_until: Option<i64>,
    candidate: Option<Vec<u8>>,
    #[serde(skip)]
    seal: Vec<u8>,
}

/// A row that says what no row of ours says.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("its seals do not fit")]
    Seal(#[from] SealError),
    #[error("a column is not as it was written")]
    Column,
}

impl Record {
    /// Takes the columns of [`COLUMNS`].
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            tenant: row.get(0)?,
            revision: row.get(1)?,
            state: row.get(2)?,
            reason: row.get(3)?,
            credential: row.get(4)?,
            company_id: row.get(5)?,
            shared_company: row.get(6)?,
            scopes: row.get(7)?,
            epoch: row.get(8)?,
            generation: row.get(9)?,
            access: row.get(10)?,
            access_since: row.get(11)?,
            access_expires_at: row.get(12)?,
            access_life_known: row.get(13)?,
            refresh: row.get(14)?,
            api_key: row.get(15)?,
            verdict: row.get(16)?,
            attempts: row.get(17)?,
            evidence: row.get(18)?,
            next_try_at: row.get(19)?,
            failures: row.get(20)?,
            refreshed_at: row.get(21)?,
            consented_at: row.get(22)?,
            seal: row.get(23)?,
            consent_until: row.get(24)?,
            candidate: row.get(25)?,
        })
    }

    /// True if nothing of it is sealed by another key.
    pub(super) fn is_sealed_by(&self, key: KeyId) -> bool {
        key_of(&self.seal) == Some(key)
    }

    /// Seals a connection.
    pub(super) fn seal(row: &Connection, revision: i64, seals: &Seals) -> Result<Self, SealError> {
        let one = |field: &str, secret: Option<&Secret>| {
            let label = label(&seals.provider, row, field);
            secret
                .map(|secret| seals.sealer.seal(&label, secret.expose().as_bytes()))
                .transpose()
        };
        let access = row.access();
        let key = match &row.held {
            Held::Key(key) => Some(key),
            Held::Nothing | Held::Pair { .. } => None,
        };
        let mut record = Self {
            tenant: row.tenant.to_string(),
            revision,
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
            seal: Vec::new(),
        };
        let label = label(&seals.provider, row, "row");
        record.seal = seals.sealer.seal(&label, &record.digest())?;
        Ok(record)
    }

    /// Opens a row, if it is as it was written.
    pub(super) fn open(self, seals: &Seals) -> Result<Connection, Unreadable> {
        let mut row = self.plain().ok_or(Unreadable::Column)?;
        let whole = seals
            .sealer
            .open(&label(&seals.provider, &row, "row"), &self.seal)?;
        if whole.as_slice() != self.digest() {
            return Err(SealError::Refused.into());
        }
        row.held = self.held(&row, seals)?;
        row.candidate = self.candidate(&row, seals)?;
        Ok(row)
    }

    /// All but the secrets.
    fn plain(&self) -> Option<Connection> {
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
        let one = |field: &str, sealed: &[u8]| {
            let label = label(&seals.provider, row, field);
            seals.sealer.open_text(&label, sealed)
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
            .open_text(&label(&seals.provider, row, "candidate"), sealed)?;
        let candidate = candidate::read(&text).ok_or(Unreadable::Column)?;
        Ok(Some(Box::new(candidate)))
    }

    /// Puts the row in its place, over the one that was there.
    pub(super) fn put(&self, transaction: &Transaction<'_>, seals: &Seals) -> rusqlite::Result<()> {
        transaction
            .prepare_cached(&format!(
                "insert or replace into connections (provider, sealed_by, {COLUMNS}) values (?27, ?28, \
                 ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
                 ?22, ?23, ?24, ?25, ?26)"
            ))?
            .execute(params![
                self.tenant, self.revision, self.state, self.reason, self.credential, self.company_id,
                self.shared_company, self.scopes, self.epoch, self.generation, self.access, self.access_since,
                self.access_expires_at, self.access_life_known, self.refresh, self.api_key, self.verdict,
                self.attempts, self.evidence, self.next_try_at, self.failures, self.refreshed_at,
                self.consented_at, self.seal, self.consent_until, self.candidate, seals.provider.as_ref(), seals.sealer.first().to_string(),
            ])
            .map(drop)
    }

    fn digest(&self) -> Vec<u8> {
        digest(&SHA256, plain_json(self).as_bytes())
            .as_ref()
            .to_vec()
    }
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

/// `SQLite` counts in signed numbers; ours never come near their end.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// `None` for a number that we did not write.
pub(super) fn unsigned(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

/// A column whose text says nothing we know.
pub(super) fn unknown(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "text".to_owned(), Type::Text)
}
