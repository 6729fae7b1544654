//! A peer whose certificate is not valid hears nothing, neither in the API's place nor in the token endpoint's.

use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    NameConstraints, date_time_ymd,
};

use super::{Face, NAME, Stranger, setup};
use crate::harness::authority::{Authority, Certificate};
use crate::harness::client::{Answer, call};
use crate::harness::gateway::Gateway;
use crate::harness::program::{Program, Stream, run};
use crate::harness::sandbox::Minted;
use crate::harness::{SOON, eventually, free_port};

type Shown = (&'static str, Face);

fn own(name: &'static str, certificate: &Certificate) -> Shown {
    (name, Face::Own(certificate.server()))
}

/// One certificate, wrong in one way.
fn wrong_in_itself(authority: &Authority) -> Vec<Shown> {
    let named = |name| authority.certificate(&[name]);
    let that = |change: fn(&mut CertificateParams)| authority.certificate_that(&[NAME], change);
    vec![
        own("another host", &named("other.pleo.test")),
        own("a wildcard above", &named("*.test")),
        own("a wildcard below", &named("*.api.pleo.test")),
        own("an address", &named("127.0.0.1")),
        own(
            "an unknown authority",
            &Authority::new().certificate(&[NAME]),
        ),
        own("itself", &Certificate::by_itself(NAME)),
        own(
            "expired",
            &that(|asked| asked.not_after = date_time_ymd(2020, 1, 1)),
        ),
        own(
            "not yet valid",
            &that(|asked| asked.not_before = date_time_ymd(2100, 1, 1)),
        ),
        own(
            "for clients only",
            &that(|asked| asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
        ),
        own(
            "a common name only",
            &authority.certificate_that(&[], |asked| {
                (asked.distinguished_name).push(DnType::CommonName, NAME);
            }),
        ),
    ]
}

/// A right certificate at the end of a wrong chain.
fn wrongly_signed(authority: &Authority) -> Vec<Shown> {
    let below = |change: fn(&mut CertificateParams)| {
        let between = authority.authority_that(change);
        Face::Own(between.certificate(&[NAME]).server_with(&[&between]))
    };
    let last = authority.authority_that(|asked| {
        asked.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let too_far = last.authority_that(|asked| {
        (asked.distinguished_name).push(DnType::CommonName, "one too many");
    });
    let missing = authority.authority_that(|_| {}).certificate(&[NAME]);
    vec![
        own("a link of the chain is missing", &missing),
        (
            "signed by what is no authority",
            below(|asked| asked.is_ca = IsCa::ExplicitNoCa),
        ),
        (
            "signed by a server",
            below(|asked| asked.is_ca = IsCa::NoCa),
        ),
        (
            "an expired authority",
            below(|asked| asked.not_after = date_time_ymd(2020, 1, 1)),
        ),
        (
            "an authority for other names",
            below(|asked| {
                let permitted_subtrees = vec![GeneralSubtree::DnsName("other.test".to_owned())];
                asked.name_constraints = Some(NameConstraints {
                    permitted_subtrees,
                    excluded_subtrees: Vec::new(),
                });
            }),
        ),
        (
            "a longer chain than allowed",
            Face::Own(too_far.certificate(&[NAME]).server_with(&[&too_far, &last])),
        ),
    ]
}

fn openssl(folder: &Path, words: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(words.split(' '));
    let output = run(&mut command, "", SOON);
    assert_eq!(output.code, 0, "openssl {words}: {}", output.err);
}

/// OpenSSL in the stranger's place, at its least careful: a key, how the authority signed it, and the words of `s_server`.
fn served(folder: &Path, key: &str, sign: &str, more: &str) -> (Program, Face) {
    let port = free_port();
    openssl(
        folder,
        &format!(
            "req -new -nodes {key} -keyout {port}.key -out {port}.csr -subj /CN=x -addext subjectAltName=DNS:{NAME}"
        ),
    );
    openssl(
        folder,
        &format!(
            "x509 -req -in {port}.csr -out {port}.pem -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copyall {sign}"
        ),
    );
    let mut command = Command::new("openssl");
    let words = format!(
        "s_server -accept 127.0.0.1:{port} -cert {port}.pem -key {port}.key -www -cipher ALL:@SECLEVEL=0 {more}"
    );
    command.current_dir(folder).args(words.trim().split(' '));
    let program = Program::start(&mut command);
    program.wait_for("openssl to listen", |stream, line| {
        (stream == Stream::Out && line == "ACCEPT").then_some(())
    });
    (program, Face::Other(port))
}

const P256: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";

/// As an operator asks for it.
fn refresh(gateway: &Gateway, tenant: &str) -> Answer {
    let token = fs::read_to_string(gateway.setup.folder().join("data/admin.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let target = format!("/v1/connections/{tenant}/refresh");
    let field = [("authorization", bearer.as_str())];
    call(&gateway.admin, "POST", &target, &field, b"")
}

/// Nothing in an answer tells whom we dialled, or what was wrong with it.
#[track_caller]
fn says_nothing_of(stranger: &Stranger, answer: &Answer, name: &str) {
    let said = format!("{}{}", answer.head.raw, answer.text()).to_lowercase();
    for word in [
        NAME,
        &stranger.port.to_string(),
        "certificate",
        "issuer",
        "127.0.0.1",
        "rustls",
    ] {
        assert!(!said.contains(word), "{name}: {said}");
    }
}

/// The stranger, and a gateway that trusts `authority`; its folder holds the authority's key as well.
fn before(authority: &Authority) -> (Stranger, Gateway) {
    let stranger = Stranger::with(Face::Own(authority.certificate(&[NAME]).server()));
    let mut setup = setup(&stranger, &["127.0.0.1"]);
    authority.write(setup.folder());
    authority.write_key(setup.folder());
    setup.more = "[refresh]\ntimeout = \"5s\"\nhold = \"100ms\"\n".into();
    let gateway = setup.start_with_acme();
    (stranger, gateway)
}

/// Requirement 115: whom we cannot be sure of gets no byte of a request; and a refresh of which nothing was sent costs nothing.
#[test]
fn a_stranger_in_pleos_place_hears_nothing() {
    let authority = Authority::new();
    let (stranger, gateway) = before(&authority);
    let folder = gateway.setup.folder();
    let (_short, short) = served(folder, "-newkey rsa:1024", "-sha256", "");
    let (_sha1, sha1) = served(folder, P256, "-sha1", "");
    let mut strangers = wrong_in_itself(&authority);
    strangers.extend(wrongly_signed(&authority));
    strangers.extend([("a short key", short), ("signed over SHA-1", sha1)]);
    let (_tls10, tls10) = served(folder, P256, "-sha256", "-tls1");
    let (_tls11, tls11) = served(folder, P256, "-sha256", "-tls1_1");
    strangers.extend([("TLS 1.0", tls10), ("TLS 1.1", tls11)]);
    let count = strangers.len();
    for (place, (name, face)) in strangers.into_iter().enumerate() {
        let tenant = format!("tenant{place}");
        let mut pair = Minted::made_up();
        for field in ["access_token", "refresh_token", "company_id"] {
            pair.pair[field] = format!("{field}-{place}").into();
        }
        gateway.setup.import(&tenant, &pair);
        stranger.show(face);
        let answer = gateway.get("/v2/employees");
        assert_eq!(
            (answer.status, answer.code()),
            (502, Some("upstream-unreachable")),
            "{name}"
        );
        says_nothing_of(&stranger, &answer, name);
        // a tenant for each: after a refresh that was not sent the next one waits
        let answer = refresh(&gateway, &tenant);
        assert_eq!(answer.status, 503, "{name}: {}", answer.text());
        says_nothing_of(&stranger, &answer, name);
        assert_eq!(stranger.heard(), "", "{name}");
    }
    let metrics = gateway.metrics();
    let not_sent = format!("refreshes_total{{outcome=\"not_sent\"}} {count}\n");
    assert!(metrics.contains(&not_sent), "{metrics}");
    assert_eq!(gateway.connection("tenant0")["state"], "active");
}

/// The same handshakes with nothing wrong in them: what refuses the others is what is wrong with them.
#[test]
fn a_right_certificate_is_spoken_to() {
    let authority = Authority::new();
    let (stranger, gateway) = before(&authority);
    let between = authority.authority_that(|_| {});
    let (_old, tls12) = served(gateway.setup.folder(), P256, "-sha256", "-tls1_2");
    let (_rsa, rsa) = served(
        gateway.setup.folder(),
        "-newkey rsa:2048",
        "-sha256",
        "-tls1_3",
    );
    for (name, face) in [
        own("its name", &authority.certificate(&[NAME])),
        own("a wildcard", &authority.certificate(&["*.pleo.test"])),
        (
            "a chain",
            Face::Own(between.certificate(&[NAME]).server_with(&[&between])),
        ),
        ("TLS 1.2", tls12),
        ("RSA over TLS 1.3", rsa),
    ] {
        stranger.show(face);
        assert_eq!(gateway.get("/v2/employees").status, 200, "{name}");
    }
    let heard = eventually("the request", || {
        Some(stranger.heard()).filter(|said| !said.is_empty())
    });
    assert!(heard.contains("Bearer access-canary"), "{heard}");
}
