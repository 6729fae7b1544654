//! One thread's links to one origin. HTTP/1.1 links wait for their next request last in, first out; HTTP/2 links are
//! shared. Until the origin has shown that it speaks HTTP/1.1 only, one dial serves all who wait. Not here: requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::body::MessageBody;
use super::client::{ClientOptions, SendError};
use super::dial::{DialError, Dialer};
use super::exclusive::Exclusive;
use super::multiplexed::Multiplexed;
use super::origin::{Origin, Scheme};
use super::sending::{Sending, Sent};
use super::tls::Alpn;

/// A link that can take a request now.
pub(super) enum Taken<B: MessageBody> {
    Exclusive(Rc<Exclusive<B>>),
    Stream(Rc<Multiplexed<B>>),
}

pub(super) struct Pool<B: MessageBody> {
    pub(super) origin: Arc<Origin>,
    dialer: Arc<Dialer>,
    options: ClientOptions,
    /// True once a dial has ended in HTTP/1.1: then each request that finds no idle link dials for itself.
    exclusive_only: Cell<bool>,
    idle: RefCell<Vec<Rc<Exclusive<B>>>>,
    idle_count: Arc<AtomicUsize>,
    streams: RefCell<Vec<Rc<Multiplexed<B>>>>,
    dialing: RefCell<Option<Rc<Dialing>>>,
    /// Requests that wait on this thread; each freed link or stream wakes one.
    waiting: Cell<usize>,
    freed: Notify,
    reaping: Cell<bool>,
}

/// A dial that several requests wait for.
#[derive(Default)]
struct Dialing {
    failure: RefCell<Option<Arc<DialError>>>,
    over: Notify,
}

impl<B: MessageBody> Pool<B> {
    pub(super) fn new(dialer: Arc<Dialer>, origin: Arc<Origin>, options: ClientOptions) -> Self {
        Self {
            exclusive_only: Cell::new(!options.prefer_h2 || origin.scheme() == Scheme::Http),
            idle: RefCell::default(),
            idle_count: options.links.idle_count(),
            streams: RefCell::default(),
            dialing: RefCell::default(),
            waiting: Cell::new(0),
            freed: Notify::new(),
            reaping: Cell::new(false),
            origin,
            dialer,
            options,
        }
    }

    /// Unfinished bodies may hold half of the exclusive links: callers who send slowly leave the rest to others, including
    /// those whose bodies arrive in full while they wait here.
    pub(super) async fn admit(
        &self,
        body: &mut Sent<B>,
        sending: &Sending,
    ) -> Result<(), SendError> {
        if !self.exclusive_only.get() {
            return Ok(());
        }
        let share = match self.options.links.try_share() {
            Some(share) => Some(share),
            None => Box::pin(self.share_or_all_of(body)).await?,
        };
        if let Some(share) = share {
            sending.keep(share);
        }
        Ok(())
    }

    /// A share of the links; none if it is not needed, because all of the body is here.
    async fn share_or_all_of(
        &self,
        body: &mut Sent<B>,
    ) -> Result<Option<OwnedSemaphorePermit>, SendError> {
        tokio::select! {
            share = self.options.links.share() => Ok(share),
            () = body.read_ahead() => Ok(None),
            () = sleep_until(self.deadline()) => Err(SendError::Overloaded),
        }
    }

    /// A link for the next request: an idle one, room on a shared one, or a new one.
    pub(super) async fn take(self: &Rc<Self>) -> Result<Taken<B>, SendError> {
        let mut deadline = None;
        while deadline.is_none_or(|deadline| Instant::now() < deadline) {
            if let Some(link) = self.idle_link().await {
                return Ok(Taken::Exclusive(link));
            }
            if let Some(link) = self.link_with_room() {
                return Ok(Taken::Stream(link));
            }
            let deadline = *deadline.get_or_insert_with(|| self.deadline());
            if !self.exclusive_only.get() {
                Box::pin(self.dial_for_all()).await?;
            } else if let Some(permit) = Box::pin(self.permit(deadline)).await? {
                // Dialling is rare and large; boxed, it makes no other request's future larger.
                let made = Box::pin(self.dial(permit)).await;
                return made.map_err(|error| SendError::Dial(Arc::new(error)));
            }
        }
        Err(SendError::Overloaded)
    }

    /// Takes a link back. It is closed instead if another thread waits for the right to open one.
    pub(super) fn put(self: &Rc<Self>, link: Rc<Exclusive<B>>) {
        if link.is_closed() || self.wanted_elsewhere() {
            return;
        }
        link.now_idle();
        self.idle.borrow_mut().push(link);
        self.count_idle();
        self.tell_one();
        self.keep_reaping();
    }

    /// Closes the idle links: one that was kept as long as these was dead.
    pub(super) fn distrust_idle(&self) {
        self.idle.borrow_mut().clear();
        let mut streams = self.streams.borrow_mut();
        streams.retain(|link| link.idle_since().is_none());
        drop(streams);
        self.count_idle();
    }

    /// Wakes one of those who wait: there is something for it.
    pub(super) fn tell_one(&self) {
        if self.waiting.get() > 0 {
            self.freed.notify_one();
        }
    }

    async fn idle_link(&self) -> Option<Rc<Exclusive<B>>> {
        loop {
            let link = self.idle.borrow_mut().pop()?;
            self.count_idle();
            if !link.is_closed() && link.is_ready().await {
                return Some(link);
            }
        }
    }

