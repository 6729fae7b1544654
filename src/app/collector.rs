//! The way to the trace collector: a link for each export, on the gateway's own runtime, since OpenTelemetry's SDK exports
//! from a thread that has none. What is exported is not here (`telemetry::traces`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::ExporterBuildError;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

use crate::config::TelemetrySettings;
use crate::net::dial::Dialer;
use crate::net::origin::{Origin, OriginError};
use crate::net::tls::{self, Alpn, Roots, TlsError};
use crate::telemetry::chain::chain;
use crate::telemetry::traces::{self, Destination, Exporter, Tracer};

/// The largest answer of a collector that is read. Bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The collector's URL.
    #[error("the collector's URL cannot be dialled")]
    Url(#[from] OriginError),
    /// Its authorities.
    #[error("TLS cannot be set up for the collector")]
    Tls(#[from] TlsError),
    /// What the variables say to the SDK.
    #[error("OpenTelemetry's exporter cannot be made")]
    Exporter(#[from] ExporterBuildError),
}

/// How an export failed.
#[derive(Debug, thiserror::Error)]
#[error("the collector did not answer within {0:?}")]
struct Silent(Duration);

/// Starts making and exporting traces, if a collector is named. Its address may be private: it is the operator's choice.
pub(super) fn start(
    settings: &TelemetrySettings,
    pleo: &Origin,
) -> Result<Option<(Tracer, Exporter)>, TracesError> {
    let Some(url) = &settings.traces else {
        return Ok(None);
    };
    let to = Destination {
        url: url.as_str(),
        timeout: settings.timeout,
        service_name: settings.service_name.as_deref(),
        pleo: (pleo.host(), pleo.port()),
    };
    let started = traces::start(to, Collector::new(url, settings)?)?;
    // No more of the URL: some collectors have their keys in the path.
    let collector = url.host_str().unwrap_or_default();
    tracing::info!(collector, "traces are sent");
    Ok(Some(started))
}

#[derive(Debug)]
struct Collector {
    way: Arc<Way>,
    runtime: Handle,
}

#[derive(Debug)]
struct Way {
    dialer: Dialer,
    origin: Origin,
    timeout: Duration,
    is_failing: AtomicBool,
}

impl Collector {
    fn new(url: &Url, settings: &TelemetrySettings) -> Result<Self, TracesError> {
        let roots = Roots {
            ca_file: settings.ca_file.clone(),
        };
        let trust = tls::client_config(&roots, Alpn::Http1)?;
        let way = Way {
            dialer: Dialer::new(trust.clone(), trust, true, settings.timeout),
            origin: Origin::from_url(url)?,
            timeout: settings.timeout,
            is_failing: AtomicBool::new(false),
        };
        Ok(Self {
            way: Arc::new(way),
            runtime: Handle::current(),
        })
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let way = self.way.clone();
        let sending = self.runtime.spawn(async move {
            let answer = match timeout(way.timeout, way.post(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(Silent(way.timeout).into()),
            };
            way.note(&answer);
            answer
        });
        sending.await?
    }
}

impl Way {
    async fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let link = self.dialer.dial(&self.origin, Alpn::Http1).await?;
        let (mut sender, driver) = http1::handshake(TokioIo::new(link)).await?;
        let mut driving = JoinSet::new();
        driving.spawn(driver);
        let (mut head, body) = request.into_parts();
        head.uri = head
            .uri
            .path_and_query()
            .cloned()
            .map_or_else(Uri::default, Uri::from);
        head.headers.insert(HOST, self.origin.authority().clone());
        let request = Request::from_parts(head, Full::new(body));
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// Logs once when exports begin to fail, and once when they work again.
    fn note(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let failure = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answered {}", answer.status())),
            Err(error) => Some(chain(error.as_ref())),
        };
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_failing => tracing::warn!(%error, "traces cannot be sent"),
            None if was_failing => tracing::info!("traces are sent again"),
            _ => {}
        }
    }
}
