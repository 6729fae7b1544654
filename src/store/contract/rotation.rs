//! What every store promises about rotating its sealing keys, and about everything sealed in it.

use std::time::Duration;

use super::{change, full, put, tenant};
use crate::model::connection::{Connection, CredentialKind, Held};
use crate::secret::Secret;
use crate::store::rotation::{Resealed, Rotation};
use crate::store::salvage::tests::record;
use crate::store::{Opened, Revision, Seen, Visit, Written};

/// Runs every promise. `open` opens one and the same store again with keys of these names, the first to seal with, for a
/// provider; it is empty at first, and sealed with `key`.
pub(in crate::store) async fn run(open: impl AsyncFn(&[&str], &str) -> Opened) {
    every_secret_is_sealed_anew_and_stays_what_it_was(&open).await;
    writers_and_a_rotation_do_not_hinder_one_another(&open).await;
}

fn rotation(opened: &Opened) -> Rotation {
    Rotation {
        store: opened.store.clone(),
        salvage: opened.salvage.clone(),
        owners: opened.owners.clone(),
        key: opened.sealing_key,
    }
}

async fn rotate(opened: &Opened) -> Resealed {
    let mut told = Vec::new();
    let rotation = rotation(opened);
    let progress = |done, of| told.push((done, of));
    let done = rotation.run("cli", progress).await.unwrap();
    let of = told.len();
    let expected: Vec<_> = (1..=of).map(|done| (done, of)).collect();
    assert_eq!(told, expected, "progress");
    assert!(done.failed.is_empty(), "{done:?}");
    done
}

/// One of each kind: a row with a pair and a candidate, with a key, with nothing, of another provider; a visit; salvage.
const PLACES: usize = 6;

async fn every_secret_is_sealed_anew_and_stays_what_it_was(
    open: &impl AsyncFn(&[&str], &str) -> Opened,
) {
    let old = open(&["key"], "p").await;
    let key = Connection {
        held: Held::Key(Secret::new("key-canary")),
        credential: CredentialKind::IntegratedKey,
        ..Connection::pending(tenant("with-key"))
    };
    let rows = [
        full("with-pair"),
        key,
        Connection::pending(tenant("with-nothing")),
    ];
    for row in &rows {
        put(&old.store, row).await;
    }
    let foreign = full("with-pair");
    put(&open(&["key"], "q").await.store, &foreign).await;
    let visit = Visit {
        link: [1; 32],
        tenant: tenant("with-pair"),
        verifier: Secret::new("verifier-canary"),
        cookie: [2; 32],
        expires_at: old.store.now().await.unwrap() + Duration::from_mins(10),
    };
    old.store.put_visit([3; 32], visit.clone()).await.unwrap();
    let salvaged = record("with-pair");
    old.salvage.ready().unwrap();
    old.salvage.put(&salvaged).unwrap();
    let mut before = Vec::new();
    for row in &rows {
        before.push(old.store.read(&row.tenant).await.unwrap());
    }
    let (mark, _) = old.store.changed_since(Revision(0)).await.unwrap();
    let id = old.store.id().to_owned();
    old.store.close().await;
    drop(old);

    let both = open(&["new", "key"], "p").await;
    let done = rotate(&both).await;
    assert_eq!((done.resealed, done.already), (PLACES, 0), "{done:?}");
    let done = rotate(&both).await;
    assert_eq!((done.resealed, done.already), (0, PLACES), "{done:?}");
    both.store.close().await;
    drop(both);

    let new = open(&["new"], "p").await;
    assert_eq!(new.store.id(), id);
    for (row, seen) in rows.iter().zip(before) {
        let now = new.store.read(&row.tenant).await.unwrap();
        assert_eq!((&now.row, now.revision), (&seen.row, seen.revision));
        assert_eq!(now.row.as_ref(), Some(row));
        // And what is sealed anew can be changed as before.
        put(&new.store, row).await;
    }
    let (_, changed) = new.store.changed_since(mark).await.unwrap();
    assert_eq!(changed.len(), rows.len(), "only what was put just now");
    assert_eq!(
        new.store.take_visit(&[3; 32]).await.unwrap(),
        Some(visit),
        "a browser on its way is not turned away"
    );
    let found = new.salvage.found().unwrap();
    assert!(found.damaged.is_empty(), "{found:?}");
    let pairs: Vec<_> = found.pairs.into_iter().map(|(_, pair)| pair).collect();
    assert_eq!(pairs, [salvaged]);
    new.store.close().await;
    drop(new);
    let other = open(&["new"], "q").await;
    let seen = other.store.read(&foreign.tenant).await.unwrap();
    assert_eq!(seen.row, Some(foreign));
    other.store.close().await;
}

async fn writers_and_a_rotation_do_not_hinder_one_another(
    open: &impl AsyncFn(&[&str], &str) -> Opened,
) {
    let before = open(&["new"], "p").await;
    let mut row = full("busy");
    let mut seen = put(&before.store, &row).await;
    before.store.close().await;
    drop(before);
    // The writer still seals with the key that the rotation does away with.
    let writer = open(&["new", "newest"], "p").await;
    let rotating = open(&["newest", "new"], "p").await;
    let writing_on = async {
        for failures in 0..40 {
            row.failures = failures;
            let written = writer.store.write(change(&row, seen)).await.unwrap();
            let Written::Done(revision) = written else {
                panic!("{written:?}: nobody else has written");
            };
            seen = revision;
        }
    };
    let rotations = async {
        for _ in 0..10 {
            rotate(&rotating).await;
        }
    };
    tokio::join!(writing_on, rotations);
    rotate(&rotating).await;
    let Seen {
        row: now, revision, ..
    } = rotating.store.read(&row.tenant).await.unwrap();
    assert_eq!((now, revision), (Some(row), seen));
    writer.store.close().await;
    rotating.store.close().await;
    drop((writer, rotating));
    let alone = open(&["newest"], "p").await;
    assert!(alone.store.list().await.unwrap().iter().all(Result::is_ok));
    alone.store.close().await;
}
