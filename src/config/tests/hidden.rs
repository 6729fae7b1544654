//! What may be a secret is never shown, and secrets come from where they should.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::{Environment, ExitKind, Problems, load};
use super::{SOUND, environment, read, read_with};
use crate::secret::Secret;

fn shown(problems: &Problems) -> String {
    let json = serde_json::to_string(problems).unwrap();
    format!(
        "{problems}\n{problems:?}\n{}\n{json}",
        problems.render(true)
    )
}

#[test]
fn a_secret_in_line_is_refused_and_not_shown() {
    for text in [
        "[pleo]\nclient_secret = \"canary\"",
        "[pleo]\nclient_secret = '''\ncanary\n'''",
        "[pleo]\nclient_secret = { value = \"canary\" }",
        "[pleo]\nclient_secret = { file = \"x\", env = \"canary\" }",
        "[pleo]\nclient_secret = [\"canary\"]",
        "[pleo]\nclient_secert = \"canary\"",
        "[pleo]\nclient_secret = canary",
        "[pleo]\nclient_secret = \"canary",
        "[pleo]\nclient_secret = \"\"\"\ncanary",
        "[pleo]\nclient_secret = \"\"\"canary\n",
        "[pleo]\nclient_secret = \"\"\"\ncanary==\n",
        "[pleo]\nclient_secret = '''\n\n[canary]\n",
        "[pleo]\nclient_secret \"canary\"",
        "[pleo\nclient_secret = \"canary\"",
        "pleo = { client_secret = \"canary\", x = }",
        "pleo = { client_id = 1, client_secret = \"canary\" }",
        "[pleo]\ntoken_url = \"https://user:canary@pleo.example\"\nenvironment = \"custom\"",
        "[store]\npostgres = \"postgres://user:canary@db\"",
        "[store]\nsealing_keys = [\"canary\"]",
        "[admin]\ntoken = \"canary\"",
        "[[callers]]\nname = \"a\"\ntenants = [\"t\"]\nkey_sha256 = [\"canary\"]",
    ] {
        let problems = read(&format!("{SOUND}{text}")).unwrap_err();
        assert!(
            !shown(&problems).contains("canary"),
            "{text}\n{}",
            shown(&problems)
        );
    }
    let problems = read(&format!("{SOUND}[pleo]\nclient_secret = \"canary\"")).unwrap_err();
    assert!(
        problems.to_string().contains("write { file = \"…\" }"),
        "{problems}"
    );
    let problem = problems.iter().next().unwrap();
    assert_eq!((problem.line, problem.column), (Some(9), Some(17)));
}

#[test]
fn a_variable_with_a_plain_secret_is_refused_and_not_shown() {
    for value in ["canary", "\"canary\""] {
        let vars = [("PLEO_GATEWAY_PLEO__CLIENT_SECRET", value)];
        let problems = read_with(SOUND, &vars).unwrap_err();
        let text = shown(&problems);
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("PLEO_GATEWAY_PLEO__CLIENT_SECRET"), "{text}");
        assert!(text.contains("{ env = "), "{text}");
    }
}

#[test]
fn settings_and_environment_print_no_secret() {
    let vars = [
        ("PLEO_GATEWAY_PLEO__CLIENT_SECRET", "{ env = \"S\" }"),
        ("S", "canary\n"),
    ];
    let settings = read_with(SOUND, &vars).unwrap();
    assert_eq!(settings.pleo.client_secret, Secret::new("canary"));
    assert!(!format!("{settings:?}").contains("canary"));
    assert!(!format!("{:?}", environment(&vars)).contains("canary"));
}

