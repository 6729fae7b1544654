//! The version of the tables in `PostgreSQL`, and where the store's own secrets are. What those are is not here (`own`).
//!
//! Each step is one transaction in one message that first makes sure that nobody was quicker; then everything is read again.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::server::{Server, ServerError};
use crate::store::OpenError;
use crate::store::own::{self, FINGERPRINT_KEY, KEY_CHECK, Own, OwnError, STORE_ID, Unlocked};
use crate::store::rows::Blob;
use crate::store::seal::{Sealer, hex};

/// One step of the tables' history; never changed once released.
const MIGRATIONS: [&str; 2] = [
    include_str!("../migrations/postgres/0001_start.sql"),
    include_str!("../migrations/postgres/0002_met_tokens.sql"),
];
/// Holds back other processes of ours that change tables ("PLGW").
const LOCK: i64 = 0x504c_4757;
/// What a step says that finds another version than it was made for.
const OUTRUN: &str = "PLGW1";
/// The longest a step may take: a ledger of years gets an index.
const LONG: Duration = Duration::from_mins(10);
/// How many processes may be quicker, one after the other.
const TRIES: usize = 20;

/// What is there, in one row: the version, or -1 for tables of somebody else; and the store's own secrets.
const LOOK: &str = "select case \
     when to_regclass('pleo_gateway.meta') is not null and to_regclass('pleo_gateway.migrations') is not null then 1 \
     when exists (select from pg_class where relnamespace = to_regnamespace('pleo_gateway')) then -1 else 0 end";
const VERSION: &str = "select jsonb_build_object( \
     'version', (select coalesce(max(number), 0) from pleo_gateway.migrations), \
     'meta', (select jsonb_object_agg(name, value) from pleo_gateway.meta))::text";

/// Brings the tables up to date and proves the key. If anything is wrong nothing has changed.
pub(super) async fn unlock(
    server: &Server,
    name: &str,
    keys: &[crate::store::sealing_keys::KeySource],
) -> Result<Unlocked, OpenError> {
    let failed = |source| OpenError::Server {
        store: name.to_owned(),
        source,
    };
    for _ in 0..TRIES {
        let sealer = own::sealer(crate::store::sealing_keys::load(keys)?)?;
        let (version, own) = look(server, name).await?;
        if version > MIGRATIONS.len() {
            return Err(OpenError::Newer {
                store: name.to_owned(),
                found: version,
                known: MIGRATIONS.len(),
            });
        }
        let (unlocked, anew) = unlocked(own, sealer, name)?;
        if version == MIGRATIONS.len() && anew.is_none() {
            return Ok(unlocked);
        }
        match server.ask_within(step(version, anew.as_ref()), LONG).await {
            Ok(_) => return Ok(unlocked),
            Err(error) if error.code().is_some_and(|code| code.code() == OUTRUN) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(ServerError::Silent { sent: false }))
}

/// True if our tables are there, of whichever version.
pub(super) async fn is_founded(server: &Server, name: &str) -> Result<bool, OpenError> {
    Ok(look(server, name).await?.0 > 0)
}

fn unlocked(
    own: Option<Own>,
    sealer: Sealer,
    name: &str,
) -> Result<(Unlocked, Option<Own>), OpenError> {
    let Some(own) = own else {
        let (unlocked, own) = own::found(sealer)?;
        return Ok((unlocked, Some(own)));
    };
    own::prove(&own, sealer).map_err(|error| match error {
        OwnError::WrongKey(wanted) => OpenError::WrongKey {
            store: name.to_owned(),
            wanted,
        },
        OwnError::NotOurs => OpenError::Foreign(name.to_owned()),
        OwnError::Seal(error) => error.into(),
    })
}

async fn look(server: &Server, name: &str) -> Result<(usize, Option<Own>), OpenError> {
    let failed = |source| OpenError::Server {
        store: name.to_owned(),
        source,
    };
    let foreign = || OpenError::Foreign(name.to_owned());
    match server
        .ask(LOOK.to_owned())
        .await
        .map_err(failed)?
        .as_deref()
    {
        Some("0") => return Ok((0, None)),
        Some("1") => {}
        _ => return Err(foreign()),
    }
    let found = match server.ask(VERSION.to_owned()).await {
        Ok(found) => found.ok_or_else(foreign)?,
        // Tables of these names, and not with our columns.
        Err(error)
            if error
                .code()
                .is_some_and(|code| code.code().starts_with("42703")) =>
        {
            return Err(foreign());
        }
        Err(error) => return Err(failed(error)),
    };
    let found: Value = serde_json::from_str(&found).map_err(|_| foreign())?;
    let version = found["version"].as_u64().ok_or_else(foreign)?;
    let secret = |name: &str| serde_json::from_value::<Blob>(found["meta"][name].clone()).ok();
    let own = || {
        Some(Own {
            id: String::from_utf8(secret(STORE_ID)?.0).ok()?,
            key_check: secret(KEY_CHECK)?.0,
            fingerprint_key: secret(FINGERPRINT_KEY)?.0,
        })
    };
    let own = own().ok_or_else(foreign)?;
    Ok((usize::try_from(version).unwrap_or(usize::MAX), Some(own)))
}

/// The steps from a version to ours, with the store's own secrets if they change.
fn step(version: usize, own: Option<&Own>) -> String {
    let mut sql = format!(
        "set local lock_timeout = '3s'; set local statement_timeout = '10min'; select pg_advisory_xact_lock({LOCK}); \
         do $guard$ declare seen bigint := 0; begin \
         if to_regclass('pleo_gateway.migrations') is not null then \
         execute 'select coalesce(max(number), 0) from pleo_gateway.migrations' into seen; end if; \
         if seen <> {version} then raise exception 'another process was quicker' using errcode = '{OUTRUN}'; end if; \
         if to_regnamespace('pleo_gateway') is null then create schema pleo_gateway; end if; end $guard$; \
         create table if not exists pleo_gateway.migrations \
         (number bigint not null primary key, applied_at timestamptz not null default clock_timestamp());\n"
    );
    for (number, migration) in (1..).zip(MIGRATIONS).skip(version) {
        sql.push_str(migration);
        // Writing to a String cannot fail.
        let _ = write!(
            sql,
            "\ninsert into pleo_gateway.migrations (number) values ({number});\n"
        );
    }
    for (name, value) in own.into_iter().flat_map(|own| {
        [
            (STORE_ID, own.id.as_bytes()),
            (KEY_CHECK, &own.key_check),
            (FINGERPRINT_KEY, &own.fingerprint_key),
        ]
    }) {
        let value = hex(value);
        let _ = writeln!(
            sql,
            "insert into pleo_gateway.meta (name, value) values ('{name}', decode('{value}', 'hex')) \
             on conflict (name) do update set value = excluded.value;"
        );
    }
    sql
}
