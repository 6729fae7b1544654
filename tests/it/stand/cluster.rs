//! A throw-away `PostgreSQL` server (`tests/postgres`), with as many databases as there are tests. What is kept in them is
//! not here.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A server. It ends with this, or with the process that started it.
pub(crate) struct Cluster {
    child: Child,
    talk: Mutex<(Option<ChildStdin>, BufReader<ChildStdout>)>,
    direct: String,
    pooled: Option<String>,
    databases: AtomicUsize,
}

impl Cluster {
    /// One with a pooler, for all tests of this process that only need a database.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["--pooler"]))
    }

    /// One of its own, to be ordered about.
    pub(crate) fn start(words: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres");
        let mut child = Command::new(script)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let mut urls = line.split_whitespace().map(str::to_owned);
        Self {
            child,
            talk: Mutex::new((Some(orders), answers)),
            direct: urls.next().unwrap(),
            pooled: urls.next(),
            databases: AtomicUsize::new(0),
        }
    }

    /// Gives an order, and waits until it is carried out; what there was to say.
    pub(crate) fn order(&self, order: &str) -> String {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let orders = talk.0.as_mut().unwrap();
        writeln!(orders, "{order}").unwrap();
        let mut said = String::new();
        while !said.ends_with("done\n") {
            assert!(talk.1.read_line(&mut said).unwrap() > 0, "it ended: {said}");
        }
        said.trim_end_matches("done\n").trim_end().to_owned()
    }

    /// A new, empty database.
    pub(crate) fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        assert_eq!(
            self.order(&format!("sql postgres create database {name}")),
            ""
        );
        name
    }

    /// Has a statement carried out in a database.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> String {
        self.order(&format!("sql {database} {statement}"))
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.direct)
    }

    /// By way of the pooler.
    pub(crate) fn pooled_url(&self, database: &str) -> String {
        format!("{}/{database}", self.pooled.as_ref().unwrap())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The script removes all once its standard input has ended.
        let talk = self.talk.get_mut().unwrap_or_else(PoisonError::into_inner);
        talk.0 = None;
        let _ = self.child.wait();
    }
}
