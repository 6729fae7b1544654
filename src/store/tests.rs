//! What the store of one machine promises beyond the contract: files, keys, damage.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Mode;
use tempfile::TempDir;

use super::contract::{self, full, put, tenant};
use super::sealing_keys::{KeyError, KeySource, make_key_file};
use super::{Database, OpenError, OpenFault, Opened, StoreError, StoreOptions, open};
use crate::clock::SystemClock;
use crate::model::ids::{Owner, ProviderId};

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("data").join(name)
    }

    fn options(&self, keys: &[&str]) -> StoreOptions {
        StoreOptions {
            database: Database::Sqlite(self.path("gateway.db")),
            sealing_keys: keys
                .iter()
                .map(|key| KeySource::File(self.path(key)))
                .collect(),
            provider: ProviderId::new("p"),
            salvage: self.path("salvage"),
        }
    }

    async fn with(&self, keys: &[&str]) -> Result<Opened, OpenError> {
        open(self.options(keys), &Owner::make(), Arc::new(SystemClock)).await
    }

    async fn of_provider(&self, provider: &str, keys: &[&str]) -> Opened {
        let options = StoreOptions {
            provider: ProviderId::new(provider),
            ..self.options(keys)
        };
        let opened = open(options, &Owner::make(), Arc::new(SystemClock)).await;
        opened.unwrap()
    }

    async fn opened(&self) -> Opened {
        self.with(&["key"]).await.unwrap()
    }

    fn execute(&self, sql: &str) -> usize {
        let connection = rusqlite::Connection::open(self.path("gateway.db")).unwrap();
        connection.execute(sql, []).unwrap()
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.push(path);
    }
    found
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let place = Place::new();
    contract::run(async |provider: &str| place.of_provider(provider, &["key"]).await.store).await;
}

#[tokio::test]
async fn it_keeps_the_contract_of_rotations() {
    let place = Place::new();
    drop(place.opened().await);
    for key in ["new", "newest"] {
        make_key_file(&place.path(key)).unwrap();
    }
    contract::rotation::run(async |keys: &[&str], provider: &str| {
        place.of_provider(provider, keys).await
    })
    .await;
}

/// Requirement 111.
#[tokio::test]
async fn no_file_is_open_to_others_or_holds_a_token_whatever_the_umask() {
    let place = Place::new();
    let before = rustix::process::umask(Mode::empty());
    let opened = place.opened().await;
    put(&opened.store, &full("acme")).await;
    opened.salvage.ready().unwrap();
    opened
        .salvage
        .put(&super::salvage::tests::record("acme"))
        .unwrap();
    rustix::process::umask(before);
    let mut names = Vec::new();
    for path in files(place.0.path()) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(6).any(|part| part == b"canary");
            assert!(!found, "{}", path.display());
        }
    }
    for name in ["gateway.db", "gateway.db-wal", "gateway.db-shm", "key"] {
        assert!(
            names.iter().any(|found| found == name),
            "{name} in {names:?}"
        );
    }
}

/// Requirement 109.
#[tokio::test]
async fn a_row_that_was_changed_by_another_hand_is_refused_and_hides_no_other() {
    for sql in [
        "update connections set state = 'active' where tenant = 'bad'",
        "update connections set attempts = '[]' where tenant = 'bad'",
        "update connections set company_id = 'other' where tenant = 'bad'",
        "update connections set generation = generation - 1 where tenant = 'bad'",
        "update connections set revision = revision + 1 where tenant = 'bad'",
        "update connections set refresh = (select refresh from connections where tenant = 'good') where tenant = 'bad'",
        "update connections set refresh = access where tenant = 'bad'",
        "update connections set state = 'nonsense' where tenant = 'bad'",
        "update connections set seal = x'01' where tenant = 'bad'",
    ] {
        let place = Place::new();
        let store = place.opened().await.store;
        put(&store, &full("good")).await;
        put(&store, &full("bad")).await;
        assert_eq!(place.execute(sql), 1);
        let error = store.read(&tenant("bad")).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Sealed(name) if name == tenant("bad")),
            "{sql}"
        );
        let listed = store.list().await.unwrap();
        assert_eq!(
            listed,
            [Err(tenant("bad")), Ok(full_as_listed(&listed))],
            "{sql}"
        );
    }
}

/// The good row, as it came.
fn full_as_listed(
    listed: &[Result<crate::model::connection::Connection, crate::model::ids::TenantName>],
) -> crate::model::connection::Connection {
    let row = listed.last().unwrap().clone().unwrap();
    assert_eq!(row.tenant, tenant("good"));
    row
}

#[tokio::test]
async fn ledger_and_audit_are_append_only() {
    let place = Place::new();
    place.opened().await.store.close().await;
    let connection = rusqlite::Connection::open(place.path("gateway.db")).unwrap();
    let added = "insert into audit (provider, tenant, at, who, what, detail) values ('p', 't', 1, 'w', 'linked', '')";
    connection.execute(added, []).unwrap();
    assert!(connection.execute("delete from audit", []).is_err());
    assert!(
        connection
            .execute("update audit set who = 'x'", [])
            .is_err()
    );
}

