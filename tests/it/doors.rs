//! The doors on both sides: HTTP/1.1 and HTTP/2, plaintext and TLS, unix sockets; and TLS to Pleo, verified.

use std::io;
use std::net::TcpStream;
use std::process::Command;

use rustls::{ClientConnection, StreamOwned};

use crate::harness::authority::Authority;
use crate::harness::client::{self, answer};
use crate::harness::gateway::{Gateway, KEY, Setup};
use crate::harness::link::Link;
use crate::harness::program::run;
use crate::harness::upstream::{FINE, Upstream};
use crate::harness::{SOON, eventually};

/// What curl says of a call of `erp`: version and status, and the body.
fn curl(arguments: &[&str]) -> (String, String) {
    let key = format!("pleo-gateway-key: {KEY}");
    curl_as_anyone(&[&["--header", &key], arguments].concat())
}

fn curl_as_anyone(arguments: &[&str]) -> (String, String) {
    let output = client::curl(arguments);
    assert_eq!(output.code, 0, "{}", output.err);
    let (body, told) = output.out.rsplit_once('\n').unwrap();
    (told.to_owned(), body.to_owned())
}

#[test]
fn http2_is_served_in_clear_to_who_knows() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let url = format!("{}/v2/employees", gateway.base());
    let (told, body) = curl(&["--http2-prior-knowledge", &url]);
    assert_eq!((told.as_str(), body.as_str()), ("2 200", "{\"ok\":true}"));
    let post = format!("{}/v1/vendors:search", gateway.base());
    let (told, _) = curl(&["--http2-prior-knowledge", "--data", "body", &post]);
    assert_eq!(told, "2 200");
    let nowhere = format!("{}/v9/nothing", gateway.base());
    let (told, body) = curl(&["--http2-prior-knowledge", &nowhere]);
    assert_eq!(told, "2 403");
    assert!(body.contains("route-denied"), "{body}");
    assert_eq!(upstream.seen()[1].body, b"body");
}

#[test]
fn large_bodies_go_both_ways_over_http2() {
    let upstream = Upstream::start(|exchange| {
        let body = exchange.body();
        let length = body.len();
        exchange.reply(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
        ));
        exchange.reply(&body);
    });
    let gateway = Gateway::before(&upstream);
    let (sent, got) = (
        gateway.setup.folder().join("sent"),
        gateway.setup.folder().join("got"),
    );
    let bytes: Vec<u8> = (0..8_000_000_u32)
        .map(|n| n.to_le_bytes()[(n % 3) as usize])
        .collect();
    std::fs::write(&sent, &bytes).unwrap();
    let data = format!("@{}", sent.display());
    let output = got.display().to_string();
    let url = format!("{}/v1/vendors:search", gateway.base());
    let (told, _) = curl(&[
        "--http2-prior-knowledge",
        "--data-binary",
        &data,
        "--output",
        &output,
        &url,
    ]);
    assert_eq!(told, "2 200");
    assert!(
        std::fs::read(&got).unwrap() == bytes,
        "the body was changed on its way"
    );
}

#[test]
fn an_offer_to_upgrade_is_passed_over() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let url = format!("{}/v2/employees", gateway.base());
    let (told, _) = curl(&["--http2", &url]);
    assert_eq!(told, "1.1 200");
    let head = upstream.only().head;
    for gone in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(head.field(gone), None, "{gone}");
    }
}

#[test]
fn a_unix_socket_is_a_door_for_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    let path = setup.folder().join("door.sock");
    setup.doors = format!("[[listen]]\naddress = \"unix:{}\"\n", path.display());
    let mut gateway = setup.start_with_acme();
    assert_eq!(gateway.base(), format!("unix:{}", path.display()));
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    gateway.get("/v2/employees").expect(200);
    gateway.kill9();
    // the socket of a gateway that died is in nobody's way
    gateway.restart();
    gateway.get("/v2/employees").expect(200);
    assert!(gateway.terminate().success());
}

