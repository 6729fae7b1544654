//! Floor 2: what is told about the gateway's work: logs, metrics, the access log, the audit's log lines. No secret, no
//! query string and no header value passes through here.

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
