//! Floor 4: the refresh protocol (docs/refresh.md) as a pure function. No async, no clock, no store.
