//! Commands end with the exit codes that the contract promises, say what is wrong and what to do, and change nothing when
//! they refuse.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::client::call;
use crate::harness::gateway::{Setup, secret_file};
use crate::harness::program::{Output, run};
use crate::harness::sandbox::{Minted, Sandbox};
use crate::harness::{BINARY, SOON, free_port, repository};

const NOWHERE: &str = "http://127.0.0.1:1";

fn binary(arguments: &[&str]) -> Output {
    run(Command::new(BINARY).args(arguments), "", SOON)
}

fn written() -> Setup {
    let setup = Setup::at(NOWHERE);
    setup.write();
    setup
}

/// With one connection in the store.
fn stored() -> Setup {
    let setup = written();
    setup.import("acme", &Minted::made_up());
    setup
}

#[test]
fn a_command_line_that_makes_no_sense_is_64() {
    binary(&["nonsense"]).ends(64, &["nonsense"]);
    binary(&["connections", "import"]).ends(64, &["--file"]);
    binary(&["connections", "show", "Not A Tenant"]).ends(64, &[]);
    binary(&["sandbox", "--access-ttl", "soon"]).ends(64, &["soon"]);
    for life in ["366d", "99999999d", "0s", "999ms"] {
        let link = ["connections", "link", "acme", "--expires", life];
        binary(&link).ends(64, &["1s at least and 365d at most"]);
    }
    binary(&["connections", "resolve", "acme"]).ends(64, &["--retry|--give-up"]);
    binary(&["--help"]).ends(0, &["connections"]);
    binary(&["--version"]).ends(0, &["pleo-gateway"]);
}

#[test]
fn a_configuration_that_is_not_there_or_not_toml_is_78() {
    let setup = written();
    let missing = setup.folder().join("none.toml").display().to_string();
    for command in [vec!["serve"], vec!["check"], vec!["connections", "list"]] {
        let arguments = [command, vec!["-c", &missing]].concat();
        binary(&arguments).ends(78, &["none.toml"]);
    }
    fs::write(setup.file(), setup.text().replace("[store]", "[store")).unwrap();
    for command in ["serve", "check"] {
        setup
            .cli(&[command], "")
            .ends(78, &["gateway.toml:", "[store"]);
    }
}

#[test]
fn every_problem_is_reported_with_its_place_and_a_remedy() {
    let setup = written();
    let text = setup.text().replace(
        "[limits]",
        "[limits]\nmax_hedders = 3\ndrain_timeout = \"soon\"",
    );
    let text = text.replace("catalogue = \"*\"", "catalogue = \"vendor/*\"");
    let beside = "[refresh]\nahead = \"5m\"\n";
    fs::write(setup.file(), format!("{text}{beside}")).unwrap();
    let words = [
        "warning: refresh.ahead",
        "max_hedders",
        "max_headers",
        "soon",
        "vendor",
        "gateway.toml:",
    ];
    setup.cli(&["check"], "").ends(78, &words);
    setup.cli(&["serve"], "").ends(78, &words);
    let output = setup.cli(&["check", "--json"], "");
    output.ends(78, &[]);
    let report: Value = serde_json::from_str(&output.out).unwrap();
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 3, "{report:#}");
    assert_eq!(report["warnings"][0]["key"], "refresh.ahead");
    for problem in problems {
        assert!(
            problem["line"].is_u64() && problem["column"].is_u64(),
            "{problem}"
        );
        assert!(
            problem["message"].is_string() && problem["remedy"].is_string(),
            "{problem}"
        );
    }
}

#[test]
fn a_good_configuration_is_fine() {
    let setup = written();
    setup.cli(&["check"], "").ends(0, &["fine"]);
    let output = setup.cli(&["check", "--json"], "");
    output.ends(0, &[]);
    let report: Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!(report["problems"], json!([]));
    assert!(
        !setup.folder().join("data/gateway.db").exists(),
        "check made a store"
    );
    setup
        .cli(&["check", "--online"], "")
        .ends(69, &["127.0.0.1:1"]);
    let output = setup.cli(&["check", "--online", "--json"], "");
    output.ends(69, &[]);
    let report: Value = serde_json::from_str(&output.out).unwrap();
    let problem = &report["problems"][0];
    assert!(problem["message"].as_str().unwrap().contains("127.0.0.1:1"));
    assert!(problem["remedy"].is_string() && report["problems"][1].is_null());
    let sandbox = Sandbox::start("15m");
    let setup = Setup::with(&sandbox);
    setup.write();
    setup.cli(&["check", "--online"], "").ends(0, &["fine"]);
}

