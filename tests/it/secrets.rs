//! Nothing secret is ever written: not in logs at their most talkative, metrics, answers, command output, or at rest. Every
//! test is searched for that (`canary`); here is a run in which secrets are everywhere, and what a find looks like.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pleo_gateway::sandbox::INTEGRATED_KEY;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::Url;

use crate::canary::{self, Home};
use crate::harness::client::call;
use crate::harness::program::{Program, run};
use crate::harness::upstream::Upstream;
use crate::stand::caller::{Answer, Link};
use crate::stand::serving::Serving;
use crate::stand::{CLIENT_SECRET, KEY, Plan, READ, SOON, Stand, bundle, hex};

const WRONG_API_KEY: &str = "pls_wrong-canary-of-nobody";
const WRONG_KEY: &str = "pgw_wrong-canary-of-somebody-else";

/// What a search that fails says; empty if it finds nothing.
fn found(search: impl FnOnce()) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(search)) else {
        return String::new();
    };
    panic.downcast_ref::<String>().unwrap().clone()
}

/// Texts in which there is a secret.
fn spoilt() -> Vec<Vec<u8>> {
    let token = b"1sandbox_access_2";
    let listed = format!("{token:?}");
    let percent = hex(token)
        .as_bytes()
        .chunks(2)
        .fold(String::new(), |text, pair| {
            text + "%" + str::from_utf8(pair).unwrap()
        });
    let texts = [
        "x sandbox_access_ab".to_owned(),
        hex(token),
        hex(token).to_uppercase(),
        STANDARD.encode(b"Bearer sandbox_access_1"),
        STANDARD.encode(b"Bearer  sandbox_access_1"),
        URL_SAFE.encode(b"Bearer   sandbox_access_1"),
        percent.to_uppercase(),
        percent,
        "token=sandbox%5faccess%5F2 or sandbox%5Faccess%5F2".to_owned(),
        listed,
        WRONG_KEY.to_owned(),
        CLIENT_SECRET.to_owned(),
        INTEGRATED_KEY.to_owned(),
        "code=sandbox_code_1".to_owned(),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

#[test]
fn a_secret_is_found_in_every_form_and_wherever_it_stands() {
    for text in spoilt() {
        for (before, behind) in [(0, 0), (1, 3), (4099, 0), (70_001, 7)] {
            let text = [&vec![b'='; before][..], &text, &vec![b' '; behind]].concat();
            let said = found(|| canary::search("a log", &text));
            assert!(
                said.contains("in a log"),
                "{}",
                String::from_utf8_lossy(&text)
            );
        }
    }
    canary::search("a log", "sandbox access, canary and other words");
}

/// Writes a file into a new folder of a test, and ends that test.
fn left(files: &[(&str, &[u8])]) -> String {
    found(|| {
        let home = Home::new();
        fs::create_dir(home.path().join("data")).unwrap();
        for (name, text) in files {
            fs::write(home.path().join(name), text).unwrap();
        }
    })
}

#[test]
fn a_test_that_leaves_a_secret_in_its_folder_fails() {
    for text in spoilt() {
        let said = left(&[("data/gateway.db", &text)]);
        assert!(said.contains("data/gateway.db"), "{said}");
    }
    // who holds a secret by nature may, and what it holds is looked for in all others
    let raw = [0xa5; 32];
    let sealing = format!(
        "v1:{}\n",
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(raw)
    );
    let admin = "0123456789-of-the-operators";
    let secrets: [(&str, &[u8]); 3] = [
        ("data/sealing.key", sealing.as_bytes()),
        ("data/admin.token", admin.as_bytes()),
        ("client.secret", b"of-a-client-that-no-stem-knows"),
    ];
    assert_eq!(left(&secrets), "");
    for told in [
        &raw[..],
        hex(&raw).as_bytes(),
        admin.as_bytes(),
        b"of-a-client-that-no-stem-knows",
    ] {
        let said = left(&[&secrets[..], &[("gateway.stderr", told)]].concat());
        assert!(said.contains("gateway.stderr"), "{said}");
    }
    let core = [b"\x7fELF".as_slice(), &[0; 12], &[4, 0], &[0; 100]].concat();
    assert!(left(&[("core.1", &core)]).contains("core files"));
}

#[test]
fn a_program_or_an_answer_that_says_a_secret_fails_the_test() {
    let said = found(|| {
        run(Command::new("echo").arg(KEY), "", SOON);
    });
    assert!(said.contains("what a command said"), "{said}");
    let said = found(|| {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("echo fine; echo {} >&2", hex(KEY.as_bytes())),
        ]);
        Program::start(&mut shell).ended();
    });
    assert!(said.contains("what a process said"), "{said}");
    for (head, body) in [("x-token: sandbox_refresh_1", "xx"), ("x-y: z", KEY)] {
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        let upstream = Upstream::answering(answer);
        let said = found(|| {
            call(&upstream.origin(), "GET", "/", &[], b"");
        });
        assert!(said.contains("of an answer"), "{said}");
    }
    // and nobody plants what would not be found
    let said = found(|| canary::assert_known(b"a-word-like-any-other"));
    assert!(said.contains("no known stem"), "{said}");
}

