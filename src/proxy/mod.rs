//! Floor 6: a request's journey: admit, obtain, clean, inject, forward.
