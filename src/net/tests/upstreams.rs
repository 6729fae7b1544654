//! The client and its links: what is tried again, what is given up, and whose fault it is.

use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::net::client::SendError;
use crate::net::dial::DialError;

/// How long a request waits for a link where it is to wait in vain: others of the same client get theirs in that time.
pub(super) const WAIT: Duration = Duration::from_secs(4);

pub(super) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

pub(super) async fn listen() -> (TcpListener, Upstream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, Upstream::at(format!("http://127.0.0.1:{port}")))
}

/// Reads until the end of a head.
pub(super) async fn head(link: &mut TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        assert!(link.read_buf(&mut seen).await.unwrap() > 0, "cut off");
    }
    seen
}

/// Answers one request on each link and hangs up; how many links it has accepted.
async fn once_a_link(answer: &'static [u8]) -> (Upstream, Rc<Cell<usize>>) {
    let (listener, upstream) = listen().await;
    let accepted = Rc::new(Cell::new(0));
    let count = Rc::clone(&accepted);
    spawn_local(async move {
        loop {
            let (mut link, _) = listener.accept().await.unwrap();
            count.set(count.get() + 1);
            head(&mut link).await;
            link.write_all(answer).await.unwrap();
        }
    });
    (upstream, accepted)
}

fn get() -> Request<Full<Bytes>> {
    Request::get("/").body(Full::default()).unwrap()
}

/// Requirement 45: only what did not leave is sent again.
#[test]
fn a_dead_idle_link_is_replaced_silently() {
    on_a_core(async {
        let (upstream, accepted) = once_a_link(ANSWER).await;
        let (client, _) = upstream.client();
        for _ in 0..3 {
            let answer = client.send(get()).await.unwrap();
            assert_eq!(text(answer).await, "ok");
        }
        assert_eq!(accepted.get(), 3);
    });
}

/// Requirements 45, 46.
#[test]
fn nothing_is_sent_twice_once_it_may_have_arrived() {
    on_a_core(async {
        let (upstream, accepted) = once_a_link(b"").await;
        let (client, _) = upstream.client();
        let error = client.send(get()).await.unwrap_err();
        assert!(matches!(error, SendError::Broken(_)), "{error:?}");
        assert_eq!(accepted.get(), 1);
    });
}

#[test]
fn what_is_not_http_is_said_to_be_invalid() {
    on_a_core(async {
        let (listener, upstream) = listen().await;
        spawn_local(async move {
            let (mut link, _) = listener.accept().await.unwrap();
            head(&mut link).await;
            link.write_all(b"220 mail.test ESMTP\r\n\r\n")
                .await
                .unwrap();
        });
        let (client, _) = upstream.client();
        let error = client.send(get()).await.unwrap_err();
        assert!(matches!(error, SendError::Invalid(_)), "{error:?}");
    });
}

/// Requirement 117: `first_byte_timeout`.
#[test]
fn an_upstream_that_never_answers_is_given_up() {
    on_a_core(async {
        let (listener, mut upstream) = listen().await;
        upstream.first_byte_timeout = Duration::from_millis(50);
        let (client, links) = upstream.client();
        let error = client.send(get()).await.unwrap_err();
        assert!(matches!(error, SendError::Timeout), "{error:?}");
        let (mut link, _) = listener.accept().await.unwrap();
        link.read_to_end(&mut Vec::new()).await.unwrap();
        until("the link is closed", || links.open() == 0).await;
    });
}

/// Requirement 117: `upstream_links`.
#[test]
fn links_are_bounded_and_freed_ones_go_to_who_waits() {
    on_a_core(async {
        let door = open(None, ServerLimits::default(), echo);
        let mut upstream = Upstream::at(format!("http://127.0.0.1:{}", door.port));
        upstream.links = 1;
        upstream.connect_timeout = WAIT;
        let (client, links) = upstream.client();
        let first = client.send(post("first")).await.unwrap();
        // More than comes along with the head: its link is in use until all of it is taken.
        let large = "x".repeat(1 << 20).leak();
        let second = client.send(post(large));
        let (first, second) = tokio::join!(text(first), second);
        assert_eq!(first, "first");
        let kept = second.unwrap();
        assert_eq!(links.open(), 1);
        let error = client.send(post("third")).await.unwrap_err();
        drop(kept);
        assert!(matches!(error, SendError::Overloaded), "{error:?}");
    });
}

#[test]
fn another_link_is_opened_when_streams_run_out() {
    on_a_core(async {
        let certificate = Certificate::new();
        let limits = ServerLimits {
            max_streams: 1,
            ..ServerLimits::default()
        };
        let gate = Rc::new(tokio::sync::Semaphore::new(1));
        let keeper = Rc::clone(&gate);
        let door = open(Some(certificate.files()), limits, move |arrival| {
            let gate = Rc::clone(&keeper);
            async move {
                gate.acquire().await.unwrap().forget();
                echo(arrival).await
            }
        });
        let upstream = Upstream {
            prefer_h2: true,
            idle_timeout: WAIT,
            ..Upstream::secure(door.port, &certificate)
        };
        let (client, links) = upstream.client();
        let first = client.send(post("first")).await.unwrap();
        assert_eq!(text(first).await, "first");
        let both = async { tokio::join!(client.send(post("a")), client.send(post("b"))) };
        let second_link = async {
            until("a second link", || links.open() == 2).await;
            gate.add_permits(2);
        };
        let ((one, other), ()) = tokio::join!(both, second_link);
        let answers = (text(one.unwrap()).await, text(other.unwrap()).await);
        assert_eq!(answers, ("a".to_owned(), "b".to_owned()));
        until("both are idle and end", || links.open() == 0).await;
    });
}

