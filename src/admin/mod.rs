//! Floor 7: the operators' door: health, metrics, connections.
