//! How a running gateway recognises callers without a key: by client certificates, refused in the handshake if they are not
//! valid, and by the peer of a unix socket.

use std::fs;
use std::net::TcpStream;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::{ClientConnection, StreamOwned};

use crate::harness::authority::{Authority, Certificate};
use crate::harness::client::{Answer, answer, call, curled, send};
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::link::Link;
use crate::harness::upstream::Upstream;
use crate::harness::{SOON, eventually};

/// A gateway whose one door asks for certificates of `ca.pem`; `erp` is whoever is `dns:erp.internal`.
fn asking(authority: &Authority, upstream: &Upstream) -> Setup {
    let mut setup = Setup::at(&upstream.origin());
    setup.ask_for_certificates(authority);
    authority.write_as(setup.folder(), "servers.pem");
    setup
}

/// The status that whoever shows this certificate gets; `000` if the handshake fails.
fn shown(gateway: &Gateway, name: &str) -> String {
    let file = |name: &str| gateway.setup.folder().join(name).display().to_string();
    let [ca, cert, key] = [
        "servers.pem",
        &format!("{name}.pem"),
        &format!("{name}.key"),
    ]
    .map(file);
    let url = format!("{}/v2/employees", gateway.base());
    curled(&["--cacert", &ca, "--cert", &cert, "--key", &key, &url])
}

