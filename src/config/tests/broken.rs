//! Broken files: every problem with its place, its key and what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::super::{Problem, ProblemKind, Problems, Settings, parse};
use super::{SOUND, read};

const CASES: &str = include_str!("broken.txt");

/// A broken file, with the variables and the files around it.
pub(super) struct Case {
    /// Before the file's own text.
    begin: &'static str,
    variables: Vec<(String, String)>,
    added: String,
    wanted: String,
    folder: TempDir,
}

impl Case {
    /// One of `broken.txt`.
    fn parse(case: &str) -> Self {
        let (text, wanted) = case.split_once("\n--- ").unwrap();
        let (variables, added): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with("$ "));
        let variables = variables.iter().map(|line| {
            let (name, value) = line[2..].split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        Self {
            begin: SOUND,
            variables: variables.collect(),
            added: added.join("\n"),
            wanted: wanted.trim_end().to_owned(),
            folder: folder(),
        }
    }

    /// A file in full.
    pub(super) fn whole(text: &str, variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            begin: "",
            variables: variables.iter().map(owned).collect(),
            added: text.to_owned(),
            wanted: String::new(),
            folder: folder(),
        }
    }

    pub(super) fn text(&self) -> String {
        format!("{}{}", self.begin, self.added)
    }

    /// What is broken, as it stands in `broken.txt`.
    pub(super) fn title(&self) -> String {
        let variables = self
            .variables
            .iter()
            .map(|(name, value)| format!("$ {name}={value}\n"));
        format!("{}{}", variables.collect::<String>(), self.added.trim_end())
    }

    pub(super) fn read(&self) -> Result<Settings, Problems> {
        let environment = self.variables.iter().cloned().collect();
        parse(
            &self.folder.path().join("gateway.toml"),
            &self.text(),
            &environment,
        )
        .map_err(|broken| broken.problems)
    }

    /// The folder has another name each time.
    pub(super) fn hide_folder(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "/etc/gateway")
    }
}

/// Where a broken file lies: `open` is a secret that others can read, `empty` one with nothing in it, `cert.pem` and
/// `key.pem` belong together, `other.pem` is another key, `text.pem` is no PEM, `loose` is a folder with an open sealing key.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let asked = CertificateParams::new(["localhost".to_owned()]).unwrap();
    write("cert.pem", &asked.self_signed(&own).unwrap().pem(), 0o644);
    write("key.pem", &own.serialize_pem(), 0o600);
    write("other.pem", &other.serialize_pem(), 0o600);
    write("text.pem", "canary\n", 0o600);
    write("open", "canary\n", 0o644);
    write("empty", "\n", 0o600);
    fs::create_dir(folder.path().join("loose")).unwrap();
    write("loose/sealing.key", "canary\n", 0o644);
    folder
}

pub(super) fn cases() -> Vec<Case> {
    (CASES.split("\n\n"))
        .filter(|case| !case.starts_with('#'))
        .map(Case::parse)
        .collect()
}

/// Requirement 118: a configuration is checked whole before it is used.
#[test]
fn every_broken_file_is_reported_with_place_key_and_remedy() {
    let cases = cases();
    assert!(cases.len() > 95, "{}", cases.len());
    for case in cases {
        let parts: Vec<&str> = case.wanted.split(" | ").collect();
        let [place, message, remedy] = parts[..] else {
            panic!("{}", case.title());
        };
        let problems = case.read().unwrap_err();
        let found = problems
            .iter()
            .any(|p| at(p) == place && p.message.contains(message) && p.remedy.contains(remedy));
        let title = case.title();
        assert!(found && problems.len() == 1, "{title}\ngot:\n{problems}");
        assert!(problems.render(false).contains(remedy), "{title}");
    }
}

/// Where it is; a problem of a variable is at the variable.
fn at(problem: &Problem) -> String {
    if let Some(variable) = &problem.variable {
        return format!(
            "{variable} {}",
            if problem.key.is_empty() {
                "-"
            } else {
                &problem.key
            }
        );
    }
    let (line, column) = (problem.line.unwrap_or(0), problem.column.unwrap_or(0));
    let key = if problem.key.is_empty() {
        "-"
    } else {
        &problem.key
    };
    format!("{line}:{column} {key}")
}

