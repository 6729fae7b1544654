//! A room of tokens to test on: the sandbox as Pleo, a real store that can fail, and clocks that can be moved.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pleo_gateway::access::permit::Permit;
use pleo_gateway::access::{PeerFacts, admit};
use pleo_gateway::clock::SharedClock;
use pleo_gateway::drain::Tasks;
use pleo_gateway::model::caller::{Caller, Tenants};
use pleo_gateway::model::connection::{Connection, State};
use pleo_gateway::model::ids::{CallerName, CompanyId, Owner, RouteName, TenantName};
use pleo_gateway::model::route::{Route, RouteOrigin, Template};
use pleo_gateway::model::route_table::RouteTable;
use pleo_gateway::model::scope::ScopeSet;
use pleo_gateway::model::snapshot::{Callers, Door, Snapshot};
use pleo_gateway::model::tenant::Tenant;
use pleo_gateway::net::dial::Dialer;
use pleo_gateway::net::tls::{Alpn, Roots, client_config};
use pleo_gateway::pleo::Pleo;
use pleo_gateway::pleo::endpoints::{ClientAuth, Endpoints, Environment, PleoOptions};
use pleo_gateway::refresh::policy::Policy;
use pleo_gateway::sandbox::{self, CLIENT_ID, CLIENT_SECRET, Minted};
use pleo_gateway::secret::Secret;
use pleo_gateway::store::ConnectionStore;
use pleo_gateway::store::high_water::HighWater;
use pleo_gateway::store::open::{self, Database, StoreOptions};
use pleo_gateway::store::owners::Lock;
use pleo_gateway::store::sealing_keys::KeySource;
use pleo_gateway::telemetry::metrics::Metrics;
use pleo_gateway::tokens::operate::{Bundle, ImportTerms, OperateError};
use pleo_gateway::tokens::{ObtainError, Parts, Tokens};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use url::Url;

use super::faults::Faulty;
use super::moved::{Moved, Pleos};
use crate::canary::Home;

/// Pleo, a machine's folder, and its clocks. Gateways come and go.
pub(super) struct Bench {
    pub(super) sandbox: sandbox::Running,
    pub(super) clock: Arc<Moved>,
    pub(super) folder: Home,
    pub(super) policy: Policy,
    pub(super) hold: Duration,
}

