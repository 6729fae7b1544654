//! The rooms that every command shares: store, Pleo, tokens; built in floor order, closed in reverse. Doors are not here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::collector::TracesError;
use crate::admin::token::TokenError;
use crate::clock::{SharedClock, SystemClock};
use crate::config::{
    ClientAuth, Database, PleoEnvironment, RefreshSettings, SecretSource, Settings, Uncertain,
};
use crate::drain::Tasks;
use crate::model::ids::Owner;
use crate::net::dial::Dialer;
use crate::net::listener::BindError;
use crate::net::origin::OriginError;
use crate::net::tls::{self, Alpn, Roots, TlsError};
use crate::pleo::Pleo;
use crate::pleo::endpoints::{self, Endpoints, Environment, PleoOptions};
use crate::refresh::policy::{self, Policy};
use crate::store::ConnectionStore;
use crate::store::high_water::{HighWater, HighWaterError};
use crate::store::open::{self, OpenError, OpenFault, Opened, StoreOptions};
use crate::store::owners::Lock;
use crate::store::rotation::Rotation;
use crate::store::sealing_keys::KeySource;
use crate::telemetry::metrics::Metrics;
use crate::tokens::{Parts, Tokens};

/// What a flight in the air may need besides its call to the token endpoint: to be proven, written, salvaged.
const BESIDE_THE_CALL: Duration = Duration::from_secs(10);
/// A disk that hangs does not hold up the end.
const STORE_CLOSES_WITHIN: Duration = Duration::from_secs(8);

/// The rooms below the doors.
#[derive(Debug)]
pub struct Rooms {
    /// Fresh bearers.
    pub tokens: Tokens,
    /// Connections at rest.
    pub store: Arc<dyn ConnectionStore>,
    /// Pleo.
    pub pleo: Arc<Pleo>,
    /// Links to Pleo.
    pub dialer: Arc<Dialer>,
    /// The machine's clocks.
    pub clock: SharedClock,
    /// What is counted.
    pub metrics: Metrics,
    /// `[refresh]`.
    pub policy: Policy,
    /// What runs, and what shutdown waits for.
    pub tasks: Tasks,
    /// Everything that is sealed, for a change of keys.
    pub rotation: Rotation,
    lock: Lock,
    high_water: HighWater,
}

