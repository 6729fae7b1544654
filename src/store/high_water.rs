//! The high-water mark (design.md R14): the newest pair of every tenant that this machine has seen, in a file outside the
//! database. What follows for a row below its mark is not decided here (`refresh`, `tokens`).
//!
//! One line per mark, with a checksum, appended by any number of processes; a tenant's highest line counts. A line begins
//! with its line feed, so that a truncated one spoils no other. The file is rewritten, under a lock of its own and by a
//! rename, when it is untidy at opening or has grown; appending takes that lock shared, and never waits for it. A mark is in
//! the file as soon as it is raised, and on disk with the next [`HighWater::settle`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::private::{self, PrivateError};
use super::seal::hex;
use crate::model::ids::{Epoch, Generation, ProviderId, TenantName};
use crate::telemetry::chain::chain;

/// A file shorter than twice its marks plus this many bytes is left as it is.
const MAY_GROW: u64 = 64 * 1024;
/// How every `SQLite` file begins.
const DATABASE: &[u8] = b"SQLite format 3\0";

/// The number of a pair among all of its tenant's.
type Pair = (Epoch, Generation);
/// Store, provider and tenant: whose mark it is.
type Whose = (String, String, String);

/// The marks of one store and provider. Clones are the same marks.
#[derive(Clone, Debug)]
pub struct HighWater(Arc<Place>);

/// Why the marks are not available. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum HighWaterError {
    /// The file or its folder is not ours alone, or cannot be used.
    #[error("the high-water file cannot be used")]
    Private(#[from] PrivateError),
    /// It is a database.
    #[error("{} is a database: name another file in [store] high_water", .0.display())]
    Database(PathBuf),
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    store: String,
    provider: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    marks: HashMap<TenantName, Pair>,
    /// Raised, and not in the file yet.
    waiting: BTreeSet<TenantName>,
    file: Option<File>,
    /// Appended, and perhaps not on the disk yet.
    unsynced: bool,
    /// The file is written anew once it is longer than that.
    longest: u64,
    /// The trouble was reported.
    is_told: bool,
}

/// What a file says.
#[derive(Debug, Default)]
struct Lines {
    marks: BTreeMap<Whose, Pair>,
    /// Lines that are not ours, except for the last.
    damaged: usize,
    /// The last line was cut off.
    torn: bool,
}

impl HighWater {
    /// Reads the marks, or begins with none. Source: `[store].high_water`. A damaged file is put aside, what can be read
    /// of it counts.
    pub fn open(path: &Path, store: &str, provider: &ProviderId) -> Result<Self, HighWaterError> {
        private::own_folder(private::folder_of(path))?;
        private::own_file(path)?;
        let text = fs::read(path).map_err(PrivateError::io(path))?;
        if text.starts_with(DATABASE) {
            return Err(HighWaterError::Database(path.to_owned()));
        }
        let lines = Lines::of(&text);
        let place = Place {
            path: path.to_owned(),
            store: store.to_owned(),
            provider: provider.to_string(),
            state: Mutex::default(),
        };
        let is_tidy = lines.damaged == 0 && !lines.torn;
        place.state().marks = place.own(&lines);
        place.state().longest = if is_tidy { longest(&lines.text()) } else { 0 };
        let high_water = Self(Arc::new(place));
        high_water.0.tidy(text.len() as u64);
        Ok(high_water)
    }

    /// The mark that a pair of this number is below, if it is.
    pub fn above(&self, tenant: &TenantName, pair: Pair) -> Option<Pair> {
        let mark = self.mark(tenant);
        (pair < mark).then_some(mark)
    }

    /// The newest pair of this tenant that was seen; zero and zero if none was.
    pub fn mark(&self, tenant: &TenantName) -> Pair {
        let state = self.0.state();
        state.marks.get(tenant).copied().unwrap_or_default()
    }

