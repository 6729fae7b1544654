//! Floor 9: one file per command; thin: prints what lower rooms compute.