/// One process's room.
pub(super) struct Room {
    pub(super) tokens: Tokens,
    pub(super) store: Arc<Faulty>,
    pub(super) pleo: Arc<Pleo>,
    pub(super) high_water: HighWater,
    pub(super) tasks: Tasks,
    _lock: Lock,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let clock = Arc::new(Moved::default());
        let options = sandbox::Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            requests_per_minute: None,
            clock: Arc::new(Pleos(clock.clone())),
            ..sandbox::Options::default()
        };
        let tasks = Tasks::on(Handle::current());
        Self {
            sandbox: sandbox::start(options, &tasks).await.unwrap(),
            clock,
            folder: Home::new(),
            policy: Policy::default(),
            hold: Duration::from_millis(300),
        }
    }

    /// A bench and one process on it.
    pub(super) async fn with_room() -> (Self, Room) {
        let bench = Self::new().await;
        let room = bench.room().await;
        (bench, room)
    }

    /// The same, with acme connected.
    pub(super) async fn with_acme() -> (Self, Room) {
        let (bench, room) = Self::with_room().await;
        room.connected(&bench, "acme").await;
        (bench, room)
    }

    /// Another process on the same machine and store.
    pub(super) async fn room(&self) -> Room {
        let clock: SharedClock = self.clock.clone();
        let pleo = Arc::new(Pleo::new(self.pleo_options(), dialer(), clock.clone()).unwrap());
        let data = self.folder.path().join("data");
        let owner = Owner::make();
        let wanted = StoreOptions {
            database: Database::Sqlite(data.join("gateway.db")),
            sealing_keys: vec![KeySource::File(data.join("sealing.key"))],
            provider: pleo.options().provider_id(),
            salvage: self.salvage(),
        };
        let opened = open::open(wanted, &owner, clock.clone()).await.unwrap();
        let mark = data.join("high-water");
        let high_water = HighWater::open(&mark, opened.store.id(), &pleo.options().provider_id());
        let high_water = high_water.unwrap();
        let store = Arc::new(Faulty::over(opened.store));
        let tasks = Tasks::on(Handle::current());
        let tokens = Tokens::new(Parts {
            store: store.clone(),
            pleo: pleo.clone(),
            metrics: Metrics::new(clock.wall()),
            clock,
            owner,
            owners: opened.owners,
            salvage: opened.salvage,
            high_water: high_water.clone(),
            policy: self.policy.clone(),
            hold: self.hold,
            concurrency: 2,
            max_queue_per_tenant: 200,
            tasks: tasks.clone(),
            who: "test".to_owned(),
        });
        Room {
            tokens,
            store,
            pleo,
            high_water,
            tasks,
            _lock: opened.lock,
        }
    }

    pub(super) fn salvage(&self) -> PathBuf {
        self.folder.path().join("data").join("salvage")
    }

    /// How many pairs lie in salvage.
    pub(super) fn salvaged(&self) -> usize {
        let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries(self.salvage())
            .flat_map(|owner| entries(owner.path()))
            .filter(|file| file.path().extension().is_some_and(|end| end == "pair"))
            .count()
    }

    /// One of the sandbox's counters.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.sandbox.state()[name].as_u64().unwrap()
    }

    /// No rule of Pleo's was broken, and no refresh token came twice.
    pub(super) fn was_kept(&self) -> bool {
        let state = self.sandbox.state();
        let broken = state["rules_broken"].as_object().unwrap();
        state["refresh_token_presented_twice"] == 0 && broken.values().all(|times| *times == 0)
    }

    /// Until every fault that was ordered is being played.
    pub(super) async fn faults_played(&self) {
        until("every fault is played", async || {
            self.sandbox.state()["faults_waiting"] == 0
        })
        .await;
    }

    pub(super) fn fault(&self, fault: &Value) {
        self.sandbox.order(fault).unwrap();
    }

    fn pleo_options(&self) -> PleoOptions {
        let url = |path: &str| Url::parse(&format!("{}{path}", self.sandbox.origin())).unwrap();
        PleoOptions {
            environment: Environment::Custom,
            endpoints: Endpoints {
                authorize: url("/oauth/authorize"),
                token: url("/oauth/token"),
                introspect: url("/oauth/token/introspect"),
                api: url("/"),
            },
            client_id: CLIENT_ID.to_owned(),
            client_secret: Secret::new(CLIENT_SECRET),
            client_auth: ClientAuth::Basic,
            redirect_uri: Url::parse("http://127.0.0.1:8081/oauth/callback").unwrap(),
            exchange_timeout: Duration::from_secs(5),
        }
    }
}

impl Room {
    /// A tenant with a fresh authorisation of the sandbox's first company, its scopes and company known.
    pub(super) async fn connected(&self, bench: &Bench, tenant: &str) -> Minted {
        let minted = bench.sandbox.mint(None, None);
        self.import(tenant, &minted, true).await;
        minted
    }

    /// Imports a pair. Without its terms they have to be learned.
    pub(super) async fn import(&self, tenant: &str, minted: &Minted, with_terms: bool) {
        let bundle = Bundle {
            access: Some(minted.access_token.clone()),
            refresh: minted.refresh_token.clone(),
            expires_in: Some(minted.expires_in),
            scopes: with_terms.then(|| minted.scopes.clone()),
            company: with_terms.then(|| CompanyId::new(minted.company_id.as_str())),
        };
        let terms = ImportTerms {
            allow_shared_company: true,
            replace: true,
            ..ImportTerms::default()
        };
        let imported = self.tokens.import(&name(tenant), bundle, &terms).await;
        imported.unwrap();
    }

    pub(super) async fn row(&self, tenant: &str) -> Connection {
        let seen = self.store.read(&name(tenant)).await.unwrap();
        seen.row.unwrap()
    }

    pub(super) async fn state(&self, tenant: &str) -> State {
        self.row(tenant).await.state
    }

    /// The token that a call gets.
    pub(super) async fn token(&self, tenant: &str) -> Result<String, ObtainError> {
        let bearer = self.tokens.obtain(&permit(tenant)).await?;
        let value = bearer.value().to_str().unwrap();
        Ok(value.trim_start_matches("Bearer ").to_owned())
    }

