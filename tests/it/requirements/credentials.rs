//! Credentials on the wire (requirements 66, 67, 69, 73). What is recorded is in `secrets`, what goes to the token endpoint
//! in `token_endpoint`.

use std::os::unix::process::ExitStatusExt as _;

use rustix::process::Signal;

use super::Fate::Served;
use super::{Scene, request};
use crate::harness::frames::{Frames, HEADERS, WHOLE, fields, frame};
use crate::harness::gateway::KEY;

/// What a caller may not tell Pleo, in any spelling.
const NEVER: [&str; 24] = [
    "authorization",
    "cookie",
    "cookie2",
    "proxy-authorization",
    "proxy-anything",
    "x-api-key",
    "pleo-gateway-anything",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-prefix",
    "x-forwarded-anything",
    "x-real-ip",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x_api_key",
    "x_forwarded_for",
    "proxy_authorization",
    "pleo_gateway_key",
];

/// Requirements 66, 69: a caller's credentials, and what it says about itself and its way here, stay here: however spelled,
/// repeated, hidden behind `Connection`. Requirement 67: Pleo gets one credential, ours.
#[test]
fn nothing_a_caller_may_not_say_arrives() {
    let scene = Scene::new();
    let spellings: [fn(&str) -> String; 3] = [str::to_owned, str::to_uppercase, |name| {
        name[..1].to_uppercase() + &name[1..]
    }];
    for name in NEVER {
        for spell in spellings {
            let name = spell(name);
            // A credential of the caller's must be a right one to be let in at all.
            let value = match name.to_ascii_lowercase().as_str() {
                "authorization" => format!("Bearer {KEY}"),
                _ => "canary".to_owned(),
            };
            for more in [
                format!("{name}: {value}\r\n"),
                format!("connection: {name}\r\n{name}: {value}\r\n"),
                format!("connection: authorization, via, close-not\r\n{name}:\t{value}\r\n"),
            ] {
                let outcome = scene.check(&request("GET /any/g", &more, ""), Served(""));
                let raw = &outcome.head().raw;
                let rest = raw.replace("access-canary", "");
                assert!(!rest.contains("canary"), "{name} in {raw}");
            }
        }
    }
    let twice =
        "cookie: a-canary\r\nCookie: b-canary\r\nx-api-key: a-canary\r\nX-API-KEY: b-canary\r\n";
    let outcome = scene.check(&request("GET /any/g", twice, ""), Served(""));
    assert_eq!(outcome.head().field("cookie"), None);
    assert_eq!(outcome.head().field("x-api-key"), None);
}

/// Requirement 66, over HTTP/2: cookies come in crumbs.
#[test]
fn crumbs_of_cookies_do_not_arrive() {
    let scene = Scene::new();
    let crumbs = [
        ("cookie", "a=a-canary"),
        ("cookie", "b=b-canary"),
        ("x-api-key", "a-canary"),
    ];
    let all = [&super::http2::FINE[..], &crumbs].concat();
    let mut link = Frames::to(scene.gateway.base(), b"");
    link.send(frame(HEADERS, WHOLE, 1, fields(&all))).unwrap();
    assert_eq!(link.next_of(&[HEADERS]).unwrap().status(), 200);
    let seen = scene.upstream.only();
    scene.assert_clean(&seen);
    assert!(
        !seen
            .head
            .raw
            .replace("access-canary", "")
            .contains("canary")
    );
}

/// Requirement 73: a gateway that dies leaves no core file, however much its user would allow, and other processes of its
/// user may not look into it.
#[test]
fn memory_leaves_no_trace() {
    let mut scene = Scene::new();
    let folder = format!("/proc/{}", scene.gateway.program.pid());
    let limits = std::fs::read_to_string(format!("{folder}/limits")).unwrap();
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    let words: Vec<&str> = core.unwrap().split_whitespace().take(2).collect();
    assert_eq!(words, ["0", "0"]);
    // The kernel gives root what belongs to a process that may not be looked into.
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&folder).unwrap());
    assert_eq!(owner, 0);
    scene.gateway.program.signal(Signal::ABORT);
    let end = scene.gateway.program.ended();
    assert_eq!(
        (end.signal(), end.core_dumped()),
        (Some(Signal::ABORT.as_raw()), false)
    );
}
