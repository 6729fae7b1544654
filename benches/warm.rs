//! What the gateway's own stages of a warm request cost, each on its own and on one thread: finding the route, admitting the
//! call, obtaining the bearer. The whole request is not here: it is measured from outside (docs/architecture.md).
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot begin ends there"
)]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use http::request::Parts;
use http::{Method, Request};
use pleo_gateway::access::permit::Permit;
use pleo_gateway::access::{PeerFacts, admit};
use pleo_gateway::app::rooms::Rooms;
use pleo_gateway::config::{Environment, Settings, parse};
use pleo_gateway::drain::Tasks;
use pleo_gateway::model::ids::{CallerName, RouteName, TenantName};
use pleo_gateway::model::route::{Route, RouteOrigin, Template};
use pleo_gateway::model::route_table::RouteTable;
use pleo_gateway::secret::Secret;
use pleo_gateway::tokens::operate::{Bundle, ImportTerms};
use tokio::runtime::Runtime;

/// The shipped configuration: the whole catalogue, one anonymous caller, one tenant.
const SHIPPED: &str = include_str!("../config/gateway.toml");
const PATH: &str = "/v2/employees/3fa85f64-5717-4562-b3fc-2c963f66afa6";

fn settings(folder: &Path) -> Settings {
    let file = folder.join("gateway.toml");
    parse(&file, SHIPPED, &Environment::of_process()).unwrap()
}

fn head() -> Parts {
    let request = Request::get(PATH)
        .header("host", "127.0.0.1:8080")
        .header("accept", "application/json")
        .header("user-agent", "legacy-client/1.0");
    request.body(()).unwrap().into_parts().0
}

fn permit(settings: &Settings, head: &Parts) -> Permit {
    let peer = PeerFacts {
        door: &settings.snapshot.doors[0],
        unix_uid: None,
        certificate_names: None,
    };
    admit(&settings.snapshot, head, peer).unwrap()
}

/// So many routes, each of a family of its own.
fn many(count: usize) -> RouteTable {
    let route = |number| {
        let path = format!("/v1/family-{number}/items/{{id}}");
        let template = Template::parse(&path).unwrap();
        Route::new(RouteName::new(path), template, RouteOrigin::Explicit)
    };
    RouteTable::build((0..count).map(route).collect()).unwrap()
}

fn finding(bench: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let caller = CallerName::new("local");
    let routes = &settings.snapshot.routes;
    bench.bench_function("route_find", |b| {
        b.iter(|| routes.find(&Method::GET, black_box(PATH), &caller));
    });
    for count in [10, 10_000] {
        let table = many(count);
        let path = format!("/v1/family-{}/items/7", count / 2);
        bench.bench_function(&format!("route_find/{count}"), |b| {
            b.iter(|| table.find(&Method::GET, black_box(&path), &caller));
        });
    }
    let head = head();
    bench.bench_function("admit", |b| b.iter(|| permit(&settings, black_box(&head))));
}

fn obtaining(bench: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let runtime = Runtime::new().unwrap();
    let tasks = Tasks::on(runtime.handle().clone());
    let rooms = runtime
        .block_on(Rooms::open(&settings, "bench", tasks))
        .unwrap();
    let permit = permit(&settings, &head());
    let bundle = Bundle {
        access: Some(Secret::new("access".to_owned())),
        refresh: Secret::new("refresh".to_owned()),
        expires_in: Some(Duration::from_hours(24)),
        scopes: Some(permit.route().scopes.clone()),
        company: None,
    };
    let tenant = TenantName::parse("demo").unwrap();
    let terms = ImportTerms::default();
    let imported = rooms.tokens.import(&tenant, bundle, &terms);
    runtime.block_on(imported).unwrap();
    runtime.block_on(rooms.tokens.obtain(&permit)).unwrap();
    bench.bench_function("obtain", |b| {
        b.iter(|| rooms.tokens.obtain_now(black_box(&permit)).unwrap());
    });
    runtime.block_on(rooms.close());
}

criterion_group!(stages, finding, obtaining);
criterion_main!(stages);
