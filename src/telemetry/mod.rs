//! Floor 2: what the gateway reports of its work: logs, metrics, traces, the access log, the audit's log lines. No secret,
//! query string or header value passes through here.

pub mod access_log;
pub mod audit;
pub mod chain;
mod histogram;
pub mod logs;
pub mod meters;
pub mod metrics;
mod process;
#[cfg(test)]
mod tests;
pub mod traces;
mod words;
