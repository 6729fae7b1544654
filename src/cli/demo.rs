//! `demo`: sandbox, gateway and one connected tenant in one process and a temporary folder.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use url::Url;

use super::callers::hex;
use super::exit::{Exit, Failure};
use super::{ask, print, session};
use crate::access::identify::key_digest;
use crate::app::signals::{Asked, Signals};
use crate::app::{self, Running};
use crate::config::{self, Environment, Settings};
use crate::drain::Tasks;
use crate::model::ids::{CompanyId, TenantName};
use crate::net::listener::DoorAddress;
use crate::sandbox::{self, Options};
use crate::tokens::operate::{Bundle, ImportTerms};

/// The demo's caller key: as secret as the sandbox's password.
const KEY: &str = "demo-key";
const TENANT: &str = "demo";
/// Where the gateway is if nobody else is there.
const USUAL: &str = "127.0.0.1:8080";

pub(super) fn run(once: bool) -> Result<(), Failure> {
    let runtime = session::runtime()?;
    runtime.block_on(async {
        let tasks = Tasks::on(runtime.handle().clone());
        let demo = Demo::start(&tasks).await?;
        let outcome = if once {
            demo.once().await
        } else {
            demo.until_interrupted().await
        };
        demo.stop().await;
        outcome
    })
}

/// Everything that the demo runs.
struct Demo {
    sandbox: sandbox::Running,
    gateway: Running,
    company: String,
    folder: TempDir,
    sandbox_tasks: Tasks,
}

impl Demo {
    async fn start(tasks: &Tasks) -> Result<Self, Failure> {
        let sandbox_tasks = Tasks::on(tokio::runtime::Handle::current());
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            ..Options::default()
        };
        let sandbox = sandbox::start(options, &sandbox_tasks)
            .await
            .map_err(|error| Failure::of(Exit::Unavailable, &error))?;
        let folder = tempfile::Builder::new()
            .prefix("pleo-gateway-demo-")
            .tempdir()
            .map_err(|error| Failure::of(Exit::Io, &error))?;
        let settings = settings(folder.path(), &sandbox.origin())?;
        let gateway = app::start(settings, Environment::default(), tasks.clone())
            .await
            .map_err(|error| Failure::from(&error))?;
        let company = connect(&sandbox, &gateway).await?;
        Ok(Self {
            sandbox,
            gateway,
            company,
            folder,
            sandbox_tasks,
        })
    }

    async fn until_interrupted(&self) -> Result<(), Failure> {
        let mut signals = Signals::listen().map_err(|error| Failure::of(Exit::Internal, &error))?;
        print::line(&self.words())?;
        while signals.next().await != Asked::Stop {}
        Ok(())
    }

    /// One request, judged.
    async fn once(&self) -> Result<(), Failure> {
        let base = self.base();
        let url = Url::parse(&base).map_err(|error| Failure::of(Exit::Internal, &error))?;
        let (path, key) = (self.path(), format!("Authorization: Bearer {KEY}"));
        let asked = path.clone();
        let reply = tokio::task::spawn_blocking(move || ask::get(&url, &asked, &[key]))
            .await
            .map_err(|error| Failure::of(Exit::Internal, &error))?
            .map_err(|error| Failure::of(Exit::Unavailable, &error))?;
        let is_right = reply.status == 200
            && serde_json::from_str::<serde_json::Value>(&reply.body)
                .is_ok_and(|body| body["data"].is_array());
        if !is_right {
            return Err(Failure::new(
                Exit::Internal,
                format!("GET {path} answered {}: {}", reply.status, reply.body),
            ));
        }
        print::line(&format!(
            "GET {base}{path}: 200, {} bytes of JSON, through the gateway",
            reply.body.len()
        ))
    }

    async fn stop(self) {
        self.gateway.stop().await;
        self.sandbox_tasks.stop();
        self.sandbox_tasks.finished(Duration::from_secs(2)).await;
    }

    fn base(&self) -> String {
        match self.gateway.callers.first() {
            Some(DoorAddress::Tcp(address)) => format!("http://{address}"),
            Some(DoorAddress::Unix(..) | DoorAddress::Inherited(_)) | None => String::new(),
        }
    }

    fn path(&self) -> String {
        format!("/v3/export-jobs?company_id={}&limit=2", self.company)
    }

    fn words(&self) -> String {
        let (base, sandbox, company) = (self.base(), self.sandbox.origin(), &self.company);
        let config = self.folder.path().join("gateway.toml");
        let config = config.display();
        let program = std::env::current_exe().map_or_else(
            |_| "pleo-gateway".to_owned(),
            |path| path.display().to_string(),
        );
        let key = format!("-H 'Authorization: Bearer {KEY}'");
        format!(
            "A stand-in for Pleo runs at {sandbox}, the gateway at {base}.\n\
             Tenant `{TENANT}` is connected. The caller knows a key of the gateway, and nothing of OAuth.\n\n\
             Try, in another terminal:\n\n\
             curl -s {key} '{base}{path}'\n\
             curl -s {key} -X POST '{base}/v1/vendors:search?company_id={company}&limit=2'\n\
             curl -s {key} '{base}/v1/subscriptions'    # refused: never imported by a wildcard\n\
             {program} connections refresh {TENANT} -c {config}    # the running gateway notices\n\
             curl -s {sandbox}/_sandbox/state    # what the stand-in has seen\n\n\
             Ctrl-C ends it, and nothing is left.",
            path = self.path(),
        )
    }
}

