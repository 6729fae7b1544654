//! `explain`: what would happen to a request, and why. The verdict comes from the code that serves requests; nothing is
//! sent.

mod door;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, Request, Uri};
use serde::Serialize;

use self::door::Entrance;
use super::arguments::ExplainOptions;
use super::exit::{Exit, Failure};
use super::print;
use super::session::{self, Session};
use crate::access::admit_as;
use crate::access::denial::Denied;
use crate::access::grant::{self, granted};
use crate::access::permit::Permit;
use crate::edge::code::Code;
use crate::edge::reply::Verdict;
use crate::model::caller::{Caller, Rate};
use crate::model::connection::{Connection, CredentialKind, State};
use crate::model::scope::ScopeSet;
use crate::model::snapshot::Snapshot;
use crate::proxy::error::ProxyError;
use crate::telemetry::chain::chain;
use crate::tokens::operate::OperateError;
use crate::tokens::{ObtainError, not_granted};

const REFUSED: &str = "refused";

/// What is told, in the order in which it is decided.
#[derive(Debug, Default, Serialize)]
struct Explained {
    verdict: &'static str,
    /// What `Pleo-Gateway-Error` would say.
    error: Option<&'static str>,
    why: Option<String>,
    door: String,
    /// The tenant to which the door pins.
    pinned: Option<String>,
    caller: String,
    tenant: Option<String>,
    route: Option<String>,
    template: Option<String>,
    scopes_required: Option<ScopeSet>,
    scopes_ceiling: Option<ScopeSet>,
    scopes_granted: Option<ScopeSet>,
    connection: Option<&'static str>,
    credential: Option<CredentialKind>,
    target: Option<String>,
    limits: Option<Limited>,
}

/// What bounds the call. Sizes in bytes, times in seconds; what is off is not there.
#[derive(Debug, Serialize)]
struct Limited {
    timeout: Option<f64>,
    max_request_body: u64,
    replay_buffer: usize,
    caller_rate: Option<String>,
    tenant_rate: Option<String>,
    route_rate: Option<String>,
    caller_max_in_flight: Option<NonZeroU32>,
    route_max_in_flight: Option<NonZeroU32>,
}

pub(super) fn run(config: Option<PathBuf>, options: &ExplainOptions) -> Result<(), Failure> {
    session::run(config, async |session| {
        let explained = explain(session, options).await?;
        if options.json {
            return print::json(&explained);
        }
        tell(&explained)
    })
}

async fn explain(session: &Session, options: &ExplainOptions) -> Result<Explained, Failure> {
    let snapshot = session.snapshot();
    let caller = caller(snapshot, options.caller.as_deref())?;
    let head = head(options)?;
    let entrances = door::all(session.settings());
    let entrance = match &options.door {
        Some(text) => door::named(&entrances, text, session.settings())?,
        None => door::fitting(&entrances, snapshot, &caller, &head)?,
    };
    let explained = if entrance.knows(&caller) {
        through(entrance, session, &caller, &head).await?
    } else {
        unknown(&caller)
    };
    Ok(Explained {
        door: entrance.address(),
        pinned: entrance.door.tenant.as_ref().map(ToString::to_string),
        ..explained
    })
}

async fn through(
    entrance: &Entrance<'_>,
    session: &Session,
    caller: &Arc<Caller>,
    head: &Parts,
) -> Result<Explained, Failure> {
    let snapshot = session.snapshot();
    let permit = match admit_as(caller, snapshot, head, entrance.door) {
        Ok(permit) => permit,
        Err(denied) => return Ok(refused(caller, denied)),
    };
    let row = match session.tokens().show(permit.tenant()).await {
        Ok(row) => Some(row),
        Err(OperateError::NotConnected(_)) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Explained {
        target: Some(format!("{}{}", session.api_origin(), permit.target())),
        ..judged(snapshot, &permit, row.as_ref())
    })
}