#[test]
fn a_variable_of_the_environment_goes_before_the_file() {
    let setup = written();
    let check_with = |name: &str, value: &OsStr| {
        let mut command = Command::new(BINARY);
        command
            .args(["check", "-c"])
            .arg(setup.file())
            .env(name, value);
        run(&mut command, "", SOON)
    };
    let check = |name: &str, value: &str| check_with(name, value.as_ref());
    check("PLEO_GATEWAY_REFRESH__HOLD", "4s").ends(0, &[]);
    check("PLEO_GATEWAY_REFRESH__HOLD", "long").ends(78, &["PLEO_GATEWAY_REFRESH__HOLD"]);
    check("PLEO_GATEWAY_REFRESH__HOLDS", "4s")
        .ends(78, &["did you mean PLEO_GATEWAY_REFRESH__HOLD?"]);
    check("PLEO_GATEWAY_PORT", "tcp://10.0.0.1:80").ends(0, &[]);
    let no_text = OsStr::from_bytes(b"\xff");
    check_with("PLEO_GATEWAY_REFRESH__HOLD", no_text)
        .ends(78, &["PLEO_GATEWAY_REFRESH__HOLD", "write it in UTF-8"]);
    let text = fs::read_to_string(setup.file()).unwrap();
    let named = "client_secret = { env = \"PLEO_SECRET\" }";
    let text = text.replace("client_secret  = { file = \"client-secret\" }", named);
    assert!(text.contains(named));
    fs::write(setup.file(), text).unwrap();
    check_with("PLEO_SECRET", no_text).ends(78, &["PLEO_SECRET is not UTF-8"]);
}

/// Requirement 118.
#[test]
fn a_secret_that_others_can_read_is_77() {
    let setup = written();
    let secret = setup.folder().join("client-secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    for command in [vec!["serve"], vec!["check"], vec!["connections", "list"]] {
        let output = setup.cli(&command, "");
        output.ends(77, &["client-secret"]);
        assert!(!output.err.contains("sandbox-secret"));
    }
}

/// Every file below a folder that is not of this process's own making, with its bytes.
fn database(setup: &Setup) -> Vec<u8> {
    fs::read(database_file(setup)).unwrap()
}

fn database_file(setup: &Setup) -> PathBuf {
    setup.folder().join("data/gateway.db")
}

#[test]
fn a_wrong_sealing_key_is_78_and_changes_nothing() {
    let setup = stored();
    let key = setup.folder().join("data/sealing.key");
    let (right, before) = (fs::read_to_string(&key).unwrap(), database(&setup));
    let other = stored();
    let wrong = fs::read_to_string(other.folder().join("data/sealing.key")).unwrap();
    secret_file(&key, &wrong);
    for command in [
        vec!["serve"],
        vec!["connections", "list"],
        vec!["connections", "disconnect", "acme"],
    ] {
        setup.cli(&command, "").ends(78, &["key"]);
    }
    fs::remove_file(&key).unwrap();
    setup.cli(&["connections", "list"], "").ends(78, &["key"]);
    assert!(
        !key.exists(),
        "a new key was made beside a store that needs the old one"
    );
    assert!(database(&setup) == before, "the database was changed");
    secret_file(&key, &right);
    setup.cli(&["connections", "list"], "").ends(0, &["acme"]);
}

/// Requirement 113.
#[test]
fn a_corrupt_database_is_65_and_left_as_it_is() {
    let setup = stored();
    let file = database_file(&setup);
    for rest in ["gateway.db-wal", "gateway.db-shm"] {
        let _ = fs::remove_file(setup.folder().join("data").join(rest));
    }
    let mut bytes = fs::read(&file).unwrap();
    bytes[..64].fill(0x5a);
    fs::write(&file, &bytes).unwrap();
    for command in [vec!["serve"], vec!["connections", "list"]] {
        setup.cli(&command, "").ends(65, &["gateway.db"]);
    }
    assert!(
        fs::read(&file).unwrap() == bytes,
        "the corrupt database was changed"
    );
    fs::write(&file, "not a database").unwrap();
    setup
        .cli(&["connections", "list"], "")
        .ends(65, &["gateway.db"]);
}

/// Another program that holds the database for itself, until it is dropped.
struct Holder(Child);

