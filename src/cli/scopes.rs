//! `scopes suggest`: what callers need according to the access log, as TOML to paste. Nothing is changed or sent.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};

use super::arguments::Scopes;
use super::exit::{Exit, Failure};
use super::{print, session};
use crate::app::suggest::{Observed, Suggestion};

pub(super) fn run(config: Option<PathBuf>, command: &Scopes) -> Result<(), Failure> {
    let Scopes::Suggest { log, refused } = command;
    let (settings, text) = session::load_with_text(config)?;
    let file = toml::from_str(&text).map_err(|error| Failure::of(Exit::Configuration, &error))?;
    let observed = read(log)?;
    let suggestion = Suggestion::of((&settings.snapshot, &file), &observed, *refused)
        .map_err(|error| Failure::of(Exit::Data, &error))?;
    print::line(&format!(
        "# From {} lines of the access log, in place of every [[callers]] and [[routes]] of {}.\n\
         # Pasted, it enforces: take `observe = true` out of [proxy] too. Then `plan -c NEW` shows what changes, and\n\
         # which scopes connections lack.",
        observed.lines,
        one_line(&settings.file.display().to_string())
    ))?;
    for remark in &suggestion.remarks {
        print::line(&format!("# {}", one_line(remark)))?;
    }
    print::line(suggestion.to_string().trim_end())
}

/// What others wrote, so that it stays in its comment.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn read(log: &Path) -> Result<Observed, Failure> {
    let observed = open(log)
        .and_then(Observed::read)
        .map_err(|error| unreadable(log, &error))?;
    match observed.others {
        Some((count, first)) if observed.lines > 0 => print::remark(&format!(
            "{count} lines are not of the access log, line {first} is the first: passed over"
        )),
        _ => {}
    }
    if observed.beyond > 0 {
        print::remark(&format!(
            "{} calls are passed over: there are more kinds of them than callers and operations make",
            observed.beyond
        ));
    }
    if observed.lines > 0 {
        return Ok(observed);
    }
    let what = match observed.others {
        None => "is empty",
        Some(_) => "has no line of the access log",
    };
    let words = format!(
        "{} {what}: the gateway writes it to standard output, one JSON object a line, unless [log] access is false",
        log.display()
    );
    Err(Failure::new(Exit::Data, words))
}

fn open(log: &Path) -> io::Result<Box<dyn BufRead>> {
    if log != Path::new("-") {
        return Ok(Box::new(BufReader::new(File::open(log)?)));
    }
    if io::stdin().is_terminal() {
        print::remark("Reading the access log from standard input; --log names a file.");
    }
    Ok(Box::new(io::stdin().lock()))
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Io,
        format!("{} cannot be read: {error}", file.display()),
    )
}
