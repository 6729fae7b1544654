//! Admission once more, slow and plain: lists are searched from end to end, paths are read letter by letter. 200,000 random
//! requests are put to both, and they never differ.

use http::Method;

use super::denial::{Denial, RouteDenied, TenantUnclear};
use super::fixture::{at, caller, head, route, tenant, with};
use super::grant::{GrantDenial, granted};
use super::{PeerFacts, admit};
use crate::model::caller::{Caller, Tenants};
use crate::model::ids::CallerName;
use crate::model::route::{Route, Template};
use crate::model::scope::ScopeSet;
use crate::model::snapshot::{Door, Snapshot};

/// What comes of a request.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// For whom, by which template, and what Pleo is asked for.
    Forwarded(String, String, String),
    Unclear,
    Forbidden,
    NoRoute,
    Denied,
    NotForCaller,
    BadPath,
    Above(String),
    Missing(String),
}

struct Asked {
    caller: &'static str,
    door: Door,
    method: &'static str,
    path: String,
    header: Option<&'static str>,
    granted: ScopeSet,
}

/// As the room decides.
fn real(snapshot: &Snapshot, asked: &Asked) -> Verdict {
    let key = format!("{}-key", asked.caller);
    let mut fields = vec![("pleo-gateway-key", key.as_str())];
    fields.extend(asked.header.map(|name| ("pleo-gateway-tenant", name)));
    let method = Method::from_bytes(asked.method.as_bytes()).unwrap();
    let facts = PeerFacts { ..at(&asked.door) };
    let permit = match admit(snapshot, &head(method, &asked.path, &fields), facts) {
        Ok(permit) => permit,
        Err(denied) => {
            return match denied.denial {
                Denial::Tenant(
                    TenantUnclear::Disagree | TenantUnclear::Unnamed | TenantUnclear::NoPath,
                ) => Verdict::Unclear,
                Denial::TenantForbidden => Verdict::Forbidden,
                Denial::Route(RouteDenied::NoRoute) => Verdict::NoRoute,
                Denial::Route(RouteDenied::Deny) => Verdict::Denied,
                Denial::Route(RouteDenied::NotForCaller) => Verdict::NotForCaller,
                Denial::Target(_) => Verdict::BadPath,
                Denial::ScopeForbidden(scopes) => Verdict::Above(scopes.to_string()),
                other => panic!("{other:?}"),
            };
        }
    };
    match granted(&permit, Some(&asked.granted), None) {
        Ok(()) => Verdict::Forwarded(
            permit.tenant().to_string(),
            permit.route().template.as_str().to_owned(),
            permit.target().as_str().to_owned(),
        ),
        Err(GrantDenial::MissingScopes(scopes)) => Verdict::Missing(scopes.to_string()),
        Err(other) => panic!("{other:?}"),
    }
}

