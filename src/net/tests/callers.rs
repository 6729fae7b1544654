//! The doors: slow, silent and many callers, panics, and the end.

use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::*;
use crate::net::peer_limit::PeerLimit;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const SHORT: Duration = Duration::from_millis(50);

async fn call(door: &Open) -> TcpStream {
    TcpStream::connect(("127.0.0.1", door.port)).await.unwrap()
}

/// All that comes until the other side closes.
async fn rest(link: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let read = timeout(LONG, link.read_to_end(&mut seen));
    read.await.expect("still open").unwrap();
    String::from_utf8(seen).unwrap()
}

/// The head of one answer without a body.
async fn answer(link: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let read = timeout(LONG, link.read_buf(&mut seen)).await;
        assert!(read.expect("no answer").unwrap() > 0, "closed");
    }
    String::from_utf8(seen).unwrap()
}

fn short() -> ServerLimits {
    ServerLimits {
        header_timeout: SHORT,
        ..ServerLimits::default()
    }
}

type Http2 = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

/// HTTP/2 in clear, by prior knowledge.
async fn http2(address: &str) -> (Http2, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(crate::net::local::Local);
    let (sender, link) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    (sender, spawn_local(link))
}

#[test]
fn http2_in_clear_is_told_by_its_first_bytes() {
    on_a_core(async {
        let door = open(None, ServerLimits::default(), echo);
        let (mut sender, _link) = http2(&format!("127.0.0.1:{}", door.port)).await;
        let mut request = post("over h2");
        *request.uri_mut() = "http://localhost/x".parse().unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(text(answer).await, "over h2");
    });
}

/// Requirement 118.
#[test]
fn stopping_says_goodbye_to_http2() {
    on_a_core(async {
        let door = open(None, ServerLimits::default(), echo);
        let (mut sender, link) = http2(&format!("127.0.0.1:{}", door.port)).await;
        let mut request = post("x");
        *request.uri_mut() = "http://localhost/x".parse().unwrap();
        let answer = sender.send_request(request).await.unwrap();
        door.stop.cancel();
        assert_eq!(text(answer).await, "x");
        timeout(LONG, link).await.unwrap().unwrap().unwrap();
        door.task.await.unwrap().unwrap();
    });
}

async fn nothing(_: Arrival) -> Response<Outgoing> {
    status(StatusCode::NO_CONTENT)
}

/// Requirement 117: also where TLS is expected.
#[test]
fn a_silent_caller_is_closed() {
    on_a_core(async {
        let certificate = Certificate::new();
        for tls in [None, Some(certificate.files())] {
            let door = open(tls, short(), nothing);
            assert_eq!(rest(&mut call(&door).await).await, "");
        }
    });
}

/// Requirement 117.
#[test]
fn a_head_that_never_ends_is_answered_408_and_closed() {
    on_a_core(async {
        let door = open(None, short(), nothing);
        let mut link = call(&door).await;
        link.write_all(&REQUEST[..20]).await.unwrap();
        let answer = rest(&mut link).await;
        let told = "HTTP/1.1 408 Request Timeout\r\npleo-gateway-error: request-timeout\r\n";
        assert!(answer.starts_with(told), "{answer}");
        let mut link = call(&door).await;
        link.write_all(b"PRI * HT").await.unwrap();
        assert_eq!(rest(&mut link).await, "");
    });
}

/// Requirement 117: and ends with `idle_timeout`.
#[test]
fn an_idle_link_outlives_the_header_timeout_and_is_served_again() {
    on_a_core(async {
        let limits = ServerLimits {
            idle_timeout: 3 * SECOND,
            ..short()
        };
        let door = open(None, limits, nothing);
        let mut link = call(&door).await;
        for _ in 0..2 {
            link.write_all(REQUEST).await.unwrap();
            assert!(answer(&mut link).await.starts_with("HTTP/1.1 204 "));
            // Longer than the header timeout, and than it takes to be parked; there is no event to wait for.
            tokio::time::sleep(SECOND).await;
        }
        assert_eq!(rest(&mut link).await, "");
    });
}

#[test]
fn an_oversized_head_is_refused() {
    on_a_core(async {
        let limits = ServerLimits {
            max_header_bytes: 1000,
            ..ServerLimits::default()
        };
        let door = open(None, limits, nothing);
        let mut link = call(&door).await;
        let head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1500));
        link.write_all(head.as_bytes()).await.unwrap();
        assert!(answer(&mut link).await.starts_with("HTTP/1.1 431 "));
    });
}

