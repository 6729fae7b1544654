//! `[limits]`: the deadline of every wait and the bound of every queue, with the defaults of contract.md section 2.

use std::time::Duration;

/// Sizes in bytes. A zero that means "off" is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Callers' links at once.
    pub max_connections: usize,
    /// Callers' links at once from one address; 0 is off.
    pub max_connections_per_peer: usize,
    /// A request's head (431).
    pub max_header_bytes: usize,
    /// Fields in a request's head (431).
    pub max_headers: usize,
    /// A request's target (414).
    pub max_uri_bytes: usize,
    /// Until a head is complete.
    pub header_timeout: Duration,
    /// A body that does not move, either way.
    pub body_idle_timeout: Duration,
    /// A link between requests.
    pub idle_timeout: Duration,
    /// The whole of a request; zero is off.
    pub request_timeout: Duration,
    /// To Pleo: resolve, dial and TLS.
    pub connect_timeout: Duration,
    /// To Pleo: from the end of the request until the answer's head.
    pub first_byte_timeout: Duration,
    /// A request's body (413); a route may say otherwise.
    pub max_request_body: u64,
    /// What is kept of a body for a replay; a route may say otherwise.
    pub replay_buffer: usize,
    /// Requests at once.
    pub max_in_flight: usize,
    /// Requests of a tenant that wait for a token.
    pub max_queue_per_tenant: usize,
    /// HTTP/2 streams per link.
    pub max_streams: u32,
    /// Links to Pleo.
    pub upstream_links: usize,
    /// A link to Pleo between requests.
    pub upstream_idle_timeout: Duration,
    /// On SIGTERM: not ready, still accepting.
    pub drain_delay: Duration,
    /// On SIGTERM: until requests in flight are cut.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_peer: 0,
            max_header_bytes: 64 << 10,
            max_headers: 100,
            max_uri_bytes: 16 << 10,
            header_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            request_timeout: Duration::from_mins(5),
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_mins(1),
            max_request_body: 64 << 20,
            replay_buffer: 64 << 10,
            max_in_flight: 4096,
            max_queue_per_tenant: 1024,
            max_streams: 100,
            upstream_links: 256,
            upstream_idle_timeout: Duration::from_mins(1),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(25),
        }
    }
}