/// A configuration as an operator would write one, for this folder.
fn settings(folder: &Path, sandbox: &str) -> Result<Settings, Failure> {
    let io = |error| Failure::of(Exit::Io, &error);
    let secret = folder.join("client-secret");
    fs::write(&secret, sandbox::CLIENT_SECRET).map_err(io)?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).map_err(io)?;
    let listen = if TcpListener::bind(USUAL).is_ok() {
        USUAL
    } else {
        "127.0.0.1:0"
    };
    let browsers = TcpListener::bind("127.0.0.1:0")
        .and_then(|door| door.local_addr())
        .map_err(io)?;
    let digest = hex(&key_digest(KEY.as_bytes()));
    let text = format!(
        r#"version = 1

[pleo]
environment    = "custom"
client_id      = "{client}"
client_secret  = {{ file = "client-secret" }}
redirect_uri   = "http://{browsers}/oauth/callback"
authorize_url  = "{sandbox}/oauth/authorize"
token_url      = "{sandbox}/oauth/token"
introspect_url = "{sandbox}/oauth/token/introspect"
api_url        = "{sandbox}"

[[listen]]
address = "{listen}"

[connect]
listen = "{browsers}"

[admin]
listen = "127.0.0.1:0"

[log]
access = false

[[callers]]
name       = "erp"
key_sha256 = ["{digest}"]
tenants    = ["{TENANT}"]

[[routes]]
catalogue = "*"
"#,
        client = sandbox::CLIENT_ID,
    );
    let file = folder.join("gateway.toml");
    fs::write(&file, text).map_err(io)?;
    config::load(&file, &Environment::default()).map_err(|broken| session::shown(&broken))
}

/// What an operator does with `connections import`, or a person in the browser.
async fn connect(sandbox: &sandbox::Running, gateway: &Running) -> Result<String, Failure> {
    let minted = sandbox.mint(None, None);
    let tenant = TenantName::parse(TENANT).map_err(|error| Failure::of(Exit::Internal, &error))?;
    let company = minted.company_id;
    let bundle = Bundle {
        access: Some(minted.access_token),
        refresh: minted.refresh_token,
        expires_in: Some(minted.expires_in),
        scopes: Some(minted.scopes),
        company: Some(CompanyId::new(company.clone())),
    };
    gateway
        .rooms()
        .tokens
        .import(&tenant, bundle, &ImportTerms::default())
        .await?;
    Ok(company)
}