#[test]
fn a_panic_costs_one_request() {
    on_a_core(async {
        let calls = Rc::new(Cell::new(0));
        let door = open(None, ServerLimits::default(), move |_| {
            calls.set(calls.get() + 1);
            assert!(calls.get() > 1, "on purpose");
            async { status(StatusCode::NO_CONTENT) }
        });
        let mut link = call(&door).await;
        for expected in ["HTTP/1.1 500 ", "HTTP/1.1 204 "] {
            link.write_all(REQUEST).await.unwrap();
            assert!(answer(&mut link).await.starts_with(expected));
        }
    });
}

#[test]
fn stopping_finishes_what_is_under_way() {
    on_a_core(async {
        let (begun, finish) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
        let service = {
            let (begun, finish) = (Rc::clone(&begun), Rc::clone(&finish));
            move |_| {
                let (begun, finish) = (Rc::clone(&begun), Rc::clone(&finish));
                async move {
                    begun.notify_one();
                    finish.notified().await;
                    status(StatusCode::NO_CONTENT)
                }
            }
        };
        let door = open(None, ServerLimits::default(), service);
        let (mut busy, mut silent) = (call(&door).await, call(&door).await);
        busy.write_all(REQUEST).await.unwrap();
        begun.notified().await;
        door.stop.cancel();
        assert_eq!(rest(&mut silent).await, "", "an idle link ends at once");
        assert!(TcpStream::connect(("127.0.0.1", door.port)).await.is_err());
        finish.notify_one();
        let seen = rest(&mut busy).await;
        assert!(seen.starts_with("HTTP/1.1 204 "), "{seen}");
        assert!(seen.contains("connection: close"), "{seen}");
        door.task.await.unwrap().unwrap();
    });
}

/// Requirement 118: whoever connected and asked before the word to stop is served, although nobody had looked at it yet.
#[test]
fn what_came_before_the_word_to_stop_is_served() {
    on_a_core(async {
        let door = open(None, ServerLimits::default(), nothing);
        let mut known = call(&door).await;
        known.write_all(REQUEST).await.unwrap();
        answer(&mut known).await;
        let mut links = vec![known.into_std().unwrap()];
        // No await from here on: the door does not get to look.
        for _ in 0..3 {
            links.push(std::net::TcpStream::connect(("127.0.0.1", door.port)).unwrap());
        }
        for link in &mut links {
            std::io::Write::write_all(link, REQUEST).unwrap();
            link.set_nonblocking(true).unwrap();
        }
        door.stop.cancel();
        for link in links {
            let seen = rest(&mut TcpStream::from_std(link).unwrap()).await;
            assert!(seen.starts_with("HTTP/1.1 204 "), "{seen}");
            assert!(seen.contains("connection: close"), "{seen}");
        }
        door.task.await.unwrap().unwrap();
    });
}

/// Requirement 117: on HTTP/2 an idle peer is told, and does not decide how long the link then lives.
#[test]
fn an_idle_peer_that_does_not_answer_goodbye_is_cut() {
    on_a_core(async {
        let limits = ServerLimits {
            idle_timeout: SHORT,
            ..short()
        };
        let door = open(None, limits, nothing);
        let mut link = call(&door).await;
        // Settings, none; then GET / with an authority, by RFC 7541's tables.
        link.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x0e\x01\x05\0\0\0\x01\x82\x84\x86\x41\x09localhost").await.unwrap();
        let mut seen = Vec::new();
        let read = timeout(LONG, link.read_to_end(&mut seen)).await;
        read.expect("still open").unwrap();
        let goaway = seen.windows(4).any(|bytes| bytes == [0, 0, 8, 7]);
        assert!(goaway, "nothing was said");
    });
}

#[test]
fn what_does_not_end_in_time_is_cut() {
    on_a_core(async {
        let limits = ServerLimits {
            drain_timeout: SHORT,
            ..ServerLimits::default()
        };
        let begun = Rc::new(Notify::new());
        let tell = Rc::clone(&begun);
        let door = open(None, limits, move |_| {
            tell.notify_one();
            std::future::pending()
        });
        let mut link = call(&door).await;
        link.write_all(REQUEST).await.unwrap();
        begun.notified().await;
        door.stop.cancel();
        assert_eq!(rest(&mut link).await, "");
        door.task.await.unwrap().unwrap();
    });
}

