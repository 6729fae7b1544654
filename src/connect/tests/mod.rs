//! The journey over a real store, real tokens and a scripted Pleo. Not here: what is tested beside its own code.

mod journey;
mod pages;
mod refusals;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::request::Parts as Head;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tempfile::TempDir;
use url::Url;

use super::link::{self, Terms};
use super::{Connect, Parts};
use crate::clock::{SharedClock, SystemClock};
use crate::drain::Tasks;
use crate::model::ids::{CompanyId, Owner, TenantName};
use crate::model::limits::Limits;
use crate::model::route_table::RouteTable;
use crate::model::scope::ScopeSet;
use crate::model::snapshot::{Callers, Snapshot};
use crate::model::tenant::Tenant;
use crate::net::dial::Dialer;
use crate::net::tls::{Alpn, Roots, client_config};
use crate::pleo::Pleo;
use crate::pleo::endpoints::tests::options;
use crate::refresh::policy::Policy;
use crate::store::ConnectionStore;
use crate::store::high_water::HighWater;
use crate::store::open::{self, Database, Opened, StoreOptions};
use crate::store::owners::Lock;
use crate::store::sealing_keys::KeySource;
use crate::telemetry::metrics::Metrics;
use crate::tokens::{self, Tokens};

const PAIR: &str =
    r#"{"access_token":"access-canary","refresh_token":"refresh-canary","expires_in":900}"#;
const HOUR: Duration = Duration::from_hours(1);

/// What Pleo says, by path, and what it was asked.
#[derive(Default)]
struct Script {
    token: (u16, String),
    introspect: (u16, String),
    asked: Vec<String>,
}

struct House {
    connect: Connect,
    store: Arc<dyn ConnectionStore>,
    script: Arc<Mutex<Script>>,
    _lock: Lock,
    _folder: TempDir,
}

/// A page as a browser has it.
struct Seen {
    status: StatusCode,
    head: http::HeaderMap,
    text: String,
}

impl House {
    async fn new() -> Self {
        Self::pinned(None, "https://gateway.example.com").await
    }

    async fn pinned(company: Option<&str>, public_url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let (base, script) = pleo_server();
        let pleo = Arc::new(Pleo::new(options(&base), dialer(), clock.clone()).unwrap());
        let data = folder.path().join("data");
        let owner = Owner::make();
        let wanted = StoreOptions {
            database: Database::Sqlite(data.join("gateway.db")),
            sealing_keys: vec![KeySource::File(data.join("sealing.key"))],
            provider: pleo.options().provider_id(),
            salvage: data.join("salvage"),
        };
        let opened = open::open(wanted, &owner, clock.clone()).await.unwrap();
        let Opened {
            store,
            owners,
            lock,
            salvage,
            ..
        } = opened;
        let high_water = HighWater::open(
            &data.join("high-water"),
            store.id(),
            &pleo.options().provider_id(),
        );
        let high_water = high_water.unwrap();
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let tokens = Tokens::new(tokens::Parts {
            store: store.clone(),
            pleo: pleo.clone(),
            metrics: Metrics::new(clock.wall()),
            clock,
            owner,
            owners,
            salvage,
            high_water,
            policy: Policy::default(),
            hold: Duration::ZERO,
            concurrency: 1,
            max_queue_per_tenant: 1,
            tasks: tasks.clone(),
            who: "test".to_owned(),
        });
        let connect = Connect::new(Parts {
            store: store.clone(),
            pleo,
            tokens,
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot(company))),
            tasks,
            public_url: public_url.to_owned(),
            issuer: Some("pleo.test".to_owned()),
        });
        let connect = connect.unwrap();
        Self {
            connect,
            store,
            script,
            _lock: lock,
            _folder: folder,
        }
    }

    /// The path of a new link for acme.
    async fn link(&self, expires: Duration) -> String {
        self.link_for("acme", expires).await.unwrap()
    }

    async fn link_for(&self, tenant: &str, expires: Duration) -> Result<String, link::LinkError> {
        let terms = Terms {
            scopes: ScopeSet::parse("users:read export-jobs:write").unwrap(),
            expires,
            allow_shared_company: false,
            who: "cli".to_owned(),
        };
        let tenant = TenantName::parse(tenant).unwrap();
        let origin = "https://gateway.example.com";
        let tokens = &self.connect.0.parts.tokens;
        let issued = link::issue(&self.store, tokens, origin, &tenant, terms).await?;
        let path = issued
            .url
            .strip_prefix("https://gateway.example.com")
            .unwrap();
        Ok(path.to_owned())
    }

    async fn ask(&self, method: Method, target: &str, headers: &[(&str, &str)]) -> Seen {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()): (Head, ()) = request.body(()).unwrap().into_parts();
        seen(self.connect.answer(&head).await).await
    }

    async fn get(&self, target: &str) -> Seen {
        self.ask(Method::GET, target, &[]).await
    }

    /// Presses the button: the cookie, and the `state` that Pleo was given.
    async fn set_out(&self, link: &str) -> (String, String) {
        let off = self.ask(Method::POST, link, &[("origin", "null")]).await;
        assert_eq!(off.status, StatusCode::SEE_OTHER);
        let target = Url::parse(off.head[LOCATION].to_str().unwrap()).unwrap();
        let state = target
            .query_pairs()
            .find(|(name, _)| name == "state")
            .unwrap()
            .1
            .into_owned();
        let cookie = off.head[SET_COOKIE].to_str().unwrap();
        (cookie.split(';').next().unwrap().to_owned(), state)
    }

    async fn come_back(&self, cookie: &str, query: &str) -> Seen {
        let target = format!("/oauth/callback?{query}");
        self.ask(Method::GET, &target, &[(COOKIE.as_str(), cookie)])
            .await
    }

    /// From the button to the page that Pleo's good answer leads to.
    async fn consent(&self, link: &str) -> Seen {
        let (cookie, state) = self.set_out(link).await;
        self.come_back(&cookie, &format!("code=the-code&state={state}"))
            .await
    }

    fn says(&self, token: (u16, &str), introspect: (u16, String)) {
        let mut script = self.script.lock().unwrap();
        script.token = (token.0, token.1.to_owned());
        script.introspect = introspect;
    }

    fn asked(&self, path: &str) -> usize {
        let script = self.script.lock().unwrap();
        script
            .asked
            .iter()
            .filter(|asked| asked.contains(path))
            .count()
    }

    async fn company(&self, tenant: &str) -> Option<CompanyId> {
        let tenant = TenantName::parse(tenant).unwrap();
        let seen = self.store.read(&tenant).await.unwrap();
        seen.row.and_then(|row| row.company)
    }
}

