//! What a store on a server promises beyond the contract: many processes, damage, poolers, trouble on the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ServerAddress;
use crate::clock::SystemClock;
use crate::drain::Tasks;
use crate::model::ids::{Owner, ProviderId};
use crate::secret::Secret;
use crate::store::contract::{self, change, full, put, tenant};
use crate::store::sealing_keys::{KeyError, KeySource, make_key_file};
use crate::store::{
    ConnectionStore, Database, OpenError, OpenFault, Opened, Revision, StoreError, StoreOptions,
    Written, open,
};

#[path = "../../../tests/it/stand/cluster.rs"]
mod cluster;
use cluster::Cluster;

/// A replica's folder with a key, and a URL.
struct Place {
    folder: TempDir,
    url: String,
}

impl Place {
    fn new(url: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_key_file(&folder.path().join("key")).unwrap();
        Self { folder, url }
    }

    fn options(&self, keys: &[&str]) -> StoreOptions {
        let key = |name: &&str| KeySource::File(self.folder.path().join(name));
        let text = Secret::new(self.url.as_str());
        StoreOptions {
            database: Database::Postgres(ServerAddress::parse(&text, self.folder.path()).unwrap()),
            sealing_keys: keys.iter().map(key).collect(),
            provider: ProviderId::new("p"),
            salvage: self.folder.path().join("salvage"),
        }
    }

    async fn with(&self, keys: &[&str]) -> Result<Opened, OpenError> {
        open(self.options(keys), &Owner::make(), Arc::new(SystemClock)).await
    }

    async fn store(&self) -> Arc<dyn ConnectionStore> {
        self.with(&["key"]).await.unwrap().store
    }

    async fn of_provider(&self, provider: &str, keys: &[&str]) -> Opened {
        let options = StoreOptions {
            provider: ProviderId::new(provider),
            ..self.options(keys)
        };
        let opened = open(options, &Owner::make(), Arc::new(SystemClock)).await;
        opened.unwrap()
    }

    async fn keeps_the_contract(&self) {
        contract::run(async |provider: &str| self.of_provider(provider, &["key"]).await.store)
            .await;
    }

    async fn keeps_the_contract_of_rotations(&self) {
        for key in ["new", "newest"] {
            make_key_file(&self.folder.path().join(key)).unwrap();
        }
        contract::rotation::run(async |keys: &[&str], provider: &str| {
            self.of_provider(provider, keys).await
        })
        .await;
    }
}

fn shared() -> (Place, String) {
    let cluster = Cluster::shared();
    let database = cluster.database();
    (Place::new(cluster.url(&database)), database)
}

#[tokio::test]
async fn it_keeps_the_contract() {
    shared().0.keeps_the_contract().await;
}

#[tokio::test]
async fn it_keeps_the_contract_of_rotations() {
    shared().0.keeps_the_contract_of_rotations().await;
}

#[tokio::test]
async fn it_keeps_the_contract_behind_a_pooler_of_transactions() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster.pooled_url(&cluster.database()));
    place.keeps_the_contract().await;
    let place = Place::new(cluster.pooled_url(&cluster.database()));
    place.keeps_the_contract_of_rotations().await;
}

#[tokio::test]
async fn it_keeps_the_contract_over_tls_and_believes_no_other_certificate() {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(vec!["db.example".to_owned()]).unwrap();
    std::fs::write(file("crt"), made.cert.pem()).unwrap();
    std::fs::write(file("key"), made.signing_key.serialize_pem()).unwrap();
    let cluster = Cluster::start(&["--tls", &file("crt"), &file("key")]);
    let url = cluster.url(&cluster.database());
    let trusted = format!("sslrootcert={}", file("crt"));
    let named = url.replace("127.0.0.1", "db.example");
    let place = Place::new(format!(
        "{named}?hostaddr=127.0.0.1&sslmode=verify-full&{trusted}"
    ));
    place.keeps_the_contract().await;
    let place = Place {
        url: format!("{url}?sslmode=verify-ca&{trusted}"),
        ..place
    };
    assert!(place.store().await.now().await.is_ok());
    for other in [
        format!("{url}?sslmode=require&{trusted}"),
        format!("{named}?hostaddr=127.0.0.1&sslmode=verify-full"),
        format!("{url}?sslmode=disable"),
    ] {
        let error = Place::new(other).with(&["key"]).await.unwrap_err();
        assert_eq!(error.fault(), OpenFault::Configuration, "{error:?}");
    }
}

