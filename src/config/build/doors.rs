//! `[[listen]]` and how callers reach us: addresses, TLS, tenant pins, names.

use std::path::Path;

use super::super::reader::Reader;
use super::super::report::{Finding, ProblemKind};
use super::super::secrets;
use super::super::settings::{Address, ListenSettings, TlsFiles};
use super::super::units::{self, Remedy};
use crate::access::host;
use crate::model::ids::TenantName;
use crate::model::snapshot::Door;
use crate::net::tls::{self, TlsError};

const CERTIFICATES: &str = "blocks of BEGIN CERTIFICATE";
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A listener's address with its table, for what is said later.
pub(super) type Listen<'a> = (Reader<'a>, ListenSettings);

/// Every door whose address can be read.
pub(super) fn read<'a>(root: &Reader<'a>) -> Vec<Listen<'a>> {
    let readers = root.tables("listen");
    if !root.has("listen") || root.is_empty("listen") {
        let remedy = "write [[listen]] and below it address = \"127.0.0.1:8080\"";
        let finding = Finding::new(ProblemKind::Missing, "there is no door for callers", remedy);
        root.report("listen", finding);
    }
    (readers.into_iter())
        .filter_map(|reader| {
            let settings = listen(&reader);
            if settings.is_none() {
                // Its address cannot be read; whatever else is wrong with it is still reported.
                policy(&reader);
            }
            Some((reader, settings?))
        })
        .collect()
}

fn listen(reader: &Reader<'_>) -> Option<ListenSettings> {
    let mode = reader.parsed("mode", mode);
    let tls = reader.table_if_given("tls").and_then(|tls| tls_files(&tls));
    let address = address(reader, "address")?;
    if reader.has("mode") && !matches!(address, Address::Unix(_)) {
        let remedy = "leave it out, or listen on unix:/path";
        reader.report(
            "mode",
            Finding::invalid("only a unix socket has a mode", remedy),
        );
    }
    Some(ListenSettings {
        address,
        tls,
        mode: mode.unwrap_or(0o600),
        half_close: reader.flag("half_close"),
    })
}

/// A listener's address, if it can be read.
pub(super) fn address(reader: &Reader<'_>, key: &str) -> Option<Address> {
    reader.parsed(key, |text| units::address(text, reader.base()))
}

fn mode(text: &str) -> Result<u32, Remedy> {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    (digits.then(|| u32::from_str_radix(text, 8).ok()).flatten())
        .filter(|mode| *mode <= 0o777)
        .ok_or("write an octal mode, such as \"0600\" or \"0660\"")
}

/// A listener's certificate; the files must exist and belong together, and the key must be closed to others.
pub(super) fn tls_files(reader: &Reader<'_>) -> Option<TlsFiles> {
    let of_clients = |name: &str| (reader.knows(name)).then(|| reader.existing_file(name))?;
    let (cert_file, key_file) = (
        reader.existing_file("cert_file"),
        reader.existing_file("key_file"),
    );
    let (client_ca_file, client_crl_file) =
        (of_clients("client_ca_file"), of_clients("client_crl_file"));
    let files = TlsFiles {
        cert_file: cert_file?,
        key_file: key_file?,
        client_ca_file,
        client_crl_file,
    };
    if files.client_crl_file.is_some() && files.client_ca_file.is_none() {
        let remedy = "write client_ca_file beside it, or leave it out";
        let message = "no certificates are asked for that could be revoked";
        reader.report("client_crl_file", Finding::invalid(message, remedy));
    }
    match secrets::check_secret_file(&files.key_file) {
        Err(error) if files.key_file.is_file() => {
            reader.report("key_file", secrets::finding(&error));
        }
        _ => certificate(reader, &files),
    }
    Some(files)
}

