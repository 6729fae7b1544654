//! Real clients, as legacy systems use them, against the real binary: GET, POST with and without a known length, the
//! gateway's errors and Pleo's, and many calls at once. The programs are in `tests/clients`; `tests/setup` installs what
//! they need.

use std::process::Command;
use std::time::Duration;

use crate::harness::gateway::{Gateway, KEY, Setup};
use crate::harness::program::run;
use crate::harness::repository;
use crate::harness::sandbox::Minted;
use crate::harness::upstream::{Exchange, Upstream};

/// A JVM on a busy machine takes its time.
const CLIENT: Duration = Duration::from_mins(2);

/// Says what arrived.
fn echo(exchange: &mut Exchange) {
    let size = exchange.body().len();
    let (method, target) = (exchange.head.word(0), exchange.head.word(1));
    let status = if target.ends_with("/404") {
        "404 Not Found"
    } else {
        "200 OK"
    };
    let body = format!("{{\"method\":\"{method}\",\"target\":\"{target}\",\"size\":{size}}}");
    let length = body.len();
    exchange.reply(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ));
}

fn gateway() -> (Upstream, Gateway) {
    let upstream = Upstream::start(echo);
    let minted = Minted::made_up();
    let gateway = Setup::at(&upstream.origin()).start_connected(&[("acme", &minted)]);
    (upstream, gateway)
}

/// Runs a client's program to its end; it says `ok` if everything was as it has to be.
#[track_caller]
fn works(program: &str, script: &str, more: &[&str]) {
    let (upstream, gateway) = gateway();
    let mut command = Command::new(program);
    command.arg(repository(&format!("tests/clients/{script}")));
    command.args([gateway.base(), KEY]).args(more);
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    let output = run(&mut command, "", CLIENT);
    assert_eq!(
        (output.code, output.out.as_str()),
        (0, "ok\n"),
        "{}",
        output.err
    );
    assert!(
        upstream
            .seen()
            .iter()
            .all(|seen| seen.head.all("authorization") == ["Bearer access-canary"])
    );
}

fn python() -> String {
    let python = repository("target/venv/bin/python");
    assert!(python.exists(), "tests/setup has not been run");
    python.display().to_string()
}

#[test]
fn curl_works() {
    works("bash", "curl.sh", &[]);
}

#[test]
fn python_requests_works() {
    works(&python(), "requests_client.py", &[]);
}

#[test]
fn python_httpx_works_over_http1() {
    works(&python(), "httpx_client.py", &["1"]);
}

#[test]
fn python_httpx_works_over_http2() {
    works(&python(), "httpx_client.py", &["2"]);
}

#[test]
fn node_fetch_works() {
    works("node", "fetch.mjs", &[]);
}

#[test]
fn javas_http_client_works_though_it_offers_to_upgrade() {
    works("java", "Client.java", &[]);
}
