//! The access log: one JSON line per request (contract.md section 7), without query strings, header values or bodies. A
//! thread of its own writes it and no request waits for it: lines that do not fit are dropped and counted.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::clock::Timestamp;

/// What may wait to be written. Bytes.
const WAITING: usize = 4 << 20;
/// Lines are gathered for this long, so that a busy gateway wakes its writer a few times a second only.
const GATHER: Duration = Duration::from_millis(50);

/// One line, in the order of the contract, and the operation.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Line<'a> {
    /// When the request came.
    #[serde(serialize_with = "rfc3339")]
    pub time: Timestamp,
    /// Its id: the caller's if well formed, else ours.
    pub request_id: &'a str,
    /// From `traceparent`.
    pub trace_id: Option<&'a str>,
    /// Who called, once known.
    pub caller: Option<&'a str>,
    /// On whose behalf, once known.
    pub tenant: Option<&'a str>,
    /// By which route, once known.
    pub route: Option<&'a str>,
    /// The method as it came.
    pub method: &'a str,
    /// The route's template; never the path.
    pub path_template: Option<&'a str>,
    /// Which of Pleo's operations the call means, also where no route was found.
    pub operation: Option<&'a str>,
    /// Of the answer.
    pub status: u16,
    /// Code of an error of our own, or how an answer broke off.
    pub error: Option<&'a str>,
    /// Of the request's body.
    pub bytes_in: u64,
    /// Of the answer's body.
    pub bytes_out: u64,
    /// To the end of the answer.
    #[serde(serialize_with = "millis")]
    pub duration_ms: Duration,
    /// From sending to Pleo until the head of its answer.
    #[serde(serialize_with = "some_millis")]
    pub upstream_ms: Option<Duration>,
    /// Spent in the gateway itself until the answer's head.
    #[serde(serialize_with = "millis")]
    pub overhead_ms: Duration,
    /// Of the pair that was used.
    pub generation: Option<u64>,
    /// True if it was sent a second time.
    pub replayed: bool,
}

/// One thread's end of the log.
#[derive(Debug)]
pub struct AccessLog {
    queue: Arc<Queue>,
    line: RefCell<Vec<u8>>,
}

/// The writer's end. Dropping it lets the writer finish by itself.
#[derive(Debug)]
pub struct Writer {
    queue: Arc<Queue>,
    ended: Receiver<()>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    dropped: u64,
    closed: bool,
}

/// Begins to write lines to `out`. The error is the operating system's, refusing a thread.
pub fn start(out: impl Write + Send + 'static) -> io::Result<(AccessLog, Writer)> {
    let queue = Arc::new(Queue::default());
    let log = AccessLog::into(queue.clone());
    let (end, ended) = channel();
    let from = queue.clone();
    thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || {
            from.write_to(out);
            drop(end);
        })?;
    Ok((log, Writer { queue, ended }))
}

impl AccessLog {
    fn into(queue: Arc<Queue>) -> Self {
        Self {
            queue,
            line: RefCell::default(),
        }
    }

    /// Adds a line. Never blocks on what is written to; the line is made outside of the lock.
    pub fn add(&self, line: &Line<'_>) {
        let Ok(mut text) = self.line.try_borrow_mut() else {
            return;
        };
        text.clear();
        if serde_json::to_writer(&mut *text, line).is_err() {
            return;
        }
        text.push(b'\n');
        self.queue.push(&text);
    }
}

/// Another thread's end of the same log.
impl Clone for AccessLog {
    fn clone(&self) -> Self {
        Self::into(self.queue.clone())
    }
}

