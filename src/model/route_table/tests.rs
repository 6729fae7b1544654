//! The table against its rules, by example and against a slow, plain reading of them.

use proptest::prelude::*;

use super::*;
use crate::model::route::Template;

fn route(origin: RouteOrigin, methods: &str, template: &str) -> Route {
    let name = format!("{methods} {template}");
    Route {
        methods: methods
            .split_ascii_whitespace()
            .map(|method| Method::from_bytes(method.as_bytes()).unwrap())
            .collect(),
        ..Route::new(
            RouteName::new(name),
            Template::parse(template).unwrap(),
            origin,
        )
    }
}

fn explicit(methods: &str, template: &str) -> Route {
    route(RouteOrigin::Explicit, methods, template)
}

fn catalogue(methods: &str, template: &str) -> Route {
    route(RouteOrigin::Catalogue, methods, template)
}

fn deny(methods: &str, template: &str) -> Route {
    Route {
        deny: true,
        ..explicit(methods, template)
    }
}

fn caller() -> CallerName {
    CallerName::new("erp")
}

/// The template found, with `!` before one that denies.
fn found(table: &RouteTable, method: &str, path: &str) -> String {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    match table.find(&method, path, &caller()) {
        Found::Route(route) => route.template.as_str().to_owned(),
        Found::Denied(route) => format!("!{}", route.template.as_str()),
        Found::Nothing => String::new(),
    }
}

#[test]
fn the_most_specific_template_is_found() {
    let table = RouteTable::build(vec![
        explicit("GET", "/v1/{*rest}"),
        explicit("GET", "/v1/vendors/{id}"),
        explicit("GET", "/v1/vendors/search"),
        explicit("POST", "/v1/vendors/{id}:archive"),
        explicit("GET", "/v1/vendors/{id}.pdf"),
        explicit("GET", "/v1/vendors/{id}/"),
        explicit("GET", "/"),
    ])
    .unwrap();
    for (method, path, template) in [
        ("GET", "/v1/vendors/search", "/v1/vendors/search"),
        ("GET", "/v1/vendors/7", "/v1/vendors/{id}"),
        ("GET", "/v1/vendors/7/", "/v1/vendors/{id}/"),
        ("GET", "/v1/vendors/7.pdf", "/v1/vendors/{id}.pdf"),
        ("GET", "/v1/vendors/.pdf", "/v1/vendors/{id}"),
        ("POST", "/v1/vendors/7:archive", "/v1/vendors/{id}:archive"),
        ("POST", "/v1/vendors/:archive", ""),
        ("POST", "/v1/vendors/a:b:archive", ""),
        ("GET", "/v1/vendors/7:archive", "/v1/{*rest}"),
        ("GET", "/v1/vendors", "/v1/{*rest}"),
        ("GET", "/v1/", "/v1/{*rest}"),
        ("GET", "/v1", ""),
        ("GET", "/", "/"),
        ("get", "/", ""),
        ("HEAD", "/", ""),
        ("GET", "/v1x/vendors/7", ""),
    ] {
        assert_eq!(found(&table, method, path), template, "{method} {path}");
    }
}

#[test]
fn a_deny_wins_over_what_is_more_specific() {
    let table = RouteTable::build(vec![
        explicit("", "/v1/vendors/search"),
        deny("DELETE", "/{*rest}"),
        Route {
            callers: vec![CallerName::new("other")],
            ..deny("GET", "/v1/{a}/{b}")
        },
    ])
    .unwrap();
    assert_eq!(found(&table, "DELETE", "/v1/vendors/search"), "!/{*rest}");
    assert_eq!(
        found(&table, "GET", "/v1/vendors/search"),
        "/v1/vendors/search"
    );
    assert_eq!(
        table.find(
            &Method::GET,
            "/v1/vendors/search",
            &CallerName::new("other")
        ),
        Found::Denied(&table.routes[2])
    );
}

#[test]
fn an_explicit_route_beats_the_catalogue_at_equal_shape_only() {
    let table = RouteTable::build(vec![
        catalogue("GET", "/a/{x}"),
        catalogue("POST", "/a/{x}"),
        catalogue("GET", "/a/{x}"),
        explicit("GET", "/a/{y}"),
        explicit("GET", "/{*rest}"),
    ])
    .unwrap();
    assert_eq!(table.iter().count(), 4);
    assert_eq!(found(&table, "GET", "/a/1"), "/a/{y}");
    assert_eq!(found(&table, "POST", "/a/1"), "/a/{x}");
}

