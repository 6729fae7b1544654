//! One thread per core, each with its own runtime; what is made on a thread stays there. Not here: what they do.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::watch;
use tokio::task::LocalSet;

/// Threads that run until their work ends.
#[derive(Debug)]
pub struct Cores {
    threads: Vec<JoinHandle<()>>,
    running: watch::Sender<()>,
}

/// A thread ended by a panic outside of any request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a thread ended by a panic")]
pub struct ThreadPanicked;

impl Cores {
    /// Starts `count` threads called `name-0`, `name-1`, …; each makes its work by `work(number)` and runs it to its end.
    /// The work may use `tokio::task::spawn_local`. The error is the operating system's, refusing a thread or a runtime;
    /// threads already started then run on alone.
    pub fn start<W, F>(count: usize, name: &str, work: W) -> io::Result<Self>
    where
        W: Fn(usize) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        let work = Arc::new(work);
        let (running, ended) = watch::channel(());
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let (work, ended) = (Arc::clone(&work), ended.clone());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let run = move || {
                let _ended = ended;
                LocalSet::new().block_on(&runtime, async move { work(number).await });
                // A name lookup that hangs must not hold up the end of the process.
                runtime.shutdown_background();
            };
            let named = thread::Builder::new().name(format!("{name}-{number}"));
            threads.push(named.spawn(run)?);
        }
        Ok(Self { threads, running })
    }

    /// Resolves once every thread's work has ended.
    pub async fn ended(&self) {
        self.running.closed().await;
    }

    /// Waits for all threads, blocking the calling one.
    pub fn join(self) -> Result<(), ThreadPanicked> {
        let mut outcome = Ok(());
        for thread in self.threads {
            outcome = outcome.and(thread.join().map_err(|_| ThreadPanicked));
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::sync::mpsc;

    #[tokio::test]
    async fn every_thread_runs_its_own_work() {
        let (tell, told) = mpsc::channel();
        let cores = Cores::start(2, "core", move |number| {
            let (tell, own) = (tell.clone(), Rc::new(number));
            async move {
                let name = thread::current().name().map(str::to_owned);
                let task = tokio::task::spawn_local(async move { (*own, name) });
                tell.send(task.await.unwrap()).unwrap();
            }
        })
        .unwrap();
        cores.ended().await;
        cores.join().unwrap();
        let mut seen: Vec<_> = told.iter().collect();
        seen.sort();
        let expected = [
            (0, Some("core-0".to_owned())),
            (1, Some("core-1".to_owned())),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_panic_of_the_work_is_reported() {
        let cores = Cores::start(1, "core", |_| async { panic!("on purpose") }).unwrap();
        assert_eq!(cores.join(), Err(ThreadPanicked));
    }
}
