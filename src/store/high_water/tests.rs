//! The promises of the high-water file: torn, damaged, shared by many, written anew.

use std::os::unix::fs::PermissionsExt;
use std::thread;

use super::*;

fn place() -> (tempfile::TempDir, PathBuf) {
    let above = tempfile::tempdir().unwrap();
    let path = above.path().join("data").join("high-water");
    (above, path)
}

fn open_as(path: &Path, store: &str, provider: &str) -> HighWater {
    HighWater::open(path, store, &ProviderId::new(provider)).unwrap()
}

fn open(path: &Path) -> HighWater {
    open_as(path, "store", "provider")
}

fn name(text: &str) -> TenantName {
    TenantName::parse(text).unwrap()
}

fn pair(epoch: u64, generation: u64) -> Pair {
    (Epoch(epoch), Generation(generation))
}

fn acme(high_water: &HighWater) -> Pair {
    high_water.mark(&name("acme"))
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(private::folder_of(path)).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_mark_only_rises_and_is_there_after_a_death_without_any_farewell() {
    let (_above, path) = place();
    let high_water = open(&path);
    assert_eq!(high_water.above(&name("acme"), pair(0, 0)), None);
    for (raised, mark) in [
        (pair(0, 3), pair(0, 3)),
        (pair(0, 2), pair(0, 3)),
        (pair(1, 0), pair(1, 0)),
        (pair(0, 9), pair(1, 0)),
    ] {
        high_water.raise(&name("acme"), raised);
        assert_eq!(acme(&high_water), mark);
        // as after kill -9: nothing was settled or dropped
        assert_eq!(acme(&open(&path)), mark);
    }
    let again = open(&path);
    assert_eq!(again.above(&name("acme"), pair(0, 99)), Some(pair(1, 0)));
    assert_eq!(again.above(&name("acme"), pair(1, 0)), None);
    assert_eq!(again.above(&name("globex"), pair(0, 0)), None);
    high_water.settle();
    assert!(!high_water.is_unsettled());
}

#[test]
fn the_file_and_its_folder_are_ours_alone_and_a_looser_one_is_refused() {
    let (_above, path) = place();
    open(&path).raise(&name("acme"), pair(0, 1));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(private::folder_of(&path)), 0o700);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = HighWater::open(&path, "store", &ProviderId::new("provider"));
    assert!(matches!(refused, Err(HighWaterError::Private(error)) if error.is_permission()));
}

#[test]
fn a_last_line_that_was_cut_off_anywhere_costs_that_mark_alone_and_no_later_one() {
    let (_above, path) = place();
    open(&path).raise(&name("acme"), pair(0, 1));
    let whole = fs::read(&path).unwrap();
    open(&path).raise(&name("acme"), pair(0, 2));
    let both = fs::read(&path).unwrap();
    for end in whole.len()..both.len() {
        fs::write(&path, &both[..end]).unwrap();
        let high_water = open(&path);
        assert_eq!(acme(&high_water), pair(0, 1), "cut at {end}");
        high_water.raise(&name("acme"), pair(0, 3));
        assert_eq!(acme(&open(&path)), pair(0, 3), "cut at {end}");
        assert_eq!(names(&path), ["high-water"]);
    }
}

#[test]
fn a_piece_of_a_line_in_the_middle_does_not_spoil_what_another_process_appends() {
    let (_above, path) = place();
    let high_water = open(&path);
    high_water.raise(&name("acme"), pair(0, 1));
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"\n0123 a short wri").unwrap();
    high_water.raise(&name("acme"), pair(0, 2));
    assert_eq!(acme(&open(&path)), pair(0, 2));
}

#[test]
fn a_damaged_file_is_put_aside_and_what_can_be_read_of_it_counts() {
    let (_above, path) = place();
    let high_water = open(&path);
    high_water.raise(&name("acme"), pair(0, 7));
    high_water.raise(&name("globex"), pair(0, 8));
    high_water.raise(&name("initech"), pair(0, 9));
    let mut text = fs::read(&path).unwrap();
    let spoilt = text.windows(6).position(|w| w == b"globex").unwrap();
    text[spoilt] = b'x';
    fs::write(&path, &text).unwrap();
    let again = open(&path);
    assert_eq!(acme(&again), pair(0, 7));
    assert_eq!(again.mark(&name("globex")), pair(0, 0));
    assert_eq!(again.mark(&name("initech")), pair(0, 9));
    assert_eq!(names(&path), ["high-water", "high-water.damaged-1"]);
    let aside = private::folder_of(&path).join("high-water.damaged-1");
    assert_eq!(fs::read(aside).unwrap(), text);
    // and the file is in order from then on
    assert_eq!(acme(&open(&path)), pair(0, 7));
    assert_eq!(names(&path).len(), 2);
    // zeros, as some file systems leave after a power cut
    fs::write(&path, [vec![0; 300], b"\nmore".to_vec()].concat()).unwrap();
    assert_eq!(acme(&open(&path)), pair(0, 0));
    assert_eq!(names(&path).len(), 3);
}

