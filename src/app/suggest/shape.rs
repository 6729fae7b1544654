//! How the templates of two routes lie to each other, whatever the path: whether one path fits both, and which of the two
//! then wins. Both say once more what `model::route_table` does; the tests hold them against it.

use std::cmp::Ordering;

use crate::model::route::{Route, RouteOrigin, Segment, Template};

/// True if some path fits both templates.
pub(super) fn overlap(one: &Template, other: &Template) -> bool {
    let (mut ones, mut others) = (one.segments().iter(), other.segments().iter());
    loop {
        match (ones.next(), others.next()) {
            (None, None)
            | (Some(Segment::Rest { .. }), Some(_))
            | (Some(_), Some(Segment::Rest { .. })) => return true,
            (Some(one), Some(other)) if meet(one, other) => {}
            _ => return false,
        }
    }
}

fn meet(one: &Segment, other: &Segment) -> bool {
    match (one, other) {
        (Segment::Literal(one), Segment::Literal(other)) => one == other,
        (Segment::Literal(text), Segment::Parameter { suffix, .. })
        | (Segment::Parameter { suffix, .. }, Segment::Literal(text)) => {
            let value = text.strip_suffix(suffix.as_str());
            value.is_some_and(|value| !value.is_empty() && !value.contains(':'))
        }
        (Segment::Parameter { suffix: one, .. }, Segment::Parameter { suffix: other, .. }) => {
            let more = (one.strip_suffix(other.as_str())).or(other.strip_suffix(one.as_str()));
            more.is_some_and(|more| !more.contains(':'))
        }
        (Segment::Rest { .. }, _) | (_, Segment::Rest { .. }) => true,
    }
}

/// `Less` if the first wins on paths that fit both: a literal over the longer suffix, over the shorter, over all that
/// remains, from the left.
pub(super) fn order(one: &Template, other: &Template) -> Ordering {
    let ranks = |template: &Template| -> Vec<usize> {
        let segments = template.segments().iter();
        segments.map(rank).collect()
    };
    ranks(one).cmp(&ranks(other))
}

fn rank(segment: &Segment) -> usize {
    match segment {
        Segment::Literal(_) => 0,
        Segment::Parameter { suffix, .. } => usize::MAX - 1 - suffix.len(),
        Segment::Rest { .. } => usize::MAX,
    }
}

/// True if the first wins on calls that both mean: at equal shape, what the operator wrote.
pub(super) fn wins(one: &Route, other: &Route) -> bool {
    let written = |route: &Route| route.origin == RouteOrigin::Catalogue;
    order(&one.template, &other.template)
        .then(written(one).cmp(&written(other)))
        .is_lt()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::model::ids::{CallerName, RouteName};
    use crate::model::route_table::{Found, RouteTable};

    fn route(template: &str) -> Route {
        let (name, parsed) = (RouteName::new(template), Template::parse(template));
        Route::new(name, parsed.unwrap(), RouteOrigin::Explicit)
    }

    fn found(routes: &[&Route], path: &str) -> Option<Template> {
        let table = RouteTable::build(routes.iter().map(|route| (*route).clone()).collect());
        match table
            .unwrap()
            .find(&Method::GET, path, &CallerName::new("erp"))
        {
            Found::Route(route) => Some(route.template.clone()),
            _ => None,
        }
    }

    /// Every way from one segment to `deepest`.
    fn ways(words: &[&str], deepest: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut begin = 0;
        for depth in 1..=deepest {
            let end = all.len();
            for place in begin..end {
                let longer = |word: &&str| {
                    format!("{}/{}", all[place], word.replace('P', &format!("p{depth}")))
                };
                all.extend(words.iter().map(longer).collect::<Vec<_>>());
            }
            begin = end;
        }
        all.split_off(1)
    }

    #[test]
    fn the_table_finds_what_wins_where_two_overlap() {
        let mut templates = ways(&["a", "a:x", "{P}", "{P}:x", "{P}.a", "{P}b.a"], 2);
        let rests = templates
            .iter()
            .map(|template| format!("{template}/{{*rest}}"));
        templates.extend(rests.collect::<Vec<_>>());
        let paths = ways(&["a", "a:x", "b:x", "bb.a", "a.a"], 3);
        let fitting = |route: &Route| -> Vec<usize> {
            let fits = |place: &usize| found(&[route], &paths[*place]).is_some();
            (0..paths.len()).filter(fits).collect()
        };
        let routes: Vec<(Route, Vec<usize>)> = (templates.iter())
            .map(|template| route(template))
            .map(|route| (route.clone(), fitting(&route)))
            .collect();
        for (one, ones) in &routes {
            for (other, others) in &routes {
                let both = ones.iter().find(|place| others.contains(place));
                let overlaps = overlap(&one.template, &other.template);
                assert_eq!(overlaps, both.is_some(), "{one:?} {other:?}");
                let (Some(path), false) = (both, one == other) else {
                    continue;
                };
                let winner = if wins(one, other) { one } else { other };
                let found = found(&[one, other], &paths[*path]);
                assert_eq!(found.as_ref(), Some(&winner.template), "{}", paths[*path]);
            }
        }
    }

    #[test]
    fn what_has_no_path_in_common_does_not_overlap() {
        for (one, other) in [
            ("/a", "/a/"),
            ("/a", "/a/{*rest}"),
            ("/{x}", "/{x}:go"),
            ("/{x}.pdf", "/{x}.txt"),
            ("/{x}.pdf", "/.pdf"),
            ("/a/{x}", "/b/{x}"),
        ] {
            let [one, other] = [one, other].map(|text| Template::parse(text).unwrap());
            assert!(!overlap(&one, &other) && !overlap(&other, &one), "{one:?}");
        }
    }
}
