//! Fuzzing everything that takes bytes from outside: libFuzzer runs the target that the variable TARGET names. A target is a
//! function that panics where a promise is broken; each has a slower way of its own to know better. `tests/fuzz` runs them.
#![no_main]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a target's way to speak is to panic"
)]

mod callback;
mod challenge;
mod config;
mod fields;
mod headers;
mod heads;
mod message;
mod path;
mod problem;
mod routes;
mod seal;
mod stand;
mod streams;
mod upstream;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 10] = [
    ("callback", callback::target),
    ("challenge", challenge::target),
    ("config", config::target),
    ("headers", headers::target),
    ("heads", heads::target),
    ("path", path::target),
    ("problem", problem::target),
    ("routes", routes::target),
    ("seal", seal::target),
    ("streams", streams::target),
];

#[expect(clippy::disallowed_methods, reason = "no configuration here")]
static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    let chosen = TARGETS.iter().find(|(known, _)| *known == name);
    chosen.expect("TARGET names a target").1
});

fuzz_target!(|input: &[u8]| CHOSEN(input));
