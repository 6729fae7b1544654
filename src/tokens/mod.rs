//! Floor 5: fresh bearers. The only writer of connections.