#[test]
fn a_database_is_not_taken_for_the_file_and_not_touched() {
    let (_above, path) = place();
    open(&path);
    let text = [DATABASE, b"\x10\x00\n\n\nrows"].concat();
    fs::write(&path, &text).unwrap();
    let refused = HighWater::open(&path, "store", &ProviderId::new("provider"));
    assert!(matches!(refused, Err(HighWaterError::Database(_))));
    assert_eq!(fs::read(&path).unwrap(), text);
}

#[test]
fn marks_of_other_stores_and_providers_are_kept_and_never_taken_for_ours() {
    let (_above, path) = place();
    let others = [("store", "other"), ("other", "provider"), ("a", "b")];
    for (number, (store, provider)) in (5..).zip(others) {
        open_as(&path, store, provider).raise(&name("acme"), pair(number, 0));
    }
    let high_water = open(&path);
    assert_eq!(acme(&high_water), pair(0, 0));
    high_water.raise(&name("acme"), pair(1, 1));
    high_water.0.write_anew().unwrap().unwrap();
    assert_eq!(acme(&open(&path)), pair(1, 1));
    for (number, (store, provider)) in (5..).zip(others) {
        assert_eq!(acme(&open_as(&path, store, provider)), pair(number, 0));
    }
}

#[test]
fn a_file_that_has_grown_is_written_anew_with_all_its_marks() {
    let (_above, path) = place();
    let high_water = open(&path);
    let tenants: Vec<_> = (0..20).map(|n| name(&format!("tenant-{n}"))).collect();
    for generation in 1..200 {
        for tenant in &tenants {
            high_water.raise(tenant, pair(0, generation));
        }
    }
    let length = || fs::metadata(&path).unwrap().len();
    let grown = length();
    assert!(grown > MAY_GROW * 2);
    high_water.settle();
    assert!(length() * 50 < grown, "{} of {grown}", length());
    high_water.raise(&tenants[3], pair(0, 200));
    let again = open(&path);
    assert_eq!(again.mark(&tenants[3]), pair(0, 200));
    assert_eq!(again.mark(&tenants[4]), pair(0, 199));
    assert_eq!(names(&path), ["high-water"]);
}

#[test]
fn nobody_waits_for_who_writes_the_file_anew_and_no_mark_is_lost_to_it() {
    let (_above, path) = place();
    let high_water = open(&path);
    high_water.raise(&name("acme"), pair(0, 1));
    let other = File::open(&path).unwrap();
    other.lock().unwrap();
    high_water.raise(&name("acme"), pair(0, 2));
    assert!(high_water.is_unsettled());
    assert_eq!(acme(&high_water), pair(0, 2));
    // the other has put a new file in its place that lacks what came meanwhile
    let new = path.with_extension("new");
    fs::copy(&path, &new).unwrap();
    fs::rename(&new, &path).unwrap();
    drop(other);
    high_water.settle();
    assert!(!high_water.is_unsettled());
    assert_eq!(acme(&open(&path)), pair(0, 2));
}

#[test]
fn a_file_that_was_taken_away_comes_back_with_all_that_is_known() {
    let (_above, path) = place();
    let high_water = open(&path);
    high_water.raise(&name("acme"), pair(0, 4));
    fs::remove_file(&path).unwrap();
    high_water.raise(&name("globex"), pair(0, 1));
    let again = open(&path);
    assert_eq!(acme(&again), pair(0, 4));
    assert_eq!(again.mark(&name("globex")), pair(0, 1));
}

#[test]
fn what_cannot_be_written_counts_in_memory_and_is_written_later() {
    let (_above, path) = place();
    let high_water = open(&path);
    let aside = path.with_extension("away");
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    high_water.raise(&name("acme"), pair(0, 4));
    high_water.settle();
    assert_eq!(
        high_water.above(&name("acme"), pair(0, 3)),
        Some(pair(0, 4))
    );
    assert!(high_water.is_unsettled());
    fs::remove_dir(&path).unwrap();
    high_water.settle();
    assert!(!high_water.is_unsettled());
    assert_eq!(acme(&open(&path)), pair(0, 4));
}

#[test]
fn many_who_append_while_others_write_anew_lose_nothing() {
    let (_above, path) = place();
    let last = 150;
    thread::scope(|scope| {
        for process in 0..4 {
            let high_water = open(&path);
            scope.spawn(move || {
                for generation in 1..=last {
                    high_water.raise(&name(&format!("tenant-{process}")), pair(0, generation));
                    high_water.raise(&name("shared"), pair(process, generation));
                    if generation % 7 == process {
                        high_water.0.write_anew().unwrap();
                    }
                }
                // what waited for another's lock goes in with the next that is free
                while high_water.is_unsettled() {
                    high_water.settle();
                }
            });
        }
    });
    let all = open(&path);
    for process in 0..4 {
        let tenant = name(&format!("tenant-{process}"));
        assert_eq!(all.mark(&tenant), pair(0, last));
    }
    assert_eq!(all.mark(&name("shared")), pair(3, last));
    assert_eq!(names(&path), ["high-water"]);
}