    fn link_with_room(&self) -> Option<Rc<Multiplexed<B>>> {
        let mut streams = self.streams.borrow_mut();
        if streams.iter().any(|link| link.is_closed()) {
            streams.retain(|link| !link.is_closed());
        }
        streams.iter().find(|link| link.has_room()).cloned()
    }

    /// The right to open a link; none if one has become free meanwhile.
    async fn permit(&self, deadline: Instant) -> Result<Option<OwnedSemaphorePermit>, SendError> {
        if let Some(permit) = self.options.links.try_hold() {
            return Ok(Some(permit));
        }
        let _waiting = self.wait();
        tokio::select! {
            permit = self.options.links.hold() => Ok(permit),
            () = self.freed.notified() => Ok(None),
            () = sleep_until(deadline) => Err(SendError::Overloaded),
        }
    }

    async fn dial(self: &Rc<Self>, permit: OwnedSemaphorePermit) -> Result<Taken<B>, DialError> {
        let alpn = if self.options.prefer_h2 {
            Alpn::Http2OrHttp1
        } else {
            Alpn::Http1
        };
        let link = self.dialer.dial(&self.origin, alpn).await?;
        let pool = Rc::downgrade(self);
        self.exclusive_only.set(!link.is_h2());
        if link.is_h2() {
            let link = Multiplexed::on(link, permit, pool).await;
            let link = Rc::new(link.map_err(DialError::Http2)?);
            self.streams.borrow_mut().push(Rc::clone(&link));
            self.keep_reaping();
            return Ok(Taken::Stream(link));
        }
        let link = Exclusive::on(link, permit, pool).await;
        let broken = |error| DialError::Connect(std::io::Error::other(error));
        Ok(Taken::Exclusive(Rc::new(link.map_err(broken)?)))
    }

    /// Joins the dial that is under way, or starts it; it goes on if the one who started it goes away. Then, or when a
    /// stream has become free, it is worth looking again.
    async fn dial_for_all(self: &Rc<Self>) -> Result<(), SendError> {
        let begun = self.dialing.borrow().clone();
        let dialing = begun.unwrap_or_else(|| self.begin_dialing());
        let _waiting = self.wait();
        tokio::select! {
            () = dialing.over.notified() => {}
            () = self.freed.notified() => return Ok(()),
        }
        let failure = dialing.failure.borrow().clone();
        failure.map_or(Ok(()), |failure| Err(SendError::Dial(failure)))
    }

    fn begin_dialing(self: &Rc<Self>) -> Rc<Dialing> {
        let dialing = Rc::new(Dialing::default());
        *self.dialing.borrow_mut() = Some(Rc::clone(&dialing));
        let (pool, begun) = (Rc::clone(self), Rc::clone(&dialing));
        spawn_local(async move {
            *begun.failure.borrow_mut() = pool.dial_and_keep().await.err().map(Arc::new);
            *pool.dialing.borrow_mut() = None;
            begun.over.notify_waiters();
        });
        dialing
    }

    /// Without the right to open a link nothing is dialled; those who wait find out that their time is over.
    async fn dial_and_keep(self: &Rc<Self>) -> Result<(), DialError> {
        let permit = timeout_at(self.deadline(), self.options.links.hold()).await;
        if let Ok(Some(permit)) = permit
            && let Taken::Exclusive(link) = self.dial(permit).await?
        {
            self.put(link);
        }
        Ok(())
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.dialer.connect_timeout()
    }

    fn wait(&self) -> Waiting<'_> {
        self.waiting.set(self.waiting.get() + 1);
        Waiting(&self.waiting)
    }

    fn wanted_elsewhere(&self) -> bool {
        self.waiting.get() == 0 && self.options.links.waiting() > 0
    }

    fn keep_reaping(self: &Rc<Self>) {
        if self.reaping.replace(true) {
            return;
        }
        let pool = Rc::downgrade(self);
        let often =
            (self.options.idle_timeout / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
        spawn_local(async move {
            loop {
                sleep(often).await;
                match pool.upgrade() {
                    Some(pool) if pool.reap() => {}
                    Some(pool) => return pool.reaping.set(false),
                    None => return,
                }
            }
        });
    }

    /// Closes what was idle for too long, or is wanted elsewhere. False if there is nothing left to watch.
    fn reap(&self) -> bool {
        let wanted = self.wanted_elsewhere();
        let (now, limit) = (Instant::now(), self.options.idle_timeout);
        let expired = |since: Instant| wanted || now.duration_since(since) >= limit;
        let mut idle = self.idle.borrow_mut();
        let mut streams = self.streams.borrow_mut();
        idle.retain(|link| !link.is_closed() && !expired(link.idle_since()));
        streams.retain(|link| !link.is_closed() && !link.idle_since().is_some_and(expired));
        let watched = !idle.is_empty() || !streams.is_empty();
        drop((idle, streams));
        self.count_idle();
        watched
    }

    fn count_idle(&self) {
        let streams = self.streams.borrow();
        let shared = streams.iter().filter(|link| link.idle_since().is_some());
        let idle = self.idle.borrow().len() + shared.count();
        self.idle_count.store(idle, Ordering::Relaxed);
    }
}

/// One request that waits on this thread.
struct Waiting<'a>(&'a Cell<usize>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
