//! A test's own folder. At its end every file in it is searched, except those that hold a secret by their nature: what these
//! hold is looked for in all others.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Once;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use super::forms::{Form, forms};
use super::{found_among, heard};

/// How the name of a file ends that holds a secret by its nature: of the OAuth client, a sealing or TLS key, the operators'
/// token.
const SECRET_ENDINGS: [&str; 3] = ["secret", ".key", ".token"];
/// The same, where the secrets have a known stem: the URL of a database, pairs to import, a configuration against the rules.
const PLANTED_ENDINGS: [&str; 3] = [".url", ".jsonl", "-with-a-secret.toml"];

/// What is shorter is not told from other words.
const LEAST_SECRET: usize = 8;

/// A folder. Dropped by a test that is well, it is searched; then it is removed.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        allow_core_files();
        heard::listen();
        let mut folder = tempfile::Builder::new();
        Self(folder.prefix("pleo-test-").tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// What should not be here: a secret, or a core file; these also where the tests run.
    fn wrong(&self) -> Option<String> {
        let files = files(self.path());
        let (secret, others): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| is_secret(file));
        let own: Vec<_> = secret.iter().flat_map(|file| secrets_of(file)).collect();
        let texts = others.iter().filter(|file| !is_program(file));
        let texts = texts.filter_map(|file| {
            let text = content(file)?;
            Some((file.display().to_string(), text))
        });
        let cores = others.iter().filter(|file| is_core(file)).cloned();
        let cores: Vec<_> = cores.chain(left_in_the_repository()).collect();
        let core = (!cores.is_empty()).then(|| format!("core files: {cores:?}"));
        core.or_else(|| found_among(&own, texts))
            .or_else(heard::first)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Some(wrong) = self.wrong() {
            if tokio::task::try_id().is_some() {
                // the panic of a task is heard by nobody
                heard::keep(wrong.clone());
            }
            panic!("{wrong}");
        }
    }
}

/// As many bytes as the machine allows, so that who would leave a core file does.
fn allow_core_files() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let allowed = getrlimit(Resource::Core);
        let most = Rlimit {
            current: allowed.maximum,
            ..allowed
        };
        setrlimit(Resource::Core, most).unwrap();
    });
}

/// What an ELF file says it is.
fn elf(file: &Path) -> Option<u8> {
    let mut head = [0; 18];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut head));
    (read.is_ok() && head.starts_with(b"\x7fELF")).then_some(head[16])
}

fn is_core(file: &Path) -> bool {
    elf(file) == Some(4)
}

/// A program or a library: a copy of the binary holds the sandbox's words.
fn is_program(file: &Path) -> bool {
    matches!(elf(file), Some(2 | 3))
}

/// Where programs dump that run in the tests' own folder, and the kernel is not told otherwise.
fn left_in_the_repository() -> Vec<PathBuf> {
    let names = fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap().flatten();
    let is_core = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name == "core" || name.starts_with("core.")
    };
    names.map(|name| name.path()).filter(is_core).collect()
}

fn ends_with(file: &Path, endings: &[&str]) -> bool {
    let name = file.to_string_lossy();
    endings.iter().any(|ending| name.ends_with(ending))
}

fn is_secret(file: &Path) -> bool {
    ends_with(file, &SECRET_ENDINGS) || ends_with(file, &PLANTED_ENDINGS)
}

/// Every file in the folder; no sockets, and nothing that is gone meanwhile.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let kind = entry.file_type();
        match kind {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// What is in a file; none if a process that still runs has removed it.
fn content(file: &Path) -> Option<Vec<u8>> {
    match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
            Some(fs::read(file).unwrap())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        read => Some(read.unwrap()),
    }
}

/// What makes a secret file one.
fn secrets_of(file: &Path) -> Vec<Form> {
    let text = content(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let words = match () {
        () if ends_with(file, &PLANTED_ENDINGS) => Vec::new(),
        // the first line is how every key begins
        () if text.starts_with("-----BEGIN") => text.lines().skip(2).take(1).collect(),
        () => text
            .split_whitespace()
            .map(|word| word.rsplit(':').next().unwrap_or(word))
            .collect(),
    };
    let words = words.into_iter().filter(|word| word.len() >= LEAST_SECRET);
    let both = |word: &str| {
        let raw = URL_SAFE_NO_PAD.decode(word).unwrap_or_default();
        [word.as_bytes().to_vec(), raw]
    };
    let secrets = words
        .flat_map(both)
        .filter(|secret| secret.len() >= LEAST_SECRET);
    secrets.flat_map(|secret| forms(&name, &secret)).collect()
}
