//! Notices changed files, however they changed: overwritten, renamed into place, or by the swap of a folder's symlink, as
//! Kubernetes does it. It looks at their contents once a second. What follows is not here (`app::reload`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest;
use tokio::time::{Interval, MissedTickBehavior, interval};
use zeroize::Zeroizing;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Some files, looked at now and then.
#[derive(Debug)]
pub(super) struct FileWatch {
    files: Vec<PathBuf>,
    tick: Interval,
    /// What was last said to have changed, and what was seen since.
    told: Seen,
    seen: Seen,
}

/// The digest of each file's content (keys of certificates are among them); `None` if it could never be read.
type Seen = Vec<Option<Vec<u8>>>;

impl FileWatch {
    /// Takes what is in the files now as known.
    pub(super) fn begin(files: Vec<PathBuf>) -> Self {
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = look(&files, &Seen::new());
        Self {
            files,
            tick,
            told: now.clone(),
            seen: now,
        }
    }

    /// Watches these files from now on. If they are not the same as before, the first look is a change: their contents may
    /// be newer than what was read.
    pub(super) fn follow(&mut self, files: Vec<PathBuf>) {
        if files != self.files {
            self.files = files;
            self.told.clear();
        }
    }

    /// Takes what is in the files now as known: whoever calls is about to read them, and what is changed back after that
    /// is a change too.
    pub(super) async fn know(&mut self) {
        if let Some(now) = self.look().await {
            self.seen.clone_from(&now);
            self.told = now;
        }
    }

    /// `None` if the look ended in a panic, which is told by itself.
    async fn look(&self) -> Option<Seen> {
        let (files, told) = (self.files.clone(), self.told.clone());
        tokio::task::spawn_blocking(move || look(&files, &told))
            .await
            .ok()
    }

    /// Resolves when a file has changed and then stayed as it is from one look to the next: half a file is not read.
    pub(super) async fn changed(&mut self) {
        loop {
            self.tick.tick().await;
            let Some(now) = self.look().await else {
                continue;
            };
            let is_settled = now == self.seen;
            self.seen.clone_from(&now);
            if is_settled && now != self.told {
                self.told = now;
                return;
            }
        }
    }
}

/// A file that cannot be read, perhaps for a moment, is as it was.
fn look(files: &[PathBuf], before: &Seen) -> Seen {
    let digest_of = |(place, file): (usize, &PathBuf)| match content(file) {
        Some(bytes) => Some(digest::digest(&digest::SHA256, &bytes).as_ref().to_vec()),
        None => before.get(place).cloned().flatten(),
    };
    files.iter().enumerate().map(digest_of).collect()
}

/// `None` for a pipe: what came through it is gone, and another read would wait for whoever writes.
fn content(file: &Path) -> Option<Zeroizing<Vec<u8>>> {
    let is_file = fs::metadata(file).is_ok_and(|found| found.is_file());
    is_file.then(|| fs::read(file).ok().map(Zeroizing::new))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("gateway.toml");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert_eq!(look(&[pipe], &Seen::new()), [None]);
    }

    #[tokio::test]
    async fn a_file_renamed_into_place_is_a_change_and_one_written_again_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let [file, other, new] = ["gateway.toml", "cert.pem", "new"].map(|n| folder.path().join(n));
        fs::write(&file, "one").unwrap();
        let files = vec![file.clone(), other.clone()];
        let mut watch = FileWatch::begin(files.clone());
        fs::write(&file, "one").unwrap();
        fs::write(&new, "two").unwrap();
        fs::rename(&new, &file).unwrap();
        watch.changed().await;
        assert_eq!(watch.told, look(&files, &Seen::new()));
        fs::remove_file(&file).unwrap();
        assert_eq!(look(&files, &watch.told), watch.told, "gone is no change");
        fs::write(&other, "three").unwrap();
        watch.changed().await;
        assert!(watch.told[1].is_some());
    }

    #[tokio::test]
    async fn what_is_put_back_after_it_was_read_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        fs::write(&file, "old").unwrap();
        let mut watch = FileWatch::begin(vec![file.clone()]);
        fs::write(&file, "new").unwrap();
        watch.know().await;
        fs::write(&file, "old").unwrap();
        watch.changed().await;
    }
}
