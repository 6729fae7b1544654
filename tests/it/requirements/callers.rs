//! Callers of the gateway (requirements 77 to 80, 82, 83). Certificates in the handshake (81) are in `recognised`.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::thread;

use crate::harness::authority::Authority;
use crate::harness::client::{Answer, answer, call, curled};
use crate::harness::gateway::{Gateway, KEY, OFFICE_KEY, Setup, caller};
use crate::harness::link::Link;
use crate::harness::program::run;
use crate::harness::sandbox::Minted;
use crate::harness::upstream::Upstream;
use crate::harness::{BINARY, SOON, eventually, repository};

const TARGET: &str = "/v2/employees";

fn get(door: &str, fields: &[(&str, &str)]) -> Answer {
    call(door, "GET", TARGET, fields, b"")
}

/// Requirement 77: a door that others can reach, with nobody who can show who it is, stops the start; so does an anonymous
/// caller there. The shipped doors are on loopback, and a unix socket is its owner's, whose peers are known by their user.
#[test]
fn doors_beyond_this_machine_need_callers_who_can_show_who_they_are() {
    let nobody = String::new();
    let uid = "[[callers]]\nname = \"a\"\nunix_uid = [0]\ntenants = [\"acme\"]\n".to_owned();
    let anyone = "[[callers]]\nname = \"a\"\nanonymous = true\ntenants = [\"acme\"]\n".to_owned();
    let certified =
        "[[callers]]\nname = \"a\"\nclient_cert = [\"dns:a\"]\ntenants = [\"acme\"]\n".to_owned();
    for address in [
        "0.0.0.0:0",
        "[::]:0",
        "192.0.2.1:80",
        "gateway.example:80",
        "[::ffff:127.0.0.1]:0",
    ] {
        for callers in [&nobody, &uid, &anyone, &certified] {
            let mut setup = Setup::at("http://127.0.0.1:1");
            setup.doors = format!("[[listen]]\naddress = \"{address}\"\n");
            setup.callers.clone_from(callers);
            setup.write();
            let refused = setup.cli(&["serve"], "");
            assert_eq!(refused.code, 78, "{address} {callers}: {}", refused.err);
            let words = ["beyond loopback", "beyond this machine"];
            assert!(
                words.iter().any(|w| refused.err.contains(w)),
                "{}",
                refused.err
            );
        }
    }
    let mut setup = Setup::at("http://127.0.0.1:1");
    setup.doors = "[[listen]]\naddress = \"0.0.0.0:0\"\n".into();
    let gateway = setup.start();
    let port = gateway.base().rsplit(':').next().unwrap();
    get(&format!("http://127.0.0.1:{port}"), &[]).refused(401, "caller-unknown");

    for shipped in [
        "config/gateway.toml",
        "config/sidecar.toml",
        "config/reference.toml",
    ] {
        let text = std::fs::read_to_string(repository(shipped)).unwrap();
        let doors: Vec<&str> = (text.lines())
            .filter_map(|line| line.strip_prefix("address")?.split('"').nth(1))
            .collect();
        assert!(!doors.is_empty(), "{shipped}");
        assert!(
            doors.iter().all(|door| door.starts_with("127.0.0.1:")),
            "{shipped}: {doors:?}"
        );
    }

    let mut setup = Setup::at("http://127.0.0.1:1");
    let path = setup.folder().join("door.sock");
    setup.doors = "[[listen]]\naddress = \"unix:door.sock\"\n".into();
    let own = rustix::process::geteuid().as_raw();
    setup.callers = uid.replace("[0]", &format!("[{}]", own + 1));
    let gateway = setup.start();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    get(gateway.base(), &[]).refused(401, "caller-unknown");
}

