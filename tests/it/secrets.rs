//! Nothing secret is ever written: not in logs at their most talkative, metrics, answers, command output, or at rest.

use std::fs;
use std::path::Path;

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

use crate::harness::canary::Canary;
use crate::stand::caller::{Answer, Link};
use crate::stand::serving::Serving;
use crate::stand::{CLIENT_SECRET, KEY, Plan, READ, Stand, bundle, hex};

/// Files that hold a secret by their nature.
const SECRET_FILES: [&str; 3] = ["client.secret", "data/sealing.key", "data/admin.token"];

#[test]
fn a_canary_is_found_in_every_form() {
    let canary = Canary::new("canary", b"sandbox_access_");
    for text in [
        b"x sandbox_access_ab".to_vec(),
        hex(b"1sandbox_access_2").into_bytes(),
        hex(b"1sandbox_access_2").to_uppercase().into_bytes(),
        STANDARD.encode(b"Bearer sandbox_access_1").into_bytes(),
        STANDARD.encode(b"Bearer  sandbox_access_1").into_bytes(),
        URL_SAFE.encode(b"Bearer   sandbox_access_1").into_bytes(),
        b"%73%61%6e%64%62%6f%78%5f%61%63%63%65%73%73%5f".to_vec(),
    ] {
        assert!(canary.is_in(&text), "{}", String::from_utf8_lossy(&text));
    }
    assert!(!canary.is_in(b"sandbox access and other words"));
}

/// Everything that was written, piece by piece.
#[derive(Default)]
struct Written(Vec<(String, Vec<u8>)>);

impl Written {
    fn note(&mut self, place: impl Into<String>, text: impl Into<Vec<u8>>) {
        self.0.push((place.into(), text.into()));
    }

    fn answer(&mut self, place: &str, answer: &Answer) {
        self.note(format!("{place}, head"), format!("{:?}", answer.headers));
        self.note(place, answer.body.to_vec());
    }

    fn command(&mut self, stand: &Stand, words: &[&str], stdin: &str) -> String {
        let ended = stand.run(words, stdin);
        self.note(format!("{words:?}, errors"), ended.stderr);
        self.note(format!("{words:?}"), ended.stdout.clone());
        ended.stdout
    }

    fn folder(&mut self, home: &Path, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(home)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if path.is_dir() {
                self.folder(home, &path);
            } else if !SECRET_FILES.contains(&name.as_str()) {
                self.note(name, fs::read(&path).unwrap());
            }
        }
    }
}

fn canaries(stand: &Stand, serving: &Serving) -> Vec<Canary> {
    let read = |name: &str| fs::read_to_string(stand.home().join(name)).unwrap();
    let sealing = read("data/sealing.key");
    let sealing = sealing.trim().rsplit(':').next().unwrap();
    let raw = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(sealing)
        .unwrap();
    vec![
        // every token of the sandbox begins so, whichever generation it is
        Canary::new("an access token", b"sandbox_access_"),
        Canary::new("a refresh token", b"sandbox_refresh_"),
        Canary::new("the client's secret", CLIENT_SECRET.as_bytes()),
        Canary::new("the caller's key", KEY.as_bytes()),
        Canary::new("a wrong key", WRONG_KEY.as_bytes()),
        Canary::new("an API key", INTEGRATED_KEY.as_bytes()),
        Canary::new("a wrong API key", WRONG_API_KEY.as_bytes()),
        Canary::new("the sealing key's text", sealing.as_bytes()),
        Canary::new("the sealing key", &raw),
        Canary::new("the admin token", serving.admin_token.as_bytes()),
    ]
}

const WRONG_API_KEY: &str = "pls_wrong-canary-of-nobody";
const WRONG_KEY: &str = "pgw_wrong-canary-of-somebody-else";

