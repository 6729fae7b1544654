//! One thread's request counters: the metrics of each route are looked up once and kept, so that no request takes a lock.
//! Names are not here (`telemetry::metrics`).

use std::collections::HashMap;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::metrics::counter::Counter;

use super::histogram::Durations;
use super::metrics::Metrics;
use crate::model::ids::RouteName;

/// The route's name where none was found.
const NO_ROUTE: &str = "_none";

/// One thread's kept metrics.
#[derive(Debug)]
pub struct RequestMeters {
    metrics: Metrics,
    routes: HashMap<RouteName, RouteMeters>,
    no_route: RouteMeters,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Its route, if one was found.
    pub route: Option<&'a RouteName>,
    /// Its method.
    pub method: &'a Method,
    /// The answer's status.
    pub status: StatusCode,
    /// The code of an error of our own; empty if there was none.
    pub error: &'static str,
    /// The whole of it.
    pub duration: Duration,
    /// From sending to Pleo until the head of its answer, if it was sent.
    pub upstream: Option<Duration>,
    /// Spent in the gateway itself.
    pub overhead: Duration,
}

#[derive(Debug)]
struct RouteMeters {
    name: String,
    /// Few for each route, so they are searched in order.
    counts: Vec<(&'static str, StatusCode, &'static str, Counter)>,
    durations: [Durations; 2],
}

impl RequestMeters {
    /// Counts into `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self {
            no_route: RouteMeters::of(&metrics, NO_ROUTE),
            routes: HashMap::new(),
            metrics,
        }
    }

    /// Counts one request.
    pub fn count(&mut self, answered: Answered<'_>) {
        let metrics = &self.metrics;
        metrics.overhead().observe(answered.overhead);
        let Some(route) = answered.route else {
            return self.no_route.count(metrics, &answered);
        };
        if let Some(meters) = self.routes.get_mut(route) {
            meters.count(metrics, &answered);
        } else {
            let mut meters = RouteMeters::of(metrics, route.as_ref());
            meters.count(metrics, &answered);
            self.routes.insert(route.clone(), meters);
        }
    }
}

impl RouteMeters {
    fn of(metrics: &Metrics, route: &str) -> Self {
        Self {
            name: route.to_owned(),
            counts: Vec::new(),
            durations: metrics.durations(route),
        }
    }

    fn count(&mut self, metrics: &Metrics, answered: &Answered<'_>) {
        let wanted = (
            method_label(answered.method),
            answered.status,
            answered.error,
        );
        let kept = self
            .counts
            .iter()
            .find(|(m, s, e, _)| (*m, *s, *e) == wanted);
        if let Some((.., counter)) = kept {
            counter.inc();
        } else {
            let (method, status, error) = wanted;
            let counter = metrics.requests(&self.name, method, status.as_u16(), error);
            counter.inc();
            self.counts.push((method, status, error, counter));
        }
        let [request, upstream] = &self.durations;
        request.observe(answered.duration);
        if let Some(took) = answered.upstream {
            upstream.observe(took);
        }
    }
}

/// The method, if it is one of HTTP's own: a caller may make up others.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn requests_are_counted_by_route_method_status_and_error() {
        let metrics = Metrics::new(Timestamp(0));
        let mut meters = RequestMeters::new(metrics.clone());
        let route = RouteName::new("employees");
        let made_up = Method::from_bytes(b"MADE-UP").unwrap();
        let answered = Answered {
            route: Some(&route),
            method: &Method::GET,
            status: StatusCode::OK,
            error: "",
            duration: Duration::from_millis(3),
            upstream: Some(Duration::from_millis(2)),
            overhead: Duration::from_millis(1),
        };
        meters.count(answered);
        meters.count(answered);
        meters.count(Answered {
            route: None,
            method: &made_up,
            status: StatusCode::FORBIDDEN,
            error: "route-denied",
            upstream: None,
            ..answered
        });
        let text = metrics.encode();
        for line in [
            "pleo_gateway_requests_total{route=\"employees\",method=\"GET\",status=\"200\",error=\"\"} 2",
            "pleo_gateway_requests_total{route=\"_none\",method=\"_OTHER\",status=\"403\",error=\"route-denied\"} 1",
            "pleo_gateway_request_duration_seconds_count{route=\"_none\"} 1",
            "pleo_gateway_upstream_duration_seconds_count{route=\"_none\"} 0",
            "pleo_gateway_upstream_duration_seconds_count{route=\"employees\"} 2",
            "pleo_gateway_overhead_seconds_count 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