#[test]
fn what_is_told_once_may_not_be_told_again() {
    let state = "s".repeat(43);
    canary::search(
        "an answer",
        format!("location: https://pleo/?state={state}"),
    );
    assert!(found(|| canary::search("a log", &state)).contains("a log"));
    assert!(found(|| canary::search("a log", hex(state.as_bytes()))).contains("a log"));
}

/// Requirement 72: whatever is answered, said and left behind is searched by the stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_written_anywhere_whatever_happens() {
    let stand = Stand::new(Plan {
        tenants: &["acme", "beta", "gamma"],
        refresh: "timeout = \"10s\"\nadoption_grace = \"1s\"\nhold = \"100ms\"",
        ..Plan::default()
    })
    .await;
    let pair = bundle(&stand.mint(), true);
    let import = ["connections", "import", "acme", "--json"];
    stand.run(&import, &pair.to_string()).fine();
    let mut command = stand.command(&["serve"]);
    command.env("RUST_LOG", "trace");
    let serving = stand.serve_as("gateway", command).await;
    refresh_and_fail(&stand, &serving).await;
    consent(&stand, &serving).await;
    ask_wrongly(&stand, &serving).await;
    use_api_key(&stand, &serving).await;
    ask_commands(&stand, &pair);
    assert_eq!(serving.operate(Method::GET, "/metrics").await.status, 200);
    assert!(serving.stop().await.success());
    assert!(says_debug(&stand.home().join("gateway.stderr")));
    assert!(stand.home().join("data/gateway.db").exists());
}

/// True if it was as talkative as it was told to be.
fn says_debug(log: &Path) -> bool {
    let log = fs::read_to_string(log).unwrap();
    log.contains("\"level\":\"DEBUG\"") || log.contains("\"level\":\"TRACE\"")
}

/// A read over HTTP/2, whose library talks about frames.
async fn read_over_http2(serving: &Serving) -> u16 {
    let stream = TcpStream::connect(serving.callers).await.unwrap();
    let made = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = made.unwrap();
    let mut drive = JoinSet::new();
    drive.spawn(connection);
    let request = Request::builder()
        .uri(format!("http://{}{READ}", serving.callers))
        .header("pleo-gateway-key", KEY)
        .header("pleo-gateway-tenant", "acme")
        .body(Full::<Bytes>::default())
        .unwrap();
    sender
        .send_request(request)
        .await
        .unwrap()
        .status()
        .as_u16()
}

/// Refreshes that succeed and that fail in every way that puts an answer into our hands.
async fn refresh_and_fail(stand: &Stand, serving: &Serving) {
    let path = "/v1/connections/acme/refresh";
    serving.get("acme", READ).await;
    serving.operate(Method::POST, path).await;
    let said = "sandbox_refresh_said-by-pleo sandbox_access_said-by-pleo";
    let faults = [
        json!({"kind": "malformed"}),
        // last: after it the OAuth client is not tried for a while, and a fault would wait for somebody else
        json!({"kind": "status", "status": 401, "body": json!({"error": "invalid_client", "error_description": said}).to_string()}),
    ];
    for mut fault in faults {
        let minted = stand.mint();
        stand.import("gamma", &bundle(&minted, true));
        fault["endpoint"] = "token".into();
        stand.order(&fault);
        let path = "/v1/connections/gamma/refresh";
        serving.operate(Method::POST, path).await;
        serving.get("gamma", READ).await;
    }
    assert_eq!(read_over_http2(serving).await, 200);
    stand.order(&json!({"endpoint": "api", "kind": "reset"}));
    serving.get("acme", READ).await;
}

