//! A gateway that runs as a process of its own: started, asked, and killed.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::caller::{Answer, Link};
use super::{Plan, READ, SOON, Stand, until};
use crate::canary::{self, Home};

/// A `serve` process. It is killed when this is dropped.
pub(crate) struct Serving {
    child: Child,
    pub(crate) callers: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) admin_token: String,
    /// Searched once nobody writes to it any more.
    _home: Arc<Home>,
}

impl Stand {
    /// With acme on an authorisation of its own, and a gateway that has served it once.
    pub(crate) async fn in_use() -> (Self, u64, Serving) {
        let stand = Self::new(Plan::default()).await;
        let id = stand.connect("acme");
        let serving = stand.serve("gateway").await;
        assert_eq!(serving.get("acme", READ).await.status, 200);
        (stand, id, serving)
    }

    /// Starts a gateway and waits until it serves. What it says goes to files named after `name`.
    pub(crate) async fn serve(&self, name: &str) -> Serving {
        self.serve_as(name, self.command(&["serve"])).await
    }

    /// Starts another gateway beside one that runs: browsers reach the first.
    pub(crate) async fn serve_beside(&self, name: &str) -> Serving {
        let mut command = self.command(&["serve"]);
        command.env("PLEO_GATEWAY_CONNECT__LISTEN", "127.0.0.1:0");
        self.serve_as(name, command).await
    }

    pub(crate) async fn serve_as(&self, name: &str, mut command: Command) -> Serving {
        let stderr = self.home().join(format!("{name}.stderr"));
        let stdout = File::create(self.home().join(format!("{name}.stdout"))).unwrap();
        command
            .stdout(stdout)
            .stderr(File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        let said = until("the gateway serves", SOON, async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{status}: {}", fs::read_to_string(&stderr).unwrap());
            }
            serving_line(&fs::read_to_string(&stderr).unwrap())
        })
        .await;
        let address = |door: &str| {
            let url = said[door].as_str().unwrap();
            url.strip_prefix("http://").unwrap().parse().unwrap()
        };
        let token = fs::read_to_string(self.home().join("data/admin.token")).unwrap();
        canary::tell("the operators' token", token.trim());
        Serving {
            _home: Arc::clone(&self.home),
            child,
            callers: address("callers"),
            admin: address("admin"),
            admin_token: token.trim().to_owned(),
        }
    }
}

fn serving_line(text: &str) -> Option<Value> {
    let lines = text.lines().filter(|line| line.ends_with('}'));
    lines
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["message"] == "serving")
}

impl Serving {
    /// One call on a link of its own.
    pub(crate) async fn get(&self, tenant: &str, path: &str) -> Answer {
        let mut link = Link::open(self.callers).await;
        link.get(tenant, path).await.unwrap()
    }

    /// A call at the operators' door.
    pub(crate) async fn operate(&self, method: Method, path: &str) -> Answer {
        let mut link = Link::open(self.admin).await;
        link.request(self.request(method, path)).await.unwrap()
    }

    /// A request for the operators' door.
    pub(crate) fn request(&self, method: Method, path: &str) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.admin.to_string())
            .header("authorization", format!("Bearer {}", self.admin_token))
            .body(Full::default())
            .unwrap()
    }

    /// A refresh of acme that Pleo has applied and answers only after `delay`; whoever asked for it, and what it will be
    /// answered with.
    pub(crate) async fn refresh_applied(
        &self,
        stand: &Stand,
        delay: &str,
    ) -> JoinSet<Result<u16, hyper::Error>> {
        stand.order(&json!({"endpoint": "token", "kind": "delay", "delay": delay, "commit": true}));
        let mut link = Link::open(self.admin).await;
        let request = self.request(Method::POST, "/v1/connections/acme/refresh");
        let before = stand.count("refreshes");
        let mut asking = JoinSet::new();
        asking.spawn(async move { link.request(request).await.map(|answer| answer.status) });
        until("the refresh is applied", SOON, async || {
            (stand.count("refreshes") > before).then_some(())
        })
        .await;
        asking
    }

    /// A tenant's connection, by the operators' door.
    pub(crate) async fn connection(&self, tenant: &str) -> Value {
        let path = format!("/v1/connections/{tenant}");
        self.operate(Method::GET, &path).await.json()
    }

    /// A metric's value; 0 where it was never counted.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.operate(Method::GET, "/metrics").await.body;
        let text = String::from_utf8(text.to_vec()).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// How many refreshes ended so, as this process counts them.
    pub(crate) async fn refreshes(&self, outcome: &str) -> f64 {
        let name = format!("pleo_gateway_refreshes_total{{outcome=\"{outcome}\"}}");
        self.metric(&name).await
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Stops it where it is; every thread of it has stopped once this returns.
    pub(crate) async fn freeze(&self) {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.child.id());
        until("every thread has stopped", SOON, async || {
            let mut threads = fs::read_dir(&threads).unwrap().flatten();
            let stopped = threads.all(|thread| {
                // One that ended meanwhile is not there to be read.
                let stat = fs::read_to_string(thread.path().join("stat"));
                stat.is_ok_and(|stat| stat.rsplit(") ").next().unwrap().starts_with('T'))
            });
            stopped.then_some(())
        })
        .await;
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let child = &mut self.child;
        let status = until("the gateway ends", SOON, async || child.try_wait().unwrap()).await;
        assert!(!status.core_dumped(), "{status}: its memory was written");
        status
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
