//! How a running gateway recognises callers without a key: client certificates, refused in the handshake if they are not
//! right, and the peer of a unix socket.

use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};

use crate::harness::SOON;
use crate::harness::authority::Authority;
use crate::harness::client::call;
use crate::harness::eventually;
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::program::run;
use crate::harness::sandbox::Minted;
use crate::harness::upstream::Upstream;

/// A gateway whose one door asks for certificates of `ca.pem`; `erp` is whoever is `dns:erp.internal`.
fn asking(authority: &Authority, upstream: &Upstream) -> Gateway {
    let mut setup = Setup::at(&upstream.origin());
    let door = authority.certificate(&["localhost", "127.0.0.1"]);
    door.write(setup.folder(), "door");
    authority.write(setup.folder());
    authority.write_as(setup.folder(), "servers.pem");
    setup.doors = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { cert_file = \"door.pem\", key_file = \"door.key\", client_ca_file = \"ca.pem\" }\n".into();
    setup.callers =
        "[[callers]]\nname = \"erp\"\nclient_cert = [\"dns:erp.internal\"]\ntenants = [\"acme\"]\n"
            .into();
    setup.start_connected(&[("acme", &Minted::made_up())])
}

/// The status that whoever shows this certificate gets; `000` if the handshake fails.
fn shown(gateway: &Gateway, name: &str) -> String {
    let folder = gateway.setup.folder();
    let file = |name: &str| Path::new(folder).join(name).display().to_string();
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--max-time",
        "15",
        "--noproxy",
        "*",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
    ]);
    curl.args([
        "--cacert",
        &file("servers.pem"),
        "--cert",
        &file(&format!("{name}.pem")),
    ]);
    curl.args(["--key", &file(&format!("{name}.key"))]);
    curl.arg(format!("{}/v2/employees", gateway.base()));
    run(&mut curl, "", SOON).out
}

#[test]
fn a_certificate_that_is_not_right_ends_in_the_handshake() {
    let (authority, foreign, upstream) = (Authority::new(), Authority::new(), Upstream::fine());
    let gateway = asking(&authority, &upstream);
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

#[test]
fn another_authority_for_callers_is_taken_without_a_restart() {
    let (old, new, upstream) = (Authority::new(), Authority::new(), Upstream::fine());
    let gateway = asking(&old, &upstream);
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
    let gateway = setup.start_connected(&[("acme", &Minted::made_up())]);
    call(gateway.base(), "GET", "/v2/employees", &[], b"").expect(200);
    let wrong = [("pleo-gateway-key", "wrong")];
    call(gateway.base(), "GET", "/v2/employees", &wrong, b"").refused(401, "caller-unknown");
    let text = gateway.setup.text().replace(&caller(uid), &caller(uid + 1));
    fs::write(gateway.setup.file(), text).unwrap();
    eventually("another user to be named", || {
        let answer = call(gateway.base(), "GET", "/v2/employees", &[], b"");
        (answer.code() == Some("caller-unknown")).then_some(())
    });
}
