//! `config/reference.toml`: the table of keys in the file's own notation, with each key's description.

use std::fmt::Write as _;

use super::keys::{FILE, Key, Shape};

const HEAD: &str = "\
#:schema schema.json
# Every key of pleo-gateway's configuration. What is live is the default, or what an example needs; what is commented out
# is optional. Not a configuration to run as it is: gateway.toml is. Made by `pleo-gateway schema --reference`.
#
# Order of precedence: flag, environment, file, default. The variable of a key is PLEO_GATEWAY_<SECTION>__<KEY>, such as
# PLEO_GATEWAY_PLEO__CLIENT_ID; lists and tables are written there as here. [[listen]], [[callers]], [[tenants]] and
# [[routes]] have no variables.
# Durations: one whole number and ms, s, m, h or d. Sizes: a whole number and B, KiB, MiB or GiB, or bytes.
# A secret is { file = \"…\" } (chmod 600), { env = \"VARIABLE\" } or { credential = \"…\" } (systemd), never the secret itself.
# Paths are relative to this file.
";

/// The column where a key's description begins, if its value leaves room.
const COLUMN: usize = 36;

/// The reference of the configuration, as TOML that loads.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for part in FILE {
        let (brackets, keys) = match part.shape {
            Shape::Table(keys) => (("[", "]"), keys),
            Shape::Tables(keys) => (("[[", "]]"), keys),
            _ => {
                text.push('\n');
                line(&mut text, &assignment(part), part.about);
                continue;
            }
        };
        let heading = format!("{}{}{}", brackets.0, part.name, brackets.1);
        text.push('\n');
        line(&mut text, &heading, part.about);
        for key in keys {
            line(&mut text, &assignment(key), &said(key));
            // A route comes from the catalogue, or has a path of its own.
            if key.name == "operations" {
                let _ = writeln!(text, "\n{heading}");
            }
        }
    }
    text
}

fn line(text: &mut String, code: &str, about: &str) {
    let _ = writeln!(text, "{code:COLUMN$}# {about}");
}

/// As the file would write it, with a blank after it.
fn assignment(key: &Key) -> String {
    let value = match (key.default, key.shape) {
        (Some(default), Shape::Integer { .. } | Shape::Boolean) => default.to_owned(),
        (Some(default), _) => format!("{default:?}"),
        (None, _) => key.example.to_owned(),
    };
    let mark = if key.shown { "" } else { "# " };
    format!("{mark}{} = {value} ", key.name)
}

fn said(key: &Key) -> String {
    match key.shape {
        Shape::Word(words) => format!("{}: {}", key.about, words.join(" | ")),
        _ => key.about.to_owned(),
    }
}
