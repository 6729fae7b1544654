//! Starting, stopping and ordering.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn an_order_over_http_mints_and_revokes() {
    let client = Client::start(Options::default()).await;
    let order = json!({"company": "Birch & Sons Ltd", "scopes": "users:read", "access_ttl": "2m"});
    let minted = client
        .send("POST /_sandbox/authorisations", &[], &order.to_string())
        .await;
    assert_eq!(minted.status, 201);
    let line = format!("DELETE {}", minted.header("location"));
    let minted = minted.json();
    assert_eq!(minted["expires_in"], 120);
    assert_eq!(minted["company_id"], client.running.company_ids()[1]);
    let access = minted["access_token"].as_str().unwrap();
    assert_eq!(client.introspect(access).await.status, 200);
    assert_eq!(client.send(&line, &[], "").await.status, 200);
    assert_eq!(client.introspect(access).await.status, 401);
    assert_eq!(client.send(&line, &[], "").await.status, 404);
    client.send("POST /_sandbox/reset", &[], "").await;
    assert_eq!(client.running.state()["authorisations"], json!([]));
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused() {
    let client = Client::start(Options::default()).await;
    for (path, body) in [
        ("faults", r#"{"endpoint":"token","kind":"explode"}"#),
        ("faults", r#"{"endpoint":"token"}"#),
        ("authorisations", r#"{"company":"Nobody"}"#),
        ("authorisations", r#"{"scopes":["a b"]}"#),
    ] {
        let reply = client
            .send(&format!("POST /_sandbox/{path}"), &[], body)
            .await;
        assert_eq!(reply.status, 400, "{body}");
    }
    assert!(
        client
            .running
            .order(&json!({"endpoint": "token", "kind": "explode"}))
            .is_err()
    );
    assert!(
        client
            .running
            .order(&json!({"endpoint": "token", "kind": "reset"}))
            .is_ok()
    );
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_spoken() {
    let client = Client::start(Options::default()).await;
    let stream = TcpStream::connect(client.running.address).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, link) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    Tasks::on(Handle::current()).spawn(link);
    let uri = format!("{}/openapi.json", client.running.origin());
    let body = http_body_util::Empty::<bytes::Bytes>::new();
    let response = sender
        .send_request(http::Request::get(uri).body(body).unwrap())
        .await
        .unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, http::Version::HTTP_2)
    );
}

#[tokio::test]
async fn a_port_in_use_is_said() {
    let client = Client::start(Options::default()).await;
    let taken = Options {
        listen: client.running.address,
        ..Options::default()
    };
    let error = start(taken, &Tasks::on(Handle::current()))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&client.running.address.to_string())
    );
}

#[tokio::test]
async fn stopping_ends_idle_links_too() {
    let tasks = Tasks::on(Handle::current());
    let listen = "127.0.0.1:0".parse().unwrap();
    let options = Options {
        listen,
        ..Options::default()
    };
    let running = start(options, &tasks).await.unwrap();
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 16];
    idle.read_exact(&mut first).await.unwrap();
    tasks.stop();
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(tasks.finished(Duration::from_secs(20)).await);
}
