//! The end of a process, step by step: not ready, still serving, no new links, what is in flight ends, exit 0. Restarts
//! behind a load balancer are in `rolling`.

use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::client::{Answer, answer, call};
use crate::harness::frames::{Frame, Frames, GOAWAY, HEADERS, PING, WHOLE, fields, frame};
use crate::harness::gateway::{Gateway, KEY, Setup};
use crate::harness::link::Link;
use crate::harness::sandbox::Sandbox;
use crate::harness::upstream::{FINE, Upstream};
use crate::harness::{SOON, eventually};

const ACK: u8 = 1;
const SLOW: &str = "/v2/employees/slow";
/// Long enough to look at all that is as before, on a busy machine too.
const DELAY: Duration = Duration::from_secs(5);

/// A Pleo that answers slow calls when it is told to, and says when one has come.
struct Slow {
    upstream: Upstream,
    came: Receiver<()>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Slow {
    fn new() -> Self {
        let (tell, came): (Sender<()>, _) = channel();
        let (tell, gate) = (Mutex::new(tell), Arc::<(Mutex<bool>, Condvar)>::default());
        let shut = Arc::clone(&gate);
        let upstream = Upstream::start(move |exchange| {
            exchange.body();
            if exchange.head.word(1) == SLOW {
                tell.lock().unwrap().send(()).unwrap();
                let open = shut.0.lock().unwrap();
                drop(shut.1.wait_while(open, |open| !*open).unwrap());
            }
            exchange.reply(FINE);
        });
        Self {
            upstream,
            came,
            gate,
        }
    }

    fn gateway(&self, limits: &str) -> Gateway {
        Gateway::limited(&self.upstream, limits)
    }

    /// A call that has reached Pleo.
    fn call(&self, gateway: &Gateway) -> Link {
        let mut link = Link::to(gateway.base());
        link.send(get(SLOW)).unwrap();
        self.came.recv_timeout(SOON).unwrap();
        link
    }

    fn answer(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: x\r\npleo-gateway-key: {KEY}\r\n\r\n")
}

fn head(stream: u32, target: &str) -> Vec<u8> {
    let named = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", target),
        (":authority", "x"),
        ("pleo-gateway-key", KEY),
    ];
    frame(HEADERS, WHOLE, stream, fields(&named))
}

/// The next frame of this kind; none once the link has ended. Whoever asks whether we are there is answered.
fn next_of(link: &mut Frames, kind: u8) -> Option<Frame> {
    loop {
        let frame = link.next()?;
        if frame.kind == PING && frame.flags == 0 {
            link.send(self::frame(PING, ACK, 0, &frame.payload))
                .unwrap();
        }
        if frame.kind == kind {
            return Some(frame);
        }
    }
}

fn ask(gateway: &Gateway, target: &str) -> Answer {
    call(&gateway.admin, "GET", target, &[], b"")
}

fn is_refused(gateway: &Gateway) -> bool {
    let address = gateway.base().strip_prefix("http://").unwrap();
    TcpStream::connect(address).is_err()
}

fn said(gateway: &Gateway, what: &str) {
    let wait = |_, line: &str| line.contains(what).then_some(());
    gateway.program.wait_for(what, wait);
}

/// Requirement 118: SIGTERM and SIGINT: not ready, but serving as before for `drain_delay`; then no new links, idle ones
/// end, HTTP/2 is told to go and HTTP/1.1 that each answer is the last; what is in flight is answered; exit 0.
#[test]
fn a_drain_goes_step_by_step_and_loses_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let pleo = Slow::new();
        let mut gateway = pleo.gateway("drain_delay = \"5s\"");
        ask(&gateway, "/readyz").expect(200);
        let mut plain = pleo.call(&gateway);
        let mut shared = Frames::to(gateway.base(), b"");
        shared.send(head(1, SLOW)).unwrap();
        pleo.came.recv_timeout(SOON).unwrap();
        let mut idle = Link::to(gateway.base());
        idle.send(get("/v2/employees")).unwrap();
        answer(&mut idle, "GET").unwrap().expect(200);

