//! The door through which a request is explained: the one named, or the first that serves the caller and the tenant.

use std::path::Path;
use std::sync::Arc;

use http::request::Parts;

use super::super::exit::{Exit, Failure};
use crate::access::admit_as;
use crate::access::denial::Denial;
use crate::config::{Address, ListenSettings, Settings};
use crate::model::caller::Caller;
use crate::model::snapshot::{Door, Snapshot};

/// A door for callers: where it is, and what it adds to a request.
pub(super) struct Entrance<'s> {
    listen: &'s ListenSettings,
    pub(super) door: &'s Door,
}

/// In the order of the configuration.
pub(super) fn all(settings: &Settings) -> Vec<Entrance<'_>> {
    let doors = settings.listens.iter().zip(&settings.snapshot.doors);
    doors
        .map(|(listen, door)| Entrance { listen, door })
        .collect()
}

/// The one with this address, as the configuration writes it or as it is shown.
pub(super) fn named<'e, 's>(
    entrances: &'e [Entrance<'s>],
    text: &str,
    settings: &Settings,
) -> Result<&'e Entrance<'s>, Failure> {
    let base = settings.file.parent().unwrap_or(Path::new(""));
    let is_meant =
        |entrance: &&Entrance<'_>| match (&entrance.listen.address, text.strip_prefix("unix:")) {
            (Address::Unix(path), Some(text)) => {
                *path == base.join(text) || *path == Path::new(text)
            }
            (address, _) => address.to_string() == text,
        };
    entrances.iter().find(is_meant).ok_or_else(|| {
        let addresses: Vec<String> = entrances.iter().map(Entrance::address).collect();
        let words = format!(
            "there is no door {text}; there are: {}",
            addresses.join(", ")
        );
        Failure::new(Exit::Usage, words)
    })
}

/// The first at which the caller can show who it is and may call for the tenant; else the first that knows the caller;
/// else the first.
pub(super) fn fitting<'e, 's>(
    entrances: &'e [Entrance<'s>],
    snapshot: &Snapshot,
    caller: &Arc<Caller>,
    head: &Parts,
) -> Result<&'e Entrance<'s>, Failure> {
    let known = || entrances.iter().filter(|entrance| entrance.knows(caller));
    let serves = |entrance: &&Entrance<'_>| {
        let admitted = admit_as(caller, snapshot, head, entrance.door);
        !admitted.is_err_and(|denied| {
            matches!(
                denied.denial,
                Denial::Tenant(_) | Denial::TenantForbidden | Denial::Misdirected
            )
        })
    };
    (known().find(serves).or_else(|| known().next()))
        .or(entrances.first())
        .ok_or_else(|| Failure::new(Exit::Configuration, "there is no door for callers"))
}

impl Entrance<'_> {
    pub(super) fn address(&self) -> String {
        self.listen.address.to_string()
    }

    /// True if the door looks at something that the caller has.
    pub(super) fn knows(&self, caller: &Caller) -> bool {
        let tls = self.listen.tls.as_ref();
        let asks = tls.is_some_and(|tls| tls.client_ca_file.is_some());
        let sees_uids = matches!(
            self.listen.address,
            Address::Unix(_) | Address::Inherited(_)
        );
        !caller.key_digests.is_empty()
            || (asks && !caller.client_certs.is_empty())
            || (sees_uids && !caller.unix_uids.is_empty())
            || (caller.anonymous && self.door.local)
    }
}