    /// An operator's refresh, as a task of its own.
    pub(super) fn refresh(&self, tenant: &str) -> JoinHandle<Result<Connection, OperateError>> {
        let (tokens, tenant) = (self.tokens.clone(), name(tenant));
        (self.tasks).spawn(async move { tokens.refresh(&tenant).await })
    }

    /// Starts the keeper.
    pub(super) fn keep(&self) {
        let tokens = self.tokens.clone();
        self.tasks.spawn(async move { tokens.keep().await });
    }

    /// Until the keeper has begun a look after this and come back from it: it knows every row then.
    pub(super) async fn looked(&self) {
        let before = self.store.looks.load(Ordering::SeqCst);
        until("the keeper has looked", async || {
            self.store.looks.load(Ordering::SeqCst) >= before + 2
        })
        .await;
    }

    /// A refresh that Pleo has applied, and whose answer comes once faults are called off.
    pub(super) async fn refresh_under_way(
        &self,
        bench: &Bench,
        tenant: &str,
    ) -> JoinHandle<Result<Connection, OperateError>> {
        bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "1m", "commit": true}));
        let refresh = self.refresh(tenant);
        bench.faults_played().await;
        refresh
    }

    /// A refresh that Pleo applies, and whose pair cannot be stored.
    pub(super) async fn refresh_unstored(&self, bench: &Bench, tenant: &str) {
        let refresh = self.refresh_under_way(bench, tenant).await;
        self.store.set_read_only(true);
        bench.sandbox.call_off_faults();
        let _ = refresh.await.unwrap();
    }

    /// True if Pleo takes the token.
    pub(super) async fn works(&self, token: &str) -> bool {
        use pleo_gateway::pleo::introspect::{Credential, Probe};
        let token = Secret::new(token);
        let limit = Duration::from_secs(5);
        let probe = self.pleo.who_am_i(Credential::Bearer(&token), limit).await;
        matches!(probe, Probe::Accepted(_))
    }

    /// Waits for flights and stops, as a process that ends.
    pub(super) async fn end(self) {
        self.tasks.stop();
        assert!(self.tasks.finished(Duration::from_secs(20)).await);
        self.store.close().await;
    }
}

/// Waits until it holds.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..2000 {
        if holds().await {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: not within ten seconds");
}

pub(super) fn name(tenant: &str) -> TenantName {
    TenantName::parse(tenant).unwrap()
}

/// Leave to call `GET /v1/vendors` for a tenant.
pub(super) fn permit(tenant: &str) -> Permit {
    permit_pinned(tenant, None)
}

/// The same where the configuration pins a company.
pub(super) fn permit_pinned(tenant: &str, company: Option<&str>) -> Permit {
    let tenant = name(tenant);
    let caller = Caller {
        name: CallerName::new("erp"),
        key_digests: Vec::new(),
        client_certs: Vec::new(),
        unix_uids: vec![1],
        anonymous: false,
        tenants: Tenants::Named(vec![tenant.clone()]),
        ceiling: None,
        rate: None,
        max_in_flight: None,
    };
    let route = Route {
        scopes: ScopeSet::parse("users:read").unwrap(),
        ..Route::new(
            RouteName::new("vendors"),
            Template::parse("/v1/vendors").unwrap(),
            RouteOrigin::Explicit,
        )
    };
    let pinned = company.map(|company| Tenant {
        name: tenant.clone(),
        company: Some(CompanyId::new(company)),
        scopes: None,
        rate: None,
    });
    let snapshot = Snapshot {
        callers: Callers::new(vec![caller]),
        tenants: pinned.into_iter().map(|t| (t.name.clone(), t)).collect(),
        routes: RouteTable::build(vec![route]).unwrap(),
        ..Snapshot::default()
    };
    let head = http::Request::get("/v1/vendors").header("host", "gateway");
    let head = head.body(()).unwrap();
    let peer = PeerFacts {
        door: &Door::default(),
        unix_uid: Some(1),
        certificate_names: None,
    };
    admit(&snapshot, &head.into_parts().0, peer).unwrap()
}

pub(super) fn dialer() -> Arc<Dialer> {
    let tls = |alpn| client_config(&Roots::default(), alpn).unwrap();
    let limit = Duration::from_secs(5);
    Arc::new(Dialer::new(
        tls(Alpn::Http1),
        tls(Alpn::Http2OrHttp1),
        true,
        limit,
    ))
}
