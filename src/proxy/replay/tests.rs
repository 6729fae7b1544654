//! Tests of bodies that are sent once or twice.

use super::*;
type Frames = Vec<Result<Frame<Bytes>, BoxError>>;

/// A body in several frames, of unknown length.
struct Parts(std::vec::IntoIter<Result<Frame<Bytes>, BoxError>>);

impl Body for Parts {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.next())
    }
    fn is_end_stream(&self) -> bool {
        false
    }
}

struct Silent;

impl Body for Silent {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Pending
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as bodies give frames out")]
fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn upload(frames: Frames, limit: u64, buffer: usize) -> Upload<Parts> {
    let upload = Upload::new(Parts(frames.into_iter()), Duration::from_secs(1));
    upload.limit(limit, buffer).unwrap();
    upload
}

fn fault(error: &BoxError) -> UploadFault {
    *error.downcast_ref().unwrap()
}

#[tokio::test]
async fn a_kept_body_is_sent_again_byte_for_byte() {
    let mut trailers = HeaderMap::new();
    trailers.insert("checksum", "1".parse().unwrap());
    trailers.insert("authorization", "no".parse().unwrap());
    let frames = vec![data("ab"), data("c"), Ok(Frame::trailers(trailers))];
    let upload = upload(frames, 100, 3);
    for _ in 0..2 {
        assert!(upload.can_be_sent_again());
        let whole = upload.body().collect().await.unwrap();
        let trailers = whole.trailers().unwrap();
        assert_eq!(
            (trailers.len(), trailers["checksum"].as_bytes()),
            (1, &b"1"[..])
        );
        assert_eq!(whole.to_bytes(), "abc");
    }
    assert_eq!(upload.received(), 3);
    assert!(upload.ended());
}

#[tokio::test]
async fn a_second_sending_goes_on_where_the_first_was_cut() {
    let upload = upload(vec![data("ab"), data("c")], 100, 100);
    let mut first = upload.body();
    first.frame().await.unwrap().unwrap();
    assert_eq!(upload.body().collect().await.unwrap().to_bytes(), "abc");
    let error = first.frame().await.unwrap().unwrap_err();
    assert_eq!(fault(&error), UploadFault::Superseded);
}

#[tokio::test]
async fn nothing_is_kept_of_frames_with_nothing_in_them() {
    let empty = (0..1000).map(|_| data(""));
    let frames = empty.chain([data("ab"), data(""), data("c")]).collect();
    let upload = upload(frames, 100, 3);
    for _ in 0..2 {
        assert_eq!(upload.body().collect().await.unwrap().to_bytes(), "abc");
        assert!(upload.can_be_sent_again());
    }
    assert_eq!(upload.0.unwrap().borrow().kept(), 2);
}

#[tokio::test]
async fn a_body_over_the_buffer_streams_but_is_not_kept() {
    let upload = upload(vec![data("ab"), data("c")], 100, 2);
    assert_eq!(upload.body().collect().await.unwrap().to_bytes(), "abc");
    assert!(!upload.can_be_sent_again());
}

#[tokio::test]
async fn a_body_over_the_limit_is_cut() {
    let upload = upload(vec![data("ab"), data("c")], 2, 100);
    let error = upload.body().collect().await.unwrap_err();
    assert_eq!(fault(&error), UploadFault::TooLarge);
}

#[tokio::test]
async fn a_body_said_to_be_too_large_is_refused_unread() {
    let body = http_body_util::Full::new(Bytes::from_static(b"abc"));
    let upload = Upload::new(body, Duration::from_secs(1));
    assert_eq!(upload.limit(2, 0), Err(UploadFault::TooLarge));
    assert_eq!(upload.received(), 0);
    assert_eq!(upload.limit(3, 2), Ok(()));
    assert!(!upload.can_be_sent_again());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_taken_for_whole() {
    let upload = upload(vec![data("ab"), Err("reset".into())], 100, 100);
    let error = upload.body().collect().await.unwrap_err();
    assert_eq!(fault(&error), UploadFault::BrokeOff);
    assert!(!upload.ended());
    assert!(!upload.discard().await);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_told_from_one_that_broke_off() {
    let upload = Upload::new(Silent, Duration::from_secs(1));
    let error = upload.body().collect().await.unwrap_err();
    assert_eq!(fault(&error), UploadFault::TooSlow);
}
