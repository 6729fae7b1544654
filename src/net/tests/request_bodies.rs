//! Requests whose bodies come slowly, fail, or do not end: what that means for their links and for others.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::upstreams::{ANSWER, WAIT, head, listen};
use super::*;
use crate::net::body::Limited;
use crate::net::client::SendError;

#[test]
fn the_time_a_body_takes_or_pauses_is_not_time_without_an_answer() {
    on_a_core(async {
        let (listener, mut upstream) = listen().await;
        upstream.first_byte_timeout = 2 * SECOND;
        spawn_local(async move {
            let (mut link, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"0\r\n\r\n") {
                link.read_buf(&mut seen).await.unwrap();
            }
            link.write_all(ANSWER).await.unwrap();
        });
        let (client, _) = upstream.client();
        let answer = client
            .send(
                Request::post("/")
                    .body(Slow::pausing(2, 3 * SECOND))
                    .unwrap(),
            )
            .await;
        assert_eq!(text(answer.unwrap()).await, "ok");
    });
}

/// A body of `left` frames with pauses before them.
struct Slow {
    left: usize,
    every: Duration,
    pause: Pin<Box<tokio::time::Sleep>>,
}

impl Slow {
    fn new(left: usize) -> Self {
        Self::pausing(left, Duration::from_millis(200))
    }

    fn pausing(left: usize, every: Duration) -> Self {
        Self {
            left,
            every,
            pause: Box::pin(tokio::time::sleep(every)),
        }
    }
}

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<http_body::Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        std::task::ready!(self.pause.as_mut().poll(cx));
        self.left -= 1;
        let next = tokio::time::Instant::now() + self.every;
        self.pause.as_mut().reset(next);
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"x")))))
    }
}

#[test]
fn a_fault_of_the_request_body_is_told_from_one_of_the_upstream() {
    on_a_core(async {
        let certificate = Certificate::new();
        let door = open(Some(certificate.files()), ServerLimits::default(), echo);
        for prefer_h2 in [false, true] {
            let upstream = Upstream {
                prefer_h2,
                ..Upstream::secure(door.port, &certificate)
            };
            let (client, _) = upstream.client();
            let body = Limited::new(Slow::new(3), 2);
            let error = client.send(Request::post("/").body(body).unwrap()).await;
            let SendError::RequestBody(cause) = error.unwrap_err() else {
                panic!("not the upstream's fault")
            };
            assert!(cause.is::<crate::net::body::TooLarge>(), "{cause:?}");
        }
    });
}

#[test]
fn a_link_answered_before_its_request_ended_is_not_used_again() {
    on_a_core(async {
        let (listener, upstream) = listen().await;
        spawn_local(async move {
            let (mut link, _) = listener.accept().await.unwrap();
            head(&mut link).await;
            link.write_all(ANSWER).await.unwrap();
            link.read_to_end(&mut Vec::new()).await.unwrap();
        });
        let (client, links) = upstream.client();
        let request = Request::post("/").body(Slow::new(1000)).unwrap();
        let answer = client.send(request).await.unwrap();
        assert_eq!(text(answer).await, "ok");
        assert_eq!(links.idle(), 0);
    });
}

/// Requirement 48 and P5: who sends slowly takes no link from who does not.
#[test]
fn bodies_that_do_not_come_hold_half_of_the_links_at_most() {
    on_a_core(async {
        let door = open(None, ServerLimits::default(), echo);
        let mut upstream = Upstream::at(format!("http://127.0.0.1:{}", door.port));
        upstream.links = 4;
        upstream.connect_timeout = WAIT;
        let (client, links) = upstream.client::<Coming>();
        let client = Rc::new(client);
        for _ in 0..8 {
            let client = Rc::clone(&client);
            spawn_local(async move {
                let _held = client.send(endless()).await;
                std::future::pending::<()>().await;
            });
        }
        until("two links are held", || links.open() == 2).await;
        for _ in 0..3 {
            let answers = [(), (), ()].map(|()| async {
                let answer = client.send(whole()).await.unwrap();
                assert_eq!(text(answer).await, "whole");
            });
            let [one, two, three] = answers;
            tokio::join!(one, two, three);
        }
        let error = client.send(endless()).await.unwrap_err();
        assert!(matches!(error, SendError::Overloaded), "{error:?}");
    });
}

type Coming = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

/// A request whose body is there, without saying so before it is read.
fn whole() -> Request<Coming> {
    let body = Full::new(Bytes::from_static(b"whole")).map_err(|never| match never {});
    Request::post("/").body(body.boxed()).unwrap()
}

/// A request whose body does not end.
fn endless() -> Request<Coming> {
    let body = Slow::new(usize::MAX).boxed();
    Request::post("/").body(body).unwrap()
}
