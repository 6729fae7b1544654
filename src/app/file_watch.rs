//! Notices that the configuration's file has changed, however it was changed: written over, renamed into place, or by the
//! swap of a folder's symlink, as Kubernetes does it. It looks at what is in the file, once a second. What follows is not
//! here (`app::reload`).

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest;
use tokio::time::{Interval, MissedTickBehavior, interval};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One file, looked at now and then.
#[derive(Debug)]
pub(super) struct FileWatch {
    file: PathBuf,
    tick: Interval,
    /// What was last said to have changed, and what was seen since.
    told: Option<Vec<u8>>,
    seen: Option<Vec<u8>>,
}

impl FileWatch {
    /// Takes what is in the file now as known.
    pub(super) fn begin(file: PathBuf) -> Self {
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = digest_of(&file);
        Self {
            file,
            tick,
            told: now.clone(),
            seen: now,
        }
    }

    /// Resolves when the file has changed and then stayed as it is from one look to the next: half a file is not read.
    pub(super) async fn changed(&mut self) {
        loop {
            self.tick.tick().await;
            let file = self.file.clone();
            let now = tokio::task::spawn_blocking(move || digest_of(&file))
                .await
                .ok()
                .flatten();
            let is_new = now.is_some() && now != self.told;
            let is_settled = now == self.seen;
            self.seen.clone_from(&now);
            if is_new && is_settled {
                self.told = now;
                return;
            }
        }
    }
}

/// `None` while it cannot be read: a file that is gone for a moment is no change.
fn digest_of(file: &PathBuf) -> Option<Vec<u8>> {
    let bytes = fs::read(file).ok()?;
    Some(digest::digest(&digest::SHA256, &bytes).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_renamed_into_place_is_a_change_and_one_written_again_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (file, new) = (
            folder.path().join("gateway.toml"),
            folder.path().join("new"),
        );
        fs::write(&file, "one").unwrap();
        let mut watch = FileWatch::begin(file.clone());
        fs::write(&file, "one").unwrap();
        fs::write(&new, "two").unwrap();
        fs::rename(&new, &file).unwrap();
        watch.changed().await;
        assert_eq!(watch.told, digest_of(&file));
    }
}
