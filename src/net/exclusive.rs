//! An upstream HTTP/1.1 link: it carries one request at a time and returns to its pool in between.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::body::MessageBody;
use super::bounded::{Bounded, Patience};
use super::link::Link;
use super::pool::Pool;
use super::sending::Sent;
use super::upstream_body::Carrier;

/// The most that is kept of an answer that is not yet taken; bounds its head too. Bytes.
const BUFFER: usize = 64 * 1024;

pub(super) type Sender<B> = http1::SendRequest<Sent<B>>;

/// One link; dropping it closes the link.
pub(super) struct Exclusive<B: MessageBody> {
    sender: RefCell<Sender<B>>,
    patience: Patience,
    /// It has carried an answer before.
    is_used: Cell<bool>,
    idle_since: Cell<Instant>,
    pool: Weak<Pool<B>>,
}

impl<B: MessageBody> Exclusive<B> {
    /// Begins HTTP/1.1 on a fresh link. `permit` lives as long as the link is open.
    pub(super) async fn on(
        link: Link,
        permit: OwnedSemaphorePermit,
        pool: Weak<Pool<B>>,
    ) -> Result<Self, hyper::Error> {
        let patience = Patience::new();
        let io = TokioIo::new(Bounded::exclusive(link, patience.clone()));
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(io)
            .await?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an upstream link ended");
            }
            drop(permit);
        });
        Ok(Self {
            sender: RefCell::new(sender),
            patience,
            is_used: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            pool,
        })
    }

    /// To send a request with; the borrow must not be held over an await.
    pub(super) fn sender(&self) -> std::cell::RefMut<'_, Sender<B>> {
        self.patience.begin();
        self.sender.borrow_mut()
    }

    /// True once the link is ready for another request; false if it is dead.
    pub(super) async fn is_ready(&self) -> bool {
        std::future::poll_fn(|cx| self.sender.borrow_mut().poll_ready(cx))
            .await
            .is_ok()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.borrow().is_closed()
    }

    /// Of a link that broke: it had been idle, and not a byte of an answer came. The upstream closed it, most likely before
    /// the request was there.
    pub(super) fn had_died_idle(&self) -> bool {
        self.is_used.get() && self.patience.is_whole()
    }

    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since.get()
    }

    pub(super) fn now_idle(&self) {
        self.idle_since.set(Instant::now());
    }
}

impl<B: MessageBody> Carrier for Exclusive<B> {
    fn answered(&self) {
        self.patience.end();
        self.is_used.set(true);
    }

    fn finished(self: Rc<Self>, clean: bool) {
        if let (true, Some(pool)) = (clean, self.pool.upgrade()) {
            pool.put(self);
        }
    }
}
