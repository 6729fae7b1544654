//! Upstreams that stop half way, wherever that is: each wait has an end and a name in `[limits]`.

use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::net::client::SendError;
use crate::net::dial::DialError;
use crate::net::tls::door_settings;

/// What becomes of an upload of a mebibyte, and how long that takes.
async fn outcome(upstream: &Upstream) -> (SendError, Duration) {
    let (client, links) = upstream.client();
    let body = Full::new(Bytes::from(vec![b'x'; 1 << 20]));
    let begun = Instant::now();
    let sent = client.send(Request::post("/").body(body).unwrap());
    let ended = timeout(LONG, sent).await.expect("it has no end");
    let took = begun.elapsed();
    until("the link is given up", || links.open() <= 1).await;
    (ended.map(drop).unwrap_err(), took)
}

fn is_late(error: &SendError) -> bool {
    matches!(error, SendError::Dial(why) if matches!(**why, DialError::Timeout))
}

/// Requirement 117: `connect_timeout`, where nobody picks up.
#[test]
fn a_dial_that_is_not_answered_ends() {
    on_a_core(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = socket.listen(1).unwrap();
        let address = full.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(link) = timeout(SECOND / 5, TcpStream::connect(address)).await {
            waiting.push(link.unwrap());
        }
        let (error, took) = outcome(&Upstream {
            connect_timeout: SECOND,
            ..Upstream::at(format!("http://{address}"))
        })
        .await;
        assert!(is_late(&error), "{error}");
        assert!(took >= SECOND, "{took:?}");
    });
}

/// Requirement 117: `connect_timeout`, where nobody says hello.
#[test]
fn a_handshake_that_does_not_end_ends() {
    on_a_core(async {
        let certificate = Certificate::new();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let (error, took) = outcome(&Upstream {
            connect_timeout: SECOND,
            ..Upstream::secure(port, &certificate)
        })
        .await;
        assert!(is_late(&error), "{error}");
        assert!(took >= SECOND, "{took:?}");
    });
}

/// Requirement 117: `first_byte_timeout`, from the last byte that was taken: whatever the protocol, and however little of
/// the request that was.
#[test]
fn an_upstream_that_reads_no_more_is_given_up() {
    on_a_core(async {
        let certificate = Certificate::new();
        for prefer_h2 in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let acceptor =
                TlsAcceptor::from(door_settings(&certificate.files()).unwrap().server.clone());
            let stuck = spawn_local(async move {
                let (link, _) = listener.accept().await.unwrap();
                let mut link = acceptor.accept(link).await.unwrap();
                if prefer_h2 {
                    // Its settings, none.
                    link.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
                    link.flush().await.unwrap();
                }
                std::future::pending::<()>().await;
            });
            let upstream = Upstream {
                prefer_h2,
                first_byte_timeout: SECOND,
                ..Upstream::secure(port, &certificate)
            };
            let (error, took) = outcome(&upstream).await;
            assert!(matches!(error, SendError::Timeout), "{error}");
            assert!(took >= SECOND, "{took:?}");
            stuck.abort();
        }
    });
}
