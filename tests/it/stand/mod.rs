//! A stand for tests of the refresh protocol: a strict sandbox inside the test, a folder with a configuration, and the real
//! binary for commands. Running gateways are in `serving`, callers in `caller`. What is promised is not here.

pub(crate) mod caller;
pub(crate) mod cluster;
pub(crate) mod dice;
pub(crate) mod hog;
pub(crate) mod serving;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use pleo_gateway::drain::Tasks;
use pleo_gateway::sandbox::{self, Minted, Options};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use self::cluster::Cluster;
use crate::canary::{self, Home};
use crate::harness::free_port;

/// The one caller's key.
pub(crate) const KEY: &str = "pgw_stand-canary-caller-key-0123456789";
/// The OAuth client's secret, as the sandbox has it.
pub(crate) const CLIENT_SECRET: &str = sandbox::CLIENT_SECRET;
/// A read that needs no company.
pub(crate) const READ: &str = "/v1/companies";
/// How long an event is waited for where nothing slow is promised. Nobody waits so long where all is well.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// What a stand is made of.
pub(crate) struct Plan<'a> {
    /// Life of the sandbox's access tokens.
    pub(crate) access_ttl: Duration,
    /// The tenants that the caller may use.
    pub(crate) tenants: &'a [&'a str],
    /// Lines of `[refresh]`.
    pub(crate) refresh: &'a str,
    /// More of the configuration.
    pub(crate) more: &'a str,
    /// Where connections are kept; `SQLite` unless told otherwise.
    pub(crate) store: Store<'a>,
    /// Where refresh tokens are sent; the sandbox unless told otherwise.
    pub(crate) token_url: Option<&'a str>,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            access_ttl: Duration::from_mins(15),
            tenants: &["acme"],
            refresh: "",
            more: "",
            store: Store::Sqlite,
            token_url: None,
        }
    }
}

/// Where a stand keeps its connections.
#[derive(Clone, Copy)]
pub(crate) enum Store<'a> {
    /// In its folder.
    Sqlite,
    /// In a new database on the server that all tests share.
    Postgres,
    /// At this URL.
    At(&'a str),
}

