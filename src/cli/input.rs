//! What is read while a command runs: on a thread of its own, so that signals are heard meanwhile, and into room for all of
//! it, so that growing leaves no copies behind. What it means is not here.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

/// More than a line of an import takes, in bytes.
const LINE: usize = 16 << 10;

/// Standard input to its end, or to `most` bytes.
pub(super) async fn all(most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    read(most, false).await
}

/// A secret: from a terminal one line that is asked for and not shown, else all of standard input.
pub(super) async fn secret(asked_for: &str, most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let Some(_quiet) = Quiet::begin() else {
        return read(most, false).await;
    };
    // If standard error is closed, it is read without asking.
    let _ = write!(io::stderr().lock(), "{asked_for}");
    let line = read(most, true).await;
    let _ = writeln!(io::stderr().lock());
    line
}

async fn read(most: usize, one_line: bool) -> io::Result<Zeroizing<Vec<u8>>> {
    off_thread(move || {
        let mut text = Zeroizing::new(Vec::with_capacity(most + 64));
        let mut input = standard_input()?.take(most as u64);
        if one_line {
            // A terminal gives a line at once.
            let mut line = Zeroizing::new(vec![0; most]);
            let length = input.read(&mut line)?;
            text.extend_from_slice(&line[..length]);
        } else {
            input.read_to_end(&mut text)?;
        }
        Ok(text)
    })
    .await
}

/// Without the buffer of `stdin()`, which would keep a copy.
fn standard_input() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The lines of a file, or of standard input.
pub(super) struct Lines(Option<Box<dyn BufRead + Send>>);

impl Lines {
    /// `-` is standard input.
    pub(super) fn of(file: &Path) -> io::Result<Self> {
        if file == Path::new("-") {
            return Ok(Self(Some(Box::new(BufReader::new(standard_input()?)))));
        }
        Ok(Self(Some(Box::new(BufReader::new(File::open(file)?)))))
    }

    /// The next line, without its end; perhaps no text.
    pub(super) async fn next(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(mut lines) = self.0.take() else {
            return Ok(None);
        };
        let (lines, text) = off_thread(move || {
            let mut text = Zeroizing::new(Vec::with_capacity(LINE));
            let length = lines.read_until(b'\n', &mut text)?;
            while matches!(text.last(), Some(b'\r' | b'\n')) {
                text.pop();
            }
            Ok((lines, (length > 0).then_some(text)))
        })
        .await?;
        self.0 = Some(lines);
        Ok(text)
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet(Termios);

impl Quiet {
    /// `None` where standard input is no terminal, or one that cannot be kept quiet.
    fn begin() -> Option<Self> {
        let input = io::stdin();
        if !input.is_terminal() {
            return None;
        }
        let before = termios::tcgetattr(&input).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(&input, OptionalActions::Flush, &quiet).ok()?;
        Some(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // If that fails, `stty echo` is left to whoever sits there.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
