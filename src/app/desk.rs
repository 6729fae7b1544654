//! The desk: one thread that serves browsers (`connect`) and operators (`admin`). Neither waits behind callers.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::connect::Connect;
use crate::net::listener::{Bound, Door};
use crate::net::server::{ServerLimits, serve};
use crate::net::threads::Cores;

/// Links of browsers and operators at once: theirs, whatever callers do.
const LINKS: usize = 256;
/// Nobody here needs longer to end.
const DRAINS_WITHIN: Duration = Duration::from_secs(5);

/// Who answers at the desk.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) admin: std::sync::Arc<Admin>,
    pub(super) connect: Connect,
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
            let connect = self.connect.clone();
            let service = move |arrival: crate::net::peer::Arrival| {
                let connect = connect.clone();
                async move { connect.answer(&arrival.into_parts().0.into_parts().0).await }
            };
            ended(serve(door, limits(), stop.clone(), service, panicked).await);
        }
    }

    async fn operators(&self, doors: Vec<Door>, stop: CancellationToken) {
        for door in doors {
            let admin = self.admin.clone();
            let service = move |arrival: crate::net::peer::Arrival| {
                let admin = admin.clone();
                async move { admin.answer(arrival.into_parts().0).await }
            };
            ended(serve(door, limits(), stop.clone(), service, panicked).await);
        }
    }
}

fn ended(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "a listener of the desk failed");
    }
}

fn limits() -> ServerLimits {
    ServerLimits {
        drain_timeout: DRAINS_WITHIN,
        links: std::sync::Arc::new(Semaphore::new(LINKS)),
        ..ServerLimits::default()
    }
}

/// A bug costs one request.
fn panicked() -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
}
