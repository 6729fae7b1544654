//! Floor 8: builds every room once, in floor order, and takes them down again.