/// Requirement 72.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_written_anywhere_whatever_happens() {
    let stand = Stand::new(Plan {
        tenants: &["acme", "beta", "gamma"],
        refresh: "timeout = \"1s\"\nadoption_grace = \"1s\"\nhold = \"100ms\"",
        ..Plan::default()
    })
    .await;
    let mut written = Written::default();
    let pair = bundle(&stand.mint(), true);
    let import = ["connections", "import", "acme", "--json"];
    written.command(&stand, &import, &pair.to_string());
    let mut command = stand.command(&["serve"]);
    command.env("RUST_LOG", "trace");
    let serving = stand.serve_as("gateway", command).await;
    refresh_and_fail(&stand, &serving, &mut written).await;
    consent(&stand, &serving, &mut written).await;
    ask_wrongly(&stand, &serving, &mut written).await;
    use_api_key(&stand, &serving, &mut written).await;
    ask_commands(&stand, &pair, &mut written);
    written.answer("metrics", &serving.operate(Method::GET, "/metrics").await);
    written.answer(
        "list",
        &serving.operate(Method::GET, "/v1/connections").await,
    );
    let canaries = canaries(&stand, &serving);
    assert!(serving.stop().await.success());
    written.folder(stand.home(), stand.home());
    let mut found = Vec::new();
    for (place, text) in &written.0 {
        for canary in canaries.iter().filter(|canary| canary.is_in(text)) {
            found.push(format!("{} in {place}", canary.name));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(
        written
            .0
            .iter()
            .any(|(place, _)| place == "data/gateway.db")
    );
    assert!(
        written
            .0
            .iter()
            .any(|(place, text)| place == "gateway.stderr" && says_debug(text))
    );
}

/// True if it was as talkative as it was told to be.
fn says_debug(log: &[u8]) -> bool {
    let log = String::from_utf8_lossy(log);
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
async fn refresh_and_fail(stand: &Stand, serving: &Serving, written: &mut Written) {
    let path = "/v1/connections/acme/refresh";
    written.answer("a read", &serving.get("acme", READ).await);
    written.answer("a refresh", &serving.operate(Method::POST, path).await);
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
        written.answer(
            "a failed refresh",
            &serving.operate(Method::POST, path).await,
        );
        written.answer("a read after it", &serving.get("gamma", READ).await);
    }
    assert_eq!(read_over_http2(serving).await, 200);
    stand.order(&json!({"endpoint": "api", "kind": "reset"}));
    written.answer("a reset", &serving.get("acme", READ).await);
}

/// The journey of a browser through the connect door, and once more with everything wrong.
async fn consent(stand: &Stand, serving: &Serving, written: &mut Written) {
    let words = ["connections", "link", "beta", "--json"];
    let shown = written.command(
        stand,
        &[&words[..], &["--allow-shared-company"]].concat(),
        "",
    );
    let link: Value = serde_json::from_str(&shown).unwrap();
    let link = Url::parse(link["url"].as_str().unwrap()).unwrap();
    let page = browse(Method::GET, &link, "", "").await;
    written.answer("the link's page", &page);
    let off = browse(Method::POST, &link, "", "").await;
    written.note("the way to Pleo", off.body.to_vec());
    let cookie = off.headers["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let pleo = Url::parse(off.headers["location"].to_str().unwrap()).unwrap();
    let company = &stand.pleo.company_ids()[0];
    let query = pleo.query().unwrap();
    let form = format!("{query}&company={company}&decision=approve");
    let mut approve = pleo.clone();
    approve.set_query(None);
    let back = browse(Method::POST, &approve, "", &form).await;
    let back = Url::parse(back.headers["location"].to_str().unwrap()).unwrap();
    let done = browse(Method::GET, &back, &cookie, "").await;
    written.answer("the end of the journey", &done);
    assert_eq!(done.status, 200, "{}", String::from_utf8_lossy(&done.body));
    let again = browse(Method::GET, &back, &cookie, "").await;
    assert_ne!(again.status, 200);
    written.answer("the callback once more", &again);
    assert_eq!(serving.get("beta", READ).await.status, 200);
}

/// An API key that Pleo accepts and then refuses, and some that it never does.
async fn use_api_key(stand: &Stand, serving: &Serving, written: &mut Written) {
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
        written.command(stand, &words, bad);
    }
    written.command(stand, &words, INTEGRATED_KEY);
    let read = serving.get("gamma", READ).await;
    assert_eq!(read.status, 200);
    written.answer("a read by key", &read);
    for endpoint in ["api", "introspect"] {
        stand.order(&json!({"endpoint": endpoint, "kind": "status", "status": 401}));
    }
    let refused = serving.get("gamma", READ).await;
    assert_eq!(refused.code(), "reauthorization-required");
    written.answer("a read by a refused key", &refused);
    written.command(stand, &words, INTEGRATED_KEY);
    written.command(stand, &["connections", "show", "gamma", "--json"], "");
}

async fn browse(method: Method, url: &Url, cookie: &str, form: &str) -> Answer {
    let address = url.socket_addrs(|| None).unwrap()[0];
    let path = &url[url::Position::BeforePath..];
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string())
        .header("cookie", cookie)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form.to_owned())))
        .unwrap();
    Link::open(address).await.request(request).await.unwrap()
}

/// Wrong credentials, in every place where one can be, at both doors.
async fn ask_wrongly(stand: &Stand, serving: &Serving, written: &mut Written) {
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
        written.answer(path, &answer);
    }
    assert_eq!(serving.get("nobody", READ).await.status, 403);
    assert!(stand.broken().is_empty(), "{:?}", stand.broken());
}

/// Commands, also with secrets where they do not belong.
fn ask_commands(stand: &Stand, pair: &Value, written: &mut Written) {
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
        written.command(stand, words, stdin);
    }
    let text = fs::read_to_string(stand.config()).unwrap();
    let inline = text.replace(
        "{ file = \"client.secret\" }",
        &format!("\"{CLIENT_SECRET}\""),
    );
    assert_ne!(text, inline);
    fs::write(stand.config(), inline).unwrap();
    written.command(stand, &["check"], "");
    fs::write(stand.config(), text).unwrap();
}