/// Requirement 81: of an unknown authority, expired, or for another use.
#[test]
fn a_certificate_that_is_not_right_ends_in_the_handshake() {
    let (authority, foreign, upstream) = (Authority::new(), Authority::new(), Upstream::fine());
    let gateway = asking(&authority, &upstream).start_with_acme();
    let folder = gateway.setup.folder();
    let for_clients = |asked: &mut CertificateParams| {
        asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let expired = |asked: &mut CertificateParams| {
        asked.not_before = date_time_ymd(2020, 1, 1);
        asked.not_after = date_time_ymd(2021, 1, 1);
    };
    let for_servers = |asked: &mut CertificateParams| {
        asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    let names = ["erp.internal"];
    authority
        .certificate_that(&names, for_clients)
        .write(folder, "right");
    authority
        .certificate_that(&names, expired)
        .write(folder, "expired");
    authority
        .certificate_that(&names, for_servers)
        .write(folder, "usage");
    foreign
        .certificate_that(&names, for_clients)
        .write(folder, "foreign");
    assert_eq!(shown(&gateway, "right"), "200");
    for wrong in ["expired", "usage", "foreign"] {
        assert_eq!(shown(&gateway, wrong), "000", "{wrong}");
    }
    assert_eq!(upstream.seen().len(), 1);
}

/// Requirement 81: the authorities are read again while the gateway runs.
#[test]
fn another_authority_for_callers_is_taken_without_a_restart() {
    let (old, new, upstream) = (Authority::new(), Authority::new(), Upstream::fine());
    let gateway = asking(&old, &upstream).start_with_acme();
    let folder = gateway.setup.folder();
    old.certificate(&["erp.internal"]).write(folder, "old");
    new.certificate(&["erp.internal"]).write(folder, "new");
    assert_eq!(
        (shown(&gateway, "old"), shown(&gateway, "new")),
        ("200".into(), "000".into())
    );
    new.write(folder);
    eventually("the new authority to be taken", || {
        (shown(&gateway, "new") == "200").then_some(())
    });
    assert_eq!(shown(&gateway, "old"), "000");
}

/// Callers are asked for certificates that are not on the list `crl.pem`.
fn asking_with_list(authority: &Authority, upstream: &Upstream) -> Setup {
    let mut setup = asking(authority, upstream);
    let (tls, with_list) = (
        "\"ca.pem\" }",
        "\"ca.pem\", client_crl_file = \"crl.pem\" }",
    );
    setup.doors = setup.doors.replace(tls, with_list);
    setup
}

/// The certificate of the caller with this serial number.
fn numbered(authority: &Authority, serial: u64) -> Certificate {
    let change = |asked: &mut CertificateParams| asked.serial_number = Some(serial.into());
    authority.certificate_that(&["erp.internal"], change)
}

/// Requirement 81: what a list revokes.
#[test]
fn a_certificate_on_a_revocation_list_ends_in_the_handshake_also_once_the_list_is_exchanged() {
    let (authority, upstream) = (Authority::new(), Upstream::fine());
    let setup = asking_with_list(&authority, &upstream);
    let folder = setup.folder().to_owned();
    for (serial, name) in [(7, "lost"), (8, "kept")] {
        numbered(&authority, serial).write(&folder, name);
    }
    authority.write_revoked(&folder, &[7]);
    let gateway = setup.start_with_acme();
    let both = || (shown(&gateway, "lost"), shown(&gateway, "kept"));
    assert_eq!(both(), ("000".into(), "200".into()));
    authority.write_revoked(&folder, &[7, 8]);
    eventually("the new list to be taken", || {
        (both() == ("000".into(), "000".into())).then_some(())
    });
}

/// A link of whoever shows this certificate.
fn link_of(gateway: &Gateway, authority: &Authority, certificate: &Certificate) -> Link {
    let address = gateway.base().strip_prefix("https://").unwrap();
    let config = certificate.client_of(authority);
    let session = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    Link::over(StreamOwned::new(session, stream))
}

/// The next answer on a link.
fn asked(link: &mut Link) -> Answer {
    send(link, "GET", "/v2/employees", &[], b"");
    answer(link, "GET").unwrap()
}

/// Requirement 81: who is revoked, or whose authority is, has no more say on a link that was open before; others keep theirs.
#[test]
fn a_link_ends_with_what_its_certificate_stood_for() {
    let (authority, upstream) = (Authority::new(), Upstream::fine());
    let setup = asking_with_list(&authority, &upstream);
    let folder = setup.folder().to_owned();
    let [lost, kept] = [7, 8].map(|serial| numbered(&authority, serial));
    kept.write(&folder, "kept");
    lost.write(&folder, "lost");
    authority.write_revoked(&folder, &[]);
    let gateway = setup.start_with_acme();
    let [mut lost, mut kept] = [&lost, &kept].map(|own| link_of(&gateway, &authority, own));
    for link in [&mut lost, &mut kept] {
        asked(link).expect(200);
    }
    authority.write_revoked(&folder, &[7]);
    eventually("the new list to be taken", || {
        (shown(&gateway, "lost") == "000").then_some(())
    });
    asked(&mut kept).expect(200);
    asked(&mut lost).refused(401, "caller-unknown");
    assert!(lost.is_closed());
    let other = Authority::new();
    other.write(&folder);
    other.write_revoked(&folder, &[]);
    eventually("the other authority to be taken", || {
        (shown(&gateway, "kept") == "000").then_some(())
    });
    asked(&mut kept).refused(401, "caller-unknown");
    assert!(kept.is_closed());
}

#[test]
fn the_user_at_the_other_end_of_a_unix_socket_is_a_credential() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    let path = setup.folder().join("door.sock").display().to_string();
    setup.doors = format!("[[listen]]\naddress = \"unix:{path}\"\n");
    let uid = rustix::process::geteuid().as_raw();
    let caller = |uid: u32| {
        format!("[[callers]]\nname = \"app\"\nunix_uid = [{uid}]\ntenants = [\"acme\"]\n")
    };
    setup.callers = caller(uid);
    let gateway = setup.start_with_acme();
    call(gateway.base(), "GET", "/v2/employees", &[], b"").expect(200);
    let wrong = [("pleo-gateway-key", "wrong-canary")];
    call(gateway.base(), "GET", "/v2/employees", &wrong, b"").refused(401, "caller-unknown");
    let text = gateway.setup.text().replace(&caller(uid), &caller(uid + 1));
    fs::write(gateway.setup.file(), text).unwrap();
    eventually("another user to be named", || {
        let answer = call(gateway.base(), "GET", "/v2/employees", &[], b"");
        (answer.code() == Some("caller-unknown")).then_some(())
    });
}
