//! Where a name may lead, and that it leads nowhere else between the check and the link; and what the environment says about
//! the way out, which changes none of that.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::Command;

use super::{Face, NAME, Stranger, journal, resolve, setup};
use crate::harness::authority::Authority;
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::program::run;
use crate::harness::{BINARY, SOON};

/// An address of the public internet; the links to it are made to this machine.
const PUBLIC: &str = "93.184.216.34";

fn looked_up() -> String {
    format!("lookup {NAME}")
}

fn stranger(authority: &Authority) -> Stranger {
    Stranger::with(Face::Own(authority.certificate(&[NAME]).server()))
}

/// A gateway that may not call into our own network.
fn careful(stranger: &Stranger, authority: &Authority, answers: &[&str]) -> Gateway {
    let mut setup = setup(stranger, answers);
    setup.proxy = "allow_private_upstream = false\n".into();
    start(setup, authority)
}

fn start(setup: Setup, authority: &Authority) -> Gateway {
    authority.write(setup.folder());
    setup.start_with_acme()
}

/// One call goes to the public address, after one look-up.
#[track_caller]
fn dials_what_is_outside(gateway: &Gateway) {
    gateway.get("/v2/employees").expect(200);
    assert_eq!(journal(gateway), [looked_up(), format!("connect {PUBLIC}")]);
}

/// Requirement 116: the inside of our network is out of reach, however its address is written.
#[test]
fn a_name_that_leads_inside_is_not_dialled() {
    let authority = Authority::new();
    let stranger = stranger(&authority);
    let gateway = careful(&stranger, &authority, &[PUBLIC]);
    for address in [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::10.0.0.1",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
        "10.0.0.1 fd00::1 ::1",
    ] {
        resolve(gateway.setup.folder(), &[address]);
        let answer = gateway.get("/v2/employees");
        let answer = answer.refused(502, "upstream-unreachable");
        let first = address.split(' ').next().unwrap();
        assert!(!answer.text().contains(first), "{}", answer.text());
        assert_eq!(journal(&gateway), [looked_up()], "{address}");
    }
    // What is outside is dialled, and only that: not what stands beside it.
    resolve(gateway.setup.folder(), &[&format!("10.0.0.1 {PUBLIC} ::1")]);
    dials_what_is_outside(&gateway);
}

/// Requirement 116: one look-up for one link, and the link goes where the look-up said. Whoever holds the name's zone and says
/// something else the next time moves nothing.
#[test]
fn the_address_that_was_checked_is_the_one_that_is_dialled() {
    let authority = Authority::new();
    let stranger = stranger(&authority);
    let gateway = careful(&stranger, &authority, &[PUBLIC, "127.0.0.1", PUBLIC]);
    dials_what_is_outside(&gateway);
    stranger.forget();
    // the link was closed by the other side: another look-up, another check
    let refused = gateway.get("/v2/employees");
    refused.refused(502, "upstream-unreachable");
    assert_eq!(journal(&gateway), [looked_up()]);
    assert_eq!(stranger.heard(), "");
    dials_what_is_outside(&gateway);
}

/// Requirement 116.
#[test]
fn proxies_that_the_environment_names_are_not_asked() {
    let authority = Authority::new();
    let stranger = stranger(&authority);
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let mut setup = setup(&stranger, &[PUBLIC]);
    let url = format!("http://{}", proxy.local_addr().unwrap());
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ] {
        setup.variables.push((name, url.clone().into()));
    }
    setup.variables.push(("NO_PROXY", "".into()));
    let gateway = start(setup, &authority);
    dials_what_is_outside(&gateway);
    assert_eq!(proxy.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// `SSL_CERT_FILE` is the operator's word in place of the system's store, as for any other program: it is followed, and told;
/// if nothing is there, nobody is trusted and the gateway does not start, where it could have trusted the bundled roots.
#[test]
fn roots_that_the_environment_names_are_followed_or_refused() {
    let authority = Authority::new();
    let stranger = stranger(&authority);
    let mut setup = setup(&stranger, &[PUBLIC]);
    setup.pleo = String::new();
    let roots = setup.folder().join("ca.pem");
    let named = [
        ("SSL_CERT_FILE", roots.clone().into()),
        ("SSL_CERT_DIR", "".into()),
    ];
    setup.variables.extend(named);
    let mut gateway = start(setup, &authority);
    gateway.get("/v2/employees").expect(200);
    assert!(gateway.program.said().contains("not the system's store"));
    gateway.terminate();
    std::fs::remove_file(roots).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["serve", "-c"]).arg(gateway.setup.file());
    command.envs(gateway.setup.variables.iter().cloned());
    let refused = run(&mut command, "", SOON);
    assert_eq!(refused.code, 78, "{}", refused.err);
    assert!(refused.err.contains("SSL_CERT_FILE"), "{}", refused.err);
}
