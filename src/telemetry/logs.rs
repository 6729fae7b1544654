//! Our own log: where it goes and what it looks like. What is worth a line is decided where it happens; the access log is
//! not here (`telemetry::access_log`).

use std::io::{self, IsTerminal, Write};

use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer};

/// How a line looks (`[log].format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// The filter cannot be read: `RUST_LOG`'s grammar is `level` or `target=level,…`.
#[derive(Debug, thiserror::Error)]
#[error("the log level cannot be read")]
pub struct InvalidFilter(#[source] ParseError);

/// Starts logging to standard error, filtered in `RUST_LOG`'s grammar. The first call in a process decides, later ones
/// change nothing.
pub fn start(format: Format, filter: &str) -> Result<(), InvalidFilter> {
    let subscriber = subscriber(format, filter, || OneLine(io::stderr()))?;
    // The error says only that there is one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// Starts reporting on standard error what `filter` lets through of what a command does: warnings and errors in words, and
/// the audit as the gateway's log has it. People are told in words what was done: a terminal does not get the audit.
pub fn start_command(format: Format, filter: &str) -> Result<(), InvalidFilter> {
    let filter = EnvFilter::builder().parse(filter).map_err(InvalidFilter)?;
    let lines = || {
        tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(|| OneLine(io::stderr()))
    };
    let warnings = lines().without_time().with_target(false);
    let mut said = vec![warnings.with_filter(LevelFilter::WARN).boxed()];
    if !io::stderr().is_terminal() {
        let audit = match format {
            Format::Json => lines().json().flatten_event(true).boxed(),
            Format::Text => lines().boxed(),
        };
        let is_audit = filter_fn(|event| event.target() == "audit");
        said.push(audit.with_filter(is_audit).boxed());
    }
    let subscriber = tracing_subscriber::registry().with(filter).with(said);
    // The error says only that there is one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

fn subscriber<W>(
    format: Format,
    filter: &str,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, InvalidFilter>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(filter).map_err(InvalidFilter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(writer);
    Ok(match format {
        Format::Json => Box::new(lines.json().flatten_event(true).finish()),
        Format::Text => Box::new(lines.finish()),
    })
}

/// Keeps an event on one line and free of control bytes, so that nobody can forge a line or drive a terminal (CWE-117).
/// An event arrives whole, in one write that ends with a line feed.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = event.strip_suffix(b"\n").unwrap_or(event);
        if !text.iter().any(u8::is_ascii_control) {
            self.0.write_all(event)?;
            return Ok(event.len());
        }
        let mut line = Vec::with_capacity(event.len() + 16);
        for byte in text {
            if byte.is_ascii_control() {
                line.extend(byte.escape_ascii());
            } else {
                line.push(*byte);
            }
        }
        line.push(b'\n');
        self.0.write_all(&line)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::access_log::tests::Sink;
    use super::*;

    fn logged(format: Format, filter: &str, work: impl FnOnce()) -> String {
        let sink = Sink::default();
        let into = sink.clone();
        let subscriber = subscriber(format, filter, move || OneLine(into.clone())).unwrap();
        tracing::subscriber::with_default(subscriber, work);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// Requirement 74.
    #[test]
    fn a_line_cannot_be_forged() {
        for format in [Format::Json, Format::Text] {
            let said = logged(format, "info", || {
                tracing::info!(text = %"a\n\u{1b}[31mb\r\u{7f}", "said");
            });
            assert_eq!(said.matches('\n').count(), 1, "{said}");
            let bare = said.trim_end_matches('\n');
            assert!(!bare.chars().any(char::is_control), "{bare:?}");
        }
    }

    #[test]
    fn json_lines_are_json() {
        let said = logged(Format::Json, "info", || {
            tracing::info!(tenant = "acme", "hello");
        });
        let line: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(line["tenant"], "acme");
        assert_eq!(line["message"], "hello");
    }

    #[test]
    fn what_the_filter_leaves_out_is_not_said() {
        let said = logged(Format::Text, "warn", || {
            tracing::info!("quiet");
        });
        assert_eq!(said, "");
        assert!(start(Format::Text, "no=such=thing").is_err());
    }
}