async fn seen(reply: Response<Full<bytes::Bytes>>) -> Seen {
    let (head, body) = reply.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(!text.contains("canary"), "no token is ever shown");
    Seen {
        status: head.status,
        head: head.headers,
        text,
    }
}

fn company_of(company: &str) -> (u16, String) {
    let said = format!(
        r#"{{"data":{{"authMethod":"OAUTH2","scope":"users:read","subjectURN":"urn:pleo:company:{company}"}}}}"#
    );
    (200, said)
}

fn snapshot(company: Option<&str>) -> Snapshot {
    let name = TenantName::parse("acme").unwrap();
    let tenant = Tenant {
        name: name.clone(),
        company: company.map(CompanyId::new),
        scopes: None,
        rate: None,
    };
    Snapshot {
        generation: 1,
        callers: Callers::default(),
        tenants: [(name, tenant)].into(),
        routes: RouteTable::default(),
        limits: Limits::default(),
        doors: Vec::new(),
        public_url: "http://127.0.0.1:8080".to_owned(),
        tenant_host: None,
        access_log: false,
    }
}

fn dialer() -> Arc<Dialer> {
    let tls = |alpn| client_config(&Roots::default(), alpn).unwrap();
    let limit = Duration::from_secs(5);
    Arc::new(Dialer::new(
        tls(Alpn::Http1),
        tls(Alpn::Http2OrHttp1),
        true,
        limit,
    ))
}

fn pleo_server() -> (String, Arc<Mutex<Script>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let script = Arc::new(Mutex::new(Script::default()));
    let shared = script.clone();
    std::thread::spawn(move || {
        for link in listener.incoming() {
            answer(&mut link.unwrap(), &shared);
        }
    });
    (base, script)
}

fn answer(link: &mut TcpStream, script: &Mutex<Script>) {
    let asked = request(link);
    let mut script = script.lock().unwrap();
    let (status, body) = if asked.contains("/oauth/token") {
        script.token.clone()
    } else {
        script.introspect.clone()
    };
    script.asked.push(asked);
    let length = body.len();
    let _ = write!(
        link,
        "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}"
    );
}

/// Head and body, or what came before the link ended; a link that is closed with something unread in it is reset.
fn request(link: &mut TcpStream) -> String {
    let (mut text, mut piece) = (String::new(), [0; 8192]);
    let is_whole = |text: &str| {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let head = head.to_lowercase();
        let mut lengths = (head.lines()).filter_map(|line| line.strip_prefix("content-length: "));
        let length = lengths.next().map_or(0, |length| length.parse().unwrap());
        (body.len() >= length).then_some(())
    };
    while is_whole(&text).is_none() {
        let length = link.read(&mut piece).unwrap();
        if length == 0 {
            break;
        }
        text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    text
}
