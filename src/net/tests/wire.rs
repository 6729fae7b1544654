//! Both ends together: what goes in at a door comes out of the client, whatever the protocol.

use super::*;

async fn round_trip(prefer_h2: bool) {
    let certificate = Certificate::new();
    let service = |arrival: Arrival| async move {
        let (request, peer) = arrival.into_parts();
        let seen = format!("{:?} {} {}", request.version(), peer.secure, peer.door);
        Response::new(Bytes::from(seen).into())
    };
    let door = open(Some(certificate.files()), ServerLimits::default(), service);
    let upstream = Upstream {
        prefer_h2,
        ..Upstream::secure(door.port, &certificate)
    };
    let (client, links) = upstream.client();
    let version = if prefer_h2 { "HTTP/2.0" } else { "HTTP/1.1" };
    for _ in 0..3 {
        let answer = client.send(post("x")).await.unwrap();
        assert_eq!(text(answer).await, format!("{version} true 7"));
    }
    assert_eq!(links.open(), 1, "one link carried them all");
}

#[test]
fn http1_over_tls_goes_through() {
    on_a_core(round_trip(false));
}

#[test]
fn http2_over_tls_goes_through() {
    on_a_core(round_trip(true));
}

#[test]
fn the_upstream_sees_its_own_authority_and_the_path() {
    on_a_core(async {
        let certificate = Certificate::new();
        let service = |arrival: Arrival| async move {
            let request = arrival.request();
            let host = request
                .headers()
                .get("host")
                .map(|host| host.to_str().unwrap());
            let authority = request.uri().authority().map(ToString::to_string);
            let path = request.uri().path_and_query().unwrap();
            let authority = authority.as_deref().or(host).unwrap();
            Response::new(Bytes::from(format!("{authority} {path}")).into())
        };
        let door = open(Some(certificate.files()), ServerLimits::default(), service);
        for prefer_h2 in [false, true] {
            let upstream = Upstream {
                prefer_h2,
                ..Upstream::secure(door.port, &certificate)
            };
            let (client, _) = upstream.client();
            let mut request = post("x");
            let foreign = http::HeaderValue::from_static("gateway.test");
            request.headers_mut().insert("host", foreign);
            let answer = client.send(request).await.unwrap();
            let expected = format!("localhost:{} /some?query=1", door.port);
            assert_eq!(text(answer).await, expected);
        }
    });
}

#[test]
fn an_answer_to_head_keeps_its_length() {
    on_a_core(async {
        let door = open(None, ServerLimits::default(), |_| async {
            Response::new(Bytes::from_static(b"12345").into())
        });
        let (client, links) = Upstream::at(format!("http://localhost:{}", door.port)).client();
        let mut request = post("");
        *request.method_mut() = http::Method::HEAD;
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.headers()["content-length"], "5");
        assert_eq!(text(answer).await, "");
        assert_eq!((links.open(), links.idle()), (1, 1));
    });
}

#[test]
fn a_cut_off_answer_is_cut_off_for_the_caller_too() {
    on_a_core(async {
        let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = upstream.local_addr().unwrap().port();
        spawn_local(async move {
            let (mut link, _) = upstream.accept().await.unwrap();
            let mut head = [0; 1024];
            assert!(link.read(&mut head).await.unwrap() > 0);
            let half = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
            link.write_all(half).await.unwrap();
        });
        let (client, _) = Upstream::at(format!("http://127.0.0.1:{port}")).client();
        let client = Rc::new(client);
        let door = open(None, ServerLimits::default(), move |arrival| {
            let client = Rc::clone(&client);
            async move {
                let (request, _) = arrival.into_parts();
                let answer = client.send(request).await.unwrap();
                answer.map(|body| Outgoing::Stream(IdleTimeout::new(body, LONG)))
            }
        });
        let mut caller = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
        caller.write_all(request).await.unwrap();
        let mut seen = Vec::new();
        caller.read_to_end(&mut seen).await.unwrap();
        let seen = String::from_utf8(seen).unwrap();
        assert!(seen.contains("5\r\nhello\r\n"), "{seen}");
        assert!(!seen.ends_with("0\r\n\r\n"), "{seen}");
    });
}

#[test]
fn the_names_in_a_client_certificate_are_told() {
    on_a_core(async {
        let (own, callers) = (Certificate::new(), Certificate::new());
        let files = TlsFiles {
            client_ca_file: Some(callers.files().cert_file),
            client_crl_file: None,
            ..own.files()
        };
        let door = open(Some(files), ServerLimits::default(), |arrival| async move {
            let names = arrival
                .peer()
                .certificate_names
                .clone()
                .unwrap_or_default()
                .join(" ");
            Response::new(Bytes::from(names).into())
        });
        let with = |certificate: Option<&Certificate>| {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(pem_certificate(&own)).unwrap();
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            let builder = rustls::ClientConfig::builder_with_provider(provider.into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
            let config = match certificate {
                Some(shown) => builder
                    .with_client_auth_cert(vec![pem_certificate(shown)], pem_key(shown))
                    .unwrap(),
                None => builder.with_no_client_auth(),
            };
            let config = Arc::new(config);
            Arc::new(Dialer::new(Arc::clone(&config), config, true, LONG))
        };
        for (shown, expected) in [(Some(&callers), "dns:localhost"), (None, "")] {
            let url = Url::parse(&format!("https://localhost:{}", door.port)).unwrap();
            let options = ClientOptions {
                links: Links::new(1),
                idle_timeout: LONG,
                first_byte_timeout: LONG,
                prefer_h2: false,
            };
            let origin = Arc::new(Origin::from_url(&url).unwrap());
            let client = Client::new(with(shown), origin, options);
            let answer = client.send(post("")).await.unwrap();
            assert_eq!(text(answer).await, expected);
        }
    });
}

fn pem_certificate(of: &Certificate) -> rustls::pki_types::CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject;
    PemObject::from_pem_file(of.files().cert_file).unwrap()
}

fn pem_key(of: &Certificate) -> rustls::pki_types::PrivateKeyDer<'static> {
    use rustls::pki_types::pem::PemObject;
    PemObject::from_pem_file(of.files().key_file).unwrap()
}

#[test]
fn a_key_that_does_not_fit_the_chain_is_refused() {
    let (one, other) = (Certificate::new(), Certificate::new());
    let files = TlsFiles {
        key_file: other.files().key_file,
        ..one.files()
    };
    let error = ServerTls::load(&files).unwrap_err();
    assert!(
        matches!(error, crate::net::tls::TlsError::Pair { .. }),
        "{error}"
    );
}
