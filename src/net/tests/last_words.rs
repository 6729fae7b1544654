//! The last answer of a link reaches a caller that is still sending.

use http::HeaderValue;
use http::header::CONNECTION;

use super::*;

/// Refuses without reading.
async fn refuse(_: Arrival) -> Response<Outgoing> {
    let mut answer = status(StatusCode::PAYLOAD_TOO_LARGE);
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(CONNECTION, close);
    answer
}

#[test]
fn who_sends_on_gets_the_answer_and_no_reset() {
    on_a_core(async {
        let certificate = Certificate::new();
        for tls in [None, Some(certificate.files())] {
            let is_secure = tls.is_some();
            let door = open(tls, ServerLimits::default(), refuse);
            let link = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
            let seen = if is_secure {
                let config = client_config(&certificate.roots(), Alpn::Http1).unwrap();
                let name = "localhost".try_into().unwrap();
                let connector = tokio_rustls::TlsConnector::from(config);
                sent_whole(connector.connect(name, link).await.unwrap()).await
            } else {
                sent_whole(link).await
            };
            assert!(seen.starts_with("HTTP/1.1 413 "), "{seen}");
        }
    });
}

/// What comes back once all of a large body was written.
async fn sent_whole(mut link: impl AsyncReadExt + AsyncWriteExt + Unpin) -> String {
    let body = vec![b'x'; 1 << 20];
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    link.write_all(head.as_bytes()).await.unwrap();
    link.write_all(&body).await.unwrap();
    let mut seen = Vec::new();
    link.read_to_end(&mut seen).await.unwrap();
    String::from_utf8(seen).unwrap()
}

/// Else every caller with a wrong key could hold a link for as long as it likes.
#[test]
fn who_does_not_stop_sending_is_cut() {
    on_a_core(async {
        let door = open(None, ServerLimits::default(), refuse);
        let mut link = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
        let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000000\r\n\r\n";
        link.write_all(head.as_bytes()).await.unwrap();
        let sending = async { while link.write_all(&[b'x'; 4096]).await.is_ok() {} };
        let cut = tokio::time::timeout(LONG, sending).await;
        cut.expect("still taking what comes");
    });
}
