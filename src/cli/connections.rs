//! `connections …`: the tenants' connections to Pleo, from the command line. Works on the store directly, whether or not
//! gateways are running on it.

use std::path::PathBuf;
use std::time::Duration;

use super::arguments::{Connections, Kind, One};
use super::exit::{Exit, Failure};
use super::session::{self, Session};
use super::{import, input, print};
use crate::connect::link::{self, LinkError, Terms};
use crate::model::connection::Connection;
use crate::model::ids::TenantName;
use crate::tokens::api_key::{self, ApiKey, KeyKind, KeyTerms, NotAKey};
use crate::tokens::operate::OperateError;
use crate::tokens::summary::{HistoryRow, Summary};

/// A little more than the longest key, so that a longer one is noticed.
const LONGEST_READ: usize = api_key::LONGEST + 3;

/// Over the columns of [`columns`].
const HEAD: [&str; 6] = [
    "TENANT",
    "STATE",
    "COMPANY",
    "GENERATION",
    "EXPIRES",
    "SCOPES",
];

pub(super) fn run(config: Option<PathBuf>, command: Connections) -> Result<(), Failure> {
    session::run(config, async |session| match command {
        Connections::List { json } => list(session, json).await,
        Connections::Show(one) => show(session, &one).await,
        Connections::Link {
            one,
            expires,
            allow_shared_company,
        } => link(session, &one, expires, allow_shared_company).await,
        Connections::Import(options) => import::run(session, &options).await,
        Connections::SetKey {
            one,
            kind,
            replace,
            allow_shared_company,
        } => {
            let terms = KeyTerms {
                kind: match kind {
                    Kind::Integrated => KeyKind::Integrated,
                    Kind::Standalone => KeyKind::Standalone,
                },
                expected_company: session.pinned_company(&tenant(&one)?),
                allow_shared_company,
                replace,
            };
            set_key(session, &one, &terms).await
        }
        Connections::Verify(one) => verify(session, &one).await,
        Connections::Refresh(one) => refresh(session, &one).await,
        Connections::Disconnect { one, uninstall } => disconnect(session, &one, uninstall).await,
        Connections::Resolve { one, retry, .. } => resolve(session, &one, retry).await,
        Connections::History(one) => history(session, &one).await,
    })
}

async fn list(session: &Session, json: bool) -> Result<(), Failure> {
    let mut unreadable = Vec::new();
    let mut summaries = Vec::new();
    for row in session.tokens().list().await.map_err(Failure::from)? {
        match row {
            Ok(row) => summaries.push(Summary::of(&row, session.policy())),
            Err((tenant, error)) => unreadable.push((tenant, Failure::from(error))),
        }
    }
    if json {
        print::json(&summaries)?;
    } else if summaries.is_empty() && unreadable.is_empty() {
        print::remark(
            "No connections yet: `pleo-gateway connections link TENANT` makes the first.",
        );
    } else {
        let rows: Vec<_> = summaries.iter().map(columns).collect();
        print::table(&HEAD, &rows)?;
    }
    let mut exit = None;
    for (tenant, failure) in &unreadable {
        print::error(&format!("tenant {tenant}: {}", failure.words()));
        exit.get_or_insert(failure.exit());
    }
    exit.map_or(Ok(()), |exit| Err(Failure::told(exit)))
}

fn columns(summary: &Summary) -> Vec<String> {
    let dash = || "-".to_owned();
    vec![
        summary.tenant.to_string(),
        summary.state.as_str().to_owned(),
        summary
            .company_id
            .as_ref()
            .map_or_else(dash, ToString::to_string),
        format!("{}.{}", summary.epoch.0, summary.generation.0),
        summary.access_expires_at.clone().unwrap_or_else(dash),
        summary
            .scopes
            .as_ref()
            .map_or_else(dash, ToString::to_string),
    ]
}

async fn show(session: &Session, one: &One) -> Result<(), Failure> {
    let row = session.tokens().show(&tenant(one)?).await?;
    tell(session, &row, one.json, None)
}

async fn set_key(session: &Session, one: &One, terms: &KeyTerms) -> Result<(), Failure> {
    let tenant = tenant(one)?;
    let asked_for = format!("The API key of tenant {tenant}, on one line (it is not shown): ");
    let key = input::secret(&asked_for, LONGEST_READ)
        .await
        .map_err(|error| Failure::of(Exit::Io, &error))?;
    let key = std::str::from_utf8(&key).map_err(|_| NotAKey::Characters);
    let key = key.and_then(ApiKey::parse).map_err(OperateError::from)?;
    let row = session.tokens().set_key(&tenant, key, terms).await?;
    let words = "Pleo accepts the key; it is in use.";
    tell(session, &row, one.json, Some(words))
}

async fn verify(session: &Session, one: &One) -> Result<(), Failure> {
    let tenant = tenant(one)?;
    let pinned = session.pinned_company(&tenant);
    let row = session.tokens().verify(&tenant, pinned.as_ref()).await?;
    let words = "Pleo accepts the credential; company and scopes are as held here.";
    tell(session, &row, one.json, Some(words))
}