    /// A pair of this number was seen, or is durable from now on. What cannot be written is kept, and written later.
    pub fn raise(&self, tenant: &TenantName, pair: Pair) {
        let mut state = self.0.state();
        let mark = state.marks.get(tenant).copied().unwrap_or_default();
        if pair > mark {
            state.marks.insert(tenant.clone(), pair);
            state.waiting.insert(tenant.clone());
            self.0.append(&mut state);
        }
    }

    /// True if [`HighWater::settle`] has something to do.
    pub fn is_unsettled(&self) -> bool {
        let state = self.0.state();
        state.unsynced || !state.waiting.is_empty()
    }

    /// Writes what waits, and makes it durable. Blocks on the device.
    pub fn settle(&self) {
        {
            let mut state = self.0.state();
            self.0.append(&mut state);
            state.unsynced = false;
        }
        // Whoever has put another file in its place since has made that durable.
        let synced = File::open(&self.0.path).and_then(|file| {
            file.sync_data()?;
            file.metadata()
        });
        match synced {
            Ok(seen) => self.0.tidy(seen.len()),
            Err(error) => {
                let mut state = self.0.state();
                state.unsynced = true;
                self.0.failed(&mut state, &error);
            }
        }
    }
}

impl Place {
    /// Short sections, and one write to the kernel's memory: a std mutex is the right one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self, lines: &Lines) -> HashMap<TenantName, Pair> {
        (lines.marks.iter())
            .filter(|((store, provider, _), _)| *store == self.store && *provider == self.provider)
            .filter_map(|((.., tenant), pair)| Some((TenantName::parse(tenant).ok()?, *pair)))
            .collect()
    }

    fn whose(&self, tenant: &TenantName) -> Whose {
        (
            self.store.clone(),
            self.provider.clone(),
            tenant.to_string(),
        )
    }

    fn append(&self, state: &mut State) {
        if state.waiting.is_empty() {
            return;
        }
        match self.try_append(state) {
            Ok(true) => {
                state.waiting.clear();
                state.unsynced = true;
                if std::mem::take(&mut state.is_told) {
                    tracing::info!(file = %self.path.display(), "the high-water mark can be written again");
                }
            }
            // Another process writes the file anew: the next time.
            Ok(false) => {}
            Err(error) => self.failed(state, &error),
        }
    }

    fn try_append(&self, state: &mut State) -> io::Result<bool> {
        // The file may be replaced between opening and locking; by many processes at once a few times.
        for _ in 0..8 {
            let file = match state.file.take() {
                Some(file) => file,
                None => self.open_to_append(state)?,
            };
            match file.try_lock_shared() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let lines = self.waiting_lines(state);
            let written = (self.is_current(&file)).then(|| (&file).write(lines.as_bytes()));
            file.unlock()?;
            let Some(written) = written else { continue };
            let whole = written? == lines.len();
            state.file = Some(file);
            return whole
                .then_some(true)
                .ok_or_else(|| io::ErrorKind::WriteZero.into());
        }
        Ok(false)
    }

    fn open_to_append(&self, state: &mut State) -> io::Result<File> {
        let opened = OpenOptions::new().append(true).open(&self.path);
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody removed it: all that is known goes into the new one.
                drop(private::create_new(&self.path)?);
                state.waiting.extend(state.marks.keys().cloned());
                OpenOptions::new().append(true).open(&self.path)
            }
            opened => opened,
        }
    }

    fn waiting_lines(&self, state: &State) -> String {
        let mut text = String::new();
        for tenant in &state.waiting {
            let pair = state.marks.get(tenant).copied().unwrap_or_default();
            put_line(&mut text, &self.whose(tenant), pair);
        }
        text
    }

    /// True if this is the file that others find by its name.
    fn is_current(&self, file: &File) -> bool {
        let there = fs::metadata(&self.path).map(|seen| (seen.dev(), seen.ino()));
        let here = file.metadata().map(|seen| (seen.dev(), seen.ino()));
        matches!((there, here), (Ok(there), Ok(here)) if there == here)
    }

    /// Reports it once; what waits is tried again.
    fn failed(&self, state: &mut State, error: &io::Error) {
        if !std::mem::replace(&mut state.is_told, true) {
            tracing::error!(
                file = %self.path.display(),
                error = chain(error),
                "the high-water mark cannot be written and is kept in memory: an old database would not be noticed after a restart"
            );
        }
    }

    /// Writes the file anew if it is too long.
    fn tidy(&self, length: u64) {
        if length <= self.state().longest {
            return;
        }
        match self.write_anew() {
            Ok(Some(longest)) => self.state().longest = longest,
            // Somebody uses the file: the next time.
            Ok(None) => self.state().unsynced = true,
            Err(error) => {
                let mut state = self.state();
                state.unsynced = true;
                self.failed(&mut state, &error);
            }
        }
    }

    /// One line for every mark, also of other stores and providers. `None` if somebody else uses the file.
    fn write_anew(&self) -> io::Result<Option<u64>> {
        let file = File::open(&self.path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if !self.is_current(&file) {
            return Ok(None);
        }
        let mut lines = Lines::of(&fs::read(&self.path)?);
        if lines.damaged > 0 {
            let aside = self.put_aside()?;
            tracing::error!(
                file = %self.path.display(),
                aside = %aside.display(),
                damaged = lines.damaged,
                "the high-water file is damaged: put aside, and written anew from what can be read of it"
            );
        }
        for (tenant, pair) in &self.state().marks {
            lines.take(self.whose(tenant), *pair);
        }
        let text = lines.text();
        let new = self.beside("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut unnamed = private::create_new(&new)?;
        unnamed.write_all(text.as_bytes())?;
        unnamed.sync_all()?;
        fs::rename(&new, &self.path)?;
        private::sync_folder(private::folder_of(&self.path))?;
        Ok(Some(longest(&text)))
    }

    /// Another name for the file as it is.
    fn put_aside(&self) -> io::Result<PathBuf> {
        let mut number = 1;
        loop {
            let aside = self.beside(&format!("damaged-{number}"));
            match fs::hard_link(&self.path, &aside) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                done => return done.map(|()| aside),
            }
        }
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".");
        name.push(end);
        name.into()
    }
}