fn with_file(folder: &Path, mode: u32) -> Result<(), Problems> {
    let secret = folder.join("client-secret");
    fs::write(&secret, "canary\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
    let file = folder.join("gateway.toml");
    let text = "[pleo]\nclient_secret = { file = \"client-secret\" }";
    fs::write(&file, format!("{SOUND}{text}")).unwrap();
    let settings = load(&file, &Environment::default()).map_err(|broken| broken.problems)?;
    assert_eq!(settings.pleo.client_secret, Secret::new("canary"));
    Ok(())
}

#[test]
fn a_secret_file_is_found_beside_the_configuration_and_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    with_file(folder.path(), 0o600).unwrap();
    let problems = with_file(folder.path(), 0o644).unwrap_err();
    assert_eq!(problems.exit_kind(), ExitKind::Permission);
    let text = shown(&problems);
    assert!(text.contains("chmod 600"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

/// What `serve` would refuse when it needs the file.
#[test]
fn the_files_where_secrets_are_by_default_are_checked_if_they_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    fs::write(&file, SOUND).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let found = |name: &str, text: &str, mode: u32| {
        let secret = folder.path().join("data").join(name);
        fs::write(&secret, text).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        let read = load(&file, &Environment::default());
        fs::remove_file(secret).unwrap();
        read.map(drop).map_err(|broken| broken.problems)
    };
    for (name, key) in [
        ("admin.token", "admin.token"),
        ("sealing.key", "store.sealing_keys"),
    ] {
        found(name, "canary\n", 0o600).unwrap();
        let open = found(name, "canary\n", 0o644).unwrap_err();
        assert_eq!(open.exit_kind(), ExitKind::Permission, "{open}");
        assert!(open.iter().all(|problem| problem.key == key), "{open}");
        let empty = found(name, "\n", 0o600).unwrap_err();
        assert_eq!(empty.exit_kind(), ExitKind::Configuration, "{empty}");
        assert_eq!(empty.len(), 1, "{empty}");
    }
}

/// What comes through a pipe comes once.
#[test]
fn a_pipe_is_left_to_whoever_needs_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let text = format!("{SOUND}[admin]\ntoken = {{ file = '{}' }}", pipe.display());
    read(&text).unwrap();
}

#[test]
fn the_authorities_of_a_database_are_read() {
    let url = "postgres://u@db.example/d?sslrootcert=/nowhere/ca.pem";
    let text = format!("{SOUND}[store]\npostgres = {{ env = \"DB\" }}");
    let problems = read_with(&text, &[("DB", url)]).unwrap_err();
    assert!(
        problems.to_string().contains("/nowhere/ca.pem"),
        "{problems}"
    );
}

#[test]
fn a_missing_secret_is_a_configuration_problem() {
    let text = format!("{SOUND}[pleo]\nclient_secret = {{ file = \"none\" }}");
    let problems = read(&text).unwrap_err();
    assert_eq!(problems.exit_kind(), ExitKind::Configuration);
    assert!(
        problems
            .to_string()
            .contains("there is no file /etc/gateway/none"),
        "{problems}"
    );
}

#[test]
fn a_credential_is_read_from_the_folder_that_systemd_names() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pleo"), "canary").unwrap();
    let text = format!("{SOUND}[pleo]\nclient_secret = {{ credential = \"pleo\" }}");
    let vars = [("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())];
    let settings = read_with(&text, &vars).unwrap();
    assert_eq!(settings.pleo.client_secret, Secret::new("canary"));
    let problems = read(&text).unwrap_err();
    assert!(
        problems.to_string().contains("LoadCredential="),
        "{problems}"
    );
    let problems = read_with(&text.replace("\"pleo\"", "\"../pleo\""), &vars).unwrap_err();
    assert!(problems.to_string().contains("is no path"), "{problems}");
}

#[test]
fn a_file_that_cannot_be_read_says_what_to_do() {
    let unread = |path: &Path| {
        let broken = load(path, &Environment::default()).unwrap_err();
        broken.problems
    };
    let folder = tempfile::tempdir().unwrap();
    let (circle, binary) = (folder.path().join("circle"), folder.path().join("binary"));
    std::os::unix::fs::symlink(&circle, &circle).unwrap();
    fs::write(&binary, b"version = 1 # \xff").unwrap();
    for (path, remedy) in [
        (folder.path(), "name the file that is in it"),
        (&circle, "name a file that can be read"),
        (&binary, "in UTF-8"),
    ] {
        let problems = unread(path);
        assert!(problems.to_string().contains(remedy), "{problems}");
    }
    fs::write(&binary, b"version = 1\nclient_secret = \"canary\xff\"").unwrap();
    let problems = unread(&binary);
    assert!(problems.to_string().contains("binary:2:24: "), "{problems}");
    assert!(!shown(&problems).contains("canary"), "{problems}");
    let problems = unread(Path::new("/nowhere/gateway.toml"));
    assert_eq!(problems.exit_kind(), ExitKind::Configuration);
    assert!(problems.render(false).contains("-c"), "{problems}");
}