/// The journey of a browser through the connect door, and once more with everything wrong.
async fn consent(stand: &Stand, serving: &Serving) {
    let words = ["connections", "link", "beta", "--json"];
    let shown = stand.run(&[&words[..], &["--allow-shared-company"]].concat(), "");
    let link: Value = serde_json::from_str(&shown.stdout).unwrap();
    let link = Url::parse(link["url"].as_str().unwrap()).unwrap();
    browse(Method::GET, &link, "", "").await;
    let off = browse(Method::POST, &link, "", "").await;
    let cookie = off.headers["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let pleo = Url::parse(off.headers["location"].to_str().unwrap()).unwrap();
    let company = &stand.pleo.company_ids()[0];
    let query = pleo.query().unwrap();
    let form = format!("{query}&company={company}&decision=approve");
    let mut approve = pleo.clone();
    approve.set_query(None);
    let back = ask(&approve, Method::POST, "", &form);
    let mut pleo = Link::open(stand.pleo.address).await;
    let back = pleo.request_pleo(back).await.unwrap();
    let back = Url::parse(back.headers["location"].to_str().unwrap()).unwrap();
    let done = browse(Method::GET, &back, &cookie, "").await;
    assert_eq!(done.status, 200, "{}", String::from_utf8_lossy(&done.body));
    let again = browse(Method::GET, &back, &cookie, "").await;
    assert_ne!(again.status, 200);
    assert_eq!(serving.get("beta", READ).await.status, 200);
}

/// An API key that Pleo accepts and then refuses, and some that it never does.
async fn use_api_key(stand: &Stand, serving: &Serving) {
    let words = ["connections", "set-key", "gamma", "--replace"];
    let words = [&words[..], &["--allow-shared-company"]].concat();
    stand
        .run(&["connections", "disconnect", "gamma"], "")
        .fine();
    for bad in [
        WRONG_API_KEY,
        &format!("{INTEGRATED_KEY}:"),
        &format!("{INTEGRATED_KEY} x"),
    ] {
        stand.run(&words, bad);
    }
    stand.run(&words, INTEGRATED_KEY);
    let read = serving.get("gamma", READ).await;
    assert_eq!(read.status, 200);
    for endpoint in ["api", "introspect"] {
        stand.order(&json!({"endpoint": endpoint, "kind": "status", "status": 401}));
    }
    let refused = serving.get("gamma", READ).await;
    assert_eq!(refused.code(), "reauthorization-required");
    stand.run(&words, INTEGRATED_KEY);
    stand.run(&["connections", "show", "gamma", "--json"], "");
}

async fn browse(method: Method, url: &Url, cookie: &str, form: &str) -> Answer {
    let mut link = Link::open(url.socket_addrs(|| None).unwrap()[0]).await;
    link.request(ask(url, method, cookie, form)).await.unwrap()
}

/// As a browser asks.
fn ask(url: &Url, method: Method, cookie: &str, form: &str) -> Request<Full<Bytes>> {
    let path = &url[url::Position::BeforePath..];
    let request = Request::builder().method(method).uri(path);
    let request = if cookie.is_empty() {
        request
    } else {
        request.header("cookie", cookie)
    };
    request
        .header(
            "host",
            &url[url::Position::BeforeHost..url::Position::AfterPort],
        )
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form.to_owned())))
        .unwrap()
}

/// Wrong credentials, in every place where one can be, at both doors.
async fn ask_wrongly(stand: &Stand, serving: &Serving) {
    let basic = format!("Basic {}", STANDARD.encode(format!("{WRONG_KEY}:")));
    for (address, name, value, path) in [
        (serving.callers, "pleo-gateway-key", WRONG_KEY, READ),
        (serving.callers, "authorization", basic.as_str(), READ),
        (serving.callers, "pleo-gateway-key", KEY, "/no/such/route"),
        (serving.callers, "pleo-gateway-key", KEY, "/v1//companies"),
        (
            serving.admin,
            "authorization",
            basic.as_str(),
            "/v1/connections",
        ),
    ] {
        let request = Request::builder()
            .uri(path)
            .header("host", address.to_string())
            .header(name, value)
            .body(Full::default())
            .unwrap();
        let answer = Link::open(address).await.request(request).await.unwrap();
        assert!(answer.status >= 400, "{path}: {}", answer.status);
    }
    assert_eq!(serving.get("nobody", READ).await.status, 403);
    stand.assert_no_rule_was_broken();
}

/// Commands, also with secrets where they do not belong.
fn ask_commands(stand: &Stand, pair: &Value) {
    let bad = pair.to_string().replace("\"scope\"", "\"scoop\"");
    let half = &pair.to_string()[..pair.to_string().len() / 2];
    for (words, stdin) in [
        (&["connections", "list"][..], ""),
        (&["connections", "list", "--json"], ""),
        (&["connections", "show", "acme", "--json"], ""),
        (&["connections", "history", "acme", "--json"], ""),
        (&["connections", "verify", "acme"], ""),
        (&["connections", "refresh", "acme"], ""),
        (&["connections", "import", "acme"], &pair.to_string()),
        (&["connections", "import", "acme", "--replace"], &bad),
        (&["connections", "import", "acme", "--replace"], half),
        (&["connections", "import", "--file", "-"], &bad),
        (&["check"], ""),
        (&["check", "--online"], ""),
        (&["keys", "new"], ""),
    ] {
        stand.run(words, stdin);
    }
    let text = fs::read_to_string(stand.config()).unwrap();
    let inline = text.replace(
        "{ file = \"client.secret\" }",
        &format!("\"{CLIENT_SECRET}\""),
    );
    assert_ne!(text, inline);
    fs::write(stand.config(), inline).unwrap();
    stand.run(&["check"], "");
    fs::write(stand.config(), text).unwrap();
}
