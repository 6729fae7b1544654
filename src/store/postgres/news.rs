//! Hints that rows have changed, from one process to all. A lost hint costs a second and no more: nothing relies on them.
//! What is done about one is not here (`tokens`).

use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Connection, Socket};

use super::server::Server;

/// How often the rows are looked at without a hint, so that what operators change is noticed within a second.
const TICK: Duration = Duration::from_millis(900);
/// Hints that come together are one.
const TOGETHER: Duration = Duration::from_millis(20);
/// Between two tries to listen.
const AGAIN: Duration = Duration::from_secs(2);
/// For dialling and beginning to listen.
const PATIENCE: Duration = Duration::from_secs(5);

type Tls = <tokio_postgres_rustls::MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// Hints as they come in.
#[derive(Clone, Debug, Default)]
pub(super) struct News(Arc<Notify>);

impl News {
    /// Resolves at the next hint, and now and then without one.
    pub(super) async fn next(&self) {
        if timeout(TICK, self.0.notified()).await.is_ok() {
            sleep(TOGETHER).await;
        }
    }

    /// Listens on a link of its own: a notification reaches only the session that asked for it. A pooler in transaction
    /// mode has no such sessions: nothing is ever heard there, and the ticks do.
    pub(super) async fn listen(self, server: Server) {
        loop {
            if let Err(error) = self.once(&server).await {
                tracing::debug!(%error, "not listening for changes");
            }
            sleep(AGAIN).await;
        }
    }

    async fn once(&self, server: &Server) -> Result<(), tokio_postgres::Error> {
        let dialling = server.config.connect(server.tls.0.clone());
        let Ok(dialled) = timeout(PATIENCE, dialling).await else {
            return Ok(());
        };
        let (client, link) = dialled?;
        let listening = async {
            client.batch_execute("listen pleo_gateway").await?;
            // What was said before this moment was not heard.
            self.0.notify_one();
            pending::<()>().await;
            Ok(())
        };
        tokio::select! {
            ended = self.hear(link) => ended,
            ended = listening => ended,
        }
    }

    async fn hear(&self, mut link: Connection<Socket, Tls>) -> Result<(), tokio_postgres::Error> {
        while let Some(message) = poll_fn(|task| link.poll_message(task)).await {
            if let AsyncMessage::Notification(_) = message? {
                self.0.notify_one();
            }
        }
        Ok(())
    }
}

/// Tells the others, after the commit: a transaction that notifies takes a lock of the whole server until it ends, and
/// fails when the server's queue of notifications is full. No token may wait for that, or be lost by it.
pub(super) fn announce(server: &Server) -> impl Future<Output = ()> + Send + 'static {
    let server = server.clone();
    async move {
        if let Err(error) = server.call("announce", &json!({})).await {
            tracing::debug!(%error, "the change was not announced");
        }
    }
}
