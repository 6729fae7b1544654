//! Which processes of this machine are alive (design.md R2, "known dead"). Each holds a lock on a file of its own for as
//! long as it lives, frozen or not; the kernel releases the lock when it ends. What follows from a death is not here
//! (`refresh`).

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::private::{self, PrivateError};
use super::sealing_keys::KeyId;
use crate::clock::Timestamp;
use crate::model::ids::Owner;

/// How long the death of an owner is remembered. No attempt of it is of interest that long.
const REMEMBERED: Duration = Duration::from_hours(24);

/// The length of a lock file whose owner was seen to be dead: no list of keys is that short.
const MARKED: u64 = 1;

/// The extension of a lock file until it has its name.
const UNNAMED: &str = "new";

/// The prefix of the line of a lock file that names the process.
const PROCESS: &str = "process ";

/// The prefix of files that are being written (`salvage`).
const HALF_WRITTEN: &str = ".tmp";

/// The owners that this machine's salvage folder knows.
#[derive(Clone, Debug)]
pub struct Owners {
    folder: PathBuf,
    own: Owner,
}

/// Tells that this owner lives. Dropped without [`Lock::retire`], it tells that the owner died.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    folder: PathBuf,
    /// The kernel's lock is on this open file.
    _file: File,
}

/// Another owner of this machine that lives, as its lock file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name.
    pub owner: Owner,
    /// Its process id.
    process: Option<String>,
    /// The sealing keys that it holds: the first seals, all open.
    keys: Vec<String>,
}

impl Neighbour {
    fn read(path: &Path) -> Option<Self> {
        let owner = Owner::new(path.file_stem()?.to_str()?);
        let text = fs::read_to_string(path).unwrap_or_default();
        let process = text.lines().find_map(|line| line.strip_prefix(PROCESS));
        let keys = text.lines().filter(|line| !line.starts_with(PROCESS));
        Some(Self {
            owner,
            process: process.map(str::to_owned),
            keys: keys.map(str::to_owned).collect(),
        })
    }

    /// True if it says that it can open what this key seals.
    pub fn holds(&self, key: KeyId) -> bool {
        self.keys.contains(&key.to_string())
    }

    /// True if this is the key that it seals with.
    pub fn seals_with(&self, key: KeyId) -> bool {
        self.keys.first() == Some(&key.to_string())
    }

    /// The key that it seals with; empty if it does not say.
    pub fn key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(process) => write!(f, "process {process} ({})", self.owner),
            None => write!(f, "process {}", self.owner),
        }
    }
}

