//! What a caller's link is doing, so that its one timer knows how long that may take. Reads and writes keep it up to date;
//! nothing here sleeps. Not here: HTTP.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::Reason;
use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::answer::Answers;
use super::frames::{Frames, PREFACE};
use super::link::Link;
use super::unfinished::Unfinished;

/// What the peer owes us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The rest of a request's head.
    Head,
    /// Nothing; we owe an answer.
    Busy,
    /// Nothing; it may begin another request.
    Idle,
}

/// The state of one link.
#[derive(Debug)]
pub(super) struct Watch {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    requests: Cell<usize>,
    /// HTTP/2: since when the peer has owed the rest of a head.
    owed: Cell<Option<Instant>>,
    /// Since when the peer has not been taking what we write.
    blocked: Cell<Option<Instant>>,
    flushed: Cell<bool>,
    /// HTTP/1.0: the end of the link may be the end of the answer.
    ends_with_link: Cell<bool>,
    /// The last answer closes the link: the request may not have been read up.
    closes: Cell<bool>,
    /// On an HTTP/2 link bytes come in all the time; they say nothing of heads.
    pub(super) multiplexed: bool,
    pub(super) answers: Answers,
}

impl Watch {
    pub(super) fn new(multiplexed: bool) -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Head),
            since: Cell::new(Instant::now()),
            requests: Cell::new(0),
            owed: Cell::new(None),
            blocked: Cell::new(None),
            flushed: Cell::new(true),
            ends_with_link: Cell::new(false),
            closes: Cell::new(false),
            multiplexed,
            answers: Answers::default(),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// When the phase began.
    pub(super) fn since(&self) -> Instant {
        self.since.get()
    }

    pub(super) fn owed(&self) -> Option<Instant> {
        self.owed.get()
    }

    pub(super) fn blocked(&self) -> Option<Instant> {
        self.blocked.get()
    }

    /// True if all that was written has left.
    pub(super) fn is_flushed(&self) -> bool {
        self.flushed.get()
    }

    /// True if a peer cannot tell an answer that broke off from a whole one unless the link is reset.
    pub(super) fn ends_with_link(&self) -> bool {
        self.ends_with_link.get()
    }

    /// An answer says that it is the last of its link.
    pub(super) fn close(&self) {
        self.closes.set(true);
    }

    /// True if an answer said that it is the last.
    pub(super) fn closes(&self) -> bool {
        self.closes.get()
    }

    /// A request of this version is here; it is over when what is returned is dropped.
    pub(super) fn begin(self: &Rc<Self>, version: Version) -> Answering {
        self.ends_with_link.set(version < Version::HTTP_11);
        self.requests.set(self.requests.get() + 1);
        self.phase.set(Phase::Busy);
        Answering(Rc::clone(self))
    }

    fn turn(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }

    fn read(&self) {
        if self.phase.get() == Phase::Idle && !self.multiplexed {
            self.turn(Phase::Head);
        }
    }

    fn owes_head(&self, owes: bool) {
        match self.owed.get() {
            None if owes => self.owed.set(Some(Instant::now())),
            Some(_) if !owes => self.owed.set(None),
            _ => {}
        }
    }

    fn wrote<T>(&self, polled: &Poll<T>, flushed: bool) {
        self.flushed.set(flushed && polled.is_ready());
        if polled.is_ready() {
            self.blocked.set(None);
        } else if self.blocked.get().is_none() {
            self.blocked.set(Some(Instant::now()));
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Rc<Watch>);

impl Answering {
    pub(super) fn watch(&self) -> &Watch {
        &self.0
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let left = self.0.requests.get() - 1;
        self.0.requests.set(left);
        if left == 0 {
            self.0.turn(Phase::Idle);
        }
    }
}

/// A link that keeps its watch up to date, and gives out first what was already read from it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) link: Link,
    read: Bytes,
    watch: Rc<Watch>,
    /// Those of an HTTP/2 link.
    frames: Option<Frames>,
    unfinished: Unfinished,
    ending: Option<Ending>,
}

/// A frame came that ends the link.
#[derive(Clone, Copy, Debug)]
struct Ending {
    reason: Reason,
    /// What was to be written before it has had its chance.
    due: bool,
}

impl Watched {
    pub(super) fn new(link: Link, read: Bytes, watch: Rc<Watch>) -> Self {
        let frames = watch.multiplexed.then(Frames::new);
        Self {
            link,
            read,
            watch,
            frames,
            unfinished: Unfinished::after(PREFACE.len()),
            ending: None,
        }
    }

    fn poll_some(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let length = self.read.len().min(buffer.remaining());
            buffer.put_slice(&self.read[..length]);
            self.read.advance(length);
            if self.read.is_empty() {
                self.read = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.link).poll_read(cx, buffer);
        if polled.is_ready() {
            self.watch.read();
        }
        polled
    }

    /// Lets what is under way be written, says goodbye unless that would break a frame in two, and reads no more.
    fn poll_end(&mut self, ending: Ending, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !ending.due {
            self.ending = Some(Ending {
                due: true,
                ..ending
            });
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(frames) = self.frames.take().filter(|_| self.watch.is_flushed()) {
            let goodbye = frames.goaway(ending.reason);
            // Whether it can be written or not, the link ends.
            let _ = Pin::new(&mut self.link).poll_write(cx, &goodbye);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(ending) = self.ending {
            return self.poll_end(ending, cx);
        }
        let before = buffer.filled().len();
        ready!(self.poll_some(cx, buffer))?;
        let Some(frames) = &mut self.frames else {
            return Poll::Ready(Ok(()));
        };
        let looked = frames.look(&buffer.filled()[before..]);
        let owes = frames.are_owed_fields();
        self.watch.owes_head(owes);
        if let Err(fault) = looked {
            buffer.set_filled(before + fault.at);
            let ending = Ending {
                reason: fault.reason,
                due: false,
            };
            self.ending = Some(ending);
            if fault.at == 0 {
                return self.poll_end(ending, cx);
            }
        }
        let followed = self.unfinished.look(&mut buffer.filled_mut()[before..]);
        Poll::Ready(followed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.link).poll_write(cx, bytes);
        self.watch.wrote(&polled, false);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.link).poll_write_vectored(cx, slices);
        self.watch.wrote(&polled, false);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.link.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.link).poll_flush(cx);
        self.watch.wrote(&polled, true);
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_shutdown(cx)
    }
}