#[test]
fn a_caller_that_hangs_up_ends_its_request() {
    on_a_core(async {
        struct Tell(Rc<Notify>);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let (begun, dropped) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
        let service = {
            let (begun, dropped) = (Rc::clone(&begun), Rc::clone(&dropped));
            move |_| {
                begun.notify_one();
                let tell = Tell(Rc::clone(&dropped));
                async move {
                    let _tell = tell;
                    std::future::pending().await
                }
            }
        };
        let door = open(None, ServerLimits::default(), service);
        let mut link = call(&door).await;
        link.write_all(REQUEST).await.unwrap();
        begun.notified().await;
        drop(link);
        timeout(LONG, dropped.notified()).await.unwrap();
    });
}

/// A door that answers without end; its address, and word of each answer that is dropped.
fn endless() -> (String, Rc<Notify>) {
    let limits = ServerLimits {
        body_idle_timeout: SHORT,
        ..ServerLimits::default()
    };
    let dropped = Rc::new(Notify::new());
    let tell = Rc::clone(&dropped);
    let service = move |_| {
        let body = Endless(Rc::clone(&tell));
        async move { Response::new(body) }
    };
    let bound = bound(None);
    let address = bound.address().to_string();
    let door = bound.into_doors().remove(0);
    let failed = || panic!("not asked for");
    let stop = CancellationToken::new();
    spawn_local(serve(door, limits, stop, service, failed));
    (address, dropped)
}

/// Requirement 63, HTTP/1.1.
#[test]
fn a_caller_that_does_not_read_is_cut() {
    on_a_core(async {
        let (address, dropped) = endless();
        let mut link = TcpStream::connect(address).await.unwrap();
        link.write_all(REQUEST).await.unwrap();
        timeout(LONG, dropped.notified()).await.unwrap();
        let mut seen = Vec::new();
        let read = timeout(LONG, link.read_to_end(&mut seen)).await;
        read.expect("still open").ok();
        assert!(!seen.ends_with(b"0\r\n\r\n"), "taken for a whole answer");
    });
}

/// Requirement 63.
#[test]
fn a_stream_that_is_not_read_does_not_hold_its_body() {
    on_a_core(async {
        let (address, dropped) = endless();
        let (mut sender, _link) = http2(&address).await;
        let mut request = post("");
        *request.uri_mut() = "http://localhost/x".parse().unwrap();
        let answer = sender.send_request(request).await.unwrap();
        timeout(LONG, dropped.notified()).await.unwrap();
        let read = answer.into_body().collect().await;
        assert!(read.is_err(), "taken for a whole answer");
    });
}

/// Gives more whenever it is asked; tells when it is dropped.
struct Endless(Rc<Notify>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let more = http_body::Frame::data(Bytes::from_static(&[b'x'; 1024]));
        std::task::Poll::Ready(Some(Ok(more)))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Requirement 117: `max_connections`.
#[test]
fn links_over_the_limit_wait_for_their_turn() {
    on_a_core(async {
        let limits = ServerLimits {
            links: Arc::new(Semaphore::new(1)),
            ..ServerLimits::default()
        };
        let door = open(None, limits, nothing);
        let mut first = call(&door).await;
        first.write_all(REQUEST).await.unwrap();
        answer(&mut first).await;
        let mut second = call(&door).await;
        second.write_all(REQUEST).await.unwrap();
        let early = timeout(SHORT, second.read_u8()).await;
        assert!(early.is_err(), "served over the limit");
        drop(first);
        assert!(answer(&mut second).await.starts_with("HTTP/1.1 204 "));
    });
}

/// Requirement 117: `max_connections_per_peer`.
#[test]
fn one_address_gets_its_share_only() {
    on_a_core(async {
        let limits = ServerLimits {
            per_peer: Some(PeerLimit::new(1)),
            ..ServerLimits::default()
        };
        let door = open(None, limits, nothing);
        let mut first = call(&door).await;
        first.write_all(REQUEST).await.unwrap();
        answer(&mut first).await;
        assert_eq!(rest(&mut call(&door).await).await, "");
    });
}