async fn refresh(session: &Session, one: &One) -> Result<(), Failure> {
    let row = session.tokens().refresh(&tenant(one)?).await?;
    tell(session, &row, one.json, Some("A new pair is in use."))
}

async fn resolve(session: &Session, one: &One, retry: bool) -> Result<(), Failure> {
    let row = session.tokens().resolve(&tenant(one)?, retry).await?;
    let words = if retry {
        "The refresh token may be presented again."
    } else {
        "Given up: a person has to consent again."
    };
    tell(session, &row, one.json, Some(words))
}

async fn disconnect(session: &Session, one: &One, uninstall: bool) -> Result<(), Failure> {
    let row = session
        .tokens()
        .disconnect(&tenant(one)?, uninstall)
        .await?;
    tell(
        session,
        &row,
        one.json,
        Some("Disconnected: the tokens are erased."),
    )
}

fn tell(
    session: &Session,
    row: &Connection,
    json: bool,
    words: Option<&str>,
) -> Result<(), Failure> {
    let summary = Summary::of(row, session.policy());
    if json {
        return print::json(&summary);
    }
    if let Some(words) = words {
        print::remark(words);
    }
    let rows = [columns(&summary)];
    print::table(&HEAD, &rows)
}

async fn history(session: &Session, one: &One) -> Result<(), Failure> {
    let lines = session.tokens().history(&tenant(one)?).await?;
    let rows: Vec<HistoryRow> = lines.iter().map(HistoryRow::from).collect();
    if one.json {
        return print::json(&rows);
    }
    let words = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let row = serde_json::to_value(row).unwrap_or_default();
            let mut line = vec![
                words(&row["at"]),
                format!("{}.{}", row["epoch"], row["generation"]),
            ];
            line.extend(
                ["phase", "outcome", "attempt", "refresh_fingerprint"]
                    .map(|name| words(&row[name])),
            );
            line
        })
        .collect();
    print::table(
        &[
            "AT",
            "GENERATION",
            "PHASE",
            "OUTCOME",
            "ATTEMPT",
            "REFRESH TOKEN",
        ],
        &rows,
    )
}

async fn link(
    session: &Session,
    one: &One,
    expires: Duration,
    shared: bool,
) -> Result<(), Failure> {
    let tenant = tenant(one)?;
    let terms = Terms {
        scopes: session.scopes_for(&tenant),
        expires,
        allow_shared_company: shared,
        who: "cli".to_owned(),
    };
    let (store, tokens) = (session.store(), session.tokens());
    let issued = link::issue(store, tokens, session.connect_url(), &tenant, terms)
        .await
        .map_err(|error| match error {
            LinkError::Store(error) => OperateError::Store(error),
            LinkError::Tenant(error) => error,
        })?;
    if issued.scopes.is_empty() {
        print::remark(&format!(
            "warning: the link asks for no scope, and Pleo may refuse it: name {tenant} among the `tenants` of a caller \
             with routes, or write `scopes` in its [[tenants]]"
        ));
    }
    if one.json {
        return print::json(&issued.to_json());
    }
    print::remark(&format!(
        "For whoever may consent for {tenant}; good once, until {}. It asks for: {}",
        issued.expires_at, issued.scopes
    ));
    print::line(issued.url.as_str())
}

pub(super) fn tenant(one: &One) -> Result<TenantName, Failure> {
    parse_tenant(&one.tenant)
}

pub(super) fn parse_tenant(text: &str) -> Result<TenantName, Failure> {
    TenantName::parse(text).map_err(|error| Failure::new(Exit::Usage, format!("{text:?}: {error}")))
}

impl From<OperateError> for Failure {
    fn from(error: OperateError) -> Self {
        let exit = match &error {
            OperateError::NotConnected(_)
            | OperateError::ReauthorizationRequired(_)
            | OperateError::KeyRejected(_)
            | OperateError::Refused
            | OperateError::NotInstalled(_)
            | OperateError::StoreAway => Exit::Unavailable,
            OperateError::Store(error) => error.into(),
            OperateError::Panicked => Exit::Internal,
            OperateError::WouldReplace(tenant) => {
                let words =
                    format!("{error}: add --replace to replace it, or `connections show {tenant}`");
                return Self::new(Exit::Data, words);
            }
            OperateError::CompanyTaken(_) => {
                let words = format!("{error}: disconnect that one, or add --allow-shared-company");
                return Self::new(Exit::Data, words);
            }
            OperateError::TokenTaken(_)
            | OperateError::TokenSpent
            | OperateError::WrongCompany { .. }
            | OperateError::ScopesLost(_)
            | OperateError::NothingToVerify
            | OperateError::NoCompany
            | OperateError::NotAKey(_)
            | OperateError::NotAToken(_)
            | OperateError::NotRefreshed(_)
            | OperateError::NotUncertain(_)
            | OperateError::Restored(_) => Exit::Data,
            OperateError::Silent(_)
            | OperateError::TryAgain { .. }
            | OperateError::Uninstall(_) => Exit::TryAgain,
        };
        Self::of(exit, &error)
    }
}
