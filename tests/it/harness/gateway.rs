//! The gateway as a process of its own, with a configuration and a folder made for one test.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use aws_lc_rs::digest::{SHA256, digest};
use rustix::process::Signal;
use serde_json::Value;

use super::authority::Authority;
use super::client::{Answer, call};
use super::program::{Output, Program, Stream, run};
use super::sandbox::{Minted, Sandbox};
use super::upstream::Upstream;
use super::{BINARY, SOON, free_port};
use crate::canary::{self, Home};

/// The key of the caller `erp`, whose only tenant is `acme`.
pub(crate) const KEY: &str = "erp-canary";
/// The key of the caller `office`, whose tenants are `acme` and `beta`.
pub(crate) const OFFICE_KEY: &str = "office-canary";

/// A folder with a configuration. What a test wants otherwise it sets before it starts the gateway.
pub(crate) struct Setup {
    folder: Home,
    connect_port: u16,
    origin: String,
    /// Lines of `[pleo]`.
    pub(crate) pleo: String,
    /// `[[listen]]` tables.
    pub(crate) doors: String,
    /// Where operators arrive.
    pub(crate) operators: String,
    /// Lines of `[proxy]`.
    pub(crate) proxy: String,
    /// `[[callers]]` tables.
    pub(crate) callers: String,
    /// `[[routes]]` tables.
    pub(crate) routes: String,
    /// Lines of `[limits]`.
    pub(crate) limits: String,
    /// Any other tables.
    pub(crate) more: String,
    /// What `serve` finds in its environment besides what the tests have.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

impl Setup {
    /// With Pleo at `origin`: one door, the callers `erp` and `office`, every route of the catalogue.
    pub(crate) fn at(origin: &str) -> Self {
        let folder = Home::new();
        private_folder(&folder.path().join("data"));
        secret_file(&folder.path().join("client-secret"), "sandbox-secret");
        let callers = [
            caller("erp", KEY, r#"["acme"]"#),
            caller("office", OFFICE_KEY, r#"["acme", "beta"]"#),
        ];
        Self {
            folder,
            connect_port: free_port(),
            origin: origin.to_owned(),
            pleo: String::new(),
            doors: "[[listen]]\naddress = \"127.0.0.1:0\"\n".to_owned(),
            operators: "127.0.0.1:0".to_owned(),
            proxy: String::new(),
            callers: callers.concat(),
            routes: "[[routes]]\ncatalogue = \"*\"\n".to_owned(),
            limits: String::new(),
            more: String::new(),
            variables: Vec::new(),
        }
    }

    pub(crate) fn with(sandbox: &Sandbox) -> Self {
        Self::at(&sandbox.origin)
    }

    /// The same, its file written.
    pub(crate) fn written(sandbox: &Sandbox) -> Self {
        let setup = Self::with(sandbox);
        setup.write();
        setup
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder().join("gateway.toml")
    }

    pub(crate) fn text(&self) -> String {
        let Self {
            origin,
            pleo,
            doors,
            operators,
            proxy,
            ..
        } = self;
        let Self {
            callers,
            routes,
            limits,
            more,
            connect_port,
            ..
        } = self;
        format!(
            r#"version = 1

[pleo]
environment    = "custom"
client_id      = "sandbox"
client_secret  = {{ file = "client-secret" }}
redirect_uri   = "http://127.0.0.1:{connect_port}/oauth/callback"
authorize_url  = "{origin}/oauth/authorize"
token_url      = "{origin}/oauth/token"
introspect_url = "{origin}/oauth/token/introspect"
api_url        = "{origin}"
{pleo}
[store]
sqlite = "data/gateway.db"

{doors}
[proxy]
threads = 1
{proxy}
[connect]
listen = "127.0.0.1:{connect_port}"

[admin]
listen = "{operators}"

[limits]
{limits}
{callers}
{routes}
{more}
"#
        )
    }

    /// One door that asks for certificates of `ca.pem`; the only caller is whoever is `dns:erp.internal`.
    pub(crate) fn ask_for_certificates(&mut self, authority: &Authority) {
        let door = authority.certificate(&["localhost", "127.0.0.1"]);
        door.write(self.folder(), "door");
        authority.write(self.folder());
        self.doors = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { cert_file = \"door.pem\", key_file = \"door.key\", client_ca_file = \"ca.pem\" }\n".into();
        self.callers = "[[callers]]\nname = \"erp\"\nclient_cert = [\"dns:erp.internal\"]\ntenants = [\"acme\"]\n".into();
    }

    /// Writes the configuration.
    pub(crate) fn write(&self) {
        fs::write(self.file(), self.text()).unwrap();
    }

    /// Runs a command of the binary with this configuration.
    pub(crate) fn cli(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("-c").arg(self.file());
        run(&mut command, stdin, SOON)
    }

    /// Writes the configuration, connects tenants, then serves.
    pub(crate) fn start_connected(self, tenants: &[(&str, &Minted)]) -> Gateway {
        self.write();
        for (tenant, minted) in tenants {
            self.import(tenant, minted);
        }
        self.start()
    }

    /// The same for acme alone, with a made-up pair.
    pub(crate) fn start_with_acme(self) -> Gateway {
        self.start_connected(&[("acme", &Minted::made_up())])
    }

    pub(crate) fn import(&self, tenant: &str, minted: &Minted) {
        let output = self.cli(&["connections", "import", tenant], &minted.pair.to_string());
        assert_eq!(output.code, 0, "{}", output.err);
    }

    /// Writes the configuration and serves.
    pub(crate) fn start(self) -> Gateway {
        self.write();
        self.start_as_written()
    }

    /// Serves with the file as it is.
    pub(crate) fn start_as_written(self) -> Gateway {
        self.start_with(serve)
    }

    /// The same by a command of the test's own.
    pub(crate) fn start_with(self, command: impl FnOnce(&Self) -> Command) -> Gateway {
        let program = Program::start(&mut command(&self));
        let mut gateway = Gateway {
            program,
            setup: self,
            callers: Vec::new(),
            connect: String::new(),
            admin: String::new(),
        };
        gateway.wait_until_serving();
        gateway
    }
}

/// A running gateway; it ends with the test, before its folder is searched.
pub(crate) struct Gateway {
    pub(crate) program: Program,
    pub(crate) setup: Setup,
    /// Where callers are served, door by door.
    pub(crate) callers: Vec<String>,
    pub(crate) connect: String,
    pub(crate) admin: String,
}

impl Gateway {
    /// In front of `upstream`, with acme connected.
    pub(crate) fn before(upstream: &Upstream) -> Self {
        Self::limited(upstream, "")
    }

    /// The same with these lines of `[limits]`.
    pub(crate) fn limited(upstream: &Upstream, limits: &str) -> Self {
        let mut setup = Setup::at(&upstream.origin());
        limits.clone_into(&mut setup.limits);
        setup.start_with_acme()
    }

    /// The first door for callers.
    pub(crate) fn base(&self) -> &str {
        &self.callers[0]
    }

    /// A call of the caller `erp`.
    pub(crate) fn call(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        self.call_with(method, target, &[], body)
    }

    /// The same with more header fields.
    pub(crate) fn call_with(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut all = vec![("pleo-gateway-key", KEY)];
        all.extend(headers);
        call(self.base(), method, target, &all, body)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.call("GET", target, b"")
    }

    pub(crate) fn cli(&self, arguments: &[&str], stdin: &str) -> Output {
        self.setup.cli(arguments, stdin)
    }

    /// `connections list --json`, the row of one tenant.
    pub(crate) fn connection(&self, tenant: &str) -> Value {
        self.cli(&["connections", "show", tenant, "--json"], "")
            .json()
    }

    /// Reads the metrics.
    pub(crate) fn metrics(&self) -> String {
        call(&self.admin, "GET", "/metrics", &[], b"")
            .expect(200)
            .text()
    }

    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.program.terminate()
    }

    pub(crate) fn kill9(&mut self) {
        self.program.kill9();
    }

    pub(crate) fn reload(&self) {
        self.program.signal(Signal::HUP);
    }

    /// Serves again, after an end of any kind.
    pub(crate) fn restart(&mut self) {
        self.program = Program::start(&mut serve(&self.setup));
        self.wait_until_serving();
    }

    fn wait_until_serving(&mut self) {
        let line: Value = self
            .program
            .wait_for("the gateway to serve", |stream, line| {
                let line: Value = serde_json::from_str(line).ok()?;
                let is_serving = find(&line, "message").is_some_and(|said| said == "serving");
                (stream == Stream::Err && is_serving).then_some(line)
            });
        self.callers = find(&line, "callers")
            .unwrap()
            .split(' ')
            .map(str::to_owned)
            .collect();
        self.connect = find(&line, "connect").unwrap();
        self.admin = find(&line, "admin").unwrap();
        if let Ok(token) = fs::read_to_string(self.setup.folder().join("data/admin.token")) {
            canary::tell("the operators' token", token.trim());
        }
    }
}

/// A caller with a key.
pub(crate) fn caller(name: &str, key: &str, tenants: &str) -> String {
    canary::assert_known(key.as_bytes());
    let digest = digest(&SHA256, key.as_bytes());
    let hex = digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!("[[callers]]\nname = \"{name}\"\nkey_sha256 = [\"{hex}\"]\ntenants = {tenants}\n")
}

/// A file that only its owner may read.
pub(crate) fn secret_file(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn private_folder(path: &Path) {
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

fn serve(setup: &Setup) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["serve", "-c"]).arg(setup.file());
    command.envs(setup.variables.iter().cloned());
    command
}

/// A log line's field, beside the message or below `fields`.
fn find(line: &Value, name: &str) -> Option<String> {
    let value = line.get(name).or_else(|| line.get("fields")?.get(name))?;
    value.as_str().map(str::to_owned)
}