/// Why the rooms, or the doors, could not be opened. Nothing was overwritten.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error("the store cannot be opened")]
    Store(#[from] OpenError),
    /// The high-water file.
    #[error("the newest pairs that were seen before are not known")]
    HighWater(#[from] HighWaterError),
    /// A certificate or a set of roots.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// A URL of Pleo's.
    #[error("a URL in [pleo] cannot be dialled")]
    Url(#[from] OriginError),
    /// Pleo's authorise URL.
    #[error("[pleo] authorize_url cannot stand in a header")]
    AuthorizeUrl,
    /// A door.
    #[error("a listener cannot be opened")]
    Bind(#[from] BindError),
    /// A name in `listen` that does not resolve.
    #[error("the address {name} cannot be resolved")]
    Resolve {
        /// As it was written.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The admin token's file.
    #[error("the admin token cannot be used")]
    AdminToken(#[source] TokenError),
    /// The operating system allows too few open files.
    #[error(
        "this process may open {allowed} files, and needs {needed} at the least; raise its limit (LimitNOFILE, ulimit -n) or lower [limits] upstream_links"
    )]
    Descriptors {
        /// So many.
        allowed: usize,
        /// And should have.
        needed: usize,
    },
    /// The collector of traces.
    #[error("traces cannot be sent")]
    Traces(#[from] TracesError),
    /// The operating system refused a thread.
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
}

/// What kind of trouble it is: decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartKind {
    /// A corrupted store.
    Corrupt,
    /// A port in use, the store locked or away.
    Unavailable,
    /// Something may not be read, or others can read it.
    Permission,
    /// The configuration or a sealing key.
    Configuration,
    /// Reading or writing.
    Io,
    /// A bug, or a machine without threads.
    Internal,
}

impl StartError {
    /// What kind of trouble it is.
    pub fn kind(&self) -> StartKind {
        match self {
            Self::Store(error) => match error.fault() {
                OpenFault::Damaged => StartKind::Corrupt,
                OpenFault::Away => StartKind::Unavailable,
                OpenFault::Permission => StartKind::Permission,
                OpenFault::Configuration => StartKind::Configuration,
                OpenFault::Io => StartKind::Io,
            },
            Self::HighWater(HighWaterError::Private(error)) if error.is_permission() => {
                StartKind::Permission
            }
            Self::AuthorizeUrl
            | Self::Tls(_)
            | Self::Url(_)
            | Self::Traces(_)
            | Self::HighWater(HighWaterError::Database(_)) => StartKind::Configuration,
            Self::Bind(BindError::Denied(_)) | Self::AdminToken(TokenError::Loose(_)) => {
                StartKind::Permission
            }
            Self::Bind(_) | Self::Resolve { .. } | Self::Descriptors { .. } => {
                StartKind::Unavailable
            }
            Self::AdminToken(_) | Self::HighWater(_) => StartKind::Io,
            Self::Thread(_) => StartKind::Internal,
        }
    }
}

/// True if the store that the settings name is there already. Makes none.
pub async fn is_founded(settings: &Settings) -> Result<bool, StartError> {
    Ok(open::is_founded(&database(settings)).await?)
}

impl Rooms {
    /// Opens the rooms. `who` acts, for the audit.
    pub async fn open(settings: &Settings, who: &str, tasks: Tasks) -> Result<Self, StartError> {
        let clock: SharedClock = Arc::new(SystemClock);
        let metrics = Metrics::new(clock.wall());
        let dialer = Arc::new(dialer(settings)?);
        let options = pleo_options(settings);
        let provider = options.provider_id();
        let pleo = Arc::new(Pleo::new(options, dialer.clone(), clock.clone())?);
        let store = StoreOptions {
            database: database(settings),
            sealing_keys: settings.store.sealing_keys.iter().map(key_source).collect(),
            provider: provider.clone(),
            salvage: settings.store.salvage.clone(),
        };
        let owner = Owner::make();
        let Opened {
            store,
            owners,
            lock,
            salvage,
            sealing_key,
        } = open::open(store, &owner, clock.clone()).await?;
        for other in owners.neighbours() {
            if !other.holds(sealing_key) {
                tracing::warn!(%other, key = %sealing_key, "a running process cannot open what this one writes: give it the key in [store] sealing_keys and restart it");
            }
        }
        let rotation = Rotation {
            store: store.clone(),
            salvage: salvage.clone(),
            owners: owners.clone(),
            key: sealing_key,
        };
        let high_water = HighWater::open(&settings.store.high_water, store.id(), &provider)?;
        let policy = policy_of(&settings.refresh);
        let tokens = Tokens::new(Parts {
            store: store.clone(),
            pleo: pleo.clone(),
            clock: clock.clone(),
            owner,
            owners,
            salvage,
            high_water: high_water.clone(),
            policy: policy.clone(),
            hold: settings.refresh.hold,
            concurrency: settings.refresh.concurrency.get(),
            max_queue_per_tenant: settings.snapshot.limits.max_queue_per_tenant,
            tasks: tasks.clone(),
            metrics: metrics.clone(),
            who: who.to_owned(),
        });
        Ok(Self {
            tokens,
            store,
            pleo,
            dialer,
            clock,
            metrics,
            policy,
            tasks,
            rotation,
            lock,
            high_water,
        })
    }

    /// Lets flights in the air land, then leaves: an orderly end leaves no attempt open (R9).
    pub async fn close(self) {
        self.tasks.stop();
        let limit = self.policy.timeout + BESIDE_THE_CALL;
        let landed = self.tasks.finished(limit).await;
        if !landed {
            tracing::warn!(
                "what is under way at Pleo did not end in time; the next process finds out what became of it"
            );
        }
        if timeout(STORE_CLOSES_WITHIN, self.store.close())
            .await
            .is_err()
        {
            tracing::warn!("the store did not close in time");
        }
        self.high_water.settle();
        // Otherwise its end looks like a death, which it is to whoever waits for the open attempt.
        if landed && !self.tokens.left_open() {
            self.lock.retire();
        }
    }
}

fn database(settings: &Settings) -> open::Database {
    match settings.store.database.clone() {
        Database::Sqlite(file) => open::Database::Sqlite(file),
        Database::Postgres(address) => open::Database::Postgres(address),
    }
}

fn dialer(settings: &Settings) -> Result<Dialer, TlsError> {
    let roots = Roots {
        ca_file: settings
            .pleo
            .ca_file
            .as_ref()
            .map(|roots| roots.path.clone()),
    };
    Ok(Dialer::new(
        tls::client_config(&roots, Alpn::Http1)?,
        tls::client_config(&roots, Alpn::Http2OrHttp1)?,
        settings.proxy.allow_private_upstream,
        settings.snapshot.limits.connect_timeout,
    ))
}

fn pleo_options(settings: &Settings) -> PleoOptions {
    let pleo = &settings.pleo;
    let (environment, endpoints) = match &pleo.environment {
        PleoEnvironment::Production => (Environment::Production, Endpoints::production()),
        PleoEnvironment::Staging => (Environment::Staging, Endpoints::staging()),
        PleoEnvironment::Sandbox => (Environment::Sandbox, Endpoints::sandbox()),
        PleoEnvironment::Custom(urls) => {
            let endpoints = Endpoints {
                authorize: urls.authorize_url.clone(),
                token: urls.token_url.clone(),
                introspect: urls.introspect_url.clone(),
                api: urls.api_url.clone(),
            };
            (Environment::Custom, endpoints)
        }
    };
    PleoOptions {
        environment,
        endpoints,
        client_id: pleo.client_id.clone(),
        client_secret: pleo.client_secret.clone(),
        client_auth: match pleo.client_auth {
            ClientAuth::Basic => endpoints::ClientAuth::Basic,
            ClientAuth::Post => endpoints::ClientAuth::Post,
        },
        redirect_uri: pleo.redirect_uri.clone(),
        exchange_timeout: settings.refresh.timeout,
    }
}

fn key_source(source: &SecretSource) -> KeySource {
    match source {
        SecretSource::File(path) => KeySource::File(path.clone()),
        SecretSource::Given(value) => KeySource::Secret {
            name: "[store] sealing_keys".to_owned(),
            value: value.clone(),
        },
    }
}

fn policy_of(refresh: &RefreshSettings) -> Policy {
    Policy {
        ahead: refresh.ahead,
        spread: Policy::spread_of(refresh.ahead, refresh.timeout),
        timeout: refresh.timeout,
        adoption_grace: refresh.adoption_grace,
        default_lifetime: refresh.default_lifetime,
        keepalive: refresh.keepalive,
        uncertain: match refresh.uncertain {
            Uncertain::Resolve => policy::Uncertain::Resolve,
            Uncertain::Park => policy::Uncertain::Park,
        },
    }
}
