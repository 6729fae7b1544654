//! `man`: one page with every command, its options, exit codes, files and variables. What the commands are is in
//! `arguments`.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::arguments::Arguments;
use super::exit::{Exit, Failure, MEANINGS};
use super::print;

const FILES: [(&str, &str); 6] = [
    (
        "config/gateway.toml, /etc/pleo-gateway/gateway.toml",
        "The configuration, unless -c names it. Paths in it, and data, are relative to its folder. \
         The command schema --reference prints every key with its default.",
    ),
    (
        "data/gateway.db",
        "The store: connections with their sealed tokens, ledger, audit, links. Without it every tenant has to consent again.",
    ),
    (
        "data/sealing.key",
        "Opens the store. Keep a copy where the store's backups are not.",
    ),
    (
        "data/admin.token",
        "What operators present at the admin listener; made at the first start.",
    ),
    (
        "data/salvage/",
        "Pairs that the store did not take, sealed. Nothing in it is to be removed by hand.",
    ),
    (
        "config/pleo/operations.csv",
        "In the source: the catalogue of Pleo's operations and their scopes, which is compiled in.",
    ),
];

const ENVIRONMENT: [(&str, &str); 7] = [
    (
        "PLEO_GATEWAY_<SECTION>__<KEY>",
        "Overrides a key of a section, such as PLEO_GATEWAY_REFRESH__AHEAD=5m. Lists and tables are written as in TOML.",
    ),
    ("RUST_LOG", "Overrides [log] level."),
    ("NO_COLOR", "If it is not empty, nothing is coloured."),
    (
        "CREDENTIALS_DIRECTORY",
        "Where systemd puts the secrets that the configuration names by credential.",
    ),
    (
        "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES",
        "Sockets that systemd hands over.",
    ),
    (
        "SSL_CERT_FILE, SSL_CERT_DIR",
        "Replace the system's certificate authorities.",
    ),
    (
        "OTEL_*",
        "Where traces go and how, as OpenTelemetry defines them, if [telemetry] does not say so.",
    ),
];

/// The page, as roff.
pub(super) fn run() -> Result<(), Failure> {
    let page = page().map_err(|error| Failure::of(Exit::Internal, &error))?;
    print::line(page.trim_end())
}

fn page() -> io::Result<String> {
    let mut command = Arguments::command();
    command.build();
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let mut page = String::from_utf8_lossy(&text).into_owned();
    page.push_str(".SH COMMANDS\n");
    commands(&command, "", &mut page)?;
    page.push_str(".SH EXIT STATUS\n");
    let codes = MEANINGS.map(|(exit, meaning)| ((exit as u8).to_string(), meaning));
    terms(
        codes
            .iter()
            .map(|(code, meaning)| (code.as_str(), *meaning)),
        &mut page,
    );
    page.push_str(".SH FILES\n");
    terms(FILES.into_iter(), &mut page);
    page.push_str(".SH ENVIRONMENT\n");
    terms(ENVIRONMENT.into_iter(), &mut page);
    Ok(page)
}

/// Every command below this one: how it is called, what it does, its own options and arguments.
fn commands(parent: &Command, before: &str, page: &mut String) -> io::Result<()> {
    let own = parent
        .get_subcommands()
        .filter(|command| command.get_name() != "help");
    for command in own {
        let name = format!("{before}{}", command.get_name());
        if command.has_subcommands() {
            commands(command, &format!("{name} "), page)?;
            continue;
        }
        let man = Man::new(command.clone().mut_args(|argument| {
            let is_everywhere = ["config", "help", "version"].contains(&argument.get_id().as_str());
            argument.hide(is_everywhere)
        }));
        page.push_str(&[".SS \"", &escaped(&name), "\"\n"].concat());
        page.push_str(&inner(
            |text| man.render_synopsis_section(text),
            "SYNOPSIS",
        )?);
        page.push_str(".PP\n");
        page.push_str(&inner(
            |text| man.render_description_section(text),
            "DESCRIPTION",
        )?);
        page.push_str(&inner(|text| man.render_options_section(text), "OPTIONS")?);
    }
    Ok(())
}

/// A section without its heading; nothing if there is none.
fn inner(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>, heading: &str) -> io::Result<String> {
    let mut text = Vec::new();
    render(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let inner = text.split_once(&format!(".SH {heading}\n"));
    Ok(inner.map_or(String::new(), |(_, inner)| inner.to_owned()))
}

fn terms<'t>(terms: impl Iterator<Item = (&'t str, &'t str)>, page: &mut String) {
    for (term, meaning) in terms {
        let (term, meaning) = (escaped(term), escaped(meaning));
        page.push_str(&[".TP\n\\fB", &term, "\\fR\n", &meaning, "\n"].concat());
    }
}

/// Hyphens as they are typed.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page as a reader sees it, more or less.
    fn plain() -> String {
        let page = page().unwrap();
        let page = page.replace("\\-", "-").replace("\\*(Aq", "'");
        ["\\fB", "\\fI", "\\fR"]
            .iter()
            .fold(page, |page, font| page.replace(font, ""))
    }

    fn every(command: &Command, before: &str, told: &mut Vec<String>) {
        for command in command
            .get_subcommands()
            .filter(|command| command.get_name() != "help")
        {
            let name = format!("{before}{}", command.get_name());
            if command.has_subcommands() {
                every(command, &format!("{name} "), told);
                continue;
            }
            told.push(format!(".SS \"{name}\"\npleo-gateway {name}"));
            let flags = command
                .get_arguments()
                .filter_map(|argument| argument.get_long());
            told.extend(flags.map(|flag| format!("--{flag}")));
            let helps = command
                .get_arguments()
                .filter_map(|argument| argument.get_help());
            told.extend(helps.map(ToString::to_string));
        }
    }

    #[test]
    fn every_command_option_code_and_file_is_on_the_page() {
        let mut told = Vec::new();
        let mut command = Arguments::command();
        command.build();
        every(&command, "", &mut told);
        assert!(told.len() > 60, "{told:?}");
        told.extend(
            [64, 65, 69, 70, 74, 75, 77, 78, 129, 130, 143].map(|code| format!("\n{code}\n")),
        );
        let words = [
            "/etc/pleo-gateway/gateway.toml",
            "PLEO_GATEWAY_<SECTION>__<KEY>",
            "NO_COLOR",
        ];
        told.extend(words.map(str::to_owned));
        let page = plain();
        for part in told {
            assert!(page.contains(&part), "{part} in {page}");
        }
    }

    #[test]
    fn it_names_no_other_page() {
        assert!(!plain().contains("(1)"));
    }
}
