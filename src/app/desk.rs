//! The desk: one thread that serves browsers (`connect`) and operators (`admin`), so that neither waits behind callers.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::doors::server_limits;
use crate::admin::{Admin, Answer};
use crate::connect::Connect;
use crate::model::limits::Limits;
use crate::net::listener::{Bound, Door};
use crate::net::peer::Arrival;
use crate::net::server::{ServerLimits, serve};
use crate::net::threads::Cores;

/// Links of browsers at once, and of operators: theirs, whatever callers do.
pub(super) const LINKS: usize = 256;
/// Nobody here needs longer to end.
const DRAINS_WITHIN: Duration = Duration::from_secs(5);

/// Who answers at the desk.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) admin: std::sync::Arc<Admin>,
    pub(super) connect: Connect,
    /// What a link and a request may take here too.
    pub(super) limits: Limits,
}

impl Desk {
    /// Opens both doors on a thread of their own, until `stop`.
    pub(super) fn open(
        self,
        connect: Bound,
        admin: Bound,
        stop: CancellationToken,
    ) -> io::Result<Cores> {
        let doors = Mutex::new(Some((connect.into_doors(), admin.into_doors())));
        Cores::start(1, "desk", move |_| {
            let doors = doors.lock().ok().and_then(|mut doors| doors.take());
            let (desk, stop) = (self.clone(), stop.clone());
            async move {
                if let Some((connect, admin)) = doors {
                    tokio::join!(
                        desk.browsers(connect, stop.clone()),
                        desk.operators(admin, stop)
                    );
                }
            }
        })
    }

    async fn browsers(&self, doors: Vec<Door>, stop: CancellationToken) {
        for door in doors {
            let (connect, limit) = (self.connect.clone(), self.limits.request_timeout);
            let service = move |arrival: Arrival| {
                let connect = connect.clone();
                let head = arrival.into_parts().0.into_parts().0;
                async move { within(limit, connect.answer(&head)).await }
            };
            ended(serve(door, self.limits(), stop.clone(), service, panicked).await);
        }
    }

    async fn operators(&self, doors: Vec<Door>, stop: CancellationToken) {
        for door in doors {
            let (admin, limit) = (self.admin.clone(), self.limits.request_timeout);
            let service = move |arrival: Arrival| {
                let admin = admin.clone();
                async move { Box::pin(within(limit, admin.answer(arrival.into_parts().0))).await }
            };
            ended(serve(door, self.limits(), stop.clone(), service, panicked).await);
        }
    }

    /// Of one door.
    fn limits(&self) -> ServerLimits {
        ServerLimits {
            drain_timeout: DRAINS_WITHIN,
            ..server_limits(&self.limits, LINKS)
        }
    }
}

fn ended(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "a listener of the desk failed");
    }
}

/// What takes longer is given up, as if the peer had hung up: a store or a disk that hangs keeps no link.
async fn within(limit: Duration, answer: impl Future<Output = Answer>) -> Answer {
    if limit.is_zero() {
        return answer.await;
    }
    let answered = timeout(limit, answer).await;
    answered.unwrap_or_else(|_| bare(StatusCode::SERVICE_UNAVAILABLE))
}

/// A bug costs one request.
fn panicked() -> Answer {
    bare(StatusCode::INTERNAL_SERVER_ERROR)
}

fn bare(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}