/// Requirement 117: `upstream_idle_timeout`.
#[test]
fn idle_links_are_closed() {
    on_a_core(async {
        let door = open(None, ServerLimits::default(), echo);
        let mut upstream = Upstream::at(format!("http://127.0.0.1:{}", door.port));
        upstream.idle_timeout = Duration::from_millis(20);
        let (client, links) = upstream.client();
        text(client.send(post("x")).await.unwrap()).await;
        until("the link is closed", || links.open() == 0).await;
        assert_eq!(links.idle(), 0);
    });
}

#[test]
fn a_name_inside_our_network_is_refused() {
    on_a_core(async {
        let dialer = dialer(&Roots::default(), false, SECOND);
        for url in ["http://localhost:1", "https://127.0.0.1", "http://[::1]:9"] {
            let origin = Origin::from_url(&Url::parse(url).unwrap()).unwrap();
            let error = dialer.dial(&origin, Alpn::Http1).await.unwrap_err();
            assert!(matches!(error, DialError::AddressRefused(_)), "{error:?}");
        }
    });
}

/// A refresh dials from the shared runtime: this holds as long as it compiles.
fn _a_dial_may_move_between_threads<'a>(dialer: &'a Dialer, origin: &'a Origin) -> impl Send + 'a {
    dialer.dial(origin, Alpn::Http1)
}

#[test]
fn every_request_that_waited_for_a_dial_learns_that_it_failed() {
    on_a_core(async {
        let certificate = Certificate::new();
        // Nobody listens, and nobody else gets the port.
        let bound = TcpSocket::new_v4().unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = bound.local_addr().unwrap().port();
        let upstream = Upstream {
            prefer_h2: true,
            ..Upstream::secure(port, &certificate)
        };
        let (client, links) = upstream.client();
        let (one, other) = tokio::join!(client.send(get()), client.send(get()));
        for outcome in [one, other] {
            let error = outcome.unwrap_err();
            assert!(matches!(error, SendError::Dial(_)), "{error:?}");
        }
        assert_eq!(links.open(), 0);
    });
}

#[test]
fn an_untrusted_certificate_is_not_sent_to() {
    on_a_core(async {
        let certificate = Certificate::new();
        let door = open(Some(certificate.files()), ServerLimits::default(), echo);
        let (client, _) = Upstream::at(format!("https://localhost:{}", door.port)).client();
        let Err(SendError::Dial(error)) = client.send(get()).await else {
            panic!("trusted")
        };
        assert!(matches!(*error, DialError::Tls(_)), "{error:?}");
    });
}

#[test]
fn a_shared_link_that_the_peer_closed_is_replaced() {
    on_a_core(async {
        let certificate = Certificate::new();
        let limits = ServerLimits {
            idle_timeout: SECOND,
            ..ServerLimits::default()
        };
        let door = open(Some(certificate.files()), limits, echo);
        let upstream = Upstream {
            prefer_h2: true,
            ..Upstream::secure(door.port, &certificate)
        };
        let (client, links) = upstream.client();
        for body in ["one", "two"] {
            let answer = client.send(post(body)).await.unwrap();
            assert_eq!(text(answer).await, body);
            until("the peer closes it", || links.open() == 0).await;
        }
    });
}

/// Requirement 45, as for HTTP/1.1 links.
#[test]
fn a_shared_link_that_dies_under_a_request_is_told_from_a_failing_upstream() {
    on_a_core(async {
        let certificate = Certificate::new();
        let tls = ServerTls::load(&certificate.files()).unwrap();
        let (listener, plain) = listen().await;
        let port = plain.url.rsplit_once(':').unwrap().1.parse().unwrap();
        let upstream = Upstream {
            prefer_h2: true,
            ..Upstream::secure(port, &certificate)
        };
        spawn_local(async move {
            // Of the first link the second request breaks it, of the second link the first.
            for answers in [1, 0, 1] {
                let (link, _) = listener.accept().await.unwrap();
                let acceptor = TlsAcceptor::from(Arc::clone(&tls.current().server));
                let link = acceptor.accept(link).await.unwrap();
                let mut link = h2::server::handshake(link).await.unwrap();
                for _ in 0..answers {
                    let (_, mut respond) = link.accept().await.unwrap().unwrap();
                    respond.send_response(Response::new(()), true).unwrap();
                }
                link.accept().await.unwrap().unwrap();
            }
        });
        let (client, _) = upstream.client();
        client.send(get()).await.unwrap();
        let outcome = client.send(get()).await;
        assert!(matches!(outcome, Err(SendError::Stale(_))), "{outcome:?}");
        let outcome = client.send(get()).await;
        assert!(matches!(outcome, Err(SendError::Broken(_))), "{outcome:?}");
        client.send(get()).await.unwrap();
    });
}

#[test]
fn streams_that_do_not_become_free_in_time_are_an_overload() {
    on_a_core(async {
        let certificate = Certificate::new();
        let limits = ServerLimits {
            max_streams: 1,
            ..ServerLimits::default()
        };
        let calls = Rc::new(Cell::new(0));
        let door = open(Some(certificate.files()), limits, move |arrival| {
            let first = calls.replace(1) == 0;
            async move {
                if first {
                    echo(arrival).await
                } else {
                    std::future::pending().await
                }
            }
        });
        let upstream = Upstream {
            prefer_h2: true,
            links: 1,
            connect_timeout: WAIT,
            ..Upstream::secure(door.port, &certificate)
        };
        let (client, _) = upstream.client();
        text(client.send(post("")).await.unwrap()).await;
        let outcome = tokio::select! {
            outcome = client.send(get()) => outcome,
            outcome = client.send(get()) => outcome,
        };
        assert!(matches!(outcome, Err(SendError::Overloaded)), "{outcome:?}");
    });
}
