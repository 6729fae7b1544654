//! `health`: asks the running gateway whether it is ready.

use url::Url;

use super::exit::{Exit, Failure};
use super::{ask, print};

pub(super) fn run(base: &str) -> Result<(), Failure> {
    let url = Url::parse(base).ok().filter(|url| url.scheme() == "http");
    let url = url.ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("--url {base}: it is the admin listener's base, such as http://127.0.0.1:9090"),
        )
    })?;
    let reply = ask::get(&url, "/readyz?verbose", &[]).map_err(|error| {
        Failure::new(
            Exit::Unavailable,
            format!("{base} does not answer: {error}"),
        )
    })?;
    match reply.status {
        200 => print::line("ready"),
        _ => Err(Failure::new(
            Exit::Unavailable,
            format!("not ready\n{}", reply.body.trim()),
        )),
    }
}
