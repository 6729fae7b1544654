//! Floor 7: the callers' door. The only place where an error becomes a response is `reply`.