/// A door in clear, one over TLS that asks for certificates, and a unix socket; a caller for each, all for `acme`, and a
/// route that is another's.
fn three_ways(authority: &Authority, upstream: &Upstream) -> Gateway {
    let mut setup = Setup::at(&upstream.origin());
    setup.ask_for_certificates(authority);
    setup.doors +=
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\naddress = \"unix:door.sock\"\n";
    let uid = rustix::process::geteuid().as_raw();
    setup.callers = [
        caller("keyed", KEY, "[\"acme\"]"),
        caller("office", OFFICE_KEY, "[\"acme\", \"beta\"]"),
        "[[callers]]\nname = \"erp\"\nclient_cert = [\"dns:erp.internal\"]\ntenants = [\"acme\"]\n"
            .to_owned(),
        format!("[[callers]]\nname = \"local\"\nunix_uid = [{uid}]\ntenants = [\"acme\"]\n"),
    ]
    .concat();
    setup.routes += "[[routes]]\nname = \"office-only\"\npath = \"/v1/office\"\nscopes = []\ncallers = [\"office\"]\n";
    authority
        .certificate(&["erp.internal"])
        .write(setup.folder(), "erp");
    setup.start_connected(&[("acme", &Minted::made_up()), ("beta", &beta())])
}

fn beta() -> Minted {
    let mut beta = Minted::made_up();
    beta.pair["access_token"] = "beta-canary".into();
    beta.pair["company_id"] = "company-2".into();
    beta
}

/// The status of a call for a target, with one more field.
type Way<'a> = dyn Fn(&str, &str) -> String + 'a;

