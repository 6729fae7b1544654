//! `[pleo]`: whose API, and who we are there. Where browsers are sent back to is in `browsers`.

use std::fs;

use aws_lc_rs::digest;
use url::Url;

use super::super::reader::Reader;
use super::super::report::Finding;
use super::super::settings::{
    ClientAuth, CustomEndpoints, PleoEnvironment, PleoSettings, RootsFile,
};
use super::super::units;
use super::doors;
use crate::secret::Secret;

const URLS: [&str; 4] = ["authorize_url", "token_url", "introspect_url", "api_url"];

pub(super) fn read(pleo: &Reader<'_>, redirect_uri: Option<Url>) -> Option<PleoSettings> {
    let environment = environment(pleo);
    let (id, secret) = client(pleo);
    let ca_file = ca_file(pleo);
    Some(PleoSettings {
        environment: environment?,
        client_id: id?,
        client_secret: secret?,
        client_auth: match pleo.word("client_auth") {
            "post" => ClientAuth::Post,
            _ => ClientAuth::Basic,
        },
        redirect_uri: redirect_uri?,
        ca_file,
    })
}

/// Extra roots of trust, if there are some in it.
fn ca_file(pleo: &Reader<'_>) -> Option<RootsFile> {
    let path = pleo.existing_file("ca_file")?;
    let mut digest = [0; 32];
    if path.is_file() {
        doors::check_authorities(pleo, "ca_file", &path);
        // One that cannot be read was reported.
        let contents = fs::read(&path).unwrap_or_default();
        digest.copy_from_slice(digest::digest(&digest::SHA256, &contents).as_ref());
    }
    Some(RootsFile { path, digest })
}

/// True if Pleo's host may be on a private network by default.
pub(super) fn is_private(pleo: &Reader<'_>) -> bool {
    matches!(pleo.word("environment"), "sandbox" | "custom")
}

fn environment(pleo: &Reader<'_>) -> Option<PleoEnvironment> {
    let word = pleo.word("environment");
    if word == "custom" {
        return custom(pleo).map(|urls| PleoEnvironment::Custom(Box::new(urls)));
    }
    for url in URLS.into_iter().filter(|url| pleo.has(url)) {
        let message = format!("environment \"{word}\" has URLs of its own");
        let remedy = "leave it out, or write environment = \"custom\"";
        pleo.report(url, Finding::invalid(message, remedy));
    }
    Some(match word {
        "production" => PleoEnvironment::Production,
        "staging" => PleoEnvironment::Staging,
        _ => PleoEnvironment::Sandbox,
    })
}

fn custom(pleo: &Reader<'_>) -> Option<CustomEndpoints> {
    let [authorize, token, introspect, api] = URLS.map(|url| {
        let remedy = "write the URL: environment \"custom\" has none of its own";
        pleo.require(url, "is missing", remedy);
        pleo.parsed(url, units::safe_url)
    });
    Some(CustomEndpoints {
        authorize_url: authorize?,
        token_url: token?,
        introspect_url: introspect?,
        api_url: api?,
    })
}

/// The sandbox knows one client, and everyone knows its secret.
fn client(pleo: &Reader<'_>) -> (Option<String>, Option<Secret>) {
    let (id, secret) = (pleo.text("client_id"), pleo.secret("client_secret"));
    if pleo.word("environment") == "sandbox" {
        let id = id.or_else(|| Some("sandbox".to_owned()));
        let known = || (!pleo.has("client_secret")).then(|| Secret::new("sandbox-secret"));
        return (id, secret.or_else(known));
    }
    let remedy = "write the id of your OAuth client at Pleo";
    pleo.require("client_id", "is missing", remedy);
    let remedy =
        "write { file = \"secrets/pleo-client-secret\" } and put the secret there (chmod 600)";
    pleo.require("client_secret", "is missing", remedy);
    (id, secret)
}
