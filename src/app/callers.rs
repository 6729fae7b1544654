//! The callers' doors, thread by thread: each thread has its own links to Pleo and its own share of every door.

use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;

use super::collector::{self, TracesError};
use super::rooms::Rooms;
use crate::clock::SharedClock;
use crate::config::TelemetrySettings;
use crate::edge::{Edge, Parts};
use crate::model::snapshot::Snapshot;
use crate::net::client::{Client, ClientOptions};
use crate::net::dial::Dialer;
use crate::net::links::Links;
use crate::net::listener::{Bound, Door};
use crate::net::origin::{Origin, OriginError};
use crate::net::server::{ServerLimits, serve};
use crate::net::threads::Cores;
use crate::proxy::Proxy;
use crate::proxy::allowance::Allowance;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Exporter, Tracer};
use crate::tokens::Tokens;

/// What every thread is given.
#[derive(Debug)]
pub(super) struct Callers {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) tokens: Tokens,
    pub(super) metrics: Metrics,
    pub(super) clock: SharedClock,
    pub(super) log: Mutex<AccessLog>,
    pub(super) tracer: Option<Tracer>,
    pub(super) dialer: Arc<Dialer>,
    pub(super) origin: Arc<Origin>,
    pub(super) upstream: ClientOptions,
    pub(super) allowance: Allowance,
    pub(super) limits: ServerLimits,
    pub(super) stop: CancellationToken,
}

impl Callers {
    pub(super) fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        rooms: &Rooms,
        log: AccessLog,
        limits: ServerLimits,
        stop: CancellationToken,
    ) -> Result<Self, OriginError> {
        let to_pleo = &snapshot.load().limits;
        let upstream = ClientOptions {
            links: Links::new(to_pleo.upstream_links),
            idle_timeout: to_pleo.upstream_idle_timeout,
            first_byte_timeout: to_pleo.first_byte_timeout,
            prefer_h2: true,
        };
        Ok(Self {
            tokens: rooms.tokens.clone(),
            metrics: rooms.metrics.clone(),
            clock: rooms.clock.clone(),
            log: Mutex::new(log),
            tracer: None,
            dialer: rooms.dialer.clone(),
            origin: Arc::new(Origin::from_url(&rooms.pleo.options().endpoints.api)?),
            upstream,
            allowance: Allowance::default(),
            limits,
            snapshot,
            stop,
        })
    }

    /// With traces, if a collector is named; and what sends them.
    pub(super) fn traced(
        self,
        settings: &TelemetrySettings,
    ) -> Result<(Self, Option<Exporter>), TracesError> {
        let (tracer, exporter) = collector::start(settings, &self.origin)?.unzip();
        Ok((Self { tracer, ..self }, exporter))
    }

    /// The limit on links to Pleo, with what metrics want to know of it.
    pub(super) fn links(&self) -> Arc<Links> {
        self.upstream.links.clone()
    }

    /// Starts `threads` threads that serve all doors until told to stop.
    pub(super) fn open(self, doors: Vec<Bound>, threads: usize) -> io::Result<Cores> {
        let shares = Mutex::new(shares(doors, threads));
        let callers = Arc::new(self);
        Cores::start(threads, "callers", move |_| {
            let doors = shares
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop()
                .unwrap_or_default();
            let callers = callers.clone();
            async move { callers.serve(doors).await }
        })
    }

    /// One thread's work.
    async fn serve(&self, doors: Vec<Door>) {
        let edge = self.edge();
        let doors: Vec<_> = doors
            .into_iter()
            .map(|door| {
                let (edge, at_panic) = (edge.clone(), edge.clone());
                let service = move |arrival| edge.clone().serve(arrival);
                let on_panic = move || at_panic.panicked();
                spawn_local(serve(
                    door,
                    self.limits.clone(),
                    self.stop.clone(),
                    service,
                    on_panic,
                ))
            })
            .collect();
        for door in doors {
            if let Ok(Err(error)) = door.await {
                tracing::error!(%error, "a listener failed");
            }
        }
    }

    fn edge(&self) -> Rc<Edge> {
        let client = Client::new(
            self.dialer.clone(),
            self.origin.clone(),
            self.upstream.clone(),
        );
        let proxy = Proxy::new(
            client,
            self.tokens.clone(),
            self.metrics.clone(),
            self.allowance.clone(),
        );
        let log = self
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Edge::new(Parts {
            proxy,
            snapshots: self.snapshot.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            log,
            tracer: self.tracer.clone(),
        })
    }
}

/// Each thread's share: one piece of every door.
fn shares(doors: Vec<Bound>, threads: usize) -> Vec<Vec<Door>> {
    let mut shares: Vec<Vec<Door>> = (0..threads).map(|_| Vec::new()).collect();
    for door in doors {
        for (share, piece) in shares.iter_mut().zip(door.into_doors()) {
            share.push(piece);
        }
    }
    shares
}
