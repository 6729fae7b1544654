//! Pleo's operations and the scopes they need, as data.
