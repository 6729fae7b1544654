//! Starting the sandbox, its listener and its links.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::control;
use super::faults::{Endpoint, Fault, Struck};
use super::grants::{Ended, Minted};
use super::options::Options;
use super::router;
use super::routes::Routes;
use super::socket::{Link, Socket};
use super::state::{Company, State, companies};
use crate::clock::Timestamp;
use crate::drain::Tasks;
use crate::model::scope::ScopeSet;

const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const STREAMS: u32 = 1_000;

/// The sandbox could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is in use, or the address is not this machine's.
    #[error("the sandbox cannot listen on {address}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// A sandbox that is listening. It ends when the tasks it was started on are told to stop.
#[derive(Clone, Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    sandbox: Arc<Sandbox>,
}

/// All that its calls share.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) options: Options,
    pub(super) companies: Vec<Company>,
    pub(super) routes: Routes,
    pub(super) tasks: Tasks,
    state: Mutex<State>,
}

/// Starts a sandbox on `tasks`.
pub async fn start(options: Options, tasks: &Tasks) -> Result<Running, StartError> {
    let address = options.listen;
    let failed = |cause| StartError::Listen { address, cause };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let sandbox = Arc::new(Sandbox {
        companies: companies(options.seed),
        routes: Routes::of_catalogue(),
        tasks: tasks.clone(),
        state: Mutex::new(State::new(&options)),
        options,
    });
    tasks.spawn(accept(listener, Arc::clone(&sandbox)));
    tracing::debug!(%address, "the sandbox is listening");
    Ok(Running { address, sandbox })
}

impl Running {
    /// The origin of everything: authorise page, token endpoint and API.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The ids of the companies that can consent.
    pub fn company_ids(&self) -> Vec<String> {
        (self.sandbox.companies.iter())
            .map(|company| company.id.clone())
            .collect()
    }

    /// A new authorisation, as if a customer had consented; the first company and every scope unless told otherwise.
    pub fn mint(&self, company_id: Option<String>, scopes: Option<ScopeSet>) -> Minted {
        control::mint(&self.sandbox, company_id, scopes, None)
    }

    /// Ends an authorisation, as a user in Pleo's app would. False if it was not alive.
    pub fn revoke(&self, authorisation: u64) -> bool {
        self.sandbox
            .state()
            .grants
            .end(authorisation, Ended::Revoked)
    }

    /// Orders a fault, written as for `POST /_sandbox/faults`. The problem, if it makes no sense.
    pub fn order(&self, fault: &Value) -> Result<(), String> {
        let fault = Fault::deserialize(fault).map_err(|error| error.to_string())?;
        self.sandbox
            .state()
            .faults
            .order(fault)
            .map_err(str::to_owned)
    }

    /// Forgets the faults that wait and lets what is delayed go on, as `DELETE /_sandbox/faults` does.
    pub fn call_off_faults(&self) {
        self.sandbox.state().faults.call_off();
    }

    /// What `GET /_sandbox/state` shows.
    pub fn state(&self) -> Value {
        self.sandbox.state().show(self.sandbox.now())
    }
}

impl Sandbox {
    /// The state, for a moment: never hold it over an await.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to this call of `endpoint`, if anything was ordered.
    pub(super) fn fault(&self, endpoint: Endpoint) -> Option<Struck> {
        let mut state = self.state();
        let struck = state.faults.next(endpoint)?;
        state.counters.faults_played += 1;
        Some(struck)
    }

    /// Forgets everything.
    pub(super) fn reset(&self) {
        *self.state() = State::new(&self.options);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.options.clock.wall()
    }
}

async fn accept(listener: TcpListener, sandbox: Arc<Sandbox>) {
    loop {
        tokio::select! {
            () = sandbox.tasks.stopping() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    sandbox.tasks.spawn(serve(stream, Arc::clone(&sandbox)));
                }
                Err(error) => {
                    // out of descriptors, most likely: let some links end
                    tracing::warn!(%error, "the sandbox cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
}

async fn serve(stream: TcpStream, sandbox: Arc<Sandbox>) {
    let _ = stream.set_nodelay(true);
    let link = Link::default();
    let socket = Socket {
        stream,
        link: link.clone(),
    };
    let service = service_fn({
        let (sandbox, link) = (Arc::clone(&sandbox), link.clone());
        move |request| router::answer(Arc::clone(&sandbox), link.clone(), request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS);
    let mut talk = std::pin::pin!(builder.serve_connection(TokioIo::new(socket), service));
    tokio::select! {
        _ = talk.as_mut() => return,
        () = link.ended() => return,
        () = sandbox.tasks.stopping() => talk.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = talk => {}
        () = link.ended() => {}
    }
}
