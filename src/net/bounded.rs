//! A bound on what an upstream link may deliver before the head of an answer: hyper bounds each head, but accepts any number
//! of interim ones, and would do nothing else on its thread while they keep coming. On HTTP/2 the bound is per stream
//! (`net::unfinished`). Not here: HTTP.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::Link;
use super::unfinished::Unfinished;

/// Bytes that may come before an answer: several of the largest heads.
const UNTIL_ANSWER: usize = 512 * 1024;

/// Too many interim answers.
#[derive(Debug, thiserror::Error)]
#[error("more than {UNTIL_ANSWER} bytes came, and no answer among them")]
struct NoAnswer;

/// How much may still come. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Patience(Rc<Cell<usize>>);

impl Patience {
    /// For a link that was not used yet.
    pub(super) fn new() -> Self {
        Self(Rc::new(Cell::new(usize::MAX)))
    }

    /// A request is sent.
    pub(super) fn begin(&self) {
        self.0.set(UNTIL_ANSWER);
    }

    /// True while not a byte of the answer has come.
    pub(super) fn is_whole(&self) -> bool {
        self.0.get() == UNTIL_ANSWER
    }

    /// Its answer is there.
    pub(super) fn end(&self) {
        self.0.set(usize::MAX);
    }

    fn took(&self, came: usize) -> Result<(), NoAnswer> {
        if self.0.get() != usize::MAX {
            self.0.set(self.0.get().checked_sub(came).ok_or(NoAnswer)?);
        }
        Ok(())
    }
}

/// Bytes that have come on a link. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Rc<Cell<u64>>);

impl Heard {
    pub(super) fn bytes(&self) -> u64 {
        self.0.get()
    }

    fn more(&self, came: usize) {
        self.0.set(self.0.get() + came as u64);
    }
}

/// The link itself.
#[derive(Debug)]
pub(super) struct Bounded {
    link: Link,
    bound: Bound,
}

/// The bound on what comes.
#[derive(Debug)]
enum Bound {
    OneAnswer(Patience),
    EachStream(Unfinished, Heard),
}

impl Bounded {
    /// One answer at a time comes on it.
    pub(super) fn exclusive(link: Link, patience: Patience) -> Self {
        let bound = Bound::OneAnswer(patience);
        Self { link, bound }
    }

    /// HTTP/2 comes on it.
    pub(super) fn multiplexed(link: Link, heard: Heard) -> Self {
        let bound = Bound::EachStream(Unfinished::after(0), heard);
        Self { link, bound }
    }
}

impl Bound {
    fn look(&mut self, came: &mut [u8]) -> io::Result<()> {
        match self {
            Self::OneAnswer(patience) => patience.took(came.len()).map_err(invalid),
            Self::EachStream(unfinished, heard) => {
                heard.more(came.len());
                unfinished.look(came).map_err(invalid)
            }
        }
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.link).poll_read(cx, buffer))?;
        Poll::Ready(self.bound.look(&mut buffer.filled_mut()[before..]))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.link).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.link).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.link.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_shutdown(cx)
    }
}