#[test]
fn what_is_no_digest_is_placed_and_not_shown() {
    const KEY: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    for (digest, message) in [
        (&KEY[1..], "63 characters"),
        (&KEY.to_uppercase(), "upper-case"),
        (&KEY.replace('9', "x"), "no hex digit"),
    ] {
        let text = format!(
            "{SOUND}[[callers]]\nname = \"a\"\nkey_sha256 = [\"{digest}\"]\ntenants = [\"t\"]"
        );
        let problems = read(&text).unwrap_err();
        let problem = problems.iter().next().unwrap();
        assert_eq!((problem.line, problem.column), (Some(10), Some(15)));
        assert_eq!(problem.key, "callers[1].key_sha256[0]");
        assert!(problem.message.contains(message), "{problem}");
        assert!(!problems.render(false).contains(digest), "{digest}");
    }
    let text = format!(
        "{SOUND}[[callers]]\nname = \"a\"\nkey_sha256 = [\"{KEY}\", \"{KEY}\"]\ntenants = [\"t\"]"
    );
    assert!(
        read(&text)
            .unwrap_err()
            .to_string()
            .contains("write each digest once")
    );
}

#[test]
fn what_is_missing_from_the_whole_file_is_said() {
    let problems = read("").unwrap_err();
    let text = problems.to_string();
    assert!(
        text.contains("`version` is missing; write `version = …`"),
        "{text}"
    );
    assert!(
        text.contains("listen: there is no door for callers; write [[listen]]"),
        "{text}"
    );
    let version = read(&SOUND.replace("version = 1", "version = 2")).unwrap_err();
    assert!(
        version
            .to_string()
            .contains(":1:11: version: 2 is out of bounds"),
        "{version}"
    );
}

#[test]
fn a_known_environment_needs_a_client_and_a_custom_one_its_urls() {
    let problems = read(&format!("{SOUND}[pleo]\nenvironment = \"production\"")).unwrap_err();
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(keys, ["pleo.client_id", "pleo.client_secret"]);
    let text = "[pleo]\nenvironment = \"custom\"\ntoken_url = \"http://pleo.example/token\"";
    let problems = read(&format!("{SOUND}{text}")).unwrap_err();
    for key in ["authorize_url", "token_url", "introspect_url", "api_url"] {
        assert!(
            problems.iter().any(|p| p.key == format!("pleo.{key}")),
            "{key}\n{problems}"
        );
    }
}

#[test]
fn a_door_beyond_loopback_needs_callers_who_can_show_who_they_are() {
    let door = "version = 1\n[[listen]]\naddress = \"0.0.0.0:8080\"\n";
    let uid = "[[callers]]\nname = \"a\"\nunix_uid = [1]\ntenants = [\"t\"]\n";
    for text in [door.to_owned(), format!("{door}{uid}")] {
        let problems = read(&text).unwrap_err();
        let problem = problems.iter().next().unwrap();
        assert_eq!(problem.key, "listen[0].address");
        assert!(
            problem.message.contains("open beyond loopback"),
            "{problem}"
        );
    }
}

#[test]
fn an_anonymous_caller_has_named_tenants() {
    let text = SOUND.replace("[\"demo\"]", "[\"*\"]");
    let problems = read(&text).unwrap_err();
    assert!(
        problems
            .to_string()
            .contains(":7:11: callers[0].tenants: an anonymous caller"),
        "{problems}"
    );
}

#[test]
fn every_problem_is_reported_at_once_in_the_order_of_the_file() {
    let text = format!(
        "{SOUND}x = 1\n[limits]\nidle_timeout = \"x\"\nmax_headers = true\n[log]\nformat = \"xml\""
    );
    let problems = read(&text).unwrap_err();
    let places: Vec<_> = problems.iter().map(|p| (p.line, p.kind)).collect();
    let expected = [
        (Some(8), ProblemKind::Unknown),
        (Some(10), ProblemKind::Invalid),
        (Some(11), ProblemKind::Invalid),
        (Some(13), ProblemKind::Invalid),
    ];
    assert_eq!(places, expected, "{problems}");
}

