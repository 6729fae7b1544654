//! Descriptors: callers cannot take all of them, and accepting without any does not spin.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{address, held, pleo, processor_time};
use crate::harness::client::{Answer, call};
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::program::Program;
use crate::harness::sandbox::Sandbox;
use crate::harness::{BINARY, eventually};

/// How long idling is watched.
const WATCHED: Duration = Duration::from_secs(2);

/// Of a shell that may open so many files, and becomes the gateway.
fn limited(setup: &Setup, files: u64) -> Command {
    let mut command = Command::new("sh");
    let line = format!("ulimit -n {files} && exec \"$0\" serve -c \"$1\"");
    command.args(["-c", &line, BINARY]).arg(setup.file());
    command
}

fn links(door: &str, count: usize) -> Vec<TcpStream> {
    let open = |_| TcpStream::connect(address(door)).unwrap();
    (0..count).map(open).collect()
}

fn ask(gateway: &Gateway, method: &str, target: &str) -> Answer {
    let file = gateway.setup.folder().join("data/admin.token");
    let token = fs::read_to_string(file).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let fields = [("authorization", bearer.as_str())];
    call(&gateway.admin, method, target, &fields, b"")
}

fn open_files(program: &Program) -> usize {
    let folder = format!("/proc/{}/fd", program.pid());
    fs::read_dir(folder).unwrap().count()
}

/// Requirement 117: callers that have taken all that there is for them leave what health, operators, browsers and the
/// database need: everybody is answered, and a refresh commits.
#[test]
fn callers_leave_descriptors_for_everybody_else() {
    let sandbox = Sandbox::start("15m");
    let mut setup = Setup::with(&sandbox);
    setup.limits = "upstream_links = 16\nheader_timeout = \"5m\"".to_owned();
    setup.write();
    setup.import("acme", &sandbox.mint());
    let gateway = setup.start_with(|setup| limited(setup, 700));
    gateway.program.wait_for("a word about it", |_, line| {
        line.contains("max_connections needs").then_some(())
    });
    let _callers = links(gateway.base(), 900);
    // 700 are too few by far, and others need 614.
    eventually("callers to take what there is", || {
        (held(gateway.base()) >= 86).then_some(())
    });
    let count = || (held(gateway.base()), open_files(&gateway.program));
    for _ in 0..20 {
        call(&gateway.admin, "GET", "/readyz", &[], b"").expect(200);
        call(&gateway.admin, "GET", "/metrics", &[], b"").expect(200);
        call(&gateway.connect, "GET", "/connect/nobody", &[], b"").expect(404);
    }
    let refreshed = ask(&gateway, "POST", "/v1/connections/acme/refresh").expect(200);
    assert_eq!(refreshed.json()["generation"], 1, "{}", refreshed.text());
    assert_eq!(gateway.connection("acme")["generation"], 1);
    sandbox.assert_no_rule_was_broken();
    let (links, files) = count();
    assert!((86..100).contains(&links) && files < 300, "{links} {files}");
    let said = gateway.program.said();
    assert!(!said.contains("no new link can be accepted"), "{said}");
}

/// Requirement 117: with no descriptor left at all, accepting waits for one without spinning or filling the log, and goes on.
#[test]
fn accepting_without_descriptors_does_not_spin() {
    let pleo = pleo();
    let gateway = super::gateway(&pleo, |setup| {
        // None of them goes and lets another in, which would be said.
        setup.limits = "header_timeout = \"5m\"".to_owned();
    });
    gateway.get("/v2/employees").expect(200);
    let pid = Pid::from_raw(i32::try_from(gateway.program.pid()).unwrap());
    let none = u64::try_from(open_files(&gateway.program)).unwrap();
    let limit = |current| Rlimit {
        current: Some(current),
        maximum: Some(10_000),
    };
    prlimit(pid, Resource::Nofile, limit(none)).unwrap();
    let callers = links(gateway.base(), 50);
    gateway.program.wait_for("a word about it", |_, line| {
        line.contains("no new link can be accepted").then_some(())
    });
    let (begun, before) = (Instant::now(), processor_time(&gateway.program));
    std::thread::sleep(WATCHED);
    let spent = processor_time(&gateway.program).saturating_sub(before);
    let watched = begun.elapsed();
    println!("accepting without descriptors: {spent:?} of processor time in {watched:?}");
    assert!(spent < watched / 10, "{spent:?} in {watched:?}");
    let said = gateway.program.said();
    let told = said.matches("no new link can be accepted").count();
    assert!(told <= 5, "said {told} times");
    prlimit(pid, Resource::Nofile, limit(10_000)).unwrap();
    gateway.get("/v2/employees").expect(200);
    drop(callers);
}

/// Requirement 117: where there is not enough for everybody, it is said at the start, with what to do.
#[test]
fn too_few_descriptors_are_refused_at_the_start() {
    let setup = Setup::at(&pleo().origin());
    setup.write();
    let output = crate::harness::program::run(&mut limited(&setup, 256), "", crate::harness::SOON);
    assert_eq!(output.code, 69, "{}", output.err);
    assert!(output.err.contains("LimitNOFILE"), "{}", output.err);
}
