//! Floor 6: the browser's journey: link, start, callback, pages.
