//! The end of a link whose peer may still be sending (RFC 9112 section 9.6). A socket that is closed with something unread in
//! it is reset, and the reset overtakes our last answer: so what comes is read, and dropped. Not here: when links end.

use std::mem::MaybeUninit;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::link::Link;

/// The longest silence, and the longest in all.
const SILENT: Duration = Duration::from_millis(500);
const WHOLE: Duration = Duration::from_secs(2);

/// Says that we are done, and listens until the peer is.
pub(super) async fn linger(link: &mut Link) {
    let heard_out = async {
        // A peer that is gone needs no goodbye.
        let _ = link.shutdown().await;
        while let Ok(Ok(1..)) = timeout(SILENT, drop_some(link)).await {}
    };
    let _ = timeout(WHOLE, heard_out).await;
}

/// The buffer is on the stack of this call alone.
async fn drop_some(link: &mut Link) -> std::io::Result<usize> {
    std::future::poll_fn(|cx| {
        let mut space = [MaybeUninit::uninit(); 16 << 10];
        let mut buffer = ReadBuf::uninit(&mut space);
        let polled = std::pin::Pin::new(&mut *link).poll_read(cx, &mut buffer);
        polled.map_ok(|()| buffer.filled().len())
    })
    .await
}