/// A sandbox and a folder.
pub(crate) struct Stand {
    pub(crate) pleo: sandbox::Running,
    home: Arc<Home>,
    /// The database that was made for it.
    database: Option<String>,
    /// The commands so far.
    commands: AtomicUsize,
    tasks: Tasks,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn fine(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

impl Stand {
    pub(crate) async fn new(plan: Plan<'_>) -> Self {
        let tasks = Tasks::on(Handle::current());
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            access_ttl: plan.access_ttl,
            requests_per_minute: None,
            ..Options::default()
        };
        let pleo = sandbox::start(options, &tasks).await.unwrap();
        let (database, url) = match plan.store {
            Store::Sqlite => (None, None),
            Store::At(url) => (None, Some(url.to_owned())),
            Store::Postgres => tokio::task::block_in_place(|| {
                let cluster = Cluster::shared();
                let database = cluster.database();
                let url = cluster.url(&database);
                (Some(database), Some(url))
            }),
        };
        let stand = Self {
            pleo,
            home: Arc::new(Home::new()),
            database,
            commands: AtomicUsize::new(0),
            tasks,
        };
        stand.write_private("client.secret", CLIENT_SECRET);
        fs::write(stand.config(), stand.configuration(&plan)).unwrap();
        if let Some(url) = url {
            stand.write_private("database.url", &url);
            // With a server it is never made by itself.
            stand.run(&["keys", "new"], "").fine();
        }
        stand
    }

    fn configuration(&self, plan: &Plan<'_>) -> String {
        let origin = self.pleo.origin();
        let browsers = free_port();
        let token_url = plan
            .token_url
            .map_or(format!("{origin}/oauth/token"), str::to_owned);
        let mut text = format!(
            "version = 1\n[pleo]\nenvironment = \"custom\"\nclient_id = \"{client}\"\n\
             client_secret = {{ file = \"client.secret\" }}\n\
             authorize_url = \"{origin}/oauth/authorize\"\ntoken_url = \"{token_url}\"\n\
             introspect_url = \"{origin}/v1/introspect\"\napi_url = \"{origin}\"\n\
             redirect_uri = \"http://127.0.0.1:{browsers}/oauth/callback\"\n\
             [store]\n{store}\n\
             [connect]\nlisten = \"127.0.0.1:{browsers}\"\npublic_url = \"http://127.0.0.1:{browsers}\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ file = \"data/admin.token\" }}\n\
             [refresh]\n{refresh}\n[[listen]]\naddress = \"127.0.0.1:0\"\n",
            client = sandbox::CLIENT_ID,
            refresh = plan.refresh,
            store = match plan.store {
                Store::Sqlite => "sqlite = \"data/gateway.db\"",
                Store::Postgres | Store::At(_) => "postgres = { file = \"database.url\" }",
            },
        );
        let tenants = json!(plan.tenants);
        let key = hex(digest(&SHA256, KEY.as_bytes()).as_ref());
        let _ = write!(
            text,
            "[[callers]]\nname = \"erp\"\nkey_sha256 = [\"{key}\"]\ntenants = {tenants}\n\
             [[routes]]\ncatalogue = \"*\"\n{}\n",
            plan.more
        );
        text
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.home().join("gateway.toml")
    }

    fn write_private(&self, name: &str, text: &str) {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.home().join(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// The binary with this stand's configuration, and nothing of the environment that could change what it does. What it
    /// says goes to files.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pleo-gateway"));
        command.args(words).arg("-c").arg(self.config());
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        let nth = self.commands.fetch_add(1, Ordering::Relaxed);
        let file = |end: &str| File::create(self.home().join(format!("command-{nth}.{end}")));
        command
            .stdout(file("stdout").unwrap())
            .stderr(file("stderr").unwrap());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, words: &[&str], stdin: &str) -> Ended {
        let mut command = self.command(words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        tokio::task::block_in_place(|| {
            let mut child = command.spawn().unwrap();
            let mut pipe = child.stdin.take().unwrap();
            // A command that reads nothing may be gone already.
            let _ = pipe.write_all(stdin.as_bytes());
            drop(pipe);
            let output = child.wait_with_output().unwrap();
            canary::search("what a command said", &output.stdout);
            canary::search("what a command said of errors", &output.stderr);
            Ended {
                code: output.status.code(),
                stdout: String::from_utf8(output.stdout).unwrap(),
                stderr: String::from_utf8(output.stderr).unwrap(),
            }
        })
    }

    /// Connects a tenant to an authorisation of its own, with a living access token. Its number at the sandbox.
    pub(crate) fn connect(&self, tenant: &str) -> u64 {
        let minted = self.mint();
        self.import(tenant, &bundle(&minted, true));
        minted.authorisation
    }

    /// Connects a tenant without an access token: the first use refreshes.
    pub(crate) fn connect_expired(&self, tenant: &str) -> u64 {
        let minted = self.mint();
        self.import(tenant, &bundle(&minted, false));
        minted.authorisation
    }

    /// A line of `connections import --file`, for an authorisation of its own.
    pub(crate) fn line(&self, tenant: &str) -> Value {
        let mut line = bundle(&self.mint(), true);
        line["tenant"] = tenant.into();
        line
    }

    pub(crate) fn mint(&self) -> Minted {
        self.pleo.mint(None, None)
    }

    pub(crate) fn import(&self, tenant: &str, bundle: &Value) {
        let words = ["connections", "import", tenant, "--replace"];
        let words = [&words[..], &["--allow-shared-company"]].concat();
        self.run(&words, &bundle.to_string()).fine();
    }

    /// The outcomes in a tenant's ledger, oldest first.
    pub(crate) fn outcomes(&self, tenant: &str) -> Vec<String> {
        let lines = self.run(&["connections", "history", tenant, "--json"], "");
        (lines.fine().json().as_array().unwrap().iter())
            .filter_map(|line| line["outcome"].as_str().map(str::to_owned))
            .collect()
    }

    /// Orders a fault of the sandbox.
    pub(crate) fn order(&self, fault: &Value) {
        self.pleo.order(fault).unwrap();
    }

    /// A counter of the sandbox.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.pleo.state()[name].as_u64().unwrap()
    }

    /// An authorisation as the sandbox has it.
    pub(crate) fn authorisation(&self, id: u64) -> Value {
        let state = self.pleo.state();
        let found =
            (state["authorisations"].as_array().unwrap().iter()).find(|one| one["id"] == id);
        found.unwrap().clone()
    }

    /// Waits for an authorisation's first refresh: `refresh_calls` that it is at Pleo, `generation` that it is applied.
    pub(crate) async fn until_first(&self, id: u64, count: &str) {
        until(&format!("{count} of {id}"), SOON, async || {
            (self.authorisation(id)[count] == 1).then_some(())
        })
        .await;
    }

    /// The rules that were broken, and how often.
    pub(crate) fn broken(&self) -> BTreeMap<String, u64> {
        let state = self.pleo.state();
        (state["rules_broken"].as_object().unwrap().iter())
            .map(|(rule, count)| (rule.clone(), count.as_u64().unwrap()))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Fails if a rule was broken, or a refresh token presented twice.
    #[track_caller]
    pub(crate) fn assert_no_rule_was_broken(&self) {
        assert_eq!(self.count("refresh_token_presented_twice"), 0);
        assert_eq!(self.broken(), BTreeMap::new());
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.tasks.stop();
        if let Some(database) = self.database.take().filter(|_| !thread::panicking()) {
            let all = "set xmlbinary = hex; select schema_to_xml('public', true, false, '')";
            let said = Cluster::shared().sql(&database, all);
            assert!(said.contains("</public>"), "{said}");
            canary::search(&database, said);
        }
    }
}

/// A pair as `connections import` reads it.
pub(crate) fn bundle(minted: &Minted, with_access: bool) -> Value {
    let mut bundle = json!({
        "refresh_token": minted.refresh_token.expose(),
        "scope": minted.scopes.to_string(),
        "company_id": minted.company_id,
    });
    if with_access {
        bundle["access_token"] = minted.access_token.expose().into();
        bundle["expires_in"] = minted.expires_in.as_secs().into();
    }
    bundle
}

/// The sealed pairs in salvage; not what is still being written.
pub(crate) fn salvaged(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(salvaged(&path));
        } else if path.extension().is_some_and(|end| end == "pair") {
            found.push(path);
        }
    }
    found
}

/// Waits until `look` finds something, and fails the test if that takes longer than `limit`.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// True if the long forms of the tests are to run (`tests/run --long`).
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where tests read the environment"
)]
pub(crate) fn is_long() -> bool {
    std::env::var_os("PLEO_TEST_LONG").is_some()
}

/// Thousands of links need more files than shells allow by default; children inherit it.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