/// As the contract reads, sections 2 and 3.
fn obvious(callers: &[Caller], routes: &[Route], asked: &Asked) -> Verdict {
    let caller = callers
        .iter()
        .find(|caller| caller.name.as_ref() == asked.caller)
        .unwrap();
    let Some(path) = plain_path(&asked.path) else {
        return Verdict::BadPath;
    };
    let (in_path, path) = match path.strip_prefix("/tenants") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let words: Vec<&str> = rest.splitn(3, '/').collect();
            match words[..] {
                [_, name, rest] => (Some(name.to_owned()), format!("/{rest}")),
                _ => return Verdict::Unclear,
            }
        }
        _ => (None, path.clone()),
    };
    let pin = asked.door.tenant.as_ref().map(ToString::to_string);
    let named: Vec<String> = [pin, in_path, asked.header.map(str::to_owned)]
        .into_iter()
        .flatten()
        .collect();
    if named.iter().any(|name| *name != named[0]) {
        return Verdict::Unclear;
    }
    let tenant = match (named.first(), &caller.tenants) {
        (Some(name), Tenants::All) if is_name(name) => name.clone(),
        (Some(name), Tenants::Named(list)) if list.iter().any(|known| known.as_ref() == name) => {
            name.clone()
        }
        (Some(_), _) => return Verdict::Forbidden,
        (None, Tenants::Named(list)) if list.len() == 1 => list[0].to_string(),
        (None, _) => return Verdict::Unclear,
    };
    let matching: Vec<&Route> = routes
        .iter()
        .filter(|route| {
            route.methods.is_empty() || route.methods.iter().any(|m| m.as_str() == asked.method)
        })
        .filter(|route| fits(route.template.as_str(), &path))
        .collect();
    let is_for = |route: &&Route| route.callers.is_empty() || route.callers.contains(&caller.name);
    if matching
        .iter()
        .copied()
        .any(|route| route.deny && is_for(&route))
    {
        return Verdict::Denied;
    }
    let best = matching.into_iter().filter(|route| !route.deny);
    let Some(route) = best.min_by_key(|route| shape(route.template.as_str())) else {
        return Verdict::NoRoute;
    };
    if !is_for(&route) {
        return Verdict::NotForCaller;
    }
    let lacks = |held: &ScopeSet| -> Vec<String> {
        let lacking = route
            .scopes
            .iter()
            .filter(|scope| !held.iter().any(|held| held == *scope));
        lacking.map(ToString::to_string).collect()
    };
    if let Some(ceiling) = &caller.ceiling
        && !lacks(ceiling).is_empty()
        && !route.observe
    {
        return Verdict::Above(lacks(ceiling).join(" "));
    }
    let missing = lacks(&asked.granted);
    if !missing.is_empty() && route.scopes_documented && !route.observe {
        return Verdict::Missing(missing.join(" "));
    }
    Verdict::Forwarded(tenant, route.template.as_str().to_owned(), path)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() < 64
        && name
            .chars()
            .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'))
}

/// The path with the escapes of the letters that are used here decoded; `None` if it is ambiguous.
fn plain_path(path: &str) -> Option<String> {
    let path = path
        .replace("%61", "a")
        .replace("%3A", ":")
        .replace("%3a", ":");
    let bad = ["//", "/../", "/./", "%", ";", "\\"];
    let ends = ["/..", "/."];
    let refused =
        bad.iter().any(|bad| path.contains(bad)) || ends.iter().any(|end| path.ends_with(end));
    (!refused).then_some(path)
}

/// True if the template means the path, word by word.
fn fits(template: &str, path: &str) -> bool {
    let (words, segments): (Vec<&str>, Vec<&str>) =
        (template.split('/').collect(), path.split('/').collect());
    for (place, word) in words.iter().enumerate() {
        let Some(segment) = segments.get(place) else {
            return false;
        };
        if word.starts_with("{*") {
            return true;
        }
        let is_fit = match word.split_once('}') {
            None => word == segment,
            Some((_, suffix)) => segment
                .strip_suffix(suffix)
                .is_some_and(|value| !value.is_empty() && !value.contains(':')),
        };
        if !is_fit {
            return false;
        }
    }
    words.len() == segments.len()
}

/// The most specific first, from the left: literal, parameter with the longer suffix, parameter, rest.
fn shape(template: &str) -> Vec<(u8, usize)> {
    let of_word = |word: &str| match word.split_once('}') {
        None => (0, 0),
        Some(_) if word.starts_with("{*") => (2, 0),
        Some((_, suffix)) => (1, 100 - suffix.len()),
    };
    template.split('/').map(of_word).collect()
}

