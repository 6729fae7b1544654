//! Which processes of this machine live (design.md R2, "known dead"). Each holds a lock on a file of its own for as long
//! as it lives, frozen or not; the kernel frees the lock when it ends. What follows from a death is not here (`refresh`).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::private::{self, PrivateError};
use crate::clock::Timestamp;
use crate::model::ids::Owner;

/// How long the death of an owner is remembered. No attempt of it is of interest that long.
const REMEMBERED: Duration = Duration::from_hours(24);

/// The owners that this machine's salvage folder knows.
#[derive(Clone, Debug)]
pub struct Owners {
    folder: PathBuf,
    own: Owner,
}

/// The word that this owner lives. Dropped without [`Lock::retire`], it says that the owner died.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    folder: PathBuf,
    /// The kernel's lock is on this open file.
    _file: File,
}

impl Owners {
    /// Takes its place among the owners, and forgets those that died long ago. Source: `[store].salvage`.
    pub fn register(
        folder: &Path,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<(Self, Lock), PrivateError> {
        private::own_folder(folder)?;
        let owners = Self {
            folder: folder.to_owned(),
            own: owner.clone(),
        };
        owners.prune(now);
        let path = owners.lock_path(owner);
        let file = lock_new(&path).map_err(PrivateError::io(&path))?;
        let folder = folder.join(owner.as_ref());
        let lock = Lock {
            path,
            folder,
            _file: file,
        };
        Ok((owners, lock))
    }

    /// True if this owner ran on this machine and has ended. False for one that lives, and for one that is not known.
    pub fn is_known_dead(&self, owner: &Owner) -> bool {
        let is_name = owner
            .as_ref()
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_name && *owner != self.own && is_free(&self.lock_path(owner)).is_some()
    }

    fn lock_path(&self, owner: &Owner) -> PathBuf {
        self.folder.join(format!("{owner}.lock"))
    }

    /// Forgets owners that were seen to be dead a day ago. When somebody first sees it, the file gets its mark: how old
    /// the file is would tell when the owner began, not when it ended.
    fn prune(&self, now: Timestamp) {
        let Ok(files) = fs::read_dir(&self.folder) else {
            return;
        };
        let locks = files
            .filter_map(Result::ok)
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|end| end == "lock"));
        for path in locks {
            // What cannot be forgotten today is tried again at the next start.
            let _ = forget(&path, now);
        }
    }
}

impl Lock {
    /// An orderly end with nothing open: the owner is forgotten at once, unless pairs of it are still in salvage.
    pub fn retire(self) {
        match fs::remove_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {}
            Ok(()) | Err(_) => {
                // If it stays, this owner is taken for dead: that is true soon.
                let _ = fs::remove_file(&self.path);
            }
        }
    }
}

/// A new lock file that is locked before anybody can find it by its name.
fn lock_new(path: &Path) -> io::Result<File> {
    let unnamed = path.with_extension("new");
    let file = private::create_new(&unnamed)?;
    file.lock()?;
    fs::rename(&unnamed, path)?;
    private::sync_folder(private::folder_of(path))?;
    Ok(file)
}

/// The lock file if nobody holds it; `None` if somebody does, or if there is no such file.
fn is_free(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    match file.try_lock() {
        Ok(()) => {
            file.unlock().ok()?;
            Some(file)
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
    }
}

fn forget(path: &Path, now: Timestamp) -> io::Result<()> {
    let Some(file) = is_free(path) else {
        return Ok(());
    };
    let seen = file.metadata()?;
    if seen.len() == 0 {
        file.set_len(1)?;
        let micros = u64::try_from(now.0).unwrap_or(0);
        return file.set_modified(UNIX_EPOCH + Duration::from_micros(micros));
    }
    let marked = seen
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let marked = Timestamp(0) + marked;
    // A folder that is not empty stays, and so does its owner's file.
    if marked.until(now) > REMEMBERED && !has_folder(path) {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn has_folder(lock: &Path) -> bool {
    let folder = lock.with_extension("");
    match fs::remove_dir(&folder) {
        Ok(()) => false,
        Err(_) => folder.exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Timestamp = Timestamp(24 * 60 * 60 * 1_000_000);

    fn place() -> (tempfile::TempDir, PathBuf) {
        let above = tempfile::tempdir().unwrap();
        let place = above.path().join("salvage");
        (above, place)
    }

    fn register(folder: &Path, name: &str, now: Timestamp) -> (Owners, Lock) {
        Owners::register(folder, &Owner::new(name), now).unwrap()
    }

    #[test]
    fn an_owner_is_known_dead_once_its_lock_is_free() {
        let (_above, place) = place();
        let (owners, _mine) = register(&place, "a", DAY);
        let (_, theirs) = register(&place, "b", DAY);
        assert!(!owners.is_known_dead(&Owner::new("b")));
        drop(theirs);
        assert!(owners.is_known_dead(&Owner::new("b")));
        assert!(
            owners.is_known_dead(&Owner::new("b")),
            "asking changes nothing"
        );
    }

    #[test]
    fn who_is_not_known_is_not_known_dead() {
        let (above, place) = place();
        let (owners, _mine) = register(&place, "a", DAY);
        fs::write(above.path().join("x.lock"), "").unwrap();
        for name in ["a", "nobody", "../x", ""] {
            assert!(!owners.is_known_dead(&Owner::new(name)), "{name}");
        }
    }

    #[test]
    fn an_owner_that_retired_is_forgotten_unless_it_left_salvage() {
        let (_above, place) = place();
        let (owners, _mine) = register(&place, "a", DAY);
        for (name, left) in [("empty", false), ("full", true)] {
            let (_, lock) = register(&place, name, DAY);
            fs::create_dir(place.join(name)).unwrap();
            if left {
                fs::write(place.join(name).join("pair"), "").unwrap();
            }
            lock.retire();
            assert_eq!(owners.is_known_dead(&Owner::new(name)), left);
        }
    }

    #[test]
    fn a_death_is_remembered_for_a_day_after_it_was_seen() {
        let (_above, place) = place();
        drop(register(&place, "b", Timestamp(0)));
        let (owners, _mine) = register(&place, "a", DAY + REMEMBERED * 3);
        assert!(owners.is_known_dead(&Owner::new("b")));
        owners.prune(DAY + REMEMBERED * 3 + Duration::from_mins(1));
        assert!(owners.is_known_dead(&Owner::new("b")));
        owners.prune(DAY + REMEMBERED * 5);
        assert!(!owners.is_known_dead(&Owner::new("b")));
        assert!(place.join("a.lock").exists());
    }
}
