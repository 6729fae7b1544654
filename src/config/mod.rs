//! Floor 7: TOML and environment into typed values, with every problem at once.
