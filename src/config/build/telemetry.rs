//! `[telemetry]`, and OpenTelemetry's own variables about sending traces. Those about sampling, batching, headers and
//! resources are read where they are used, by OpenTelemetry's SDK.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::super::reader::Reader;
use super::super::settings::TelemetrySettings;
use super::super::units::{self, Remedy};

/// Where traces go below a collector's URL (OTLP, "OTLP/HTTP Request").
const TRACES: &str = "v1/traces";
/// OTLP's own.
const TIMEOUT: Duration = Duration::from_secs(10);
const NOTHING: &str = "no traces are sent";

/// What the configuration says comes before what the variables say.
pub(super) fn read(telemetry: &Reader<'_>) -> TelemetrySettings {
    let configured = telemetry.parsed("otlp_endpoint", collector);
    let named = configured.or_else(|| given(telemetry));
    let traces = named.filter(|_| is_wanted(telemetry));
    if traces.is_some() {
        warn_of_other_protocols(telemetry);
    }
    TelemetrySettings {
        timeout: traces
            .as_ref()
            .map_or(TIMEOUT, |_| timeout(telemetry).unwrap_or(TIMEOUT)),
        ca_file: of_traces(telemetry, "CERTIFICATE").map(|(_, file)| PathBuf::from(file)),
        service_name: variable(telemetry, "OTEL_SERVICE_NAME").map(str::to_owned),
        traces,
    }
}

/// An empty variable counts as unset (OpenTelemetry, "Environment Variable Specification").
fn variable<'a>(telemetry: &Reader<'a>, name: &str) -> Option<&'a str> {
    telemetry.variable(name).filter(|text| !text.is_empty())
}

/// The exporter's variable for traces, or the one for everything that is sent.
fn of_traces<'a>(telemetry: &Reader<'a>, what: &str) -> Option<(String, &'a str)> {
    ["TRACES_", ""].into_iter().find_map(|of| {
        let name = format!("OTEL_EXPORTER_OTLP_{of}{what}");
        variable(telemetry, &name).map(|text| (name, text))
    })
}

fn is_wanted(telemetry: &Reader<'_>) -> bool {
    let off = variable(telemetry, "OTEL_SDK_DISABLED")
        .is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let name = "OTEL_TRACES_EXPORTER";
    let exporters = variable(telemetry, name).unwrap_or("otlp");
    let otlp = exporters.split(',').any(|one| one.trim() == "otlp");
    if !otlp && exporters != "none" {
        telemetry.warn_of_variable(name, NOTHING, "say \"otlp\", the only exporter there is");
    }
    otlp && !off
}

/// Where the variables say. One that is not a URL keeps nobody from starting: it is the machine's, not ours.
fn given(telemetry: &Reader<'_>) -> Option<Url> {
    let (name, text) = of_traces(telemetry, "ENDPOINT")?;
    let parse = if name.contains("TRACES") {
        units::url
    } else {
        collector
    };
    parse(text)
        .inspect_err(|remedy| telemetry.warn_of_variable(&name, NOTHING, remedy))
        .ok()
}

/// A collector's URL, with the way to its door for traces.
fn collector(text: &str) -> Result<Url, Remedy> {
    let mut url = units::url(text)?;
    let below = format!("{}/{TRACES}", url.path().trim_end_matches('/'));
    url.set_path(&below);
    Ok(url)
}

fn warn_of_other_protocols(telemetry: &Reader<'_>) {
    if let Some((name, _)) =
        of_traces(telemetry, "PROTOCOL").filter(|(_, protocol)| *protocol != "http/protobuf")
    {
        let message = "traces are sent by http/protobuf all the same";
        let remedy = "name the collector's door for it, mostly at port 4318";
        telemetry.warn_of_variable(&name, message, remedy);
    }
}

fn timeout(telemetry: &Reader<'_>) -> Option<Duration> {
    let (name, text) = of_traces(telemetry, "TIMEOUT")?;
    let millis = text.parse().ok().filter(|millis| *millis > 0);
    if millis.is_none() {
        let message = "is no number of milliseconds; ten seconds are taken";
        telemetry.warn_of_variable(&name, message, "write one such as \"10000\"");
    }
    millis.map(Duration::from_millis)
}