/// A gateway with one door over TLS, and where its authority's certificate is.
fn secure_door(authority: &Authority, upstream: &Upstream, more: &str) -> (Gateway, String) {
    let mut setup = Setup::at(&upstream.origin());
    authority
        .certificate(&["localhost", "127.0.0.1"])
        .write(setup.folder(), "door");
    let ca = authority.write(setup.folder()).display().to_string();
    setup.doors = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ cert_file = \"door.pem\", key_file = \"door.key\"{more} }}\n"
    );
    (setup.start_with_acme(), ca)
}

#[test]
fn tls_doors_speak_both_versions_by_alpn() {
    let (authority, upstream) = (Authority::new(), Upstream::fine());
    let (gateway, ca) = secure_door(&authority, &upstream, "");
    let url = format!("{}/v2/employees", gateway.base());
    assert!(url.starts_with("https://"));
    let (told, body) = curl(&["--cacert", &ca, "--http2", &url]);
    assert_eq!((told.as_str(), body.as_str()), ("2 200", "{\"ok\":true}"));
    let (told, _) = curl(&["--cacert", &ca, "--http1.1", &url]);
    assert_eq!(told, "1.1 200");
    assert_eq!(upstream.seen().len(), 2);
}

/// Whether OpenSSL, at its least careful, comes through the door's handshake.
fn shakes_hands(gateway: &Gateway, words: &[&str]) -> bool {
    let address = gateway.base().strip_prefix("https://").unwrap();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", address]).args(words);
    run(&mut command, "", SOON).code == 0
}

/// Requirement 115: TLS 1.2 and 1.3, and of 1.2 only suites with forward secrecy and authenticated encryption.
#[test]
fn old_tls_and_weak_ciphers_find_the_door_shut() {
    let (authority, upstream) = (Authority::new(), Upstream::fine());
    let (gateway, _) = secure_door(&authority, &upstream, "");
    let all = ["-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"];
    for (version, open) in [
        ("-tls1", false),
        ("-tls1_1", false),
        ("-tls1_2", true),
        ("-tls1_3", true),
    ] {
        let words = [&[version][..], &all].concat();
        assert_eq!(shakes_hands(&gateway, &words), open, "{version}");
    }
    for weak in [
        "AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES256-SHA384",
        "ECDHE-ECDSA-AES128-SHA",
        "aNULL",
        "eNULL",
    ] {
        let suite = format!("{weak}:@SECLEVEL=0");
        assert!(
            !shakes_hands(&gateway, &["-tls1_2", "-cipher", &suite]),
            "{weak}"
        );
    }
}

/// A link over TLS to the gateway's first door.
fn secure_link(gateway: &Gateway, authority: &Authority) -> io::Result<Link> {
    let address = gateway.base().strip_prefix("https://").unwrap();
    let name = "localhost".try_into().unwrap();
    let session = ClientConnection::new(authority.client(), name).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(address)?);
    stream.sock.set_read_timeout(Some(SOON))?;
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Link::over(stream))
}

fn read(link: &mut Link) -> client::Answer {
    client::send(
        link,
        "GET",
        "/v2/employees",
        &[("pleo-gateway-key", KEY)],
        b"",
    );
    answer(link, "GET").unwrap()
}

/// Requirement 115: a certificate that was renewed is in use from the next handshake on, without a restart, and no link
/// that is open notices; one that cannot be used changes nothing and is told.
#[test]
fn a_renewed_certificate_is_used_from_the_next_handshake_on() {
    let (old, upstream) = (Authority::new(), Upstream::fine());
    let (gateway, _) = secure_door(&old, &upstream, "");
    let mut before = secure_link(&gateway, &old).unwrap();
    read(&mut before).expect(200);
    let new = Authority::new();
    let folder = gateway.setup.folder();
    new.certificate(&["localhost"]).write(folder, "door");
    let mut after = eventually("the new certificate", || secure_link(&gateway, &new).ok());
    read(&mut after).expect(200);
    assert!(secure_link(&gateway, &old).is_err(), "the old one is gone");
    read(&mut before).expect(200);

    // It may have told of the new certificate too, while only half of it was written.
    let mut place = gateway.program.said().lines().count();
    std::fs::write(folder.join("door.pem"), "no certificate").unwrap();
    let tells = |_, line: &str| line.contains("the old one stays").then(|| line.to_owned());
    let told = (gateway.program).wait_for_new("the gateway to tell", &mut place, tells);
    assert!(told.contains("door.pem"), "{told}");
    assert!(
        gateway
            .metrics()
            .contains("config_last_reload_successful 0")
    );
    for link in [
        &mut before,
        &mut after,
        &mut secure_link(&gateway, &new).unwrap(),
    ] {
        read(link).expect(200);
    }
}