/// The request, as a caller would send it. Its Host is that of the URL, if one is given.
fn head(options: &ExplainOptions) -> Result<Parts, Failure> {
    let unfit = |what: &str, error: http::Error| {
        Failure::new(Exit::Usage, format!("{what:?} cannot be sent: {error}"))
    };
    let method = method(&options.method)?;
    if !is_target(&options.path) {
        let words = format!("a path begins with '/': write /{}", options.path);
        return Err(Failure::new(Exit::Usage, words));
    }
    let target: Uri = (options.path.parse())
        .map_err(|error: http::uri::InvalidUri| unfit(&options.path, error.into()))?;
    let host = target
        .authority()
        .map_or("localhost", |host| host.as_str())
        .to_owned();
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", host);
    let tenant = options.tenant.as_deref();
    if let Some(tenant) = tenant {
        request = request.header("pleo-gateway-tenant", tenant);
    }
    let request = request
        .body(())
        .map_err(|error| unfit(tenant.unwrap_or_default(), error))?;
    Ok(request.into_parts().0)
}

/// True for a path, a whole URL, and the `*` of OPTIONS.
fn is_target(text: &str) -> bool {
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_url = (text.split_once("://")).is_some_and(|(scheme, _)| is_scheme(scheme));
    text.starts_with('/') || is_url || text == "*"
}

/// The caller that is named; else the only one there is.
fn caller(snapshot: &Snapshot, wanted: Option<&str>) -> Result<Arc<Caller>, Failure> {
    let names = || {
        snapshot
            .callers
            .iter()
            .map(|caller| caller.name.as_ref())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut all = snapshot.callers.iter();
    let found = match wanted {
        Some(name) => all.find(|caller| caller.name.as_ref() == name),
        None => all.next().filter(|_| all.next().is_none()),
    };
    found.cloned().ok_or_else(|| {
        let words = match wanted {
            Some(name) => format!("there is no caller {name}; there are: {}", names()),
            None => format!("name a caller with --caller: {}", names()),
        };
        Failure::new(Exit::Usage, words)
    })
}

fn method(text: &str) -> Result<Method, Failure> {
    Method::from_bytes(text.as_bytes())
        .map_err(|_| Failure::new(Exit::Usage, format!("{text:?} is no method")))
}

/// Of a caller who has nothing to show that the door would look at.
fn unknown(caller: &Caller) -> Explained {
    Explained {
        verdict: REFUSED,
        error: Some(Code::CallerUnknown.as_str()),
        why: Some("this caller cannot show who it is at this door".to_owned()),
        caller: caller.name.to_string(),
        ..Explained::default()
    }
}

fn refused(caller: &Caller, denied: Denied) -> Explained {
    let told = Explained {
        verdict: REFUSED,
        why: Some(chain(&denied.denial)),
        caller: caller.name.to_string(),
        tenant: denied.tenant.as_ref().map(ToString::to_string),
        route: denied.route.as_ref().map(|route| route.name.to_string()),
        template: (denied.route.as_ref()).map(|route| route.template.as_str().to_owned()),
        scopes_ceiling: caller.ceiling.clone(),
        ..Explained::default()
    };
    Explained {
        error: Some(code(&denied.into())),
        ..told
    }
}

fn code(error: &ProxyError) -> &'static str {
    Verdict::on(error).code().as_str()
}

fn judged(snapshot: &Snapshot, permit: &Permit, row: Option<&Connection>) -> Explained {
    let route = permit.route();
    let (verdict, error, why) = match hindrance(permit, row) {
        Some((error, why)) => (REFUSED, Some(code(&ProxyError::NoBearer(error))), Some(why)),
        None => ("forwarded", None, observed(permit, row)),
    };
    Explained {
        verdict,
        error,
        why,
        caller: permit.caller().name.to_string(),
        tenant: Some(permit.tenant().to_string()),
        route: Some(route.name.to_string()),
        template: Some(route.template.as_str().to_owned()),
        scopes_required: Some(route.scopes.clone()),
        scopes_ceiling: permit.caller().ceiling.clone(),
        scopes_granted: row.and_then(|row| row.scopes.clone()),
        connection: row.map(|row| row.state.as_str()),
        credential: row.map(|row| row.credential),
        limits: Some(limited(snapshot, permit)),
        ..Explained::default()
    }
}

