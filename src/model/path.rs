//! The one canonical parse of a request's target.
