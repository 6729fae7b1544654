//! Tests of the metrics against the contract.

use std::time::Duration;

use super::metrics::{Lookup, Metrics, ReplayReason, ScopeMode};
use crate::clock::Timestamp;
use crate::model::connection::State;
use crate::model::ids::{RouteName, TenantName};
use crate::model::ledger::LedgerOutcome;
use crate::model::scope::Scope;

#[test]
fn every_metric_of_the_contract_is_there() {
    let metrics = Metrics::new(Timestamp(1_500_000));
    metrics.token_lookup(Lookup::Hit);
    metrics.refreshed(LedgerOutcome::NotSent, Duration::from_millis(1));
    metrics.held(Duration::from_millis(1));
    metrics.set_connections(State::Uncertain, 2);
    let tenant = TenantName::parse("acme").unwrap();
    metrics.set_expiry(&tenant, Some(Timestamp(2_000_000)));
    metrics.replayed(ReplayReason::Unauthorized);
    let scope = Scope::parse("users:read").unwrap();
    metrics.scope_denied(&RouteName::new("employees"), &scope, ScopeMode::Observe);
    metrics.set_upstream_links(3, 4);
    metrics.reloaded(true, Timestamp(3_000_000));
    metrics.store_failed("write");
    metrics.in_flight().inc();
    let text = metrics.encode();
    for line in [
        "pleo_gateway_token_lookups_total{result=\"hit\"} 1",
        "pleo_gateway_refreshes_total{outcome=\"not_sent\"} 1",
        "pleo_gateway_refresh_duration_seconds_count 1",
        "pleo_gateway_refresh_hold_seconds_count 1",
        "pleo_gateway_connections{state=\"uncertain\"} 2",
        "pleo_gateway_connection_expiry_timestamp_seconds{tenant=\"acme\"} 2.0",
        "pleo_gateway_replays_total{reason=\"unauthorized\"} 1",
        "pleo_gateway_scope_denials_total{route=\"employees\",scope=\"users:read\",mode=\"observe\"} 1",
        "pleo_gateway_upstream_connections{state=\"active\"} 3",
        "pleo_gateway_config_last_reload_successful 1",
        "pleo_gateway_config_last_reload_timestamp_seconds 3.0",
        "pleo_gateway_store_errors_total{op=\"write\"} 1",
        "pleo_gateway_in_flight 1",
        "pleo_gateway_refreshes_total{outcome=\"rejected\"} 0",
        "pleo_gateway_replays_total{reason=\"stale_link\"} 0",
        "pleo_gateway_store_errors_total{op=\"commit\"} 0",
        "pleo_gateway_overhead_seconds_count 0",
        "process_start_time_seconds 1.5",
        "# EOF",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    assert!(text.contains("pleo_gateway_build_info{version="), "{text}");
    assert!(text.contains("process_cpu_seconds_total "), "{text}");
    metrics.set_expiry(&tenant, None);
    assert!(!metrics.encode().contains("tenant=\"acme\""));
}