/// A small generator (SplitMix64): every run asks the same.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let length = u64::try_from(of.len()).unwrap();
        of[usize::try_from(self.next() % length).unwrap()]
    }

    fn scopes(&mut self) -> ScopeSet {
        ScopeSet::parse(self.pick(&["", "a", "b", "a b", "b c", "a b c"])).unwrap()
    }

    fn segment(&mut self) -> &'static str {
        self.pick(&[
            "a", "b", "%61", "a:go", "b%3Ago", "7", "a.pdf", "..", "", ";", "%2e",
        ])
    }

    fn path(&mut self) -> String {
        let prefix = self.pick(&[
            "",
            "",
            "",
            "/tenants/acme",
            "/tenants/beta",
            "/tenants/no",
            "/tenants",
        ]);
        let mut path = prefix.to_owned();
        for _ in 0..self.pick(&[1, 2, 2, 3]) {
            path.push('/');
            let usual = self.pick(&["a", "b", "7", "a:go"]);
            path.push_str(if self.next().is_multiple_of(4) {
                self.segment()
            } else {
                usual
            });
        }
        path
    }

    fn template(&mut self) -> String {
        let count = self.pick(&[1, 2, 2, 3]);
        let mut words = Vec::new();
        for place in 0..count {
            let last = place + 1 == count;
            words.push(match self.next() % 8 {
                0..=3 => self.pick(&["a", "b", "a:go"]).to_owned(),
                4 | 5 => format!("{{p{place}}}"),
                6 => format!("{{p{place}}}{}", self.pick(&[":go", ".pdf"])),
                _ if last => "{*rest}".to_owned(),
                _ => "b".to_owned(),
            });
        }
        format!("/{}", words.join("/"))
    }

    /// Routes of which no two have one shape: which of those counts is another test's to say.
    fn routes(&mut self) -> Vec<Route> {
        let mut routes: Vec<Route> = Vec::new();
        let generic = |template: &str| {
            shape(template)
                .into_iter()
                .zip(literals(template))
                .collect::<Vec<_>>()
        };
        for _ in 0..self.pick(&[1, 4, 8]) {
            let template = self.template();
            if routes
                .iter()
                .any(|known| generic(known.template.as_str()) == generic(&template))
            {
                continue;
            }
            let method = self.pick(&["GET", "POST"]);
            let mut made = route(
                Method::from_bytes(method.as_bytes()).unwrap(),
                &template,
                "",
            );
            made.scopes = self.scopes();
            if self.next().is_multiple_of(3) {
                made.methods.clear();
            }
            made.deny = self.next().is_multiple_of(8);
            made.observe = self.next().is_multiple_of(6);
            made.scopes_documented = !self.next().is_multiple_of(5);
            if self.next().is_multiple_of(5) {
                made.callers = vec![CallerName::new(self.pick(&["erp", "crm"]))];
            }
            assert!(Template::parse(&template).is_ok());
            routes.push(made);
        }
        routes
    }
}

/// What stands in a template beside its parameters.
fn literals(template: &str) -> Vec<String> {
    let of_word = |word: &str| match word.split_once('}') {
        None => word.to_owned(),
        Some((_, suffix)) => suffix.to_owned(),
    };
    template.split('/').map(of_word).collect()
}

#[test]
fn admission_agrees_with_a_plain_reading_of_the_contract() {
    let mut dice = Dice(2026);
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    for _ in 0..1_000 {
        let ceiling = dice.scopes();
        let callers = vec![
            caller("erp", &["acme"]),
            Caller {
                ceiling: Some(ceiling),
                ..caller("crm", &["acme", "beta"])
            },
            caller("ops", &["*"]),
        ];
        let routes = dice.routes();
        let snapshot = with(callers.clone(), routes.clone());
        for _ in 0..200 {
            let pin = dice.pick(&[None, None, None, Some("acme"), Some("beta")]);
            let asked = Asked {
                caller: dice.pick(&["erp", "crm", "ops"]),
                door: Door {
                    tenant: pin.map(tenant),
                    ..Door::default()
                },
                method: dice.pick(&["GET", "POST", "get", "PUT"]),
                path: dice.path(),
                header: dice.pick(&[None, None, Some("acme"), Some("beta"), Some("Acme")]),
                granted: dice.scopes(),
            };
            let expected = obvious(&callers, &routes, &asked);
            let kind = match &expected {
                Verdict::Forwarded(..) => "forwarded",
                Verdict::Unclear => "unclear",
                Verdict::Forbidden => "forbidden",
                Verdict::NoRoute => "no route",
                Verdict::Denied => "denied",
                Verdict::NotForCaller => "not for caller",
                Verdict::BadPath => "bad path",
                Verdict::Above(_) => "above",
                Verdict::Missing(_) => "missing",
            };
            *seen.entry(kind).or_default() += 1;
            assert_eq!(
                real(&snapshot, &asked),
                expected,
                "{} {:?} {} {} {:?} of {:#?}",
                asked.caller,
                pin,
                asked.method,
                asked.path,
                asked.header,
                routes
                    .iter()
                    .map(|route| route.template.as_str())
                    .collect::<Vec<_>>()
            );
        }
    }
    assert!(
        seen.len() == 9 && seen.values().all(|count| *count > 500),
        "{seen:?}"
    );
}