        let begun = Instant::now();
        gateway.program.signal(signal);
        eventually("it is not ready", || {
            (ask(&gateway, "/readyz").status == 503).then_some(())
        });
        let verbose = ask(&gateway, "/readyz?verbose").text();
        assert!(verbose.contains("[-] not draining"), "{verbose}");
        ask(&gateway, "/livez").expect(200);
        // A load balancer that has not looked yet notices nothing, on new links and old ones.
        let served = gateway.get("/v2/employees").expect(200);
        assert_eq!(served.header("connection"), None);
        idle.send(get("/v2/employees")).unwrap();
        let served = answer(&mut idle, "GET").unwrap().expect(200);
        assert_eq!(served.header("connection"), None);
        assert!(begun.elapsed() < DELAY, "too busy to tell");

        eventually("no new links", || is_refused(&gateway).then_some(()));
        assert!(begun.elapsed() >= DELAY);
        assert!(idle.is_closed());
        assert_eq!(next_of(&mut shared, GOAWAY).unwrap().reason(), 0);
        ask(&gateway, "/readyz").expect(503);
        pleo.answer();
        let last = answer(&mut plain, "GET").unwrap().expect(200);
        assert_eq!(last.header("connection"), Some("close"));
        assert!(plain.is_closed());
        assert_eq!(next_of(&mut shared, HEADERS).unwrap().status(), 200);
        while next_of(&mut shared, GOAWAY).is_some() {}
        assert!(gateway.program.ended().success());
        said(&gateway, "stopped");
    }
}

/// Requirement 118: `drain_timeout` is the end of calls, which the log tells, but not of a refresh: that one ends, and is
/// stored.
#[test]
fn a_drain_that_takes_too_long_cuts_calls_but_no_refresh() {
    let sandbox = Sandbox::start("15m");
    let minted = sandbox.mint().without_access();
    sandbox.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "1h", "commit": true}));
    let mut setup = Setup::with(&sandbox);
    setup.limits = "drain_timeout = \"500ms\"".to_owned();
    let mut gateway = setup.start_connected(&[("acme", &minted)]);
    let mut link = Link::to(gateway.base());
    link.send(get("/v3/export-jobs")).unwrap();
    let authorisation = || sandbox.state()["authorisations"][0].clone();
    eventually("the refresh is at Pleo", || {
        (authorisation()["refresh_calls"] == 1).then_some(())
    });
    gateway.program.signal(Signal::TERM);
    said(&gateway, "cutting links that did not end in time");
    assert!(link.is_closed(), "it was answered before it was cut");
    sandbox.call_off();
    assert!(gateway.program.ended().success());
    let row = gateway.connection("acme");
    assert_eq!(
        (&row["state"], &row["generation"]),
        (&json!("active"), &json!(1))
    );
    sandbox.assert_no_rule_was_broken();
    gateway.restart();
    gateway.get("/v3/export-jobs").expect(200);
    assert_eq!(authorisation()["refresh_calls"], 1);
}

/// Requirement 118: a second signal ends the process at once, whatever is in flight and whichever signals they are.
#[test]
fn a_second_signal_ends_a_drain_at_once() {
    for (first, second) in [(Signal::TERM, Signal::INT), (Signal::INT, Signal::TERM)] {
        for delay in ["0s", "1h"] {
            let pleo = Slow::new();
            let mut gateway = pleo.gateway(&format!(
                "drain_delay = \"{delay}\"\ndrain_timeout = \"1h\""
            ));
            let mut link = pleo.call(&gateway);
            gateway.program.signal(first);
            said(&gateway, "draining");
            gateway.program.signal(second);
            assert!(gateway.program.ended().success());
            said(&gateway, "stopped at once");
            assert!(link.is_closed());
            pleo.answer();
        }
    }
}
