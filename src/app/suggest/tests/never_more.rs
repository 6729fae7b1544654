//! Random configurations and logs: what is suggested allows nothing that was not allowed, and serves what was observed.
//! Both configurations are read as a gateway reads them, and asked as it asks them.

use std::sync::Arc;

use http::{Method, Request};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::super::*;
use super::settings;
use crate::access::admit_as;
use crate::access::denial::{Denial, Denied, RouteDenied};
use crate::access::permit::Permit;
use crate::config::{Environment, Settings};
use crate::model::operations;
use crate::model::route::Route;
use crate::model::snapshot::Door;

const BEGIN: &str = "version = 1\n[[listen]]\naddress = \"127.0.0.1:8080\"\n";
const CALLERS: [&str; 3] = ["crm", "erp", "web"];
const METHODS: [&str; 4] = ["GET", "POST", "HEAD", "DELETE"];
const SCOPES: [&str; 4] = ["users:read", "vendors:read", "vendors:write", "x"];

/// Caller, method, path.
type Asked = (&'static str, &'static str, String);

fn any_of(words: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(words, 1..=words.len())
}

fn key(name: &str, words: Option<Vec<&str>>) -> String {
    words.map_or(String::new(), |words| format!("{name} = {words:?}\n"))
}

fn callers() -> impl Strategy<Value = String> {
    let scopes = prop::option::weighted(0.6, subsequence(&SCOPES[..], 0..=3));
    prop::array::uniform3(scopes).prop_map(|ceilings| {
        let one = |(name, ceiling)| {
            let scopes = key("scopes", ceiling);
            let digit = str::len(name) + usize::from(name == "erp") * 4 + usize::from(name == "web") * 5;
            let digest = digit.to_string().repeat(64);
            format!("[[callers]]\nname = {name:?}\ntenants = [\"acme\"]\nkey_sha256 = [\"{}\"]\n{scopes}", &digest[..64])
        };
        CALLERS.into_iter().zip(ceilings).map(one).collect()
    })
}

fn template() -> impl Strategy<Value = String> {
    let usual = select(
        &[
            "/{*rest}",
            "/v1/{*rest}",
            "/v1/vendors/{p2}",
            "/v1/vendors/{p2}:archive",
            "/v1/vendors/me",
            "/v1/{p1}/me",
            "/{p0}/employees/me",
            "/v2/employees",
            "/v1/installations/{p2}",
        ][..],
    );
    let segments = select(
        &[
            "v1",
            "v2",
            "vendors",
            "employees",
            "me",
            "{P}",
            "{P}:archive",
            "{P}.pdf",
        ][..],
    );
    let other = (prop::collection::vec(segments, 1..4), any::<bool>()).prop_map(|(words, rest)| {
        let named = words
            .iter()
            .enumerate()
            .map(|(n, word)| format!("/{}", word.replace('P', &format!("p{n}"))));
        named.collect::<String>() + if rest { "/{*rest}" } else { "" }
    });
    prop_oneof![usual.prop_map(str::to_owned), other]
}

/// What an entry is for, without its callers and the like; and its place, so that names differ.
fn entry() -> impl Strategy<Value = (String, String)> {
    let scopes = subsequence(&SCOPES[..], 0..=2);
    let written = (template(), prop::option::of(any_of(&METHODS)), scopes);
    let written = written.prop_map(|(path, methods, scopes)| {
        let text = format!(
            "path = {path:?}\n{}{}",
            key("methods", methods),
            key("scopes", Some(scopes))
        );
        (path, text)
    });
    let imported = select(
        &[
            "*",
            "vendors/*",
            "vendors/v1",
            "employees/v2",
            "installations/v1",
        ][..],
    )
    .prop_map(|name| (String::new(), format!("catalogue = {name:?}\n")));
    let only = (
        prop::option::weighted(0.4, any_of(&CALLERS)),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
    );
    (prop_oneof![3 => written, 1 => imported], only).prop_map(
        |((path, what), (callers, deny, observe, company))| {
            let mut text = format!("{what}{}", key("callers", callers));
            for (is_so, line) in [
                (deny, "deny = true\n"),
                (observe, "observe = true\n"),
                (company, "company = \"query:c\"\n"),
            ] {
                text.push_str(if is_so { line } else { "" });
            }
            (path, text)
        },
    )
}