impl Writer {
    /// Writes what was added so far and ends; waits for that at most `limit`. False if it was not enough.
    pub fn finish(self, limit: Duration) -> bool {
        self.queue.close();
        self.ended.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut lines = self.lock();
        if lines.closed {
            return;
        }
        if lines.bytes.len() + line.len() > WAITING {
            lines.dropped += 1;
            return;
        }
        let first = lines.bytes.is_empty();
        lines.bytes.extend_from_slice(line);
        drop(lines);
        if first {
            self.more.notify_one();
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.more.notify_one();
    }

    fn write_to(&self, mut out: impl Write) {
        let mut taken = Vec::new();
        loop {
            let (dropped, closed) = self.take(&mut taken);
            if dropped > 0 {
                tracing::warn!(dropped, "the access log could not be written fast enough");
            }
            if let Err(error) = out.write_all(&taken).and_then(|()| out.flush()) {
                tracing::error!(%error, "the access log cannot be written");
            }
            if closed && taken.is_empty() {
                return;
            }
        }
    }

    /// Waits for lines and swaps them with `taken`, which keeps its memory in use.
    fn take(&self, taken: &mut Vec<u8>) -> (u64, bool) {
        taken.clear();
        let idle = |lines: &mut Lines| lines.bytes.is_empty() && !lines.closed;
        let waited = self.more.wait_while(self.lock(), idle);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        let gathered = self
            .more
            .wait_timeout_while(self.lock(), GATHER, |lines| !lines.closed);
        let mut lines = gathered.unwrap_or_else(PoisonError::into_inner).0;
        std::mem::swap(&mut lines.bytes, taken);
        (std::mem::take(&mut lines.dropped), lines.closed)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields on by reference"
)]
fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn millis<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
    serializer.serialize_f64(f64::from(micros) / 1e3)
}

#[expect(clippy::ref_option, reason = "serde hands fields on by reference")]
fn some_millis<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => millis(span, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[derive(Clone, Default)]
    pub(in crate::telemetry) struct Sink(pub(in crate::telemetry) Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(request_id: &str) -> Line<'_> {
        Line {
            time: Timestamp(1_000_001),
            request_id,
            trace_id: None,
            caller: Some("erp"),
            tenant: Some("acme"),
            route: Some("employees"),
            method: "GET",
            path_template: Some("/v2/employees/{id}"),
            operation: Some("getEmployee"),
            status: 200,
            error: None,
            bytes_in: 0,
            bytes_out: 12,
            duration_ms: Duration::from_micros(1234),
            upstream_ms: Some(Duration::from_millis(1)),
            overhead_ms: Duration::from_micros(100),
            generation: Some(7),
            replayed: false,
        }
    }

    /// Requirement 74: no query, no value of the caller's but what is escaped.
    #[test]
    fn a_line_has_exactly_the_fields_of_the_contract_and_the_operation() {
        let sink = Sink::default();
        let (log, writer) = start(sink.clone()).unwrap();
        log.add(&line("a\n\"b"));
        assert!(writer.finish(Duration::from_secs(10)));
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            written,
            concat!(
                r#"{"time":"1970-01-01T00:00:01.000001Z","request_id":"a\n\"b","trace_id":null,"caller":"erp","#,
                r#""tenant":"acme","route":"employees","method":"GET","path_template":"/v2/employees/{id}","operation":"getEmployee","#,
                r#""status":200,"error":null,"bytes_in":0,"bytes_out":12,"duration_ms":1.234,"upstream_ms":1.0,"#,
                r#""overhead_ms":0.1,"generation":7,"replayed":false}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let queue = Queue::default();
        let big = vec![b'x'; WAITING - 10];
        queue.push(&big);
        queue.push(&[b'y'; 20]);
        queue.push(b"z");
        let lines = queue.lock();
        assert_eq!((lines.bytes.len(), lines.dropped), (WAITING - 9, 1));
    }

    #[test]
    fn all_ends_write_into_the_same_log() {
        let sink = Sink::default();
        let (log, writer) = start(sink.clone()).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let log = log.clone();
                thread::spawn(move || (0..100).for_each(|_| log.add(&line("id"))))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(writer.finish(Duration::from_secs(10)));
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 400);
    }
}