fn limited(snapshot: &Snapshot, permit: &Permit) -> Limited {
    let (limits, route, caller) = (&snapshot.limits, permit.route(), permit.caller());
    let timeout = route.timeout.unwrap_or(limits.request_timeout);
    let shown = |rate: Option<Rate>| rate.map(|rate| rate.to_string());
    Limited {
        timeout: (!timeout.is_zero()).then_some(timeout.as_secs_f64()),
        max_request_body: route.max_request_body.unwrap_or(limits.max_request_body),
        replay_buffer: route.replay_buffer.unwrap_or(limits.replay_buffer),
        caller_rate: shown(caller.rate),
        tenant_rate: shown((snapshot.tenants.get(permit.tenant())).and_then(|tenant| tenant.rate)),
        route_rate: shown(route.rate),
        caller_max_in_flight: caller.max_in_flight,
        route_max_in_flight: route.max_in_flight,
    }
}

/// Why the call would get no bearer: as the caller is told, and as the operator is.
fn hindrance(permit: &Permit, row: Option<&Connection>) -> Option<(ObtainError, String)> {
    let Some(row) = row else {
        let error = if permit.is_known() {
            ObtainError::NotConnected { state: None }
        } else {
            ObtainError::TenantUnknown
        };
        let why = error.to_string();
        return Some((error, why));
    };
    let error = match row.state {
        State::Active | State::Refreshing | State::Uncertain => {
            let denial = granted(permit, row.scopes.as_ref(), row.company.as_ref()).err()?;
            let why = denial.to_string();
            return Some((not_granted(denial, row.state), why));
        }
        State::Pending | State::Disconnected => ObtainError::NotConnected {
            state: Some(row.state),
        },
        State::ReauthorizationRequired => {
            ObtainError::ReauthorizationRequired { reason: row.reason }
        }
    };
    let why = format!("the tenant's connection is {}", row.state.as_str());
    Some((error, why))
}

fn observed(permit: &Permit, row: Option<&Connection>) -> Option<String> {
    let of_grant = row.and_then(|row| grant::missing(permit, row.scopes.as_ref()));
    let observed = of_grant.or_else(|| permit.observed().cloned());
    observed.map(|scopes| format!("observed only, not enforced: {scopes}"))
}

fn tell(explained: &Explained) -> Result<(), Failure> {
    let door = match &explained.pinned {
        Some(tenant) => format!("{}, pinned to {tenant}", explained.door),
        None => explained.door.clone(),
    };
    let scopes = |set: &Option<ScopeSet>| set.as_ref().map(ToString::to_string);
    let lines = [
        ("verdict", Some(explained.verdict.to_owned())),
        ("error", explained.error.map(str::to_owned)),
        ("why", explained.why.clone()),
        ("door", Some(door)),
        ("caller", Some(explained.caller.clone())),
        ("tenant", explained.tenant.clone()),
        ("route", explained.route.clone()),
        ("template", explained.template.clone()),
        ("scopes required", scopes(&explained.scopes_required)),
        ("scopes ceiling", scopes(&explained.scopes_ceiling)),
        ("scopes granted", scopes(&explained.scopes_granted)),
        ("connection", explained.connection.map(str::to_owned)),
        (
            "credential",
            (explained.credential).map(|kind| kind.as_str().to_owned()),
        ),
        ("target", explained.target.clone()),
    ];
    for (name, text) in lines {
        if let Some(text) = text {
            print::line(&format!("{name:<16} {text}"))?;
        }
    }
    explained.limits.as_ref().map_or(Ok(()), tell_limits)
}

fn tell_limits(limits: &Limited) -> Result<(), Failure> {
    let at_once = |most: Option<NonZeroU32>| most.map(|most| format!("{most} at once"));
    let lines = [
        (
            "whole request",
            limits.timeout.map(|seconds| format!("{seconds} s")),
        ),
        (
            "largest body",
            Some(format!("{} bytes", limits.max_request_body)),
        ),
        (
            "kept for replay",
            Some(format!("{} bytes", limits.replay_buffer)),
        ),
        ("caller", limits.caller_rate.clone()),
        ("caller", at_once(limits.caller_max_in_flight)),
        ("tenant", limits.tenant_rate.clone()),
        ("route", limits.route_rate.clone()),
        ("route", at_once(limits.route_max_in_flight)),
    ];
    for (name, text) in lines {
        if let Some(text) = text {
            print::line(&format!("limit: {name:<16} {text}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
