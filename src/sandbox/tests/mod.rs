//! The sandbox's promises, over real sockets: with a client of a few lines, so that faults on the wire are seen as they are.
//! The promises are in the files beside this one.

mod api;
mod faults;
mod oauth;
mod service;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::*;
use crate::drain::Tasks;

const FORM: &str = "content-type: application/x-www-form-urlencoded";

fn basic(pair: &str) -> String {
    format!("authorization: Basic {}", STANDARD.encode(pair))
}

fn bearer(access: &str) -> String {
    format!("authorization: Bearer {access}")
}

struct Client {
    running: Running,
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn field(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        (self.head.lines().filter_map(|line| line.split_once(": ")))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }
}

impl Client {
    async fn start(options: Options) -> Self {
        let tasks = Tasks::on(Handle::current());
        let listen = "127.0.0.1:0".parse().unwrap();
        let running = start(Options { listen, ..options }, &tasks).await.unwrap();
        Self { running }
    }

    /// With a pair of the first company.
    async fn with_pair() -> (Self, Minted) {
        let client = Self::start(Options::default()).await;
        let pair = client.running.mint(None, None);
        (client, pair)
    }

    /// The answer, or the error that the socket ended with.
    async fn try_send(&self, line: &str, heads: &[&str], body: &str) -> std::io::Result<Reply> {
        let mut socket = TcpStream::connect(self.running.address).await?;
        let mut text = format!("{line} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n");
        let length = format!("content-length: {}", body.len());
        for head in heads.iter().chain([&length.as_str()]) {
            text.push_str(head);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text.push_str(body);
        socket.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        let answer = String::from_utf8(answer).unwrap();
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        };
        Ok(Reply {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    async fn send(&self, line: &str, heads: &[&str], body: &str) -> Reply {
        self.try_send(line, heads, body).await.unwrap()
    }

    async fn token(&self, form: &str) -> std::io::Result<Reply> {
        let client = basic("sandbox:sandbox-secret");
        self.try_send("POST /oauth/token", &[&client, FORM], form)
            .await
    }

    async fn refresh(&self, pair: &Minted) -> std::io::Result<Reply> {
        let token = pair.refresh_token.expose();
        self.token(&format!("grant_type=refresh_token&refresh_token={token}"))
            .await
    }

    async fn get(&self, path: &str, access: &str) -> Reply {
        self.send(&format!("GET {path}"), &[&bearer(access)], "")
            .await
    }

    async fn introspect(&self, access: &str) -> Reply {
        self.get("/v1/introspect", access).await
    }

    async fn order(&self, fault: Value) {
        let reply = self
            .send("POST /_sandbox/faults", &[], &fault.to_string())
            .await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    fn broken(&self) -> Vec<String> {
        let state = self.running.state();
        (state["rules_broken"].as_object().unwrap().iter())
            .filter(|(_, count)| **count != 0)
            .map(|(rule, _)| rule.clone())
            .collect()
    }
}