impl Owners {
    /// Takes its place among the owners, says which sealing keys it holds, and forgets those that died long ago. Source:
    /// `[store].salvage`.
    pub fn register(
        folder: &Path,
        owner: &Owner,
        keys: &[KeyId],
        now: Timestamp,
    ) -> Result<(Self, Lock), PrivateError> {
        private::own_folder(folder)?;
        let owners = Self {
            folder: folder.to_owned(),
            own: owner.clone(),
        };
        owners.prune(now);
        let path = owners.lock_path(owner);
        let file = lock_new(&path, keys).map_err(PrivateError::io(&path))?;
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

    /// The others that live on this machine, by name.
    pub fn neighbours(&self) -> Vec<Neighbour> {
        let own = self.lock_path(&self.own);
        let mut living: Vec<Neighbour> = locks(&self.folder)
            .filter(|path| *path != own && is_held(path))
            .filter_map(|path| Neighbour::read(&path))
            .collect();
        living.sort_by(|a, b| a.owner.cmp(&b.owner));
        living
    }

    fn lock_path(&self, owner: &Owner) -> PathBuf {
        self.folder.join(format!("{owner}.lock"))
    }

    /// Forgets owners that were seen to be dead a day ago. When somebody first sees it, the file gets its mark: how old
    /// the file is would tell when the owner began, not when it ended.
    fn prune(&self, now: Timestamp) {
        for path in files(&self.folder) {
            // What cannot be forgotten today is tried again at the next start.
            let _ = match path.extension() {
                Some(end) if end == "lock" => forget(&path, now),
                Some(end) if end == UNNAMED => forget_half_made(&path, now),
                _ => Ok(()),
            };
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

/// The lock files in a folder.
fn locks(folder: &Path) -> impl Iterator<Item = PathBuf> {
    files(folder).filter(|path| path.extension().is_some_and(|end| end == "lock"))
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten();
    files.filter_map(Result::ok).map(|file| file.path())
}

/// A new lock file that is locked before anybody can find it by its name. In it are the ids of the keys, in their order,
/// and the process.
fn lock_new(path: &Path, keys: &[KeyId]) -> io::Result<File> {
    let unnamed = path.with_extension(UNNAMED);
    let mut file = private::create_new(&unnamed)?;
    file.lock()?;
    for key in keys {
        writeln!(file, "{key}")?;
    }
    writeln!(file, "{PROCESS}{}", std::process::id())?;
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

/// True if its owner lives.
fn is_held(path: &Path) -> bool {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn forget(path: &Path, now: Timestamp) -> io::Result<()> {
    let Some(file) = is_free(path) else {
        return Ok(());
    };
    let seen = file.metadata()?;
    if seen.len() != MARKED {
        file.set_len(MARKED)?;
        let micros = u64::try_from(now.0).unwrap_or(0);
        return file.set_modified(UNIX_EPOCH + Duration::from_micros(micros));
    }
    let marked = seen
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let marked = Timestamp(0) + marked;
    // A folder that is not empty stays, and so does its owner's file.
    if marked.until(now) > REMEMBERED && !has_folder(path, now) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// A lock file whose maker was killed before it had its name; or that is being made now, and young.
fn forget_half_made(path: &Path, now: Timestamp) -> io::Result<()> {
    if is_old(path, now)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// True if nobody has written to it for as long as deaths are remembered.
fn is_old(path: &Path, now: Timestamp) -> io::Result<bool> {
    let written = fs::metadata(path)?.modified()?;
    let written = written.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((Timestamp(0) + written).until(now) > REMEMBERED)
}

/// True if there is something in a dead owner's folder; what was half written when somebody was killed does not count.
fn has_folder(lock: &Path, now: Timestamp) -> bool {
    let folder = lock.with_extension("");
    let is_half_written = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(HALF_WRITTEN) && is_old(path, now).unwrap_or(false)
    };
    for path in files(&folder).filter(|path| is_half_written(path)) {
        // If it stays, so does the folder.
        let _ = fs::remove_file(path);
    }
    match fs::remove_dir(&folder) {
        Ok(()) => false,
        Err(_) => folder.exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyId = KeyId([0, 0, 0, 1]);
    const DAY: Timestamp = Timestamp(24 * 60 * 60 * 1_000_000);

    fn place() -> (tempfile::TempDir, PathBuf) {
        let above = tempfile::tempdir().unwrap();
        let place = above.path().join("salvage");
        (above, place)
    }

    fn register(folder: &Path, name: &str, now: Timestamp) -> (Owners, Lock) {
        Owners::register(folder, &Owner::new(name), &[KEY], now).unwrap()
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

    #[test]
    fn who_lives_is_told_by_name_with_the_keys_that_it_holds() {
        let (_above, place) = place();
        let (owners, _mine) = register(&place, "a", DAY);
        let (_, with) = register(&place, "with", DAY);
        let (_, dead) = register(&place, "dead", DAY);
        drop(dead);
        let other = KeyId([0, 0, 0, 2]);
        let all = [KEY, other];
        let both = Owners::register(&place, &Owner::new("both"), &all, DAY).unwrap();
        let named = |fits: &dyn Fn(&Neighbour) -> bool| {
            let neighbours = owners.neighbours().into_iter();
            let fitting = neighbours.filter(|one| fits(one));
            fitting.map(|one| one.owner).collect::<Vec<_>>()
        };
        assert_eq!(named(&|one| one.holds(KEY)).len(), 2);
        assert_eq!(named(&|one| one.holds(other)), [Owner::new("both")]);
        assert_eq!(named(&|one| one.seals_with(KEY)).len(), 2);
        assert!(named(&|one| one.seals_with(other)).is_empty());
        let process = format!("process {} (both)", std::process::id());
        assert_eq!(owners.neighbours()[0].to_string(), process);
        drop((with, both));
        assert!(owners.neighbours().is_empty());
    }

    #[test]
    fn what_kills_leave_half_made_is_forgotten_a_day_later() {
        let (_above, place) = place();
        drop(register(&place, "b", DAY));
        let half_made = [place.join("c.new"), place.join("b/.tmpAbCd")];
        fs::create_dir(place.join("b")).unwrap();
        for path in &half_made {
            fs::write(path, "").unwrap();
        }
        let begun = UNIX_EPOCH + Duration::from_micros(DAY.0.unsigned_abs());
        for path in &half_made {
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(begun)
                .unwrap();
        }
        let (owners, _mine) = register(&place, "a", DAY + REMEMBERED / 2);
        assert!(half_made.iter().all(|path| path.exists()));
        owners.prune(DAY + REMEMBERED * 2);
        assert!(!half_made.iter().any(|path| path.exists()));
        assert!(
            !owners.is_known_dead(&Owner::new("b")),
            "nothing keeps it any more"
        );
    }
}
