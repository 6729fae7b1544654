//! Limits on how many: streams, links, requests in flight, requests that wait for a token. Rates are in `errors`.

use serde_json::json;

use super::slow::{head, head_frame};
use super::{SLOW, gateway, held, pleo};
use crate::harness::client::answer;
use crate::harness::frames::{Frames, HEADERS, RST_STREAM, WHOLE};
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::link::Link;
use crate::harness::sandbox::{Minted, Sandbox};

/// Settings under which nobody gets a byte of a body.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];
const REFUSED_STREAM: u32 = 7;

/// Requirement 117: `max_streams`.
#[test]
fn a_stream_over_the_limit_is_refused_and_safe_to_send_again() {
    let pleo = pleo();
    let gateway = gateway(&pleo, |setup| {
        setup.limits = "max_streams = 2".to_owned();
    });
    let mut link = Frames::to(gateway.base(), &NO_WINDOW);
    for stream in [1, 3] {
        link.send(head_frame(WHOLE, stream, "GET", SLOW)).unwrap();
        assert_eq!(link.next_of(&[HEADERS]).unwrap().status(), 200);
    }
    link.send(head_frame(WHOLE, 5, "GET", SLOW)).unwrap();
    let refused = link.next_of(&[HEADERS, RST_STREAM]).unwrap();
    assert_eq!((refused.kind, refused.stream), (RST_STREAM, 5));
    assert_eq!(refused.reason(), REFUSED_STREAM);
}

/// Requirement 117: `max_connections`: whoever is too many waits, and is served when there is room.
#[test]
fn links_over_the_limit_wait_for_others_to_go() {
    let pleo = pleo();
    let gateway = gateway(&pleo, |setup| {
        setup.limits = "max_connections = 2\nidle_timeout = \"60s\"".to_owned();
    });
    let get = head("GET /v2/employees", "\r\n");
    let mut links: Vec<Link> = (0..5).map(|_| Link::to(gateway.base())).collect();
    for link in &mut links {
        link.send(&get).unwrap();
    }
    let mut links = links.into_iter();
    for mut link in links.by_ref().take(2) {
        answer(&mut link, "GET").unwrap().expect(200);
        // Two, and the one that is next.
        assert!(held(gateway.base()) <= 3);
    }
    for mut link in links {
        answer(&mut link, "GET").unwrap().expect(200);
    }
}

/// A gateway in which three calls of a tenant may wait for a token, and what it said to four at once.
fn four_of_three(minted: &Minted, sandbox: &Sandbox) -> Gateway {
    sandbox.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "7s"}));
    let mut setup = Setup::with(sandbox);
    "max_queue_per_tenant = 3".clone_into(&mut setup.limits);
    let gateway = setup.start_connected(&[("acme", minted)]);
    let mut links: Vec<Link> = (0..4).map(|_| Link::to(gateway.base())).collect();
    for link in &mut links {
        link.send(head("GET /v3/export-jobs", "\r\n")).unwrap();
    }
    let answers = links.iter_mut().map(|link| answer(link, "GET").unwrap());
    let (served, mut others): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status == 200);
    assert_eq!((served.len(), others.len()), (3, 1));
    let refused = others.remove(0).refused(503, "overloaded");
    assert!(refused.header("retry-after").is_some());
    gateway
}

/// Requirement 117: `max_queue_per_tenant`: so many wait for a token, and more are told to come back.
#[test]
fn calls_over_the_limit_do_not_wait_for_a_token() {
    let sandbox = Sandbox::start("15m");
    four_of_three(&sandbox.mint().without_access(), &sandbox);
}

/// Requirement 117: whoever waits because Pleo refused the token stands in the same queue.
#[test]
fn calls_over_the_limit_do_not_wait_for_another_token() {
    let sandbox = Sandbox::start("15m");
    let gateway = four_of_three(&sandbox.mint_with_dead_access(), &sandbox);
    let metrics = gateway.metrics();
    let none = "pleo_gateway_replays_total{reason=\"unauthorized\"} 0\n";
    assert!(!metrics.contains(none), "Pleo refused no token:\n{metrics}");
}
