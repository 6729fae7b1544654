//! Rules that span sections: who can reach which door, and whether doors get in each other's way.

use super::super::file::Value;
use super::super::reader::Reader;
use super::super::report::{Finding, ProblemKind};
use super::super::settings::Address;
use super::super::units;
use super::browsers::Browsers;
use super::doors::Listen;
use super::services::Operators;
use crate::model::caller::{Caller, Tenants};

type Callers<'a> = [(Reader<'a>, Caller)];
type Others<'a> = (&'a Browsers, &'a Operators);

pub(super) fn check(
    root: &Reader<'_>,
    listens: &[Listen<'_>],
    callers: &Callers<'_>,
    (browsers, operators): Others<'_>,
) {
    addresses(root, listens, (browsers, operators));
    anonymous(listens, callers);
    for listen in listens {
        exposure(listen, callers);
    }
    ways(listens, callers);
    pins(listens, callers);
    if callers.is_empty() {
        let remedy = "write [[callers]]: `pleo-gateway callers new NAME` prints the lines";
        root.warn(
            "callers",
            "there is no caller: every call is refused",
            remedy,
        );
    }
    if (operators.admin.as_ref()).is_some_and(|admin| !admin.serves_everything()) {
        let remedy = "add tls, or listen on a loopback address";
        let message = "only health and metrics are served beyond loopback without TLS";
        root.table("admin").warn("listen", message, remedy);
    }
}

/// No two listeners can have one address.
fn addresses(root: &Reader<'_>, listens: &[Listen<'_>], (browsers, operators): Others<'_>) {
    let mut taken: Vec<&Address> = Vec::new();
    let doors =
        (listens.iter()).map(|(reader, listen)| (reader.clone(), "address", &listen.address));
    let others = [
        (root.table("connect"), "listen", &browsers.listen),
        (root.table("admin"), "listen", &operators.listen),
    ];
    for (reader, key, address) in doors.chain(others) {
        if let Some(other) = taken.iter().find(|other| units::clash(other, address)) {
            let message = format!("another listener already has {other}");
            reader.report(
                key,
                Finding::invalid(message, "give every listener an address of its own"),
            );
        }
        taken.push(address);
    }
}

/// Whoever presents nothing comes from this machine only.
fn anonymous(listens: &[Listen<'_>], callers: &Callers<'_>) {
    let open = listens
        .iter()
        .find(|(_, listen)| !listen.address.is_local());
    let Some((_, listen)) = open else {
        return;
    };
    for (reader, _) in callers.iter().filter(|(_, caller)| caller.anonymous) {
        let message = format!("{} can be reached from beyond this machine", listen.address);
        let remedy = "give this caller a key (`pleo-gateway callers new NAME`), or listen on loopback or unix: only";
        reader.report("anonymous", Finding::invalid(message, remedy));
    }
}

/// A door beyond loopback needs callers who can show who they are.
fn exposure((reader, listen): &Listen<'_>, callers: &Callers<'_>) {
    if listen.address.is_local() {
        return;
    }
    let asks = listen
        .tls
        .as_ref()
        .is_some_and(|tls| tls.client_ca_file.is_some());
    let inherited = matches!(listen.address, Address::Inherited(_));
    // What is written and wrong is reported there.
    let known = callers.iter().any(|(reader, caller)| {
        reader.has("key_sha256")
            || (asks && reader.has("client_cert"))
            || (inherited && reader.has("unix_uid"))
            // An anonymous caller on such a door is reported there.
            || caller.anonymous
    });
    if !known {
        let message = "this door is open beyond loopback, and no caller can show who it is";
        let remedy =
            "add a caller with a key (`pleo-gateway callers new NAME`), or listen on 127.0.0.1";
        reader.report(
            "address",
            Finding::new(ProblemKind::Invalid, message, remedy),
        );
    } else if listen.tls.is_none() && !inherited {
        let remedy = "add tls, unless what carries the calls here is private";
        reader.warn(
            "address",
            "keys travel in the clear beyond loopback",
            remedy,
        );
    }
}

/// A door for a tenant that nobody may call for.
fn pins(listens: &[Listen<'_>], callers: &Callers<'_>) {
    for (reader, _) in listens {
        let Some(Value::Text(pin)) = reader.node("tenant").map(|node| &node.value) else {
            continue;
        };
        let is_for = |(_, caller): &(Reader<'_>, Caller)| {
            caller.tenants == Tenants::All || caller.tenants.listed(pin).is_some()
        };
        if !callers.is_empty() && !callers.iter().any(is_for) {
            let message = format!("no caller may call for {pin:?}: all that come here are refused");
            reader.warn("tenant", message, "name it in tenants of a [[callers]]");
        }
    }
}

/// A way to be recognised that no door offers.
fn ways(listens: &[Listen<'_>], callers: &Callers<'_>) {
    let certificates = (listens.iter()).any(|(_, listen)| {
        listen
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_ca_file.is_some())
    });
    let peers = (listens.iter())
        .any(|(_, listen)| matches!(listen.address, Address::Unix(_) | Address::Inherited(_)));
    for (reader, caller) in callers {
        if !certificates && !caller.client_certs.is_empty() {
            let remedy = "add client_ca_file to the tls of a [[listen]]";
            reader.warn(
                "client_cert",
                "no door asks for client certificates",
                remedy,
            );
        }
        if !peers && !caller.unix_uids.is_empty() {
            let remedy = "add a [[listen]] with address = \"unix:/path\"";
            reader.warn("unix_uid", "no door is a unix socket", remedy);
        }
    }
}
