//! `connections import`: one pair from standard input, or many from a file.

use std::path::Path;

use serde_json::json;

use super::arguments::ImportOptions;
use super::connections::parse_tenant;
use super::exit::{Exit, Failure};
use super::input::{self, Lines};
use super::print;
use super::session::Session;
use crate::model::connection::Connection;
use crate::model::ids::TenantName;
use crate::tokens::brought::{self, Brought};
use crate::tokens::operate::{Bundle, ImportTerms};
use crate::tokens::summary::Summary;

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
    let text = input::all(brought::LONGEST)
        .await
        .map_err(|error| Failure::of(Exit::Io, &error))?;
    let text = std::str::from_utf8(&text)
        .map_err(|_| Failure::new(Exit::Data, "standard input is no text"))?;
    let brought = parse(text)?;
    let other = |named: &String| named != tenant.as_ref();
    if brought.tenant.as_ref().is_some_and(other) {
        return Err(Failure::new(
            Exit::Data,
            "the JSON names another tenant than the command line",
        ));
    }
    let row = store(session, tenant, brought.bundle, options).await?;
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
    let mut lines = Lines::of(file).map_err(|error| unreadable(file, &error))?;
    let mut number = 0_usize;
    while let Some(text) = lines
        .next()
        .await
        .map_err(|error| unreadable(file, &error))?
    {
        number += 1;
        if text.trim_ascii().is_empty() {
            continue;
        }
        match import_line(session, &text, options).await {
            Ok(()) => {
                imported += 1;
                if imported.is_multiple_of(1000) {
                    print::remark(&format!("{imported} imported"));
                }
            }
            Err(failure) => {
                print::error(&format!("line {number}: {}", failure.words()));
                failures.push((number, failure));
            }
        }
    }
    if options.json {
        let told = failures
            .iter()
            .map(|(line, failure)| json!({ "line": line, "why": failure.words() }));
        let told: Vec<_> = told.collect();
        print::json(&json!({ "imported": imported, "failed": told.len(), "failures": told }))?;
    } else {
        print::remark(&format!("{imported} imported, {} failed", failures.len()));
    }
    failures
        .first()
        .map_or(Ok(()), |(_, first)| Err(Failure::told(first.exit())))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Io,
        format!("{} cannot be read: {error}", file.display()),
    )
}

async fn import_line(
    session: &Session,
    line: &[u8],
    options: &ImportOptions,
) -> Result<(), Failure> {
    let text =
        std::str::from_utf8(line).map_err(|_| Failure::new(Exit::Data, "the line is no text"))?;
    let brought = parse(text)?;
    let named = brought
        .tenant
        .as_deref()
        .ok_or_else(|| Failure::new(Exit::Data, "`tenant` is missing"))?;
    let tenant =
        parse_tenant(named).map_err(|failure| Failure::new(Exit::Data, failure.words()))?;
    store(session, &tenant, brought.bundle, options)
        .await
        .map(|_| ())
}

async fn store(
    session: &Session,
    tenant: &TenantName,
    bundle: Bundle,
    options: &ImportOptions,
) -> Result<Connection, Failure> {
    let terms = ImportTerms {
        expected_company: session.pinned_company(tenant),
        allow_shared_company: options.allow_shared_company,
        replace: options.replace,
        verify: options.verify,
    };
    Ok(session.tokens().import(tenant, bundle, &terms).await?)
}

fn parse(text: &str) -> Result<Brought, Failure> {
    brought::parse(text).map_err(|words| Failure::new(Exit::Data, words))
}
