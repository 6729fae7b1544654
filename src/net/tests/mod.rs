//! The pieces of `net` together, over real sockets on loopback. This file: what those tests share.

mod callers;
mod doors;
mod last_words;
mod request_bodies;
mod stuck;
mod upstreams;
mod wire;

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::body::{IdleTimeout, MessageBody, Outgoing};
use super::client::{Client, ClientOptions};
use super::dial::Dialer;
use super::links::Links;
use super::listener::{Bound, DoorAddress, DoorOptions, Inherited, bind};
use super::origin::Origin;
use super::peer::Arrival;
use super::server::{ServerLimits, serve};
use super::tls::{Alpn, Roots, ServerTls, TlsFiles, client_config};

const SECOND: Duration = Duration::from_secs(1);
/// How long anything may take that is to happen, on a machine that is busy with something else.
const LONG: Duration = Duration::from_mins(1);

/// Runs `test` as a thread of the gateway would.
fn on_a_core<F: Future + 'static>(test: F) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { LocalSet::new().run_until(test).await });
}

/// A certificate for `localhost`, which is its own authority.
struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        let key = made.signing_key.serialize_pem();
        std::fs::write(folder.path().join("key.pem"), key).unwrap();
        Self { folder }
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            cert_file: self.folder.path().join("cert.pem"),
            key_file: self.folder.path().join("key.pem"),
            client_ca_file: None,
            client_crl_file: None,
        }
    }

    fn roots(&self) -> Roots {
        Roots {
            ca_file: Some(self.folder.path().join("cert.pem")),
        }
    }
}

fn bound(tls: Option<TlsFiles>) -> Bound {
    let options = DoorOptions {
        address: DoorAddress::Tcp("127.0.0.1:0".parse().unwrap()),
        tls: tls.map(|files| Arc::new(ServerTls::load(&files).unwrap())),
        half_close: false,
        index: 7,
    };
    bind(&options, 1, &mut Inherited::none()).unwrap()
}

/// A door that is being served.
struct Open {
    port: u16,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

fn open<S, F>(tls: Option<TlsFiles>, limits: ServerLimits, service: S) -> Open
where
    S: Fn(Arrival) -> F + 'static,
    F: Future<Output = Response<Outgoing>> + 'static,
{
    let bound = bound(tls);
    let DoorAddress::Tcp(address) = bound.address() else {
        panic!("asked for TCP")
    };
    let port = address.port();
    let stop = CancellationToken::new();
    let door = bound.into_doors().remove(0);
    let task = spawn_local(serve(door, limits, stop.clone(), service, || {
        status(StatusCode::INTERNAL_SERVER_ERROR)
    }));
    Open { port, stop, task }
}

fn status(code: StatusCode) -> Response<Outgoing> {
    let mut answer = Response::new(Outgoing::Empty);
    *answer.status_mut() = code;
    answer
}

/// Gives the request's body back.
async fn echo(arrival: Arrival) -> Response<Outgoing> {
    let (request, _) = arrival.into_parts();
    match request.into_body().collect().await {
        Ok(body) => Response::new(body.to_bytes().into()),
        Err(_) => status(StatusCode::BAD_REQUEST),
    }
}

/// What the client under test is to be like.
struct Upstream {
    url: String,
    roots: Roots,
    links: usize,
    connect_timeout: Duration,
    first_byte_timeout: Duration,
    idle_timeout: Duration,
    prefer_h2: bool,
}

impl Upstream {
    fn at(url: String) -> Self {
        Self {
            url,
            roots: Roots::default(),
            links: 8,
            connect_timeout: LONG,
            first_byte_timeout: LONG,
            idle_timeout: LONG,
            prefer_h2: false,
        }
    }

    fn secure(port: u16, certificate: &Certificate) -> Self {
        Self {
            roots: certificate.roots(),
            ..Self::at(format!("https://localhost:{port}"))
        }
    }

    fn client<B: MessageBody>(&self) -> (Client<B>, Arc<Links>) {
        let links = Links::new(self.links);
        let options = ClientOptions {
            links: Arc::clone(&links),
            idle_timeout: self.idle_timeout,
            first_byte_timeout: self.first_byte_timeout,
            prefer_h2: self.prefer_h2,
        };
        let origin = Origin::from_url(&Url::parse(&self.url).unwrap()).unwrap();
        let dialer = dialer(&self.roots, true, self.connect_timeout);
        let client = Client::new(Arc::new(dialer), Arc::new(origin), options);
        (client, links)
    }
}

fn dialer(roots: &Roots, allow_private: bool, limit: Duration) -> Dialer {
    let http1 = client_config(roots, Alpn::Http1).unwrap();
    let http2 = client_config(roots, Alpn::Http2OrHttp1).unwrap();
    Dialer::new(http1, http2, allow_private, limit)
}

fn post(body: &'static str) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::from_static(body.as_bytes()));
    Request::post("/some?query=1").body(body).unwrap()
}

async fn text<B>(answer: Response<B>) -> String
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Waits for what other tasks bring about.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect(what);
}
