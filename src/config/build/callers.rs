//! `[[callers]]` and `[[tenants]]`: who may call, and for whom.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::net::IpAddr;

use super::super::file::{Node, Value};
use super::super::reader::Reader;
use super::super::report::{Finding, ProblemKind};
use super::super::units;
use crate::model::caller::{Caller, KeyDigest, Tenants};
use crate::model::ids::{CallerName, CompanyId, TenantName};
use crate::model::tenant::Tenant;

const DIGEST: &str = "a key's digest is 64 lower-case hex digits, the SHA-256 of the key; `pleo-gateway callers new` prints both";

/// Every caller, with its table for what is said later.
pub(super) fn read<'a>(root: &Reader<'a>) -> Vec<(Reader<'a>, Caller)> {
    let callers: Vec<_> = (root.tables("callers").into_iter())
        .map(|reader| {
            let caller = caller(&reader);
            (reader, caller)
        })
        .collect();
    check_doubles(&callers);
    callers
}

fn caller(reader: &Reader<'_>) -> Caller {
    let anonymous = reader.flag("anonymous");
    let tenants = tenants_of(reader);
    if anonymous && tenants == Tenants::All {
        let remedy = "name the tenants that anyone on this machine may act for";
        let finding = Finding::invalid("an anonymous caller is never for every tenant", remedy);
        reader.report("tenants", finding);
    }
    let is_said = |way: &str| reader.has(way) && !reader.is_empty(way);
    if !anonymous
        && !["key_sha256", "client_cert", "unix_uid"]
            .into_iter()
            .any(is_said)
    {
        let message = "nothing says how this caller is recognised";
        let remedy = "write key_sha256 (`pleo-gateway callers new NAME` makes a key), client_cert or unix_uid";
        reader.report(
            "key_sha256",
            Finding::new(ProblemKind::Missing, message, remedy),
        );
    }
    wildcards(reader);
    Caller {
        name: CallerName::new(reader.parsed("name", super::name).unwrap_or_default()),
        key_digests: digests(reader),
        client_certs: reader
            .list("client_cert", certificate_name)
            .unwrap_or_default(),
        unix_uids: uids(reader),
        anonymous,
        tenants,
        ceiling: super::scopes(reader),
        rate: reader.parsed("rate", units::rate),
        max_in_flight: reader
            .number_if_given::<u32>("max_in_flight")
            .and_then(|n| n.try_into().ok()),
    }
}

fn tenants_of(reader: &Reader<'_>) -> Tenants {
    let nodes = reader.nodes("tenants").unwrap_or_default();
    let is_all = |node: &&Node| matches!(&node.value, Value::Text(text) if text == "*");
    if let Some(star) = nodes.iter().find(is_all) {
        if nodes.len() > 1 {
            let remedy = "write [\"*\"] alone, or names only";
            reader.report_node(
                star,
                Finding::invalid("\"*\" is already every tenant", remedy),
            );
        }
        return Tenants::All;
    }
    if reader.is_empty("tenants") {
        let remedy = "name the tenants it may call for, or write [\"*\"]";
        reader.report(
            "tenants",
            Finding::invalid("this caller is for no tenant", remedy),
        );
    }
    let mut names: Vec<TenantName> = reader.list("tenants", super::tenant).unwrap_or_default();
    names.sort();
    names.dedup();
    Tenants::Named(names)
}

/// What is not a digest may be the key itself, and is not shown.
fn digests(reader: &Reader<'_>) -> Vec<KeyDigest> {
    let nodes = reader.nodes("key_sha256").unwrap_or_default();
    (nodes.iter())
        .filter_map(|node| {
            let Value::Text(text) = &node.value else {
                return None;
            };
            let digest = hex(text);
            if let Err(message) = &digest {
                reader.refuse_unseen(node, message, DIGEST);
            }
            digest.ok()
        })
        .collect()
}

fn hex(text: &str) -> Result<KeyDigest, String> {
    if text.chars().any(|c| c.is_ascii_uppercase()) && text.len() == 64 {
        return Err("the digest has upper-case letters".to_owned());
    }
    if text.len() != 64 {
        return Err(format!(
            "the digest has {} characters, not 64",
            text.chars().count()
        ));
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err("the digest has what is no hex digit".to_owned()),
    };
    let mut digest = KeyDigest::default();
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(digest)
}