/// Requirement 78: whoever a caller is, by key, certificate or user, it has its tenants and its routes; a tenant that it
/// names in the path or a field counts among these only.
#[test]
fn a_caller_has_its_tenants_and_routes_however_it_is_known() {
    let (authority, upstream) = (Authority::new(), Upstream::fine());
    let gateway = three_ways(&authority, &upstream);
    let file = |name: &str| gateway.setup.folder().join(name).display().to_string();
    let [ca, cert, key] = ["ca.pem", "erp.pem", "erp.key"].map(file);
    let by_certificate = |target: &str, field: &str| {
        let url = format!("{}{target}", gateway.callers[0]);
        let shown = [
            "--cacert", &ca, "--cert", &cert, "--key", &key, "--header", field, &url,
        ];
        curled(&shown)
    };
    let by_key = |target: &str, field: &str| {
        let (name, value) = field.split_once(": ").unwrap();
        let fields = [("pleo-gateway-key", KEY), (name, value)];
        call(&gateway.callers[1], "GET", target, &fields, b"")
            .status
            .to_string()
    };
    let by_user = |target: &str, field: &str| {
        let field = field.split_once(": ").unwrap();
        call(&gateway.callers[2], "GET", target, &[field], b"")
            .status
            .to_string()
    };
    let ways: [&Way<'_>; 3] = [&by_certificate, &by_key, &by_user];
    let (none, acme, other) = (
        "x: y",
        "pleo-gateway-tenant: acme",
        "pleo-gateway-tenant: beta",
    );
    for (place, way) in ways.iter().enumerate() {
        for (target, field, status) in [
            (TARGET, none, "200"),
            (TARGET, acme, "200"),
            ("/tenants/acme/v2/employees", none, "200"),
            (TARGET, other, "403"),
            ("/tenants/beta/v2/employees", none, "403"),
            ("/tenants/beta/v2/employees", acme, "400"),
            ("/v1/office", none, "403"),
        ] {
            assert_eq!(way(target, field), status, "{place} {target} {field}");
        }
    }
    let office = [
        ("pleo-gateway-key", OFFICE_KEY),
        ("pleo-gateway-tenant", "beta"),
    ];
    call(&gateway.callers[1], "GET", "/v1/office", &office, b"").expect(200);
    let seen = upstream.seen();
    let bearers = seen
        .iter()
        .map(|seen| seen.head.field("authorization").unwrap());
    let (of_beta, of_acme): (Vec<&str>, Vec<&str>) =
        bearers.partition(|bearer| *bearer == "Bearer beta-canary");
    assert_eq!((of_beta.len(), of_acme.len()), (1, 9));
}

/// Requirement 79: two callers for two tenants share links to Pleo, and each gets its own answers, made with its own token.
#[test]
fn links_that_are_shared_mix_up_nothing() {
    // Says over which link it came (one thread serves each), with whose token, and for what; and tries to set a cookie.
    let upstream = Upstream::start(|exchange| {
        exchange.body();
        let bearer = exchange.head.field("authorization").unwrap_or("-canary");
        let bearer = bearer.trim_end_matches("-canary");
        let cookie = exchange.head.field("cookie").unwrap_or_default();
        let told = format!(
            "{:?} {bearer} {} {cookie}",
            thread::current().id(),
            exchange.head.word(1)
        );
        exchange.reply(format!(
            "HTTP/1.1 200 OK\r\nset-cookie: of={}\r\ncontent-length: {}\r\n\r\n{told}",
            told.len(),
            told.len()
        ));
    });
    let mut setup = Setup::at(&upstream.origin());
    setup.callers = caller("a", "a-canary", "[\"acme\"]") + &caller("b", "b-canary", "[\"beta\"]");
    let gateway = setup.start_connected(&[("acme", &Minted::made_up()), ("beta", &beta())]);
    let asked = |key: &'static str, bearer: &'static str| {
        let gateway = &gateway;
        move || -> Vec<String> {
            let mut link = Link::to(gateway.base());
            let links = (0..150).map(|number| {
                let target = format!("{TARGET}?{bearer}={number}");
                link.send(format!(
                    "GET {target} HTTP/1.1\r\nhost: x\r\npleo-gateway-key: {key}\r\n\r\n"
                ))
                .unwrap();
                let answer = answer(&mut link, "GET").unwrap().expect(200);
                assert_eq!(answer.header("set-cookie"), None);
                let told = answer.text();
                let (served_by, rest) = told.split_once(") ").unwrap();
                assert_eq!(rest, format!("Bearer {bearer} {target} "));
                served_by.to_owned()
            });
            links.collect()
        }
    };
    let (of_a, of_b) = thread::scope(|threads| {
        let a = threads.spawn(asked("a-canary", "access"));
        let b = threads.spawn(asked("b-canary", "beta"));
        (a.join().unwrap(), b.join().unwrap())
    });
    // One after the other over the same link, if they never met before.
    let more_of_b = asked("b-canary", "beta")();
    let shared = of_b
        .iter()
        .chain(&more_of_b)
        .any(|link| of_a.contains(link));
    assert!(shared, "no link served both");
}

/// Requirement 80: two keys are right during a rotation; a key comes in a field of the head and nowhere else; what is kept
/// is its digest. That how long a wrong key takes says nothing is in `access::identify`.
#[test]
fn keys_are_rotated_and_come_in_the_head_only() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    let [old, new] = ["old-canary", "new-canary"].map(|key| {
        let lines = caller("erp", key, "[\"acme\"]");
        lines.split('"').nth(3).unwrap().to_owned()
    });
    let keys = |digests: &str| {
        format!("[[callers]]\nname = \"erp\"\nkey_sha256 = [{digests}]\ntenants = [\"acme\"]\n")
    };
    let both = keys(&format!("\"{old}\", \"{new}\""));
    setup.callers.clone_from(&both);
    let gateway = setup.start_with_acme();
    let status = |key: &str| get(gateway.base(), &[("pleo-gateway-key", key)]).status;
    assert_eq!((status("old-canary"), status("new-canary")), (200, 200));
    let text = gateway
        .setup
        .text()
        .replace(&both, &keys(&format!("\"{new}\"")));
    std::fs::write(gateway.setup.file(), text).unwrap();
    eventually("the old key to be forgotten", || {
        (status("old-canary") == 401).then_some(())
    });
    assert_eq!(status("new-canary"), 200);

    let form = ("content-type", "application/x-www-form-urlencoded");
    for (target, fields, body) in [
        ("/v2/employees?key=new-canary", vec![], &b""[..]),
        ("/v2/employees?pleo-gateway-key=new-canary", vec![], b""),
        (TARGET, vec![("cookie", "key=new-canary")], b""),
        (TARGET, vec![("x-api-key", "new-canary")], b""),
        (
            TARGET,
            vec![("proxy-authorization", "Bearer new-canary")],
            b"",
        ),
        (TARGET, vec![("pleo_gateway_key", "new-canary")], b""),
        (TARGET, vec![form], b"pleo-gateway-key=new-canary"),
    ] {
        call(gateway.base(), "GET", target, &fields, body).refused(401, "caller-unknown");
    }
    // The digest is no key.
    assert_eq!(status(&new), 401);
    // A key in the place of its digest is refused, and not shown.
    let wrong = gateway.setup.text().replace(&both, &keys("\"new-canary\""));
    let file = gateway.setup.folder().join("wrong-with-a-secret.toml");
    std::fs::write(&file, wrong).unwrap();
    let mut check = Command::new(BINARY);
    let refused = run(check.args(["check", "-c"]).arg(file), "", SOON);
    assert_eq!(refused.code, 78);
    assert!(
        !format!("{}{}", refused.out, refused.err).contains("canary"),
        "{}",
        refused.err
    );
}

