//! What callers need, judging by what was observed: the smallest ceilings and routes, as tables for the file. Whatever they
//! allow was allowed before. How the log is read is in `observed`, what a call needs in `need`, what is kept for whom in
//! `used`, what keeps it from being more in `guard`, and how the tables are made in `tables`; nothing is written.

mod guard;
mod need;
mod observed;
mod shape;
mod tables;
mod used;

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

use self::guard::Guards;
use self::need::need;
pub use self::observed::Observed;
use self::observed::{Call, Times};
use self::tables::Entries;
use self::used::Used;
use crate::model::caller::Caller;
use crate::model::catalogue::{self, Operation};
use crate::model::snapshot::Snapshot;

/// Tables to put in the place of every `[[callers]]` and `[[routes]]` of the file.
#[derive(Debug, Default)]
pub struct Suggestion {
    /// The callers of the file, with the smallest `scopes`.
    pub callers: Vec<Table>,
    /// The routes that were used, for those who used them, and whatever denies.
    pub routes: Vec<SuggestedRoute>,
    /// What could not be taken in, and why.
    pub remarks: Vec<String>,
}

/// One of the `[[routes]]`.
#[derive(Debug)]
pub struct SuggestedRoute {
    /// As the file would have it.
    pub table: Table,
    /// Why it is there, if nobody used it.
    pub why: Option<String>,
}

/// What was observed says nothing about this configuration.
#[derive(Debug, thiserror::Error)]
#[error("no call in the log is of a caller of this configuration; the log has: {0}")]
pub struct NobodyKnown(String);

impl Suggestion {
    /// What the callers of `file`, which was read into `snapshot`, need. `refused` takes in what was refused for want of
    /// a route or a scope too; what a `deny` route refuses stays refused.
    ///
    /// For every caller, method and path: what the suggestion allows, `snapshot` allows, and asks for no more scopes. Where
    /// a route observes, what lacks scopes counts as allowed to the callers that were seen on that route; what `refused`
    /// takes in does so too.
    pub fn of(
        (snapshot, file): (&Snapshot, &Table),
        observed: &Observed,
        refused: bool,
    ) -> Result<Self, NobodyKnown> {
        let entries = Entries::of(file);
        let known: BTreeMap<&str, &Caller> = (snapshot.callers.iter())
            .map(|caller| (caller.name.as_ref(), caller.as_ref()))
            .collect();
        let seen: BTreeSet<&str> = (observed.calls.keys())
            .map(|call| call.caller.as_str())
            .collect();
        if !seen.iter().any(|name| known.contains_key(name)) {
            return Err(NobodyKnown(some_of(&seen)));
        }
        let mut needs = Vec::new();
        let mut remarks = Vec::new();
        for (call, times) in &observed.calls {
            let need = (known.get(call.caller.as_str()))
                .ok_or("there is no such caller in the configuration")
                .and_then(|caller| need(call, caller, snapshot, refused));
            match need {
                Ok(need) => needs.push(need),
                Err(why) => remarks.push(remark(call, times, why)),
            }
        }
        let mut used = Used::of(&needs, snapshot, &entries);
        for caller in (known.keys()).filter(|caller| !used.ceilings.contains_key(*caller)) {
            remarks.push(format!("{caller}: nothing that it called is taken in: its scopes stay as they are, and no route is for it"));
        }
        let guards = Guards::put(&mut used, snapshot, &entries);
        remarks.extend(guards.remarks.iter().cloned());
        remarks.extend(entries.unused(&used));
        Ok(Self {
            callers: tables::callers(file, &used),
            routes: entries.needed(&used, &guards),
            remarks,
        })
    }
}

/// The first of these names, made safe for a terminal: anybody may have written the log.
fn some_of(names: &BTreeSet<&str>) -> String {
    const SHOWN: usize = 10;
    let mut shown: Vec<String> = (names.iter().take(SHOWN))
        .map(|name| name.escape_debug().to_string())
        .collect();
    if let Some(more @ 1..) = names.len().checked_sub(SHOWN) {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

fn remark(call: &Call, times: &Times, why: &str) -> String {
    let known = catalogue::builtin();
    let operation = (call.operation.as_deref()).and_then(|name| known.operation(name));
    let what = match (operation, &call.route) {
        (Some(operation), _) => {
            let Operation {
                operation_id,
                method,
                path,
                ..
            } = operation;
            format!("{operation_id} ({method} {path})")
        }
        (None, Some((route, _))) => format!("route {route}"),
        (None, None) => "a path that is not known".to_owned(),
    };
    let Times { count, first } = times;
    let caller = &call.caller;
    format!("{caller}: {what}, {count}×, first in request {first}: {why}")
}

#[cfg(test)]
mod tests;
