//! A link upstream on which only so much may come until the head of an answer: hyper bounds each head, but takes any
//! number of interim ones, and would do nothing else on its thread while they keep coming. Not here: HTTP.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::Link;

/// Bytes that may come until there is an answer; several of the largest heads.
const UNTIL_ANSWER: usize = 512 * 1024;

/// Too many interim answers.
#[derive(Debug, thiserror::Error)]
#[error("more than {UNTIL_ANSWER} bytes came, and no answer among them")]
struct NoAnswer;

/// How much may still come. Its clones are one.
#[derive(Clone, Debug)]
pub(super) struct Patience(Rc<Cell<usize>>);

impl Patience {
    /// With a link that was not used yet.
    pub(super) fn new() -> Self {
        Self(Rc::new(Cell::new(usize::MAX)))
    }

    /// A request is sent.
    pub(super) fn begin(&self) {
        self.0.set(UNTIL_ANSWER);
    }

    /// Its answer is there.
    pub(super) fn end(&self) {
        self.0.set(usize::MAX);
    }
}

/// The link itself.
#[derive(Debug)]
pub(super) struct Bounded {
    link: Link,
    patience: Patience,
}

impl Bounded {
    pub(super) fn new(link: Link, patience: Patience) -> Self {
        Self { link, patience }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.link).poll_read(cx, buffer))?;
        let left = &self.patience.0;
        if left.get() != usize::MAX {
            let came = buffer.filled().len() - before;
            let rest = left.get().checked_sub(came);
            left.set(rest.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, NoAnswer))?);
        }
        Poll::Ready(Ok(()))
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
