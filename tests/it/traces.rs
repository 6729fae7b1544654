//! Traces: what a collector is sent about a request, what Pleo hears of the trace, and that nobody waits for either.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;

use crate::canary;
use crate::harness::authority::Authority;
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::program::Stream;
use crate::harness::upstream::{Seen, Upstream};
use crate::harness::{SOON, free_port};
use crate::stand::hex;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn collector() -> Upstream {
    Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
}

/// With a collector that is sent spans at once.
fn setup(pleo: &str, collector: &str) -> Setup {
    let mut setup = Setup::at(pleo);
    setup.more = format!("[telemetry]\notlp_endpoint = \"{collector}\"\n");
    setup.variables = vec![("OTEL_BSP_SCHEDULE_DELAY", "50".into())];
    setup
}

/// What a collector was sent, in which no secret stands.
fn sent(seen: &[Seen]) -> Vec<ExportTraceServiceRequest> {
    let decode = |seen: &Seen| {
        canary::search("what a collector was sent", &seen.head.raw);
        canary::search("what a collector was sent", &seen.body);
        ExportTraceServiceRequest::decode(&seen.body[..]).unwrap()
    };
    seen.iter().map(decode).collect()
}

/// The first `count` spans that a collector was sent.
#[track_caller]
fn spans(collector: &Upstream, count: usize) -> Vec<Span> {
    let until = Instant::now() + SOON;
    loop {
        let resources = sent(&collector.seen()).into_iter();
        let scopes = resources.flat_map(|sent| sent.resource_spans);
        let spans: Vec<Span> = scopes
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect();
        if spans.len() >= count {
            return spans;
        }
        assert!(Instant::now() < until, "{count} spans: {spans:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn of_kind(spans: &[Span], kind: SpanKind) -> &Span {
    spans.iter().find(|span| span.kind() == kind).unwrap()
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

#[track_caller]
fn assert_text(attributes: &[KeyValue], key: &str, text: &str) {
    let expected = Value::StringValue(text.to_owned());
    assert_eq!(attribute(attributes, key), Some(&expected), "{key}");
}

#[track_caller]
fn assert_number(attributes: &[KeyValue], key: &str, number: i64) {
    let found = attribute(attributes, key);
    assert_eq!(found, Some(&Value::IntValue(number)), "{key}");
}

#[test]
fn a_request_is_a_span_of_ours_and_below_it_one_of_pleos_time_in_the_callers_trace() {
    let (upstream, collector) = (Upstream::fine(), collector());
    let gateway = setup(&upstream.origin(), &collector.origin()).start_with_acme();
    let trace = [
        ("traceparent", PARENT),
        ("tracestate", "erp=7"),
        ("x-request-id", "r-1"),
    ];
    let answer = gateway.call_with("GET", "/v2/employees?name=somebody", &trace, b"");
    answer.expect(200);
    let spans = spans(&collector, 2);
    let ours = of_kind(&spans, SpanKind::Server);
    let pleos = of_kind(&spans, SpanKind::Client);
    assert_eq!(
        (&ours.name[..], &pleos.name[..]),
        ("GET /v2/employees", "GET /v2/employees")
    );
    assert_eq!(
        (hex(&ours.trace_id), hex(&pleos.trace_id)),
        (TRACE.into(), TRACE.into())
    );
    assert_eq!(hex(&ours.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(pleos.parent_span_id, ours.span_id);
    assert_eq!(ours.trace_state, "erp=7");
    let within = ours.start_time_unix_nano <= pleos.start_time_unix_nano
        && pleos.start_time_unix_nano <= pleos.end_time_unix_nano
        && pleos.end_time_unix_nano <= ours.end_time_unix_nano;
    assert!(within, "{ours:?} {pleos:?}");
    for (key, text) in [
        ("http.request.method", "GET"),
        ("http.route", "/v2/employees"),
        ("pleo_gateway.caller", "erp"),
        ("pleo_gateway.tenant", "acme"),
        ("pleo_gateway.request_id", "r-1"),
    ] {
        assert_text(&ours.attributes, key, text);
    }
    assert_number(&ours.attributes, "http.response.status_code", 200);
    assert_text(&pleos.attributes, "server.address", "127.0.0.1");
    assert_number(&pleos.attributes, "server.port", i64::from(upstream.port));
    assert_number(&pleos.attributes, "http.response.status_code", 200);

    let head = upstream.only().head;
    let parent = format!("00-{TRACE}-{}-01", hex(&pleos.span_id));
    assert_eq!(head.all("traceparent"), [&parent[..]]);
    assert_eq!(head.all("tracestate"), ["erp=7"]);

    let seen = &collector.seen()[0];
    assert_eq!(seen.head.first, "POST /v1/traces HTTP/1.1");
    assert_eq!(
        seen.head.field("content-type"),
        Some("application/x-protobuf")
    );
    let said = String::from_utf8_lossy(&seen.body);
    assert!(!said.contains("somebody"), "a query was told");
}

#[test]
fn a_trace_begins_where_none_came_and_a_broken_one_does_not_go_on() {
    for broken in [None, Some("00-zz-00f067aa0ba902b7-01")] {
        let (upstream, collector) = (Upstream::fine(), collector());
        let gateway = setup(&upstream.origin(), &collector.origin()).start_with_acme();
        let mut trace = vec![("tracestate", "erp=7")];
        trace.extend(broken.map(|broken| ("traceparent", broken)));
        gateway
            .call_with("GET", "/v2/employees", &trace, b"")
            .expect(200);
        let spans = spans(&collector, 2);
        let ours = of_kind(&spans, SpanKind::Server);
        assert_eq!(
            (ours.trace_id.len(), &ours.parent_span_id[..]),
            (16, &[][..])
        );
        let pleos = hex(&of_kind(&spans, SpanKind::Client).span_id);
        let head = upstream.only().head;
        let trace_id = hex(&ours.trace_id);
        assert_eq!(
            head.all("traceparent"),
            [&format!("00-{trace_id}-{pleos}-01")[..]]
        );
        assert_eq!(head.field("tracestate"), None);
        let logged = format!("\"trace_id\":\"{trace_id}\"");
        gateway.program.wait_for("the access log", |stream, line| {
            (stream == Stream::Out && line.contains(&logged)).then_some(())
        });
    }
}

#[test]
fn what_the_caller_does_not_sample_is_not_sent_and_pleo_is_told_so() {
    let (upstream, collector) = (Upstream::fine(), collector());
    let gateway = setup(&upstream.origin(), &collector.origin()).start_with_acme();
    let unsampled = PARENT.replace("-01", "-00");
    gateway
        .call_with("GET", "/v2/employees", &[("traceparent", &unsampled)], b"")
        .expect(200);
    let parent = upstream
        .only()
        .head
        .field("traceparent")
        .unwrap()
        .to_owned();
    assert!(
        parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-00"),
        "{parent}"
    );
    assert_ne!(parent, unsampled);
    // Sent after it, and nothing else.
    gateway.get("/v2/employees").expect(200);
    let traces = spans(&collector, 2);
    assert!(
        traces.iter().all(|span| hex(&span.trace_id) != TRACE),
        "{traces:?}"
    );
}

#[test]
fn a_refusal_is_a_span_that_names_its_code_and_a_failure_at_pleo_is_an_error() {
    let collector = collector();
    let pleo = format!("http://127.0.0.1:{}", free_port());
    let gateway = setup(&pleo, &collector.origin()).start_with_acme();
    gateway.get("/v9/nowhere").expect(403);
    let refused = spans(&collector, 1);
    assert_eq!(refused[0].name, "GET");
    assert_text(&refused[0].attributes, "error.type", "route-denied");
    assert_eq!(
        refused[0].status.clone().unwrap_or_default().code(),
        StatusCode::Unset
    );
    gateway.get("/v2/employees").expect(502);
    let failed = spans(&collector, 3);
    for span in &failed[1..] {
        assert_text(&span.attributes, "error.type", "upstream-unreachable");
        assert_eq!(span.status.clone().unwrap().code(), StatusCode::Error);
    }
}

#[test]
fn the_standard_variables_say_where_to_how_named_and_with_which_headers() {
    let (upstream, collector) = (Upstream::fine(), collector());
    let mut setup = Setup::at(&upstream.origin());
    setup.variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.origin()[..]),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "api-key=canary%20of%20the%20collector",
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        ),
        ("OTEL_SERVICE_NAME", "pleo-for-the-erp"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ]
    .map(|(name, value)| (name, value.into()))
    .to_vec();
    let gateway = setup.start_with_acme();
    gateway.get("/v2/employees").expect(200);
    spans(&collector, 2);
    let seen = collector.seen();
    assert_eq!(seen[0].head.first, "POST /v1/traces HTTP/1.1");
    assert_eq!(
        seen[0].head.field("api-key"),
        Some("canary of the collector")
    );
    let resource = sent(&seen)
        .remove(0)
        .resource_spans
        .remove(0)
        .resource
        .unwrap();
    assert_text(&resource.attributes, "service.name", "pleo-for-the-erp");
    assert_text(&resource.attributes, "deployment.environment.name", "test");
    assert!(
        !gateway.program.said().contains("canary of"),
        "a header was told"
    );
}

#[test]
fn the_standard_variables_can_turn_it_off() {
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let (upstream, collector) = (Upstream::fine(), collector());
        let mut setup = setup(&upstream.origin(), &collector.origin());
        setup.variables.push((name, value.into()));
        let mut gateway = setup.start_with_acme();
        gateway
            .call_with("GET", "/v2/employees", &[("traceparent", PARENT)], b"")
            .expect(200);
        assert_eq!(upstream.only().head.all("traceparent"), [PARENT]);
        assert!(gateway.terminate().success());
        assert!(collector.seen().is_empty(), "{name}");
    }
}

#[test]
fn a_collector_that_is_away_costs_no_request_is_told_once_and_does_not_hold_up_the_end() {
    let upstream = Upstream::fine();
    let mut gateway = setup(
        &upstream.origin(),
        &format!("http://127.0.0.1:{}", free_port()),
    )
    .start_with_acme();
    gateway.get("/v2/employees").expect(200);
    gateway.program.wait_for("the word of it", |_, line| {
        line.contains("traces cannot be sent").then_some(())
    });
    for _ in 0..20 {
        gateway.get("/v2/employees").expect(200);
    }
    assert!(gateway.terminate().success());
    let said = gateway.program.said();
    assert_eq!(said.matches("traces cannot be sent").count(), 1, "{said}");
}

#[test]
fn what_was_gathered_is_sent_before_the_end() {
    let (upstream, collector) = (Upstream::fine(), collector());
    let mut setup = setup(&upstream.origin(), &collector.origin());
    setup.variables = vec![("OTEL_BSP_SCHEDULE_DELAY", "600000".into())];
    let mut gateway = setup.start_with_acme();
    gateway.get("/v2/employees").expect(200);
    assert!(gateway.terminate().success());
    assert_eq!(spans(&collector, 2).len(), 2);
}

#[test]
fn a_collector_over_tls_is_verified_by_the_authority_that_the_variables_name() {
    let authority = Authority::new();
    let upstream = Upstream::fine();
    let certificate = authority.certificate(&["127.0.0.1"]);
    let collector = Upstream::secure(certificate.server(), |exchange| {
        exchange.body();
        exchange.reply("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let url = format!("https://127.0.0.1:{}", collector.port);
    let strange = setup(&upstream.origin(), &url).start_with_acme();
    strange.get("/v2/employees").expect(200);
    strange.program.wait_for("the refusal", |_, line| {
        line.contains("traces cannot be sent").then_some(())
    });
    assert!(collector.seen().is_empty());
    let mut known = setup(&upstream.origin(), &url);
    authority.write(known.folder());
    let file = known.folder().join("ca.pem").into();
    known
        .variables
        .push(("OTEL_EXPORTER_OTLP_CERTIFICATE", file));
    let known = known.start_with_acme();
    known.get("/v2/employees").expect(200);
    assert_eq!(spans(&collector, 2).len(), 2);
    drop(known);
}

#[test]
fn without_a_collector_a_trace_passes_as_it_came() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let trace = [
        ("traceparent", PARENT),
        ("tracestate", "erp=7"),
        ("tracestate", "b=8"),
    ];
    gateway
        .call_with("GET", "/v2/employees", &trace, b"")
        .expect(200);
    let head = upstream.only().head;
    assert_eq!(head.all("traceparent"), [PARENT]);
    assert_eq!(head.all("tracestate"), ["erp=7", "b=8"]);
}