fn certificate_name(text: &str) -> Result<String, &'static str> {
    let remedy = "write the kind of name first, such as \"dns:erp.internal\" or \"uri:spiffe://…\"";
    let (kind, name) = text.split_once(':').ok_or(remedy)?;
    let of_dns = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'*');
    match kind {
        _ if name.is_empty() => Err(remedy),
        "dns" if !name.bytes().all(of_dns) => Err(
            "write a host's name as certificates bear it: a-z, 0-9, '-', '_' and '.'; others as xn--…",
        ),
        "uri" | "email" if !name.bytes().all(|b| b.is_ascii_graphic()) => {
            Err("write it as certificates bear it: without blanks, in ASCII")
        }
        "dns" => Ok(format!("dns:{}", name.to_ascii_lowercase())),
        "uri" | "email" => Ok(text.to_owned()),
        "ip" => (name.parse::<IpAddr>())
            .map(|address| format!("ip:{address}"))
            .map_err(|_| "write an address, such as \"ip:192.0.2.7\""),
        _ => Err(remedy),
    }
}

/// Whoever writes one may mean every name that it covers.
fn wildcards(reader: &Reader<'_>) {
    for node in reader.nodes("client_cert").unwrap_or_default() {
        if matches!(&node.value, Value::Text(text) if text.starts_with("dns:") && text.contains('*'))
        {
            let message = "only a certificate that bears this very name, with its '*', is meant";
            let remedy = "write each name";
            reader.report_node(node, Finding::new(ProblemKind::Warning, message, remedy));
        }
    }
}

fn uids(reader: &Reader<'_>) -> Vec<u32> {
    let nodes = reader.nodes("unix_uid").unwrap_or_default();
    (nodes.iter())
        .filter_map(|node| match node.value {
            Value::Integer(uid) => u32::try_from(uid).ok(),
            _ => None,
        })
        .collect()
}

/// What a caller presents must mean that caller alone.
fn check_doubles(callers: &[(Reader<'_>, Caller)]) {
    let named = |(_, caller): &(Reader<'_>, Caller)| vec![caller.name.clone()];
    doubles(
        callers,
        "name",
        "give every caller a name of its own",
        named,
    );
    let remedy = "give every caller a key of its own, and write each digest once";
    doubles(callers, "key_sha256", remedy, |(_, caller)| {
        caller.key_digests.clone()
    });
    let remedy = "let one caller have this name";
    doubles(callers, "client_cert", remedy, |(_, caller)| {
        caller.client_certs.clone()
    });
    let remedy = "let one caller have this user id";
    doubles(callers, "unix_uid", remedy, |(_, caller)| {
        caller.unix_uids.clone()
    });
    let remedy = "let one caller be anonymous, with all the tenants that need it";
    let anonymous = |(_, caller): &(Reader<'_>, Caller)| vec![(); usize::from(caller.anonymous)];
    doubles(callers, "anonymous", remedy, anonymous);
}

fn doubles<T: Hash + Eq + Debug>(
    callers: &[(Reader<'_>, Caller)],
    key: &str,
    remedy: &str,
    values: impl Fn(&(Reader<'_>, Caller)) -> Vec<T>,
) {
    let mut owners: HashMap<T, &CallerName> = HashMap::new();
    for caller in callers {
        for value in values(caller) {
            let (reader, caller) = caller;
            if let Some(owner) = owners.insert(value, &caller.name) {
                let message = format!("the caller {:?} already has this", owner.as_ref());
                reader.report(key, Finding::invalid(message, remedy));
            }
        }
    }
}

/// `[[tenants]]`.
pub(super) fn tenants(root: &Reader<'_>) -> HashMap<TenantName, Tenant> {
    let mut tenants = HashMap::new();
    for reader in root.tables("tenants") {
        let Some(name) = reader.parsed("name", super::tenant) else {
            continue;
        };
        let tenant = Tenant {
            name: name.clone(),
            company: reader.text("company_id").map(CompanyId::new),
            scopes: super::scopes(&reader),
            rate: reader.parsed("rate", units::rate),
        };
        if tenants.insert(name, tenant).is_some() {
            let remedy = "write each tenant once";
            reader.report(
                "name",
                Finding::invalid("the tenant is there already", remedy),
            );
        }
    }
    tenants
}
