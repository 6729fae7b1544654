//! `plan`: what a reload would change, in words or as JSON. Nothing is changed, and nothing is sent.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::path::PathBuf;

use super::arguments::PlanOptions;
use super::exit::Failure;
use super::print;
use super::session;
use crate::app::plan::{CallerAccess, Difference, Granted, Plan};
use crate::app::rooms::{Rooms, is_founded};
use crate::config::Settings;
use crate::drain::Tasks;
use crate::model::scope::ScopeSet;
use crate::telemetry::chain::chain;

pub(super) fn run(new: Option<PathBuf>, options: PlanOptions) -> Result<(), Failure> {
    let old = session::load(options.against)?;
    let new = session::load(new)?;
    let granted = granted(&old)?;
    let plan = Plan::between(&old, &new, &granted);
    if options.json {
        return print::json(&plan);
    }
    print::line(words(&plan).trim_end())
}

/// What the connections of the store in use were granted. A store that is not there yet is not made, and one that cannot
/// be opened is no reason to say nothing.
fn granted(settings: &Settings) -> Result<Granted, Failure> {
    let runtime = session::runtime()?;
    let tasks = Tasks::on(runtime.handle().clone());
    let asked = runtime.block_on(async {
        match is_founded(settings).await {
            Ok(true) => listed(settings, tasks).await,
            Ok(false) => Ok(None),
            Err(error) => Err(chain(&error)),
        }
    });
    Ok(asked.unwrap_or_else(|error| {
        print::remark(&format!("what was granted is not known: {error}"));
        None
    }))
}

async fn listed(settings: &Settings, tasks: Tasks) -> Result<Granted, String> {
    let rooms = Rooms::open(settings, "cli", tasks)
        .await
        .map_err(|error| chain(&error))?;
    let rows = rooms.store.list().await.map_err(|error| chain(&error));
    rooms.close().await;
    let known = rows?.into_iter().flatten();
    let scopes = known.filter_map(|row| Some((row.tenant, row.scopes?)));
    Ok(Some(scopes.collect::<BTreeMap<_, _>>()))
}

fn words(plan: &Plan) -> String {
    let mut text = String::new();
    if plan.is_empty() {
        return "nothing would change".to_owned();
    }
    section(&mut text, "routes", |text| {
        named(text, &plan.routes, |route| (&route.route, &route.keys));
    });
    section(&mut text, "callers", |text| {
        let callers = &plan.callers;
        let groups = [
            ("+", &callers.added),
            ("-", &callers.removed),
            ("~", &callers.changed),
        ];
        for (mark, access) in groups
            .into_iter()
            .flat_map(|(mark, all)| all.iter().map(move |one| (mark, one)))
        {
            lines(text, mark, [&access.caller]);
            caller(text, access);
        }
    });
    section(&mut text, "tenants", |text| {
        named(text, &plan.tenants, |tenant| (&tenant.tenant, &tenant.keys));
    });
    section(&mut text, "scopes that connections lack", |text| {
        let missing = plan.scopes_missing.iter();
        lines(
            text,
            "!",
            missing.map(|missing| {
                let remedy = if missing.known {
                    "have somebody consent again"
                } else {
                    "needed now and not before; what was granted is not known"
                };
                format!("{}: {}; {remedy}", missing.tenant, missing.scopes)
            }),
        );
    });
    section(&mut text, "other settings, taken at once", |text| {
        lines(text, "~", &plan.taken);
    });
    section(&mut text, "needs a restart", |text| {
        lines(text, "!", &plan.needs_restart);
    });
    text
}

/// A heading with what is below it, if there is anything.
fn section(text: &mut String, heading: &str, fill: impl FnOnce(&mut String)) {
    let mut below = String::new();
    fill(&mut below);
    if !below.is_empty() {
        // Writing into a String does not fail.
        let _ = write!(text, "{heading}\n{below}");
    }
}

/// What comes, goes, or changes in some keys.
fn named<T: Display, C>(
    text: &mut String,
    difference: &Difference<T, C>,
    parts: impl Fn(&C) -> (&T, &Vec<&'static str>),
) {
    lines(text, "+", &difference.added);
    lines(text, "-", &difference.removed);
    let changed = difference.changed.iter().map(|change| {
        let (name, keys) = parts(change);
        format!("{name}; changed: {}", keys.join(", "))
    });
    lines(text, "~", changed);
}

fn lines<T: Display>(text: &mut String, mark: &str, all: impl IntoIterator<Item = T>) {
    for one in all {
        let _ = writeln!(text, "  {mark} {one}");
    }
}

fn caller(text: &mut String, access: &CallerAccess) {
    let mut say = |words: &str, all: &[String]| {
        if !all.is_empty() {
            let _ = writeln!(text, "      {words} {}", all.join(", "));
        }
    };
    let shown = |tenants: &[String], star: &str| -> Vec<String> {
        tenants
            .iter()
            .map(|tenant| tenant.replace('*', star))
            .collect()
    };
    say(
        "may now call for",
        &shown(&access.tenants_gained, "every tenant"),
    );
    say(
        "may no longer call for",
        &shown(
            &access.tenants_lost,
            "every tenant, but for those that are named",
        ),
    );
    for call in &access.calls_gained {
        say("may now call", &[call.to_string()]);
    }
    for call in &access.calls_lost {
        say("may no longer call", &[call.to_string()]);
    }
    if let Some((old, new)) = &access.ceiling {
        let shown = |ceiling: &Option<ScopeSet>| match ceiling {
            None => "everything".to_owned(),
            Some(scopes) if scopes.is_empty() => "nothing".to_owned(),
            Some(scopes) => scopes.to_string(),
        };
        say(
            "never gets more than",
            &[format!("{} (was: {})", shown(new), shown(old))],
        );
    }
    say("keys added:", &access.keys_added);
    say("keys removed:", &access.keys_removed);
    let other: Vec<String> = access.other.iter().map(|key| (*key).to_owned()).collect();
    say("changed:", &other);
}
