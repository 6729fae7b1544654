//! One task per key, shared by everyone who waits for it; whoever asked may go away (design.md R9). What the task does is
//! not here.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::drain::Tasks;

/// Tasks in the air, by key.
pub(super) struct Flights<K, T> {
    tasks: Tasks,
    in_the_air: Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>,
}

impl<K, T> fmt::Debug for Flights<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

/// Somebody's place in a flight.
pub(super) struct Seat<T> {
    flight: watch::Receiver<Option<T>>,
    /// True for the one whose work the flight carries out.
    pub(super) is_first: bool,
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new(tasks: Tasks) -> Self {
        Self {
            tasks,
            in_the_air: Arc::default(),
        }
    }

    /// Joins the flight for `key`, or starts one with the task that `work` makes.
    pub(super) fn board<F>(&self, key: &K, work: impl FnOnce() -> F) -> Seat<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        // A short section without an await: a std mutex is the right one.
        let mut flights = self
            .in_the_air
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(key) {
            return Seat {
                flight: flight.clone(),
                is_first: false,
            };
        }
        let (land, flight) = watch::channel(None);
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        let landing = Landing {
            key: key.clone(),
            in_the_air: self.in_the_air.clone(),
        };
        let task = work();
        self.tasks.spawn(async move {
            let outcome = task.await;
            // First the flight is removed, then its outcome sent: whoever comes between starts anew instead of taking an
            // old outcome.
            drop(landing);
            let _ = land.send(Some(outcome));
        });
        Seat {
            flight,
            is_first: true,
        }
    }
}

impl<T: Clone> Seat<T> {
    /// The outcome; `None` if the task panicked.
    pub(super) async fn landed(mut self) -> Option<T> {
        self.flight
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|outcome| outcome.clone())
    }
}

/// Removes the flight, even if its task panics.
struct Landing<K: Eq + Hash, T> {
    key: K,
    in_the_air: Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>,
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.in_the_air
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::runtime::Handle;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn all_who_wait_share_one_task_and_the_first_may_leave() {
        let tasks = Tasks::on(Handle::current());
        let flights = Flights::<&str, usize>::new(tasks.clone());
        let runs = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Notify::new());
        let board = || {
            let (runs, gate) = (runs.clone(), gate.clone());
            flights.board(&"acme", || async move {
                gate.notified().await;
                runs.fetch_add(1, Ordering::SeqCst) + 1
            })
        };
        let first = tasks.spawn(board().landed());
        let others: Vec<_> = (0..100).map(|_| board()).collect();
        first.abort();
        gate.notify_one();
        for seat in others {
            assert_eq!(seat.landed().await, Some(1));
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_task_that_panics_frees_its_key() {
        let flights = Flights::<&str, usize>::new(Tasks::on(Handle::current()));
        let bad = flights.board(&"acme", || async { panic!("on purpose") });
        assert_eq!(bad.landed().await, None);
        let good = flights.board(&"acme", || async { 7 });
        assert_eq!(good.landed().await, Some(7));
    }
}