fn configuration() -> impl Strategy<Value = String> {
    (callers(), prop::collection::vec(entry(), 1..9)).prop_map(|(callers, entries)| {
        let mut text = callers;
        let mut paths = BTreeSet::new();
        for (path, entry) in entries {
            if path.is_empty() || paths.insert(path) {
                text.extend(["[[routes]]\n", &entry]);
            }
        }
        text
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let usual = select(
        &[
            "/v1/vendors",
            "/v1/vendors/7",
            "/v1/vendors/me",
            "/v1/vendors/7:archive",
            "/v1/vendors:search",
            "/v1/vendors/csv-import/jobs/7",
            "/v2/employees",
            "/v2/employees/7",
            "/v2/employees/me",
            "/v1/installations/me",
            "/v9/new",
        ][..],
    );
    let words = select(
        &[
            "v1",
            "v2",
            "vendors",
            "employees",
            "me",
            "7",
            "7:archive",
            "7.pdf",
        ][..],
    );
    let other = prop::collection::vec(words, 1..5)
        .prop_map(|words| words.iter().flat_map(|word| ["/", word]).collect());
    let path = prop_oneof![usual.prop_map(str::to_owned), other];
    (select(&CALLERS[..]), select(&METHODS[..]), path)
}

fn admit(snapshot: &Snapshot, (caller, method, path): &Asked) -> Result<Permit, Denied> {
    let mut callers = snapshot.callers.iter();
    let caller = callers
        .find(|known| known.name.as_ref() == *caller)
        .unwrap();
    let request = Request::builder()
        .method(*method)
        .uri(path)
        .header("host", "localhost");
    let (head, ()) = request.body(()).unwrap().into_parts();
    admit_as(caller, snapshot, &head, &Door::default())
}

fn operation((_, method, path): &Asked) -> Option<&'static str> {
    operations::meant(&Method::from_bytes(method.as_bytes()).unwrap(), path)
}

/// As the gateway writes it.
fn line(asked: &Asked, outcome: &Result<Permit, Denied>) -> String {
    let (route, error) = match outcome {
        Ok(permit) => (Some(permit.route()), None),
        Err(denied) => {
            let error = match denied.denial {
                Denial::ScopeForbidden(_) => "scope-forbidden",
                _ => "route-denied",
            };
            (denied.route.as_ref(), Some(error))
        }
    };
    let line = serde_json::json!({
        "request_id": "r", "status": 200, "caller": asked.0, "method": asked.1, "operation": operation(asked),
        "route": route.map(|route| route.name.to_string()),
        "path_template": route.map(|route| route.template.as_str()), "error": error,
    });
    format!("{line}\n")
}

/// Both configurations, and what was seen under the first.
struct Case {
    before: Settings,
    after: Settings,
    seen: Vec<(Asked, Result<Permit, Denied>)>,
    suggestion: Suggestion,
    refused: bool,
}

impl Case {
    /// `None` if nobody was seen.
    fn of(routes: &str, log: &[Asked], refused: bool) -> Option<Self> {
        let text = format!("{BEGIN}{routes}");
        let (before, file) = (settings(&text), toml::from_str(&text).unwrap());
        let seen: Vec<_> = (log.iter())
            .map(|asked| (asked.clone(), admit(&before.snapshot, asked)))
            .collect();
        let lines: String = seen
            .iter()
            .map(|(asked, outcome)| line(asked, outcome))
            .collect();
        let observed = Observed::read(lines.as_bytes()).unwrap();
        let suggestion = Suggestion::of((&before.snapshot, &file), &observed, refused).ok()?;
        let after = settings(&format!("{BEGIN}{suggestion}"));
        Some(Self {
            before,
            after,
            seen,
            suggestion,
            refused,
        })
    }

    /// Why this may be allowed, or not at all.
    fn is_no_more(&self, asked: &Asked) -> bool {
        let Ok(now) = admit(&self.after.snapshot, asked) else {
            return true;
        };
        let of_caller = || self.seen.iter().filter(|(call, _)| call.0 == asked.0);
        match admit(&self.before.snapshot, asked) {
            Ok(then) => {
                let on_route = |outcome: &Result<Permit, Denied>| match outcome {
                    Ok(permit) => Arc::ptr_eq(permit.route(), then.route()),
                    Err(_) => false,
                };
                then.route().scopes.is_covered_by(&now.route().scopes)
                    && then.route().company_query == now.route().company_query
                    && (then.observed().is_none()
                        || of_caller().any(|(_, outcome)| on_route(outcome)))
            }
            Err(_) => {
                self.refused
                    && of_caller().any(|(call, outcome)| {
                        let route = outcome
                            .as_ref()
                            .err()
                            .and_then(|denied| denied.route.as_ref());
                        let is_taken = |route: &Arc<Route>| route.name == now.route().name;
                        outcome.is_err()
                            && (operation(call) == Some(now.route().name.as_ref())
                                || route.is_some_and(is_taken))
                    })
            }
        }
    }

    /// True if the call is served, or a remark says that it is not.
    fn is_served(&self, asked: &Asked, outcome: &Result<Permit, Denied>) -> bool {
        let told = |begin: String| {
            self.suggestion
                .remarks
                .iter()
                .any(|remark| remark.starts_with(&begin))
        };
        let is_told = match outcome {
            Ok(_) => false,
            Err(denied) => {
                let of = |name: &str| {
                    told(format!("{}: {name} (", asked.0))
                        || told(format!("{}: route {name}, ", asked.0))
                };
                !self.refused
                    || denied.denial == Denial::Route(RouteDenied::Deny)
                    || operation(asked)
                        .or(denied.route.as_ref().map(|route| route.name.as_ref()))
                        .is_none_or(of)
            }
        };
        is_told
            || told(format!("{}: what it called by", asked.0))
            || admit(&self.after.snapshot, asked).is_ok()
    }
}

fn cases() -> u32 {
    let is_long = Environment::of_process().var("PLEO_TEST_LONG").is_some();
    if is_long { 4_000 } else { 400 }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn what_is_suggested_allows_no_more_and_loses_nothing(
        routes in configuration(),
        all in prop::collection::vec(asked(), 80..160),
        log in prop::collection::vec(any::<Index>(), 1..12),
        refused in any::<bool>(),
    ) {
        let log: Vec<Asked> = log.iter().map(|place| place.get(&all).clone()).collect();
        let Some(case) = Case::of(&routes, &log, refused) else {
            return Ok(());
        };
        for asked in &all {
            prop_assert!(case.is_no_more(asked), "{asked:?} is allowed by\n{}\nof\n{routes}\nlog {log:?}", case.suggestion);
        }
        for (asked, outcome) in &case.seen {
            prop_assert!(case.is_served(asked, outcome), "{asked:?} is lost by\n{}{:?}\nof\n{routes}", case.suggestion, case.suggestion.remarks);
        }
    }
}
