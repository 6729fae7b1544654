//! The limit on upstream links, shared by all threads, with the counts that metrics report. Not here: the links.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many links may be open at once (`upstream_links`), and how many are.
#[derive(Debug)]
pub struct Links {
    limit: usize,
    free: Arc<Semaphore>,
    /// For requests whose bodies are unfinished.
    shares: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// One count per thread, so that no request of one thread touches what another thread counts with.
    idle: Mutex<Vec<Weak<AtomicUsize>>>,
}

impl Links {
    /// At most `limit` links at once.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            free: Arc::new(Semaphore::new(limit)),
            shares: Arc::new(Semaphore::new((limit / 2).max(1))),
            waiting: AtomicUsize::new(0),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Links open or being dialled now.
    pub fn open(&self) -> usize {
        self.limit.saturating_sub(self.free.available_permits())
    }

    /// Of these, the ones that carry no request.
    pub fn idle(&self) -> usize {
        let counts = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .iter()
            .filter_map(Weak::upgrade)
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// A thread's own count of idle links.
    pub(super) fn idle_count(&self) -> Arc<AtomicUsize> {
        let count = Arc::new(AtomicUsize::new(0));
        let mut counts = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|count| count.strong_count() > 0);
        counts.push(Arc::downgrade(&count));
        count
    }

    /// Permission for one link, if there is one now.
    pub(super) fn try_hold(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Permission for one link, when there is one. Idle links of other threads are given up for those who wait here.
    pub(super) async fn hold(&self) -> Option<OwnedSemaphorePermit> {
        let _waiting = Waiting::on(&self.waiting);
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// A share of the half of the links that unfinished bodies may hold, if there is one now.
    pub(super) fn try_share(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shares).try_acquire_owned().ok()
    }

    /// The same, when there is one.
    pub(super) async fn share(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shares).acquire_owned().await.ok()
    }

    /// How many wait for a link, on any thread.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn on(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