#[test]
fn a_client_certificate_is_a_credential_where_it_is_asked_for() {
    let (authority, upstream) = (Authority::new(), Upstream::fine());
    let mut setup = Setup::at(&upstream.origin());
    authority
        .certificate(&["erp.internal"])
        .write(setup.folder(), "erp");
    authority
        .certificate(&["other.internal"])
        .write(setup.folder(), "other");
    setup.ask_for_certificates(&authority);
    let gateway = setup.start_with_acme();
    let url = format!("{}/v2/employees", gateway.base());
    let ca = gateway.setup.folder().join("ca.pem").display().to_string();
    let status = |name: &str, keyed: bool| {
        let folder = gateway.setup.folder();
        let (cert, key) = (
            folder.join(format!("{name}.pem")),
            folder.join(format!("{name}.key")),
        );
        let (cert, key) = (cert.display().to_string(), key.display().to_string());
        let presented = ["--cacert", &ca, "--cert", &cert, "--key", &key, &url];
        let curl = if keyed { curl } else { curl_as_anyone };
        curl(&presented).0
    };
    assert_eq!(status("other", false), "2 401");
    assert_eq!(
        status("erp", true),
        "2 401",
        "a wrong key spoils a right certificate"
    );
    assert!(upstream.seen().is_empty());
    assert_eq!(status("erp", false), "2 200");
}

fn secure_pleo(authority: &Authority, names: &[&str]) -> (Upstream, Setup) {
    let upstream = Upstream::secure(authority.certificate(names).server(), |exchange| {
        exchange.body();
        exchange.reply(FINE);
    });
    let setup = Setup::at(&format!("https://localhost:{}", upstream.port));
    (upstream, setup)
}

#[test]
fn pleo_is_called_over_tls_that_is_verified() {
    let authority = Authority::new();
    let (upstream, mut setup) = secure_pleo(&authority, &["localhost"]);
    authority.write(setup.folder());
    setup.pleo = "ca_file = \"ca.pem\"".to_owned();
    let gateway = setup.start_with_acme();
    gateway.get("/v2/employees").expect(200);
    assert_eq!(
        upstream.only().head.all("authorization"),
        ["Bearer access-canary"]
    );
}

/// Requirement 68.
#[test]
fn a_pleo_with_a_wrong_certificate_gets_nothing() {
    let authority = Authority::new();
    let (wrong_name, mut named) = secure_pleo(&authority, &["other.test"]);
    authority.write(named.folder());
    named.pleo = "ca_file = \"ca.pem\"".to_owned();
    let (unknown_authority, unknown) = secure_pleo(&authority, &["localhost"]);
    for (upstream, setup) in [(wrong_name, named), (unknown_authority, unknown)] {
        let gateway = setup.start_with_acme();
        gateway
            .get("/v2/employees")
            .refused(502, "upstream-unreachable");
        assert!(
            upstream.seen().is_empty(),
            "something was sent to a stranger"
        );
    }
}

#[test]
fn a_door_is_drained_before_the_gateway_ends() {
    let (begun, has_begun) = std::sync::mpsc::channel();
    let begun = std::sync::Mutex::new(begun);
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(move |exchange| {
        exchange.body();
        begun.lock().unwrap().send(()).unwrap();
        released.lock().unwrap().recv_timeout(SOON).unwrap();
        exchange.reply(FINE);
    });
    let mut gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    link.send(format!(
        "GET /v2/employees HTTP/1.1\r\nhost: x\r\npleo-gateway-key: {KEY}\r\n\r\n"
    ))
    .unwrap();
    has_begun.recv_timeout(SOON).unwrap();
    gateway.program.signal(rustix::process::Signal::TERM);
    gateway.program.wait_for("the gateway to drain", |_, line| {
        line.contains("draining").then_some(())
    });
    release.send(()).unwrap();
    answer(&mut link, "GET").unwrap().expect(200);
    assert!(link.is_closed());
    assert!(gateway.program.ended().success());
}