#[tokio::test]
async fn processes_that_begin_at_once_share_one_store() {
    let (place, _) = shared();
    let opened = tokio::join!(
        place.store(),
        place.store(),
        place.store(),
        place.store(),
        place.store()
    );
    let id = opened.0.id();
    for other in [&opened.1, &opened.2, &opened.3, &opened.4] {
        assert_eq!(other.id(), id);
    }
    put(&opened.0, &full("acme")).await;
    let seen = opened.4.read(&tenant("acme")).await.unwrap();
    assert!(seen.row.is_some());
}

#[tokio::test]
async fn the_key_is_never_made_and_a_wrong_one_is_refused() {
    let (place, _) = shared();
    let error = place.with(&["none"]).await.unwrap_err();
    assert!(matches!(error, OpenError::Key(KeyError::Missing(_))));
    assert!(!place.folder.path().join("none").exists());
    put(&place.store().await, &full("acme")).await;
    make_key_file(&place.folder.path().join("wrong")).unwrap();
    let error = place.with(&["wrong"]).await.unwrap_err();
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error:?}");
    assert_eq!(error.fault(), OpenFault::Configuration);
}

#[tokio::test]
async fn after_a_rotation_old_rows_open_and_are_sealed_anew() {
    let (place, _) = shared();
    put(&place.store().await, &full("acme")).await;
    let new = make_key_file(&place.folder.path().join("new")).unwrap();
    let rotated = place.with(&["new", "key"]).await.unwrap();
    assert_eq!(rotated.sealing_key, new);
    let before = rotated.store.read(&tenant("acme")).await.unwrap();
    let places = rotated.store.sealed_places().await.unwrap();
    for place in &places {
        assert!(rotated.store.reseal(place).await.unwrap());
        assert!(!rotated.store.reseal(place).await.unwrap());
    }
    assert_eq!(places.len(), 1);
    let alone = place.with(&["new"]).await.unwrap();
    let after = alone.store.read(&tenant("acme")).await.unwrap();
    assert_eq!((after.row, after.revision), (before.row, before.revision));
}

#[tokio::test]
async fn what_is_no_store_or_a_newer_one_is_refused() {
    let (place, database) = shared();
    let sql = |statement: &str| Cluster::shared().sql(&database, statement);
    sql("create schema pleo_gateway; create table pleo_gateway.meta (x int)");
    let error = place.with(&["key"]).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign(_)), "{error:?}");
    assert_eq!(error.fault(), OpenFault::Damaged);
    sql("drop schema pleo_gateway cascade");
    place.store().await;
    sql("insert into pleo_gateway.migrations values (99)");
    let error = place.with(&["key"]).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }));
    sql("delete from pleo_gateway.migrations where number = 99");
    sql("delete from pleo_gateway.meta where name = 'key_check'");
    let error = place.with(&["key"]).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign(_)), "{error:?}");
}

#[tokio::test]
async fn a_store_of_an_earlier_version_is_brought_up_to_date_under_those_that_use_it() {
    let (place, database) = shared();
    let old = place.store().await;
    let sql = |statement: &str| Cluster::shared().sql(&database, statement);
    sql("drop function pleo_gateway.write(jsonb); \
         alter function pleo_gateway.write_row(jsonb) rename to write; \
         drop function pleo_gateway.met(text, text, text); \
         drop index pleo_gateway.ledger_by_refresh_token; \
         delete from pleo_gateway.migrations where number > 1");
    put(&old, &full("before")).await;
    let new = place.store().await;
    for (store, name) in [(&old, "of-the-old"), (&new, "of-the-new")] {
        put(store, &full(name)).await;
    }
    sql("drop index pleo_gateway.ledger_by_refresh_token");
}

/// Requirement 109.
#[tokio::test]
async fn a_row_that_was_changed_by_another_hand_is_refused_and_hides_no_other() {
    let (place, database) = shared();
    let store = place.store().await;
    put(&store, &full("good")).await;
    for assignment in [
        "state = 'active'",
        "attempts = '[]'",
        "company_id = 'other'",
        "generation = generation - 1",
        "sealed_revision = sealed_revision + 1",
        "refresh = access",
        "state = 'nonsense'",
        "seal = '\\x01'",
    ] {
        put(&store, &full("bad")).await;
        let change =
            format!("update pleo_gateway.connections set {assignment} where tenant = 'bad'");
        assert_eq!(Cluster::shared().sql(&database, &change), "");
        let error = store.read(&tenant("bad")).await.unwrap_err();
        assert!(matches!(error, StoreError::Sealed(_)), "{assignment}");
        let listed = store.list().await.unwrap();
        assert_eq!(listed[0], Err(tenant("bad")), "{assignment}");
        assert!(listed[1].is_ok());
        Cluster::shared().sql(
            &database,
            "delete from pleo_gateway.connections where tenant = 'bad'",
        );
    }
}