/// Reports about the files what the first link would find out. Missing ones were reported already.
fn certificate(reader: &Reader<'_>, files: &TlsFiles) {
    let named = [
        Some(&files.cert_file),
        Some(&files.key_file),
        files.client_ca_file.as_ref(),
        files.client_crl_file.as_ref(),
    ];
    if !named.into_iter().flatten().all(|file| file.is_file()) {
        return;
    }
    let tried = tls::TlsFiles {
        cert_file: files.cert_file.clone(),
        key_file: files.key_file.clone(),
        client_ca_file: files.client_ca_file.clone(),
        client_crl_file: files.client_crl_file.clone(),
    };
    let Err(error) = tls::door_settings(&tried) else {
        return;
    };
    let file = match &error {
        TlsError::Pair { cert_file, .. } => Some(cert_file),
        TlsError::Pem { file, .. }
        | TlsError::Root { file, .. }
        | TlsError::Verifier { file, .. }
        | TlsError::Empty { file, .. } => Some(file),
        TlsError::Provider(_) | TlsError::NoRoots => None,
    };
    let (key, pem) = match file {
        Some(file) if *file == files.key_file => ("key_file", "one block of BEGIN PRIVATE KEY"),
        Some(file) if Some(file) == files.client_crl_file.as_ref() => {
            ("client_crl_file", "blocks of BEGIN X509 CRL")
        }
        Some(file) if Some(file) == files.client_ca_file.as_ref() => {
            ("client_ca_file", CERTIFICATES)
        }
        _ => ("cert_file", CERTIFICATES),
    };
    let remedy = match &error {
        TlsError::Pair { .. } => "name the key that belongs to the first certificate".to_owned(),
        _ => format!("put PEM there: {pem}"),
    };
    reader.report(key, Finding::invalid(error.to_string(), remedy));
}

/// Whom to trust at the other end of a link that we make.
pub(super) fn check_authorities(reader: &Reader<'_>, key: &str, file: &Path) {
    if let Err(error) = tls::only(file) {
        let remedy = format!("put PEM there: {CERTIFICATES}");
        reader.report(key, Finding::invalid(error.to_string(), remedy));
    }
}

/// `[proxy].public_url`, or the first door's address.
pub(super) fn public_url(proxy: &Reader<'_>, listens: &[Listen<'_>]) -> String {
    if let Some(url) = proxy.parsed("public_url", units::origin) {
        return url.origin().ascii_serialization();
    }
    let Some((_, first)) = listens.first() else {
        return String::new();
    };
    let scheme = if first.tls.is_some() { "https" } else { "http" };
    match &first.address {
        Address::Tcp(_) | Address::Host(..) => format!("{scheme}://{}", first.address),
        Address::Unix(_) | Address::Inherited(_) => format!("{scheme}://localhost"),
    }
}

/// What each door adds to a request.
pub(super) fn doors(listens: &[Listen<'_>], public_url: &str) -> Vec<Door> {
    (listens.iter())
        .map(|(reader, listen)| {
            let (tenant, hosts) = policy(reader);
            Door {
                tenant,
                hosts: hosts.unwrap_or_else(|| default_hosts(public_url)),
                local: listen.address.is_local(),
            }
        })
        .collect()
}

/// The tenant to which a door pins, and its names.
fn policy(reader: &Reader<'_>) -> (Option<TenantName>, Option<Vec<String>>) {
    let tenant = reader.parsed("tenant", super::tenant);
    if reader.is_empty("hosts") {
        let remedy = "name the hosts, or leave the key out for loopback names and public_url";
        reader.report(
            "hosts",
            Finding::invalid("this door answers to no name", remedy),
        );
    }
    (tenant, reader.list("hosts", host))
}

fn default_hosts(public_url: &str) -> Vec<String> {
    let public = public_url
        .split_once("://")
        .and_then(|(_, host)| host::entry(host));
    let mut hosts: Vec<String> = LOOPBACK_NAMES.map(str::to_owned).to_vec();
    hosts.extend(public);
    hosts
}

fn host(text: &str) -> Result<String, Remedy> {
    host::entry(text).ok_or("write a host name, or host:port, without scheme and path")
}

/// What stands before and after the tenant in the Host.
pub(super) fn tenant_host(proxy: &Reader<'_>) -> Option<(String, String)> {
    proxy.parsed("tenant_host", |text| {
        let remedy = "write the whole label as {tenant}, once, such as \"{tenant}.pleo.internal\"";
        let lower = text.to_ascii_lowercase();
        let (before, _) = lower.split_once("{tenant}").ok_or(remedy)?;
        let whole = host::entry(&lower.replacen("{tenant}", "t", 1)).ok_or(remedy)?;
        let after = &whole[before.len() + 1..];
        if (before.is_empty() || before.ends_with('.')) && after.starts_with('.') {
            Ok((before.to_owned(), after.to_owned()))
        } else {
            Err(remedy)
        }
    })
}