/// The operator wrote both: that the first is for some callers only takes nothing from the second.
#[test]
fn what_one_of_several_catalogue_entries_denies_is_denied() {
    let denied = |callers: &[&str]| Route {
        deny: true,
        callers: callers.iter().map(|name| CallerName::new(*name)).collect(),
        ..catalogue("GET", "/a/{x}")
    };
    for (entries, denied_to) in [
        ([denied(&["crm"]), denied(&["erp"])], "crm erp"),
        ([denied(&["crm"]), denied(&[])], "crm erp web"),
        ([denied(&[]), denied(&["crm"])], "crm erp web"),
        (
            [denied(&["erp", "web"]), denied(&["crm", "erp"])],
            "crm erp web",
        ),
    ] {
        let everything = explicit("GET", "/{*rest}");
        let table = RouteTable::build([&entries[..], &[everything]].concat()).unwrap();
        assert_eq!(table.iter().count(), 2);
        for caller in ["crm", "erp", "web"] {
            let found = table.find(&Method::GET, "/a/1", &CallerName::new(caller));
            let is_denied = matches!(found, Found::Denied(_));
            assert_eq!(
                is_denied,
                denied_to.contains(caller),
                "{caller} {entries:?}"
            );
        }
    }
}

#[test]
fn every_conflict_is_reported_with_both_names() {
    let conflicts = RouteTable::build(vec![
        explicit("GET POST", "/a/{x}"),
        explicit("POST", "/a/{y}"),
        explicit("PUT", "/a/{y}"),
        deny("", "/a/{z}"),
    ])
    .unwrap_err();
    let pairs: Vec<_> = conflicts
        .iter()
        .map(|c| (c.first.as_ref(), c.second.as_ref()))
        .collect();
    assert_eq!(
        pairs,
        [
            ("GET POST /a/{x}", "POST /a/{y}"),
            ("GET POST /a/{x}", " /a/{z}")
        ]
    );
}

/// The same rules, said as plainly as possible: the specificity of each segment if the template matches.
fn specificity(route: &Route, path: &str) -> Option<Vec<usize>> {
    let words: Vec<&str> = path[1..].split('/').collect();
    let mut ranks = Vec::new();
    for (place, segment) in route.template.segments().iter().enumerate() {
        match (segment, words.get(place)?) {
            (Segment::Rest { .. }, _) => {
                ranks.push(2000);
                return Some(ranks);
            }
            (Segment::Literal(text), word) if text == word => ranks.push(0),
            (Segment::Literal(_), _) => return None,
            (Segment::Parameter { suffix, .. }, word) => {
                let value = word.strip_suffix(suffix.as_str())?;
                if value.is_empty() || value.contains(':') {
                    return None;
                }
                ranks.push(1000 - suffix.len());
            }
        }
    }
    (ranks.len() == words.len()).then_some(ranks)
}

fn slowly(routes: &[Route], method: &Method, path: &str) -> String {
    let matching = || {
        routes
            .iter()
            .filter(|r| r.methods.contains(method) && specificity(r, path).is_some())
    };
    let best = |deny| {
        matching()
            .filter(|r| r.deny == deny)
            .min_by_key(|r| specificity(r, path))
    };
    match (best(true), best(false)) {
        (Some(route), _) => format!("!{}", route.template.as_str()),
        (None, Some(route)) => route.template.as_str().to_owned(),
        (None, None) => String::new(),
    }
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let segment = prop::sample::select(vec!["a", "b", "{P}", "{P}:x", "{P}.a", "{P}b.a", "a:x"]);
    let end = prop::sample::select(vec!["", "/", "/{*rest}"]);
    let template = (prop::collection::vec(segment, 1..4), end).prop_map(|(segments, end)| {
        let named = segments
            .iter()
            .enumerate()
            .map(|(n, s)| s.replace('P', &format!("p{n}")));
        format!("/{}{end}", named.collect::<Vec<_>>().join("/"))
    });
    let one = (
        template,
        prop::sample::select(vec!["GET", "POST"]),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(template, method, deny)| Route {
            deny,
            ..explicit(method, &template)
        });
    prop::collection::vec(one, 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_trie_agrees_with_the_rules_said_plainly(
        mut routes in routes(),
        paths in prop::collection::vec("(/(a|b|a:x|b:x|bb[.]a|a[.]a|[.]a|:x|c)){1,4}/?", 1..20),
    ) {
        routes.sort_by_key(|route| route.name.clone());
        routes.dedup_by_key(|route| route.name.clone());
        let table = RouteTable::build(routes.clone()).unwrap();
        for path in &paths {
            for method in [Method::GET, Method::POST] {
                prop_assert_eq!(found(&table, method.as_str(), path), slowly(&routes, &method, path));
            }
        }
    }
}