impl Lines {
    fn of(text: &[u8]) -> Self {
        let mut lines = Self::default();
        let pieces: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        for (place, piece) in pieces.iter().enumerate().filter(|(_, p)| !p.is_empty()) {
            match read_line(piece) {
                Some((whose, pair)) => lines.take(whose, pair),
                None if place + 1 == pieces.len() => lines.torn = true,
                None => lines.damaged += 1,
            }
        }
        lines
    }

    fn take(&mut self, whose: Whose, pair: Pair) {
        let mark = self.marks.entry(whose).or_default();
        *mark = pair.max(*mark);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (whose, pair) in &self.marks {
            put_line(&mut text, whose, *pair);
        }
        text
    }
}

fn put_line(text: &mut String, (store, provider, tenant): &Whose, pair: Pair) {
    let words = format!("{store} {provider} {} {} {tenant}", pair.0.0, pair.1.0);
    text.push('\n');
    text.push_str(&sum(&words));
    text.push(' ');
    text.push_str(&words);
}

fn read_line(line: &[u8]) -> Option<(Whose, Pair)> {
    let (found, words) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    if sum(words) != found {
        return None;
    }
    let mut words = words.split(' ');
    let mut word = || words.next();
    let (store, provider) = (word()?.to_owned(), word()?.to_owned());
    let pair = (
        Epoch(word()?.parse().ok()?),
        Generation(word()?.parse().ok()?),
    );
    let tenant = word()?.to_owned();
    word()
        .is_none()
        .then_some(((store, provider, tenant), pair))
}

/// Against damage, not against attackers: 64 bits of SHA-256, in hexadecimal.
fn sum(words: &str) -> String {
    hex(&digest(&SHA256, words.as_bytes()).as_ref()[..8])
}

fn longest(text: &str) -> u64 {
    text.len() as u64 * 2 + MAY_GROW
}

#[cfg(test)]
mod tests;