/// Requirement 82: whoever is not known gets a 401 before its body is read, and nothing of what it presented is written
/// down. It is always that answer, as the contract has it: a right key is let in however many wrong ones came before.
#[test]
fn whoever_is_not_known_is_answered_before_its_body_and_its_key_is_not_logged() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    setup.more = "[log]\nlevel = \"trace\"\n".into();
    let gateway = setup.start_with_acme();
    let basic = "authorization: Basic YW55OnByZXNlbnRlZC1jYW5hcnk="; // any:presented-canary
    for credential in [
        "pleo-gateway-key: presented-canary",
        "authorization: Bearer presented-canary",
        basic,
        "authorization: presented-canary",
        "x: y",
    ] {
        for more in ["", "expect: 100-continue\r\n"] {
            let mut link = Link::to(gateway.base());
            link.send(format!(
                "POST /v1/vendors:search HTTP/1.1\r\nhost: x\r\n{credential}\r\ncontent-length: 1000000\r\n{more}\r\n"
            ))
            .unwrap();
            // Not one byte of the body is sent: the first head that comes is the answer.
            let head = link.head().unwrap().unwrap();
            assert_eq!(head.word(1), "401", "{credential} {more}");
            assert!(head.field("www-authenticate").is_some());
        }
    }
    for _ in 0..100 {
        get(gateway.base(), &[("pleo-gateway-key", "presented-canary")]).expect(401);
    }
    get(gateway.base(), &[("pleo-gateway-key", KEY)]).expect(200);
    assert_eq!(upstream.seen().len(), 1);
    let said = gateway.program.said() + &gateway.metrics();
    assert!(said.contains("caller-unknown"));
    for trace in [
        "presented-canary",
        "cHJlc2VudGVkLWNhbmFyeQ",
        "YW55OnByZXNlbnRlZC1jYW5hcnk",
    ] {
        assert!(!said.contains(trace), "{trace}");
    }
}

/// Requirement 83: a web page cannot use a door for anonymous callers: not from another site, and not by a name that was made
/// to resolve to this machine; a key makes no difference. Programs, and pages of the door's own, can.
#[test]
fn web_pages_of_others_cannot_use_a_door_for_anonymous_callers() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    setup.callers += "[[callers]]\nname = \"any\"\nanonymous = true\ntenants = [\"acme\"]\n";
    setup.doors += "hosts = [\"localhost\", \"127.0.0.1\", \"pleo.internal:8080\"]\n";
    let gateway = setup.start_with_acme();
    for fields in [
        &[][..],
        &[("host", "localhost:1")],
        &[("host", "LOCALHOST.")],
        &[("host", "pleo.internal:8080")],
        &[
            ("origin", "http://localhost:3000"),
            ("sec-fetch-site", "same-origin"),
        ],
        &[("sec-fetch-site", "none")],
    ] {
        assert_eq!(get(gateway.base(), fields).status, 200, "{fields:?}");
    }
    let served = upstream.seen().len();
    for (fields, status, code) in [
        (&[("host", "rebound.evil.example")][..], 421, "misdirected"),
        (&[("host", "localhost.evil.example")], 421, "misdirected"),
        (&[("host", "pleo.internal")], 421, "misdirected"),
        (
            &[("host", "evil.example"), ("pleo-gateway-key", KEY)],
            421,
            "misdirected",
        ),
        (&[("origin", "https://evil.example")], 403, "cross-site"),
        (&[("origin", "null")], 403, "cross-site"),
        (
            &[
                ("origin", "http://localhost"),
                ("origin", "http://evil.example"),
            ],
            403,
            "cross-site",
        ),
        (
            &[("origin", "http://localhost:3000@evil.example")],
            403,
            "cross-site",
        ),
        (&[("sec-fetch-site", "cross-site")], 403, "cross-site"),
        (&[("sec-fetch-site", "same-site")], 403, "cross-site"),
        (
            &[("sec-fetch-site", "cross-site"), ("pleo-gateway-key", KEY)],
            403,
            "cross-site",
        ),
    ] {
        get(gateway.base(), fields).refused(status, code);
    }
    assert_eq!(upstream.seen().len(), served);
}