#[tokio::test]
async fn after_a_rotation_old_rows_open_and_are_sealed_anew() {
    let place = Place::new();
    let old = place.opened().await;
    put(&old.store, &full("acme")).await;
    old.store.close().await;

    let new = make_key_file(&place.path("new")).unwrap();
    let rotated = place.with(&["new", "key"]).await.unwrap();
    assert_eq!(rotated.sealing_key, new);
    let before = rotated.store.read(&tenant("acme")).await.unwrap();
    assert!(before.row.is_some());
    for place in rotated.store.sealed_places().await.unwrap() {
        assert!(rotated.store.reseal(&place).await.unwrap());
        assert!(!rotated.store.reseal(&place).await.unwrap());
    }
    rotated.store.close().await;

    let alone = place.with(&["new"]).await.unwrap();
    let after = alone.store.read(&tenant("acme")).await.unwrap();
    assert_eq!((after.row, after.revision), (before.row, before.revision));
}

/// Requirement 110.
#[tokio::test]
async fn a_wrong_key_is_refused_and_nothing_is_touched() {
    let place = Place::new();
    let opened = place.opened().await;
    put(&opened.store, &full("acme")).await;
    opened.store.close().await;
    let before = fs::read(place.path("gateway.db")).unwrap();
    make_key_file(&place.path("wrong")).unwrap();
    let error = place.with(&["wrong"]).await.unwrap_err();
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error:?}");
    assert_eq!(error.fault(), OpenFault::Configuration);
    assert!(fs::read(place.path("gateway.db")).unwrap() == before);
}

/// Requirement 110.
#[tokio::test]
async fn a_key_that_is_lost_is_not_made_anew() {
    let place = Place::new();
    place.opened().await.store.close().await;
    fs::remove_file(place.path("key")).unwrap();
    let error = place.with(&["key"]).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Key(KeyError::Missing(_))),
        "{error:?}"
    );
    assert_eq!(error.fault(), OpenFault::Configuration);
    assert!(!place.path("key").exists());
}

#[tokio::test]
async fn processes_that_begin_at_once_share_one_store() {
    let place = Place::new();
    let (a, b, c, d) = tokio::join!(
        place.opened(),
        place.opened(),
        place.opened(),
        place.opened()
    );
    for other in [&b, &c, &d] {
        assert_eq!(a.store.id(), other.store.id());
        assert_eq!(a.sealing_key, other.sealing_key);
    }
    put(&a.store, &full("acme")).await;
    assert!(d.store.read(&tenant("acme")).await.unwrap().row.is_some());
}

/// Requirement 111.
#[tokio::test]
async fn what_others_can_reach_is_refused() {
    let place = Place::new();
    place.opened().await.store.close().await;
    for (name, mode) in [
        ("gateway.db", 0o640),
        (".", 0o755),
        ("key", 0o644),
        ("salvage", 0o750),
    ] {
        let path = place.path(name);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = place.with(&["key"]).await.unwrap_err();
        assert_eq!(error.fault(), OpenFault::Permission, "{name}: {error:?}");
        fs::set_permissions(&path, before).unwrap();
    }
    place.opened().await;
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_not_overwritten() {
    let place = Place::new();
    place.opened().await.store.close().await;
    let path = place.path("gateway.db");
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[100..4096].fill(0xff);
    let foreign = place.0.path().join("foreign");
    let connection = rusqlite::Connection::open(&foreign).unwrap();
    connection.execute("create table theirs (x)", []).unwrap();
    let garbage = b"canary ".repeat(1000);
    for bytes in [
        garbage,
        whole[..8192].to_vec(),
        damaged,
        fs::read(&foreign).unwrap(),
    ] {
        fs::write(&path, &bytes).unwrap();
        let error = place.with(&["key"]).await.unwrap_err();
        assert_eq!(error.fault(), OpenFault::Damaged, "{error:?}");
        assert!(fs::read(&path).unwrap() == bytes);
    }
}

#[tokio::test]
async fn a_store_of_an_earlier_version_is_brought_up_to_date() {
    let place = Place::new();
    let opened = place.opened().await;
    put(&opened.store, &full("old")).await;
    opened.store.close().await;
    place.execute("drop index ledger_by_refresh_token");
    place.execute("delete from migrations where number > 1");
    let store = place.opened().await.store;
    assert!(store.read(&tenant("old")).await.unwrap().row.is_some());
    place.execute("drop index ledger_by_refresh_token");
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let place = Place::new();
    place.opened().await.store.close().await;
    place.execute("insert into migrations values (99, 0)");
    let error = place.with(&["key"]).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error:?}"
    );
    assert_eq!(error.fault(), OpenFault::Configuration);
}

#[tokio::test]
async fn a_locked_store_is_not_available_and_reads_go_on() {
    let place = Place::new();
    let store = place.opened().await.store;
    put(&store, &full("acme")).await;
    let holder = rusqlite::Connection::open(place.path("gateway.db")).unwrap();
    holder.execute_batch("begin immediate").unwrap();
    let writing = store.spend_link(&[1; 32]);
    let acme = tenant("acme");
    let reading = store.read(&acme);
    let (written, read, opened) = tokio::join!(writing, reading, place.with(&["key"]));
    assert!(read.unwrap().row.is_some());
    assert!(
        matches!(written, Err(StoreError::Unavailable(_))),
        "{written:?}"
    );
    let error = opened.unwrap_err();
    assert_eq!(error.fault(), OpenFault::Away, "{error:?}");
    holder.execute_batch("rollback").unwrap();
    assert!(!store.spend_link(&[1; 32]).await.unwrap());
}
