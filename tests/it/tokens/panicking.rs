//! A bug in the middle of a request, caused by a clock that panics.

use std::io;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use pleo_gateway::clock::SystemClock;
use pleo_gateway::edge::{Edge, Parts};
use pleo_gateway::model::caller::{Caller, Tenants};
use pleo_gateway::model::ids::{CallerName, RouteName};
use pleo_gateway::model::route::{Route, RouteOrigin, Template};
use pleo_gateway::model::route_table::RouteTable;
use pleo_gateway::model::snapshot::{Callers, Door, Snapshot};
use pleo_gateway::net::client::{Client, ClientOptions};
use pleo_gateway::net::links::Links;
use pleo_gateway::net::listener::{Bound, DoorAddress, DoorOptions, Inherited, bind};
use pleo_gateway::net::origin::Origin;
use pleo_gateway::net::server::{ServerLimits, serve};
use pleo_gateway::net::threads::Cores;
use pleo_gateway::proxy::Proxy;
use pleo_gateway::proxy::allowance::Allowance;
use pleo_gateway::telemetry::access_log;
use pleo_gateway::telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::bench::{Bench, Room, dialer, name};
use crate::harness::SOON;
use crate::harness::client::{Answer, answer};
use crate::harness::frames::{Frames, HEADERS, WHOLE, fields, frame};
use crate::harness::link::Link;

/// Anybody may call for `acme`.
fn snapshot() -> Snapshot {
    let caller = Caller {
        name: CallerName::new("anyone"),
        key_digests: Vec::new(),
        client_certs: Vec::new(),
        unix_uids: Vec::new(),
        anonymous: true,
        tenants: Tenants::Named(vec![name("acme")]),
        ceiling: None,
        rate: None,
        max_in_flight: None,
    };
    let template = Template::parse("/{*rest}").unwrap();
    let route = Route::new(RouteName::new("all"), template, RouteOrigin::Explicit);
    let door = Door {
        hosts: vec!["localhost".into()],
        local: true,
        ..Door::default()
    };
    Snapshot {
        callers: Callers::new(vec![caller]),
        routes: RouteTable::build(vec![route]).unwrap(),
        doors: vec![door],
        ..Snapshot::default()
    }
}

/// A door for callers; its URL.
fn door() -> (Bound, String) {
    let options = DoorOptions {
        address: DoorAddress::Tcp("127.0.0.1:0".parse().unwrap()),
        tls: None,
        half_close: false,
        index: 0,
    };
    let bound = bind(&options, 1, &mut Inherited::none()).unwrap();
    let url = format!("http://{}", bound.address());
    (bound, url)
}

/// Serves a door with this room's tokens until the word to stop.
fn serving(bench: &Bench, room: &Room, bound: Bound, stop: CancellationToken) -> Cores {
    let (tokens, stop) = (room.tokens.clone(), stop);
    let origin = Arc::new(Origin::from_url(&Url::parse(&bench.sandbox.origin()).unwrap()).unwrap());
    let metrics = Metrics::new(pleo_gateway::clock::Clock::wall(&SystemClock));
    let (log, _writer) = access_log::start(io::sink()).unwrap();
    let (log, doors) = (Mutex::new(log), Mutex::new(bound.into_doors()));
    Cores::start(1, "callers", move |_| {
        let options = ClientOptions {
            links: Links::new(4),
            idle_timeout: SOON,
            first_byte_timeout: SOON,
            prefer_h2: false,
        };
        let client = Client::new(dialer(), origin.clone(), options);
        let proxy = Proxy::new(
            client,
            tokens.clone(),
            metrics.clone(),
            Allowance::default(),
        );
        let edge = Edge::new(Parts {
            proxy,
            snapshots: Arc::new(ArcSwap::from_pointee(snapshot())),
            clock: Arc::new(SystemClock),
            metrics: metrics.clone(),
            log: log.lock().unwrap().clone(),
            tracer: None,
        });
        let door = doors.lock().unwrap().remove(0);
        let (on_panic, stop) = (edge.clone(), stop.clone());
        async move {
            let service = move |arrival| edge.clone().serve(arrival);
            let limits = ServerLimits::default();
            let failed = move || on_panic.panicked();
            serve(door, limits, stop, service, failed).await.unwrap();
        }
    })
    .unwrap()
}

fn call(link: &mut Link, id: &str) -> Answer {
    let head =
        format!("GET /v1/companies HTTP/1.1\r\nhost: localhost\r\nx-request-id: {id}\r\n\r\n");
    link.send(head).unwrap();
    answer(link, "GET").unwrap()
}

/// Requirement 117: a panic is a 500 for its request, with its id; the link goes on, on HTTP/1.1 and HTTP/2, and so do
/// others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_costs_one_request() {
    let (bench, room) = Bench::with_acme().await;
    room.token("acme").await.unwrap();
    let (bound, url) = door();
    let stop = CancellationToken::new();
    let cores = serving(&bench, &room, bound, stop.clone());
    tokio::task::block_in_place(|| {
        let (mut link, mut other) = (Link::to(&url), Link::to(&url));
        call(&mut link, "the-first").expect(200);
        call(&mut other, "the-second").expect(200);
        bench.clock.break_down(true);
        let lost = call(&mut link, "the-lost-one").refused(500, "internal");
        assert_eq!(lost.json()["request_id"], "the-lost-one");
        assert_eq!(lost.header("connection"), None);
        bench.clock.break_down(false);
        call(&mut link, "the-third").expect(200);
        call(&mut other, "the-fourth").expect(200);

        let mut shared = Frames::to(&url, b"");
        let head = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/v1/companies"),
            (":authority", "localhost"),
        ];
        for (stream, broken) in [(1, true), (3, false)] {
            bench.clock.break_down(broken);
            let request = frame(HEADERS, WHOLE, stream, fields(&head));
            shared.send(request).unwrap();
            let status = shared.next_of(&[HEADERS]).unwrap().status();
            assert_eq!(status, if broken { 500 } else { 200 });
        }
    });
    stop.cancel();
    cores.ended().await;
    room.end().await;
}
