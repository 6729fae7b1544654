//! A consent's pair that is not yet in use, as one text to be sealed. Sealing it is not here (`rows`).

use serde::{Deserialize, Serialize};

use super::rows::plain_json;
use crate::clock::Timestamp;
use crate::model::connection::{Access, Candidate};
use crate::model::ids::CompanyId;
use crate::model::scope::ScopeSet;
use crate::secret::Secret;

#[derive(Serialize)]
struct Out<'a> {
    access: &'a str,
    since: Timestamp,
    expires_at: Timestamp,
    life_known: bool,
    refresh: &'a str,
    scopes: Option<&'a ScopeSet>,
    expected_company: Option<&'a CompanyId>,
    allow_shared_company: bool,
    who: &'a str,
}

#[derive(Deserialize)]
struct In {
    access: Secret,
    since: Timestamp,
    expires_at: Timestamp,
    life_known: bool,
    refresh: Secret,
    scopes: Option<ScopeSet>,
    expected_company: Option<CompanyId>,
    allow_shared_company: bool,
    who: String,
}

pub(super) fn text(candidate: &Candidate) -> Secret {
    Secret::new(plain_json(&Out {
        access: candidate.access.token.expose(),
        since: candidate.access.since,
        expires_at: candidate.access.expires_at,
        life_known: candidate.access.life_known,
        refresh: candidate.refresh.expose(),
        scopes: candidate.scopes.as_ref(),
        expected_company: candidate.expected_company.as_ref(),
        allow_shared_company: candidate.allow_shared_company,
        who: &candidate.who,
    }))
}

/// `None` for a text that is none of ours.
pub(super) fn read(text: &Secret) -> Option<Candidate> {
    let read: In = serde_json::from_str(text.expose()).ok()?;
    Some(Candidate {
        access: Access {
            token: read.access,
            since: read.since,
            expires_at: read.expires_at,
            life_known: read.life_known,
        },
        refresh: read.refresh,
        scopes: read.scopes,
        expected_company: read.expected_company,
        allow_shared_company: read.allow_shared_company,
        who: read.who,
    })
}
