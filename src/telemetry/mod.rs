//! Floor 2: logs, metrics, access log and audit. Every metric's name is in one file.
