//! `[store]`: where connections are kept, and the keys that seal them.

use std::path::{Path, PathBuf};

use super::super::reader::Reader;
use super::super::report::Finding;
use super::super::settings::{Database, SecretSource, StoreSettings};
use super::doors;
use crate::store::postgres::{AddressError, ServerAddress};

pub(super) fn read(store: &Reader<'_>) -> Option<StoreSettings> {
    let sqlite = store.defaulted("sqlite", |text| match text {
        "" => Err("write the database's file, such as \"data/gateway.db\""),
        text => Ok(store.base().join(text)),
    });
    let folder = sqlite.parent().unwrap_or(store.base()).to_owned();
    let sealing_keys = sealing_keys(store, &folder);
    let beside = |key: &str, name: &str| store.path(key).unwrap_or_else(|| folder.join(name));
    let (salvage, high_water) = (
        beside("salvage", "salvage"),
        beside("high_water", "high-water"),
    );
    Some(StoreSettings {
        database: database(store, sqlite)?,
        sealing_keys,
        salvage,
        high_water,
    })
}

fn database(store: &Reader<'_>, sqlite: PathBuf) -> Option<Database> {
    if !store.has("postgres") {
        return Some(Database::Sqlite(sqlite));
    }
    if store.has("sqlite") {
        let remedy = "keep one of sqlite and postgres";
        store.report(
            "sqlite",
            Finding::invalid("there are two databases", remedy),
        );
    }
    let text = store.secret("postgres")?;
    match ServerAddress::parse(&text, store.base()) {
        Ok(address) => {
            if let Some(file) = address.authorities() {
                doors::check_authorities(store, "postgres", file);
            }
            Some(Database::Postgres(address))
        }
        Err(error) => {
            let message = format!("no database can be reached by this: {error}");
            let remedy = match error {
                AddressError::Malformed => {
                    "write it as postgres://user:password@host:5432/database"
                }
                AddressError::SslMode => "the server is always verified: use one of those",
                AddressError::NoHost => "name the server's host, or host=/folder of its socket",
            };
            store.report("postgres", Finding::invalid(message, remedy));
            None
        }
    }
}

fn sealing_keys(store: &Reader<'_>, folder: &Path) -> Vec<SecretSource> {
    let Some(nodes) = store.nodes("sealing_keys") else {
        let file = store.default_secret("sealing_keys", folder.join("sealing.key"));
        return file.into_iter().collect();
    };
    if nodes.is_empty() {
        let remedy = "write [{ file = \"data/sealing.key\" }], or leave it out";
        store.report(
            "sealing_keys",
            Finding::invalid("nothing is kept unsealed", remedy),
        );
    }
    (nodes.iter())
        .filter_map(|node| store.secret_source(node))
        .collect()
}