#[tokio::test]
async fn ledger_and_audit_are_append_only() {
    let (place, database) = shared();
    place.store().await;
    for table in ["ledger", "audit"] {
        for statement in ["delete from", "truncate"] {
            let said =
                Cluster::shared().sql(&database, &format!("{statement} pleo_gateway.{table}"));
            assert!(said.contains("append-only"), "{said}");
        }
    }
}

#[tokio::test]
async fn commits_are_durable_whatever_the_server_is_set_to() {
    let (place, database) = shared();
    let store = place.store().await;
    let sql = |statement: &str| Cluster::shared().sql(&database, statement);
    assert_eq!(sql("show synchronous_commit"), "off");
    sql("create table seen (setting text); grant all on seen to public");
    sql(
        "create function note() returns trigger language plpgsql as 'begin insert into public.seen values (current_setting(''synchronous_commit'') || '' '' || current_setting(''lock_timeout'')); return null; end'",
    );
    sql(
        "create trigger note after insert on pleo_gateway.connections for each row execute function note()",
    );
    put(&store, &full("acme")).await;
    assert_eq!(sql("select * from seen"), "on 2s");
}

/// Two hundred rows by two writers while somebody looks for what is new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_missed_however_writers_overlap() {
    let (place, _) = shared();
    let (one, other, watcher) = tokio::join!(place.store(), place.store(), place.store());
    let writer = |store: Arc<dyn ConnectionStore>, who: &'static str| async move {
        for number in 0..100 {
            put(&store, &full(&format!("{who}-{number}"))).await;
        }
    };
    let writing = Tasks::on(tokio::runtime::Handle::current())
        .spawn(both(writer(one, "one"), writer(other, "other")));
    let (mut mark, mut seen) = (Revision(0), Vec::new());
    while seen.len() < 200 {
        let done = writing.is_finished();
        let (next, tenants) = watcher.changed_since(mark).await.unwrap();
        seen.extend(tenants);
        mark = next;
        assert!(!done || seen.len() == 200, "{} of 200", seen.len());
    }
    writing.await.unwrap();
}

async fn both(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::join!(one, other);
}

#[tokio::test]
async fn a_change_is_heard_of_at_once_by_others() {
    let (place, _) = shared();
    let (writer, listener) = tokio::join!(place.store(), place.store());
    let mut quick = 0;
    for round in 0..8 {
        let row = full(&format!("heard-{round}"));
        let written = async {
            put(&writer, &row).await;
            Instant::now()
        };
        // A tick, or the end of the last round's hint, may come first.
        let (written, ()) = tokio::join!(written, listener.changes());
        quick += u32::from(written.elapsed() < Duration::from_millis(500));
    }
    assert!(quick >= 4, "{quick} of 8");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_freezes_or_ends_is_not_available_and_all_is_well_once_it_is_back() {
    let cluster = Cluster::start(&[]);
    let place = Place::new(cluster.url(&cluster.database()));
    let store = place.store().await;
    let revision = put(&store, &full("acme")).await;
    for (away, back) in [("freeze", "thaw"), ("stop", "start")] {
        cluster.order(away);
        let begun = Instant::now();
        let acme = tenant("acme");
        let row = full("acme");
        let (read, written) = tokio::join!(
            store.read(&acme),
            store.write(change(&row, Revision(revision.0 + 7)))
        );
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        assert!(
            matches!(
                written,
                Err(StoreError::Unknown(_) | StoreError::Unavailable(_))
            ),
            "{written:?}"
        );
        // Four seconds, and five for a machine that is busy; a link that nobody watches takes ten.
        assert!(begun.elapsed() < Duration::from_secs(9), "{away}");
        if away == "stop" {
            let error = place.with(&["key"]).await.unwrap_err();
            assert_eq!(error.fault(), OpenFault::Away, "{error:?}");
        }
        cluster.order(back);
        let seen = store.read(&acme).await.unwrap();
        assert_eq!(seen.revision, revision);
        let written = store.write(change(&row, Revision(revision.0 + 7))).await;
        assert_eq!(written.unwrap(), Written::Conflict);
    }
}
