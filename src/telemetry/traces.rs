//! Traces: one span per request and, below it, one for the time Pleo took. OpenTelemetry's SDK samples, batches and encodes
//! them; how they reach the collector is up to the client passed in from above. They tell no more than the access log.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HttpClient;
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan};

use super::access_log::Line;
use super::meters::method_label;
use crate::clock::Timestamp;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// What we are called unless told otherwise.
const SERVICE: &str = "pleo-gateway";

/// Where spans go.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The collector's door for traces.
    pub url: &'a str,
    /// How long one export may take.
    pub timeout: Duration,
    /// What we are called there.
    pub service_name: Option<&'a str>,
    /// Pleo's host and port, which spans of Pleo's time name.
    pub pleo: (&'a str, u16),
}

/// Makes spans. Clones share what sends them.
#[derive(Clone, Debug)]
pub struct Tracer {
    sdk: SdkTracer,
    pleo: Arc<[KeyValue; 2]>,
}

/// Sends what was gathered, every few seconds, on a thread of its own. Spans that do not fit are dropped.
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

/// One request's span, and the one below it once the request was sent.
#[derive(Debug)]
pub struct Span {
    tracer: Tracer,
    ours: SdkSpan,
    at_pleo: OnceCell<SdkSpan>,
    continues: bool,
    came_at: SystemTime,
    began: Instant,
}

/// Begins to send spans with `client`. Sampling, batches, headers and resources are as `OTEL_*` variables of the process
/// say (OpenTelemetry, "Environment Variable Specification").
pub fn start(
    to: Destination<'_>,
    client: impl HttpClient + 'static,
) -> Result<(Tracer, Exporter), ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(to.url)
        .with_timeout(to.timeout)
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource(to.service_name))
        .build();
    let (host, port) = to.pleo;
    let tracer = Tracer {
        sdk: provider.tracer(SERVICE),
        pleo: Arc::new([
            KeyValue::new("server.address", host.to_owned()),
            KeyValue::new("server.port", i64::from(port)),
        ]),
    };
    Ok((tracer, Exporter(provider)))
}

fn resource(service_name: Option<&str>) -> Resource {
    let named = service_name.map(|name| KeyValue::new("service.name", name.to_owned()));
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", SERVICE),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()))
        .with_attributes(named)
        .build()
}

impl Exporter {
    /// Sends what is left, which takes at most `limit`, and no more after that. Blocks. False if it was not all sent.
    pub fn finish(self, limit: Duration) -> bool {
        self.0.shutdown_with_timeout(limit).is_ok()
    }
}

impl Tracer {
    /// Begins the span of a request that came at `came_at` with `headers`. `parent` is its `traceparent` if it has one
    /// that is well formed; else a trace begins (W3C Trace Context section 4.2).
    pub fn begin(
        &self,
        parent: Option<&HeaderValue>,
        headers: &HeaderMap,
        came_at: Timestamp,
    ) -> Span {
        let parent = parent.and_then(|parent| remote(parent, headers));
        let micros = u64::try_from(came_at.0).unwrap_or(0);
        let came_at = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        let continues = parent.is_some();
        let above = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent)
        });
        Span {
            ours: self
                .sdk
                .span_builder("")
                .with_kind(SpanKind::Server)
                .with_start_time(came_at)
                .start_with_context(&self.sdk, &above),
            tracer: self.clone(),
            at_pleo: OnceCell::new(),
            continues,
            came_at,
            began: Instant::now(),
        }
    }
}

/// What a caller's `traceparent` and `tracestate` say.
fn remote(parent: &HeaderValue, headers: &HeaderMap) -> Option<SpanContext> {
    let text = parent.to_str().ok()?;
    let flags = u8::from_str_radix(text.get(53..55)?, 16).ok()?;
    let lists = headers.get_all(TRACESTATE).iter();
    let state: Vec<_> = lists.filter_map(|list| list.to_str().ok()).collect();
    Some(SpanContext::new(
        TraceId::from_hex(text.get(3..35)?).ok()?,
        SpanId::from_hex(text.get(36..52)?).ok()?,
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
        true,
        state.join(",").parse::<TraceState>().unwrap_or_default(),
    ))
}

impl Span {
    /// The trace it belongs to, 32 hex digits.
    pub fn trace_id(&self) -> String {
        self.ours.span_context().trace_id().to_string()
    }

