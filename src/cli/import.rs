//! `connections import`: one pair from standard input, or many from a file.

use std::io::{BufRead, Read};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::arguments::ImportOptions;
use super::connections::parse_tenant;
use super::exit::{Exit, Failure};
use super::print;
use super::session::Session;
use crate::model::connection::Connection;
use crate::model::ids::{CompanyId, TenantName};
use crate::model::scope::ScopeSet;
use crate::secret::Secret;
use crate::tokens::operate::{Bundle, ImportTerms};
use crate::tokens::summary::Summary;

/// More than any pair needs.
const LONGEST: u64 = 1 << 20;

/// The shape of contract.md section 4. Other members are somebody's mistake, and said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    tenant: Option<String>,
    access_token: Option<Secret>,
    refresh_token: Secret,
    expires_in: Option<u64>,
    scope: Option<String>,
    company_id: Option<CompanyId>,
    #[serde(rename = "token_type")]
    _token_type: Option<String>,
}

pub(super) async fn run(session: &Session, options: &ImportOptions) -> Result<(), Failure> {
    match (&options.file, &options.tenant) {
        (Some(file), _) => many(session, file, options).await,
        (None, Some(tenant)) => one(session, &parse_tenant(tenant)?, options).await,
        (None, None) => Err(Failure::new(Exit::Usage, "name a tenant, or --file")),
    }
}

async fn one(
    session: &Session,
    tenant: &TenantName,
    options: &ImportOptions,
) -> Result<(), Failure> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| Failure::of(Exit::Io, &error))?;
    let line = parse(&text).map_err(|words| Failure::new(Exit::Data, words))?;
    if line
        .tenant
        .as_ref()
        .is_some_and(|named| named != tenant.as_ref())
    {
        return Err(Failure::new(
            Exit::Data,
            "the JSON names another tenant than the command line",
        ));
    }
    let row = store(session, tenant, line, options).await?;
    let summary = Summary::of(&row, session.policy());
    if options.json {
        return print::json(&summary);
    }
    print::remark(&format!("{tenant} is {}.", summary.state.as_str()));
    Ok(())
}

/// Every good line is kept, whatever the others are.
async fn many(session: &Session, file: &Path, options: &ImportOptions) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let mut imported = 0_usize;
    for (place, text) in lines(file)?.enumerate() {
        let text = Zeroizing::new(text.map_err(|error| Failure::of(Exit::Io, &error))?);
        if text.trim().is_empty() {
            continue;
        }
        match import_line(session, &text, options).await {
            Ok(()) => imported += 1,
            Err(failure) => {
                let words = format!("line {}: {}", place + 1, failure.words());
                print::error(&words);
                failures.push(failure);
            }
        }
        if imported > 0 && imported.is_multiple_of(1000) {
            print::remark(&format!("{imported} imported"));
        }
    }
    if options.json {
        print::json(&serde_json::json!({ "imported": imported, "failed": failures.len() }))?;
    } else {
        print::remark(&format!("{imported} imported, {} failed", failures.len()));
    }
    failures
        .first()
        .map_or(Ok(()), |first| Err(Failure::told(first.exit())))
}

fn lines(file: &Path) -> Result<Box<dyn Iterator<Item = std::io::Result<String>>>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lines()));
    }
    let opened = std::fs::File::open(file).map_err(|error| {
        Failure::new(
            Exit::Io,
            format!("{} cannot be read: {error}", file.display()),
        )
    })?;
    Ok(Box::new(std::io::BufReader::new(opened).lines()))
}

async fn import_line(
    session: &Session,
    text: &str,
    options: &ImportOptions,
) -> Result<(), Failure> {
    let line = parse(text).map_err(|words| Failure::new(Exit::Data, words))?;
    let named = line
        .tenant
        .as_deref()
        .ok_or_else(|| Failure::new(Exit::Data, "`tenant` is missing"))?;
    let tenant =
        parse_tenant(named).map_err(|failure| Failure::new(Exit::Data, failure.words()))?;
    store(session, &tenant, line, options).await.map(|_| ())
}

async fn store(
    session: &Session,
    tenant: &TenantName,
    line: Line,
    options: &ImportOptions,
) -> Result<Connection, Failure> {
    let scopes = line
        .scope
        .as_deref()
        .map(ScopeSet::parse)
        .transpose()
        .map_err(|error| Failure::new(Exit::Data, format!("`scope`: {error}")))?;
    if line.refresh_token.is_empty() {
        return Err(Failure::new(Exit::Data, "`refresh_token` is empty"));
    }
    let bundle = Bundle {
        access: line.access_token.filter(|token| !token.is_empty()),
        refresh: line.refresh_token,
        expires_in: line.expires_in.map(Duration::from_secs),
        scopes,
        company: line.company_id,
    };
    let terms = ImportTerms {
        expected_company: session.pinned_company(tenant),
        allow_shared_company: options.allow_shared_company,
        replace: options.replace,
        verify: options.verify,
    };
    Ok(session.tokens().import(tenant, bundle, &terms).await?)
}

/// The parser's own words could hold a piece of a token: only where it stumbled is told.
fn parse(text: &str) -> Result<Line, String> {
    serde_json::from_str(text).map_err(|error| {
        let shape = r#"{"access_token","refresh_token","expires_in","scope","company_id"}"#;
        match error.classify() {
            serde_json::error::Category::Data => {
                format!("not the shape {shape}, at column {}", error.column())
            }
            _ => format!(
                "not JSON, at column {}: it should be {shape}",
                error.column()
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_refresh_token_is_required() {
        assert!(parse(r#"{"refresh_token":"r"}"#).is_ok());
        assert!(parse(r#"{"access_token":"a"}"#).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_never_repeated() {
        for text in [
            r#"{"refresh_token":"canary","x":1}"#,
            r#"{"refresh_token":{"canary":1}}"#,
            r#"{"canary"#,
        ] {
            let words = parse(text).err().unwrap();
            assert!(!words.contains("canary"), "{words}");
        }
    }
}
