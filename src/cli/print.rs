//! Output for people and programs: results on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::exit::{Exit, Failure};
use crate::config::Environment;

/// A result. A reader that went away (`| head`) is no failure.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let words = format!("standard output cannot be written: {error}");
            Err(Failure::new(Exit::Io, words))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A result for programs.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::of(Exit::Internal, &error))?;
    line(&text)
}

/// True if standard error shows colours, and nobody asked for none.
pub(super) fn colour(environment: &Environment) -> bool {
    std::io::stderr().is_terminal() && environment.var("NO_COLOR").is_none_or(str::is_empty)
}

/// Progress and remarks.
pub(super) fn remark(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Why the command failed.
pub(super) fn error(text: &str) {
    remark(&format!("pleo-gateway: {text}"));
}

/// Columns: a table on a terminal, tab-separated words elsewhere.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    if std::io::stdout().is_terminal() {
        let mut table = comfy_table::Table::new();
        table
            .load_style(comfy_table::presets::NOTHING)
            .set_header(head);
        table.add_rows(rows);
        return line(&table.to_string());
    }
    rows.iter().try_for_each(|row| line(&row.join("\t")))
}
