//! Other spellings of every path of the catalogue: none reaches the route, unless what is sent is the path as it should be
//! written; and none gets past a route that denies it.

use http::Method;

use super::admit;
use super::fixture::{at, caller, head, with};
use crate::model::catalogue;
use crate::model::ids::RouteName;
use crate::model::route::{Route, RouteOrigin, Segment, Template};
use crate::model::snapshot::{Door, Snapshot};

const KEY: (&str, &str) = ("pleo-gateway-key", "erp-key");

/// A path that the template means.
fn sample(template: &Template) -> String {
    let segments = template.segments().iter().map(|segment| match segment {
        Segment::Literal(text) => text.clone(),
        Segment::Parameter { suffix, .. } => format!("x7{suffix}"),
        Segment::Rest { .. } => "x7".to_owned(),
    });
    format!("/{}", segments.collect::<Vec<_>>().join("/"))
}

/// Every byte as an escape.
fn escaped(text: &str) -> String {
    let escapes: Vec<String> = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    escapes.concat()
}

/// What attackers and careless clients make of a path.
fn spellings(path: &str) -> Vec<String> {
    let (folder, last) = path.rsplit_once('/').unwrap();
    let first = &path[1..2];
    let byte = path.as_bytes()[1];
    let wide = char::from_u32(u32::from(byte) + 0xFEE0).unwrap();
    let wide = escaped(&wide.to_string());
    let tail = &path[2..];
    let encoded: Vec<String> = path[1..].split('/').map(escaped).collect();
    let encoded = encoded.join("/");
    vec![
        format!("{folder}%2F{last}"),
        format!("{folder}%2f{last}"),
        format!("{folder}%5C{last}"),
        format!("{folder}%252F{last}"),
        format!("{folder}//{last}"),
        format!("/{path}"),
        format!("{folder}/./{last}"),
        format!("{folder}/x/../{last}"),
        format!("{folder}/x/%2e%2e/{last}"),
        format!("{folder}/x/.%2E/{last}"),
        format!("{folder}/x/%252e%252e/{last}"),
        format!("{folder}/x/..;/{last}"),
        format!("{folder}/;/{last}"),
        format!("/%{byte:02x}{tail}"),
        format!("/%25{byte:02x}{tail}"),
        format!("/{encoded}"),
        format!("/{wide}{tail}"),
        format!("/%c1%{:02x}{tail}", byte & 0x3f | 0x80),
        format!("/{}{tail}", first.to_ascii_uppercase()),
        path.to_ascii_uppercase(),
        format!("{path}/"),
        format!("{path}//"),
        format!("{path}/."),
        format!("{path}."),
        format!("{path}%2e"),
        format!("{path}.."),
        format!("{path};"),
        format!("{path};a=b"),
        format!("{path}%3b"),
        format!("{path}%00"),
        format!("{path}%00.json"),
        format!("{path}%20"),
        format!("{path}%09"),
        format!("{path}%0a"),
        format!("{path}%23x"),
        format!("{path}%3fx"),
        format!("{path}%ef%bc%8e"),
        format!("{folder}%e2%88%95{last}"),
        format!("{folder}%c0%af{last}"),
    ]
}

fn explicit(method: &Method, template: &Template, deny: bool) -> Route {
    Route {
        methods: vec![method.clone()],
        deny,
        ..Route::new(
            RouteName::new(template.as_str()),
            template.clone(),
            RouteOrigin::Explicit,
        )
    }
}

/// What Pleo would be asked for, if the call is admitted.
fn sent(snapshot: &Snapshot, method: &Method, target: &str) -> Option<String> {
    target.parse::<http::uri::PathAndQuery>().ok()?;
    let head = head(method.clone(), target, &[KEY]);
    let permit = admit(snapshot, &head, at(&Door::default())).ok()?;
    Some(permit.target().path().to_owned())
}

/// As a server might read a path that tries hard to understand: decodes as long as there is something to decode, takes
/// `\` for `/`, cuts parameters (an encoded `;` begins none), dots, blanks and what follows a NUL, resolves dot segments.
fn lenient(path: &str) -> String {
    let plain: Vec<&str> = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .collect();
    let mut path = plain.join("/");
    loop {
        let decoded = decode(&path);
        if decoded == path {
            break;
        }
        path = decoded;
    }
    let mut segments: Vec<String> = Vec::new();
    for segment in path.replace('\\', "/").split('/') {
        let plain = segment.split('\0').next().unwrap_or_default();
        let plain = plain.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
        match (segment, plain) {
            ("..", _) => {
                segments.pop();
            }
            (_, "") => {}
            (_, plain) => segments.push(plain.to_owned()),
        }
    }
    format!("/{}", segments.join("/"))
}

fn decode(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = (after.get(..2)).filter(|_| *first == b'%');
        let value =
            escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn no_spelling_reaches_a_route_of_the_catalogue_or_gets_past_its_denial() {
    let mut asked = 0;
    let everything = Template::parse("/{*rest}").unwrap();
    for operation in &catalogue::builtin().operations {
        let (method, template) = (&operation.method, Template::parse(operation.path).unwrap());
        let path = sample(&template);
        let callers = || vec![caller("erp", &["acme"])];
        let alone = with(callers(), vec![explicit(method, &template, false)]);
        let all_but = with(
            callers(),
            vec![
                explicit(method, &template, true),
                explicit(method, &everything, false),
            ],
        );
        assert_eq!(sent(&alone, method, &path).as_ref(), Some(&path));
        assert_eq!(sent(&all_but, method, &path), None, "{path}");
        for spelling in spellings(&path) {
            if let Some(sent) = sent(&alone, method, &spelling) {
                // What a parameter holds is the caller's affair; the rest is the path as the catalogue writes it.
                let shown = format!("{spelling} was sent as {sent}");
                let fitting = template.segments().iter().zip(sent[1..].split('/'));
                for (segment, word) in fitting {
                    match segment {
                        Segment::Literal(text) => assert_eq!(text, word, "{shown}"),
                        Segment::Parameter { suffix, .. } => {
                            assert!(word.ends_with(suffix), "{shown}");
                        }
                        Segment::Rest { .. } => {}
                    }
                }
                assert_eq!(sent.split('/').count(), path.split('/').count(), "{shown}");
            }
            if let Some(sent) = sent(&all_but, method, &spelling) {
                // A trailing slash is another path, and a query is no path; all else that was let through stays another.
                let same = lenient(&sent) == lenient(&path) && !sent.ends_with('/');
                assert!(!same, "{spelling} got past a denial as {sent}");
            }
            asked += 1;
        }
    }
    assert!(asked > 4_000, "{asked}");
}
