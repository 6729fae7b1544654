//! The doors: slow, silent and many callers, panics, and the end.

use super::*;
use crate::net::listener::BindError;
use crate::net::peer_limit::PeerLimit;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const SHORT: Duration = Duration::from_millis(50);

async fn call(door: &Open) -> TcpStream {
    TcpStream::connect(("127.0.0.1", door.port)).await.unwrap()
}

/// All that comes until the other side closes.
async fn rest(link: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let read = timeout(5 * SECOND, link.read_to_end(&mut seen));
    read.await.expect("still open").unwrap();
    String::from_utf8(seen).unwrap()
}

/// The head of one answer without a body.
async fn answer(link: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let read = timeout(5 * SECOND, link.read_buf(&mut seen)).await;
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

async fn nothing(_: Arrival) -> Response<Outgoing> {
    status(StatusCode::NO_CONTENT)
}

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

#[test]
fn a_head_that_never_ends_is_answered_408_and_closed() {
    on_a_core(async {
        let door = open(None, short(), nothing);
        let mut link = call(&door).await;
        link.write_all(&REQUEST[..20]).await.unwrap();
        assert!(rest(&mut link).await.starts_with("HTTP/1.1 408 "));
        let mut link = call(&door).await;
        link.write_all(b"PRI * HT").await.unwrap();
        assert_eq!(rest(&mut link).await, "");
    });
}

#[test]
fn an_idle_link_outlives_the_header_timeout_and_is_served_again() {
    on_a_core(async {
        let limits = ServerLimits {
            idle_timeout: 6 * SHORT,
            ..short()
        };
        let door = open(None, limits, nothing);
        let mut link = call(&door).await;
        for _ in 0..2 {
            link.write_all(REQUEST).await.unwrap();
            assert!(answer(&mut link).await.starts_with("HTTP/1.1 204 "));
            // Longer than the header timeout, and than it takes to be parked; there is no event to wait for.
            tokio::time::sleep(3 * SHORT).await;
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
        timeout(5 * SECOND, dropped.notified()).await.unwrap();
    });
}

#[test]
fn a_caller_that_does_not_read_is_cut() {
    on_a_core(async {
        let limits = ServerLimits {
            body_idle_timeout: SHORT,
            ..ServerLimits::default()
        };
        let size = 32 << 20;
        let door = open(None, limits, move |_| async move {
            Response::new(Bytes::from(vec![b'x'; size]).into())
        });
        let mut link = call(&door).await;
        link.write_all(REQUEST).await.unwrap();
        tokio::time::sleep(4 * SHORT).await;
        let mut seen = Vec::new();
        let _ = timeout(5 * SECOND, link.read_to_end(&mut seen))
            .await
            .unwrap();
        assert!(seen.len() < size, "all of it came");
    });
}

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

#[tokio::test]
async fn an_address_in_use_is_refused() {
    let first = bind_at("127.0.0.1:0", 2).unwrap();
    let DoorAddress::Tcp(address) = first.address() else {
        panic!("asked for TCP")
    };
    let error = bind_at(&address.to_string(), 2).unwrap_err();
    assert!(matches!(error, BindError::InUse(_)), "{error}");
    assert_eq!(first.into_doors().len(), 2);
}

fn bind_at(address: &str, threads: usize) -> Result<Bound, BindError> {
    let options = DoorOptions {
        address: DoorAddress::Tcp(address.parse().unwrap()),
        tls: None,
        half_close: false,
        index: 0,
    };
    bind(&options, threads, &mut Inherited::none())
}

#[test]
fn a_unix_socket_tells_who_calls() {
    on_a_core(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        let options = DoorOptions {
            address: DoorAddress::Unix(path.clone(), 0o600),
            tls: None,
            half_close: false,
            index: 0,
        };
        let bound = bind(&options, 1, &mut Inherited::none()).unwrap();
        let door = bound.into_doors().remove(0);
        let service = |arrival: Arrival| async move {
            let uid = arrival.peer().unix_uid.unwrap();
            assert_eq!(uid, rustix::process::getuid().as_raw());
            status(StatusCode::NO_CONTENT)
        };
        let failed = || status(StatusCode::INTERNAL_SERVER_ERROR);
        let stop = CancellationToken::new();
        spawn_local(serve(door, ServerLimits::default(), stop, service, failed));
        let mut link = tokio::net::UnixStream::connect(path).await.unwrap();
        link.write_all(REQUEST).await.unwrap();
        let mut seen = [0; 13];
        link.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"HTTP/1.1 204 ");
    });
}

#[tokio::test]
async fn a_socket_that_was_not_handed_over_is_refused() {
    let options = DoorOptions {
        address: DoorAddress::Inherited("api".to_owned()),
        tls: None,
        half_close: false,
        index: 0,
    };
    let error = bind(&options, 1, &mut Inherited::none()).unwrap_err();
    assert!(matches!(error, BindError::NotInherited(_)), "{error}");
}