    /// Begins Pleo's time, and names it to Pleo as what is above whatever Pleo does. `tracestate` goes on with the trace
    /// that it belongs to.
    pub fn hand_on(&self, headers: &mut HeaderMap) {
        let at_pleo = self.at_pleo.get_or_init(|| {
            let above = Context::new().with_remote_span_context(self.ours.span_context().clone());
            let sdk = &self.tracer.sdk;
            sdk.span_builder("")
                .with_kind(SpanKind::Client)
                .with_start_time(self.came_at + self.began.elapsed())
                .with_attributes(self.tracer.pleo.iter().cloned())
                .start_with_context(sdk, &above)
        });
        let below = at_pleo.span_context();
        let parent = format!(
            "00-{}-{}-{:02x}",
            below.trace_id(),
            below.span_id(),
            below.trace_flags()
        );
        if let Ok(mut parent) = HeaderValue::try_from(parent) {
            // Each occurs once, and would only push others out of HTTP/2's dynamic table.
            parent.set_sensitive(true);
            headers.insert(TRACEPARENT, parent);
        }
        if !self.continues {
            headers.remove(TRACESTATE);
        }
    }

    /// Ends both, with what the access log tells of the request; `until_head` is how long after its coming the head of its
    /// answer was there.
    pub fn end(mut self, told: &Line<'_>, until_head: Duration) {
        let name = name(told);
        if let Some(mut at_pleo) = self.at_pleo.take() {
            at_pleo.update_name(name.clone());
            at_pleo.set_attributes(of_journey(told));
            let answered = told.error.is_none() && told.status < 400;
            if !answered {
                at_pleo.set_status(Status::error(""));
            }
            at_pleo.end_with_timestamp(self.came_at + until_head);
        }
        self.ours.update_name(name);
        self.ours.set_attributes(of_request(told));
        if told.status >= 500 {
            self.ours.set_status(Status::error(""));
        }
        self.ours
            .end_with_timestamp(self.came_at + told.duration_ms);
    }
}

/// Of few values only: the method, and the route's template where there is one.
fn name(told: &Line<'_>) -> String {
    let method = match method(told) {
        "_OTHER" => "HTTP",
        known => known,
    };
    match told.path_template {
        Some(template) => format!("{method} {template}"),
        None => method.to_owned(),
    }
}

fn method(told: &Line<'_>) -> &'static str {
    let method = Method::from_bytes(told.method.as_bytes());
    method.map_or("_OTHER", |method| method_label(&method))
}

/// In the words of OpenTelemetry's conventions for HTTP, and our own under `pleo_gateway.`.
fn of_request(told: &Line<'_>) -> Vec<KeyValue> {
    let own = [
        ("pleo_gateway.caller", told.caller),
        ("pleo_gateway.tenant", told.tenant),
        ("pleo_gateway.route", told.route),
        ("pleo_gateway.operation", told.operation),
        ("http.route", told.path_template),
    ];
    let own = own.into_iter().filter_map(of_text);
    let mut all: Vec<_> = of_both(told).chain(own).collect();
    all.push(KeyValue::new(
        "pleo_gateway.request_id",
        told.request_id.to_owned(),
    ));
    all.extend([
        KeyValue::new("http.response.status_code", i64::from(told.status)),
        KeyValue::new("http.request.body.size", of_size(told.bytes_in)),
        KeyValue::new("http.response.body.size", of_size(told.bytes_out)),
    ]);
    all
}

fn of_journey(told: &Line<'_>) -> Vec<KeyValue> {
    let mut all: Vec<_> = of_both(told).collect();
    if told.error.is_none() {
        all.push(KeyValue::new(
            "http.response.status_code",
            i64::from(told.status),
        ));
    }
    if let Some(generation) = told.generation {
        all.push(KeyValue::new(
            "pleo_gateway.generation",
            of_size(generation),
        ));
    }
    if told.replayed {
        all.push(KeyValue::new("http.request.resend_count", 1));
    }
    all
}

fn of_both(told: &Line<'_>) -> impl Iterator<Item = KeyValue> {
    let method = KeyValue::new("http.request.method", method(told));
    let failed = (told.status >= 500).then(|| told.status.to_string());
    let error = told.error.map(str::to_owned).or(failed);
    std::iter::once(method).chain(error.map(|error| KeyValue::new("error.type", error)))
}

fn of_text((key, value): (&'static str, Option<&str>)) -> Option<KeyValue> {
    value.map(|value| KeyValue::new(key, value.to_owned()))
}

fn of_size(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
