//! From the checked tree to `Settings`: one file per part, each reporting what is wrong in it; `rules` holds what spans
//! several. How values are written is not here (`units`, `reader`).

mod browsers;
mod callers;
mod doors;
mod imported;
mod imports;
mod limits;
mod pleo;
mod routes;
mod rules;
mod services;
mod store;
mod telemetry;

use std::path::Path;

use super::check;
use super::file::Value;
use super::reader::Reader;
use super::report::{Finding, ProblemKind, Problems};
use super::settings::Settings;
use super::units::Remedy;
use crate::model::catalogue;
use crate::model::ids::TenantName;
use crate::model::scope::{Scope, ScopeSet};
use crate::model::snapshot::{Callers, Snapshot};

/// All settings; `None` if something is missing, which was then reported.
pub(super) fn settings(root: &Reader<'_>, file: &Path) -> Option<Settings> {
    let callers = callers::read(root);
    let tenants = callers::tenants(root);
    let routes = routes::read(root, &callers);
    let listens = doors::read(root);
    let public_url = doors::public_url(&root.table("proxy"), &listens);
    let doors = doors::doors(&listens, &public_url);
    let browsers = browsers::read(root);
    let operators = services::admin(&root.table("admin"));
    rules::check(root, &listens, &callers, (&browsers, &operators));
    let pleo = pleo::read(&root.table("pleo"), browsers.redirect_uri);
    let store = store::read(&root.table("store"));
    let snapshot = Snapshot {
        generation: 0,
        callers: Callers::new(callers.into_iter().map(|(_, caller)| caller).collect()),
        tenants,
        routes,
        limits: limits::read(&root.table("limits")),
        doors,
        public_url,
        tenant_host: doors::tenant_host(&root.table("proxy")),
        access_log: root.table("log").flag("access"),
    };
    let (proxy, refresh) = (
        services::proxy(root),
        services::refresh(&root.table("refresh")),
    );
    let log = services::log(&root.table("log"));
    let telemetry = telemetry::read(&root.table("telemetry"));
    Some(Settings {
        file: file.to_owned(),
        snapshot,
        pleo: pleo?,
        store: store?,
        listens: listens.into_iter().map(|(_, listen)| listen).collect(),
        proxy,
        connect: browsers.connect?,
        admin: operators.admin?,
        refresh,
        log,
        telemetry,
        warnings: Problems::default(),
    })
}

/// A tenant's name.
fn tenant(text: &str) -> Result<TenantName, Remedy> {
    TenantName::parse(text).map_err(|_| "a tenant's name is 1 to 63 of a-z, 0-9 and '-'")
}

/// A name for people, logs and metrics.
fn name(text: &str) -> Result<String, Remedy> {
    let fits = (1..=128).contains(&text.len()) && text.chars().all(|c| !c.is_control());
    fits.then(|| text.to_owned())
        .ok_or("a name has 1 to 128 bytes and no control characters")
}

/// A list of scopes.
fn scopes(reader: &Reader<'_>) -> Option<ScopeSet> {
    let scope = |text: &str| {
        Scope::parse(text).map_err(|_| {
            "a scope is one word, such as \"export-jobs:read\": write several as separate texts"
        })
    };
    let scopes: ScopeSet = reader.list("scopes", scope)?.into_iter().collect();
    for node in reader.nodes("scopes").unwrap_or_default() {
        if let Value::Text(text) = &node.value
            && let Some(near) = mistaken(text)
        {
            let message = format!("no operation of Pleo's catalogue needs {text:?}");
            let remedy = format!("did you mean {near:?}?");
            reader.report_node(node, Finding::new(ProblemKind::Warning, message, remedy));
        }
    }
    Some(scopes)
}

/// The scope of the catalogue that an unknown one was perhaps meant to be. Others are left alone: Pleo may have more.
fn mistaken(scope: &str) -> Option<&'static str> {
    let known = || {
        let operations = catalogue::builtin().operations.iter();
        operations.flat_map(|operation| operation.scopes.iter().map(Scope::as_str))
    };
    if known().any(|known| known == scope) {
        return None;
    }
    check::nearest(scope, known())
}
