//! `[limits]`.

use super::super::reader::Reader;
use super::super::report::Finding;
use crate::model::limits::Limits;

pub(super) fn read(limits: &Reader<'_>) -> Limits {
    let bytes = |name: &str| usize::try_from(limits.size(name)).unwrap_or(usize::MAX);
    let read = Limits {
        max_connections: limits.number("max_connections"),
        max_connections_per_peer: limits.number("max_connections_per_peer"),
        max_header_bytes: bytes("max_header_bytes"),
        max_headers: limits.number("max_headers"),
        max_uri_bytes: bytes("max_uri_bytes"),
        header_timeout: limits.duration("header_timeout"),
        body_idle_timeout: limits.duration("body_idle_timeout"),
        idle_timeout: limits.duration("idle_timeout"),
        request_timeout: limits.duration("request_timeout"),
        connect_timeout: limits.duration("connect_timeout"),
        first_byte_timeout: limits.duration("first_byte_timeout"),
        max_request_body: limits.size("max_request_body"),
        replay_buffer: bytes("replay_buffer"),
        max_in_flight: limits.number("max_in_flight"),
        max_queue_per_tenant: limits.number("max_queue_per_tenant"),
        max_streams: limits.number("max_streams"),
        upstream_links: limits.number("upstream_links"),
        upstream_idle_timeout: limits.duration("upstream_idle_timeout"),
        drain_delay: limits.duration("drain_delay"),
        drain_timeout: limits.duration("drain_timeout"),
    };
    if read.max_uri_bytes > read.max_header_bytes {
        let remedy = "raise max_header_bytes, or lower this";
        let finding =
            Finding::invalid("a target is part of the head, and cannot be larger", remedy);
        limits.report("max_uri_bytes", finding);
    }
    read
}
