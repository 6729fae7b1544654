//! A caller of the gateway: real links over TCP, one request after the other on each.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::KEY;
use crate::canary;

/// One link to the gateway. Dropped, it hangs up.
pub(crate) struct Link {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    _drive: JoinSet<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Our own error's code, or the empty word for an answer of Pleo.
    pub(crate) fn code(&self) -> &str {
        let code = self.headers.get("pleo-gateway-error");
        code.map_or("", |code| code.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Link {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.unwrap()
    }

    /// Where the gateway may be gone.
    pub(crate) async fn try_open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut drive = JoinSet::new();
        drive.spawn(async move {
            // How the link ended is seen by whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            host: address.to_string(),
            _drive: drive,
        })
    }

    pub(crate) async fn get(&mut self, tenant: &str, path: &str) -> Result<Answer, hyper::Error> {
        self.send(Method::GET, tenant, path, Bytes::new()).await
    }

    /// As the stand's caller.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        tenant: &str,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, hyper::Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("pleo-gateway-key", KEY)
            .header("pleo-gateway-tenant", tenant)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .unwrap();
        self.request(request).await
    }

    pub(crate) async fn request(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, hyper::Error> {
        let answer = self.request_pleo(request).await?;
        let fields = answer.headers.iter();
        let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
        canary::search_answer(fields, &answer.body);
        Ok(answer)
    }

    /// The same straight to the sandbox, which hands out tokens and codes: its answer is not searched.
    pub(crate) async fn request_pleo(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, hyper::Error> {
        for name in ["authorization", "pleo-gateway-key", "cookie", "x-api-key"] {
            for value in request.headers().get_all(name) {
                canary::assert_known(value.as_bytes());
            }
        }
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }
}
