//! The configuration as the program uses it: checked, complete, with every default filled in. How it is read is not here.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::report::Problems;
use super::units;
use crate::model::snapshot::Snapshot;
use crate::secret::Secret;
use crate::store::postgres::ServerAddress;

/// Everything that a configuration says.
#[derive(Debug)]
pub struct Settings {
    /// The file it was read from.
    pub file: PathBuf,
    /// What requests depend on and a reload can change. Its `generation` is 0: whoever publishes it counts.
    pub snapshot: Snapshot,
    /// `[pleo]`.
    pub pleo: PleoSettings,
    /// `[store]`.
    pub store: StoreSettings,
    /// `[[listen]]`, in the order of `snapshot.doors`.
    pub listens: Vec<ListenSettings>,
    /// `[proxy]`, except for what is in the snapshot.
    pub proxy: ProxySettings,
    /// `[connect]`.
    pub connect: ConnectSettings,
    /// `[admin]`.
    pub admin: AdminSettings,
    /// `[refresh]`.
    pub refresh: RefreshSettings,
    /// `[log]`, except for `access`, which is in the snapshot.
    pub log: LogSettings,
    /// `[telemetry]`.
    pub telemetry: TelemetrySettings,
    /// What is allowed but perhaps not meant.
    pub warnings: Problems,
}

/// `[pleo]`: whose API, and who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PleoSettings {
    /// Which Pleo.
    pub environment: PleoEnvironment,
    /// Our name there.
    pub client_id: String,
    /// Our password there.
    pub client_secret: Secret,
    /// How the two are sent.
    pub client_auth: ClientAuth,
    /// Where Pleo sends browsers back to.
    pub redirect_uri: Url,
    /// Extra roots of trust, PEM.
    pub ca_file: Option<RootsFile>,
}

/// A file of roots of trust, and what was in it: new contents wait for a restart as another file does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootsFile {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of its contents.
    pub digest: [u8; 32],
}

/// Which Pleo. The URLs of the known ones are in `pleo::endpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PleoEnvironment {
    /// Real money.
    Production,
    /// Pleo's own test environment.
    Staging,
    /// `pleo-gateway sandbox` on this machine.
    Sandbox,
    /// Somewhere else.
    Custom(Box<CustomEndpoints>),
}

/// The URLs of `environment = "custom"`: https, or http to loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomEndpoints {
    /// Where browsers consent.
    pub authorize_url: Url,
    /// Where tokens are made.
    pub token_url: Url,
    /// Where a token is introspected.
    pub introspect_url: Url,
    /// The API's base.
    pub api_url: Url,
}

/// How the client's id and secret are sent to the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// `Authorization: Basic`.
    Basic,
    /// In the form.
    Post,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where connections are kept.
    pub database: Database,
    /// The first seals, all open; never empty.
    pub sealing_keys: Vec<SecretSource>,
    /// Folder for pairs whose commit failed.
    pub salvage: PathBuf,
    /// File that guards against a restored old database.
    pub high_water: PathBuf,
}

/// Where connections are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// A server, shared by replicas.
    Postgres(ServerAddress),
}

/// A known secret, or a file that whoever needs it reads, or makes if it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file; if it is there, others cannot read it.
    File(PathBuf),
    /// From the environment, or systemd's credentials.
    Given(Secret),
}

/// One `[[listen]]`: a door for callers. Its tenant and hosts are the snapshot's (`Door`, at the same place).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSettings {
    /// Where it listens.
    pub address: Address,
    /// HTTPS, if given.
    pub tls: Option<TlsFiles>,
    /// The mode of a unix socket; `0o600` unless written.
    pub mode: u32,
    /// Serves clients that close their sending side early.
    pub half_close: bool,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A name to resolve, and port.
    Host(String, u16),
    /// A unix socket.
    Unix(PathBuf),
    /// A listener handed over by name (socket activation).
    Inherited(String),
}

impl Address {
    /// True for what only this machine can reach: loopback addresses and unix sockets. False for a socket that was handed
    /// over: it may be anything.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Host(name, _) => units::is_loopback_name(name),
            Self::Unix(_) => true,
            Self::Inherited(_) => false,
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Host(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

/// A listener's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, PEM.
    pub cert_file: PathBuf,
    /// The key, PEM.
    pub key_file: PathBuf,
    /// Asks callers for a certificate from these, PEM.
    pub client_ca_file: Option<PathBuf>,
    /// Revocation lists of these, PEM.
    pub client_crl_file: Option<PathBuf>,
}

/// `[proxy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// Threads that serve callers; 0 is one per core.
    pub threads: usize,
    /// Pleo's host may resolve to loopback or private addresses.
    pub allow_private_upstream: bool,
}

/// `[connect]`: the door for browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectSettings {
    /// Where it listens.
    pub listen: Address,
    /// How browsers reach it: an origin without a trailing slash.
    pub public_url: String,
    /// HTTPS, if given.
    pub tls: Option<TlsFiles>,
}

/// `[admin]`: the door for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Where it listens.
    pub listen: Address,
    /// What they present; a missing file is made at the first start.
    pub token: SecretSource,
    /// HTTPS, if given.
    pub tls: Option<TlsFiles>,
}

impl AdminSettings {
    /// False beyond loopback and without TLS: then only health and metrics are served.
    pub fn serves_everything(&self) -> bool {
        self.tls.is_some() || self.listen.is_local()
    }
}

/// `[refresh]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshSettings {
    /// Refresh when less life than this is left.
    pub ahead: Duration,
    /// One call to the token endpoint.
    pub timeout: Duration,
    /// How long an attempt of unknown fate is waited for after its deadline.
    pub adoption_grace: Duration,
    /// New sends wait this long at most while a refresh runs; zero is off.
    pub hold: Duration,
    /// The life of an access token whose answer does not say.
    pub default_lifetime: Duration,
    /// An idle connection is refreshed at least this often.
    pub keepalive: Duration,
    /// Refreshes at once.
    pub concurrency: NonZeroUsize,
    /// What becomes of an attempt of unknown fate.
    pub uncertain: Uncertain,
}

/// What becomes of an attempt of unknown fate (design.md, the refresh protocol).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncertain {
    /// The protocol resolves it.
    Resolve,
    /// A person decides.
    Park,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How lines look.
    pub format: LogFormat,
    /// Directives of a filter, such as `info,pleo_gateway::tokens=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One object a line.
    Json,
    /// For people.
    Text,
}

/// `[telemetry]`, and what OpenTelemetry's variables say beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// Where spans are sent, path included; none are made without it.
    pub traces: Option<Url>,
    /// How long one export may take.
    pub timeout: Duration,
    /// More roots of trust for the collector, PEM.
    pub ca_file: Option<PathBuf>,
    /// What we are called there.
    pub service_name: Option<String>,
}
