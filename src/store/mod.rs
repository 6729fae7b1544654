//! Floor 4: connections at rest. One trait, its SQLite, seals and salvage.