/// A file of another kind, named by mistake.
#[test]
fn of_errors_of_the_form_a_hundred_are_listed_and_the_others_counted() {
    let problems = read(&"this is not toml\n".repeat(5_000)).unwrap_err();
    assert_eq!(problems.len(), 101);
    let last = problems.iter().last().unwrap();
    assert!(last.message.starts_with("more like these"), "{last}");
    let text = read(&"a b\n".repeat(7)).unwrap_err().to_string();
    assert!(!text.contains("more like these"), "{text}");
}

#[test]
fn one_problem_hides_no_other() {
    for (text, keys) in [
        (
            "[[listen]]\naddress = \"bad\"\ntenant = \"BAD\"\nhosts = [\"http://x\"]\ntls = { key_file = \"none\", client_ca_file = \"none\" }",
            &[
                "listen[1].address",
                "listen[1].tenant",
                "listen[1].hosts[0]",
                "listen[1].tls",
                "listen[1].tls.key_file",
                "listen[1].tls.client_ca_file",
            ][..],
        ),
        (
            "[pleo]\nredirect_uri = \"x\"\n[admin]\nlisten = \"127.0.0.1:8081\"\ntoken = { env = \"NONE\" }",
            &["pleo.redirect_uri", "admin.listen", "admin.token"],
        ),
        (
            "[store]\npostgres = { env = \"NONE\" }\nsalvage = \"\"\nhigh_water = \"\"",
            &["store.postgres", "store.salvage", "store.high_water"],
        ),
        (
            "[admin]\ntoken = { env = \"NONE\" }\nlisten = \"x\"\ntls = { cert_file = \"none\" }",
            &[
                "admin.token",
                "admin.listen",
                "admin.tls",
                "admin.tls.cert_file",
            ],
        ),
    ] {
        let problems = read(&format!("{SOUND}{text}")).unwrap_err();
        let found: Vec<&str> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(found, keys, "{problems}");
    }
}

#[test]
fn a_database_is_one_and_its_url_is_checked_without_being_shown() {
    let shown = |more: &str, url: &str| {
        let text = format!("{SOUND}[store]\npostgres = {{ env = \"DB\" }}\n{more}");
        let problems = super::read_with(&text, &[("DB", url)]).unwrap_err();
        let text = problems.render(false);
        assert!(!text.contains("canary"), "{text}");
        text
    };
    let both = shown("sqlite = \"x\"", "postgres://u:canary@h/d");
    assert!(both.contains("there are two databases"), "{both}");
    let url = shown("", "postgres//u:canary@h/d");
    assert!(url.contains("postgres://user:password@host"), "{url}");
    let mode = shown("", "postgres://u:canary@h/d?sslmode=prefer");
    assert!(mode.contains("sslmode"), "{mode}");
}

#[test]
fn a_certificate_needs_its_key_and_the_key_is_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("open.pem");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let tls = |files: &str| {
        let text = format!("{SOUND}[connect]\ntls = {{ {files} }}");
        read(&text.replace("PEM", path.to_str().unwrap())).unwrap_err()
    };
    let problems = tls("cert_file = 'PEM'");
    let problem = problems.iter().next().unwrap();
    assert_eq!(at(problem), "9:7 connect.tls");
    assert!(
        problem.message.contains("`key_file` is missing"),
        "{problem}"
    );
    let problems = tls("cert_file = 'PEM', key_file = 'PEM'");
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.key, "connect.tls.key_file");
    assert_eq!(problem.kind, ProblemKind::Permission);
    let problems = tls("cert_file = 'PEM', key_file = 'PEM', client_ca_file = 'PEM'");
    assert!(
        problems
            .to_string()
            .contains("connect.tls.client_ca_file: unknown key"),
        "{problems}"
    );
}
