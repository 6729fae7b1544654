//! A whole gateway in this process, with one connected tenant: a caller's socket on one side, `upstream` on the other. Made
//! once, and used by every input.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use http::request::Parts;
use pleo_gateway::access::permit::Permit;
use pleo_gateway::access::{PeerFacts, admit};
use pleo_gateway::app::{self, Running};
use pleo_gateway::config::{Environment, Settings, parse};
use pleo_gateway::drain::Tasks;
use pleo_gateway::model::ids::{CompanyId, TenantName};
use pleo_gateway::model::scope::ScopeSet;
use pleo_gateway::secret::Secret;
use pleo_gateway::tokens::Tokens;
use pleo_gateway::tokens::bearer::Bearer;
use pleo_gateway::tokens::operate::{Bundle, ImportTerms};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::upstream::{ACCESS, Upstream};

/// Longer than anything takes: an input that takes longer hangs.
const SOON: Duration = Duration::from_secs(20);

/// Of `fuzz-key`.
const KEY_SHA256: &str = "231e9b2f757db8d48ecd0711b60135e1cc57a3a807be9dc12638856f17a7872c";

/// The caller is known by its user id, so that an input need not say who it is. Nobody makes tokens: nothing but callers'
/// requests reaches the upstream.
const CONFIGURATION: &str = r#"
version = 1
[pleo]
environment    = "custom"
client_id      = "fuzz"
client_secret  = { file = "client-secret" }
redirect_uri   = "http://127.0.0.1:8081/oauth/callback"
authorize_url  = "http://127.0.0.1:1/oauth/authorize"
token_url      = "http://127.0.0.1:1/oauth/token"
introspect_url = "http://127.0.0.1:1/oauth/token/introspect"
api_url        = "http://UPSTREAM"
[store]
sqlite = "data/gateway.db"
[[listen]]
address    = "unix:FOLDER/door"
half_close = true
[proxy]
threads    = 1
public_url = "http://localhost:8080"
[connect]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[limits]
max_header_bytes = "8KiB"
max_headers      = 40
max_uri_bytes    = "1KiB"
max_request_body = "2KiB"
replay_buffer    = "64B"
[log]
access = false
[[callers]]
name       = "fuzz"
unix_uid   = [UID]
key_sha256 = ["KEY"]
tenants    = ["acme"]
[[routes]]
path = "/{*rest}"
[[routes]]
path = "/denied/{*rest}"
deny = true
"#;

pub(crate) struct Stand {
    pub(crate) upstream: Upstream,
    folder: TempDir,
    settings: Settings,
    tokens: Tokens,
    /// Kept: it ends when this is dropped.
    _running: Mutex<Running>,
    runtime: Runtime,
}

pub(crate) static STAND: LazyLock<Stand> = LazyLock::new(Stand::start);

impl Stand {
    fn start() -> Self {
        let upstream = Upstream::start();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::DirBuilder::new().mode(0o700).create(data).unwrap();
        let secret = folder.path().join("client-secret");
        fs::write(&secret, "client-secret").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let text = CONFIGURATION
            .replace("UPSTREAM", &upstream.authority)
            .replace("FOLDER", folder.path().to_str().unwrap())
            .replace("KEY", KEY_SHA256)
            .replace("UID", &rustix::process::geteuid().as_raw().to_string());
        let file = folder.path().join("gateway.toml");
        let environment = Environment::default();
        let settings = || parse(&file, &text, &environment).unwrap();
        let runtime = Runtime::new().unwrap();
        let tasks = Tasks::on(runtime.handle().clone());
        let running = runtime.block_on(async {
            let running = app::start(settings(), environment.clone(), tasks)
                .await
                .unwrap();
            connect(&running).await;
            running
        });
        let stand = Self {
            upstream,
            folder,
            settings: settings(),
            tokens: running.rooms().tokens.clone(),
            _running: Mutex::new(running),
            runtime,
        };
        stand.try_out();
        stand
    }

    /// A plain call gets through: without that, nothing that an input does would mean anything.
    fn try_out(&self) {
        let mut link = self.call();
        link.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        link.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("x-seen: 0"), "{answer}");
        assert_eq!(self.upstream.take().len(), 1);
    }

    /// A caller's link.
    pub(crate) fn call(&self) -> UnixStream {
        let link = UnixStream::connect(self.door()).unwrap();
        link.set_read_timeout(Some(SOON)).unwrap();
        link.set_write_timeout(Some(SOON)).unwrap();
        link
    }

    fn door(&self) -> PathBuf {
        self.folder.path().join("door")
    }

    /// What the gateway decides of a head.
    pub(crate) fn permit(&self, head: &Parts) -> Option<Permit> {
        let peer = PeerFacts {
            door: &self.settings.snapshot.doors[0],
            unix_uid: Some(rustix::process::geteuid().as_raw()),
            certificate_names: None,
        };
        admit(&self.settings.snapshot, head, peer).ok()
    }

    pub(crate) fn bearer(&self, permit: &Permit) -> Bearer {
        let obtained = self.runtime.block_on(self.tokens.obtain(permit));
        obtained.unwrap()
    }
}

/// A pair for the only tenant, with all that the gateway would else ask Pleo for.
async fn connect(running: &Running) {
    let tenant = TenantName::parse("acme").unwrap();
    let bundle = Bundle {
        access: Some(Secret::new(ACCESS)),
        refresh: Secret::new("fuzz-refresh"),
        expires_in: Some(Duration::from_hours(24)),
        scopes: Some(ScopeSet::default()),
        company: Some(CompanyId::new("1")),
    };
    let tokens = &running.rooms().tokens;
    tokens
        .import(&tenant, bundle, &ImportTerms::default())
        .await
        .unwrap();
}
