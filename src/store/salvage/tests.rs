//! What salvage promises.

use std::time::Duration;

use tempfile::TempDir;

use super::super::rows::Seals;
use super::super::seal::{Fingerprints, Sealer};
use super::super::sealing_keys::{KeySource, load, make_key_file};
use super::*;

/// A pair to keep.
pub(in super::super) fn record(tenant: &str) -> SalvageRecord {
    SalvageRecord {
        tenant: TenantName::parse(tenant).unwrap(),
        epoch: Epoch(1),
        generation: Generation(4),
        attempt: AttemptId::make(),
        access: Access {
            token: Secret::new("access-canary"),
            since: Timestamp(7),
            expires_at: Timestamp(7) + Duration::from_mins(15),
            life_known: true,
        },
        refresh: Secret::new("refresh-canary"),
        scopes: Some(ScopeSet::parse("a b").unwrap()),
    }
}

fn salvage(place: &TempDir, provider: &str, owner: &str, store: &str) -> Salvage {
    let path = place.path().join("key");
    if !path.exists() {
        make_key_file(&path).unwrap();
    }
    let seals = Seals {
        provider: ProviderId::new(provider),
        sealer: Sealer::new(load(&[KeySource::File(path)]).unwrap()).unwrap(),
        fingerprints: Fingerprints::new(b"", ""),
    };
    let root = place.path().join("salvage");
    Salvage::new(&root, &Owner::new(owner), store, Arc::new(seals)).unwrap()
}

#[test]
fn a_pair_is_found_by_every_owner_of_the_machine_until_it_is_removed() {
    let place = tempfile::tempdir().unwrap();
    let record = record("acme");
    salvage(&place, "p", "dead", "s").put(&record).unwrap();
    let heir = salvage(&place, "p", "heir", "s");
    heir.ready().unwrap();
    let found = heir.found().unwrap();
    assert!(found.damaged.is_empty());
    let [(file, pair)] = found.pairs.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(*pair, record);
    heir.remove(file).unwrap();
    heir.remove(file).unwrap();
    assert!(heir.found().unwrap().pairs.is_empty());
}

#[test]
fn another_store_s_or_provider_s_pairs_are_left_out() {
    let place = tempfile::tempdir().unwrap();
    salvage(&place, "p", "a", "s").put(&record("acme")).unwrap();
    for (provider, store) in [("q", "s"), ("p", "t")] {
        let found = salvage(&place, provider, "b", store).found().unwrap();
        assert!(found.pairs.is_empty() && found.damaged.is_empty());
    }
}

#[test]
fn a_damaged_file_is_kept_and_told() {
    let place = tempfile::tempdir().unwrap();
    let salvage = salvage(&place, "p", "a", "s");
    let good = salvage.put(&record("good")).unwrap();
    let moved = salvage.put(&record("acme")).unwrap();
    let text = fs::read_to_string(moved.path()).unwrap();
    fs::write(moved.path(), text.replace("acme", "evil")).unwrap();
    let cut = salvage.put(&record("cut")).unwrap();
    fs::write(cut.path(), "{").unwrap();
    let found = salvage.found().unwrap();
    assert_eq!(found.pairs.len(), 1);
    assert_eq!(found.pairs[0].0, good);
    let damaged: Vec<_> = found.damaged.iter().map(|(file, _)| file).collect();
    assert_eq!(damaged, [&moved, &cut]);
    assert!(moved.path().exists() && cut.path().exists());
}
