//! Floor 7: a strict stand-in for Pleo, a small server of its own.