impl Holder {
    fn of(file: &Path) -> Self {
        let mut command = Command::new("sqlite3");
        command
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        stdin
            .write_all(b"PRAGMA locking_mode=EXCLUSIVE;\nBEGIN EXCLUSIVE;\nCREATE TABLE held (x);\n.print held\n")
            .unwrap();
        let mut said = std::io::BufReader::new(child.stdout.as_mut().unwrap());
        let mut line = String::new();
        while line.trim() != "held" {
            line.clear();
            let read = std::io::BufRead::read_line(&mut said, &mut line).unwrap();
            assert!(read > 0, "sqlite3 ended");
        }
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_database_that_another_program_holds_is_69() {
    let setup = stored();
    let holder = Holder::of(&database_file(&setup));
    setup
        .cli(&["connections", "list"], "")
        .ends(69, &["gateway.db"]);
    setup.cli(&["serve"], "").ends(69, &["gateway.db"]);
    drop(holder);
    setup.cli(&["connections", "list"], "").ends(0, &["acme"]);
}

#[test]
fn a_port_in_use_is_69_and_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut setup = Setup::at(NOWHERE);
    setup.doors = format!("[[listen]]\naddress = \"{address}\"\n");
    setup.write();
    setup.cli(&["serve"], "").ends(69, &[&address]);
    binary(&["sandbox", "--listen", &address]).ends(69, &[&address]);
}

#[test]
fn a_link_that_asks_for_nothing_is_made_with_a_warning() {
    let setup = written();
    let lonely = setup.cli(&["connections", "link", "lonely"], "");
    lonely.ends(0, &["/connect/", "no scope", "[[tenants]]"]);
}

#[test]
fn a_callers_key_is_told_once_with_lines_to_paste() {
    let output = binary(&["callers", "new", "erp", "--json"]);
    output.ends(0, &[]);
    let made: Value = serde_json::from_str(&output.out).unwrap();
    let lines = crate::harness::gateway::caller("erp", made["key"].as_str().unwrap(), "[]");
    assert!(
        lines.contains(made["key_sha256"].as_str().unwrap()),
        "the digest is another key's"
    );
    let other = binary(&["callers", "new", "erp"]);
    other.ends(0, &["[[callers]]", "key_sha256"]);
    assert!(!other.out.contains(made["key"].as_str().unwrap()));
}

#[test]
fn the_sealing_key_is_made_once_for_its_owner_only_and_never_shown() {
    let setup = written();
    let output = setup.cli(&["keys", "new"], "");
    output.ends(0, &["sealing.key"]);
    let file = setup.folder().join("data/sealing.key");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read_to_string(&file).unwrap();
    assert!(!format!("{}{}", output.out, output.err).contains(key.trim()));
    let again = setup.cli(&["keys", "new"], "");
    again.ends(78, &["exists", "behind the others"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), key);
}

#[test]
fn health_tells_whether_the_gateway_is_ready() {
    let gateway = Setup::at(NOWHERE).start();
    binary(&["health", "--url", &gateway.admin]).ends(0, &["ready"]);
    drop(gateway);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    binary(&["health", "--url", &nobody]).ends(69, &[]);
    binary(&["health", "--url", "nonsense"]).ends(64, &[]);
}

#[test]
fn the_shipped_configurations_start_on_a_fresh_machine_without_a_secret() {
    for shipped in ["config/gateway.toml", "config/sidecar.toml"] {
        let setup = Setup::at(NOWHERE);
        fs::remove_dir_all(setup.folder().join("data")).unwrap();
        let text = fs::read_to_string(repository(shipped)).unwrap();
        let text = text.replace("127.0.0.1:8080", "127.0.0.1:0");
        let port = free_port();
        let doors = format!(
            "[connect]\nlisten = \"127.0.0.1:{port}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n"
        );
        fs::write(setup.file(), format!("{text}\n{doors}")).unwrap();
        let gateway = setup.start_as_written();
        binary(&["health", "--url", &gateway.admin]).ends(0, &["ready"]);
        let answer = call(gateway.base(), "GET", "/v3/export-jobs", &[], b"");
        answer.refused(503, "not-connected");
    }
}

#[test]
fn the_sandbox_counts_to_the_limit_that_it_is_told() {
    let sandbox = Sandbox::with(&["--requests-per-minute", "2"]);
    let token = sandbox.mint().pair["access_token"].clone();
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    let field = [("authorization", bearer.as_str())];
    let status = || call(&sandbox.origin, "GET", "/v1/companies", &field, b"").status;
    assert_eq!([status(), status(), status()], [200, 200, 429]);
}

#[test]
fn the_demo_sends_one_request_through() {
    let mut demo = Command::new(BINARY);
    demo.args(["demo", "--once"]).env("RUST_LOG", "trace");
    run(&mut demo, "", SOON).ends(0, &["200"]);
}
