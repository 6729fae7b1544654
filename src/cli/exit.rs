//! How the process ends: exit codes after sysexits (contract.md section 1), and the last words.

use std::fmt::Display;
use std::process::ExitCode;

use crate::app::signals::End;
use crate::store::StoreError;

/// The exit codes that users rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Fine = 0,
    /// The command line makes no sense.
    Usage = 64,
    /// Bad input, or a corrupted store.
    Data = 65,
    /// A port in use, the store away, a connection that needs a person.
    Unavailable = 69,
    /// A bug.
    Internal = 70,
    /// Reading or writing failed.
    Io = 74,
    /// It may work later.
    TryAgain = 75,
    /// Something may not be read, or others can read a secret.
    Permission = 77,
    /// The configuration, or a sealing key, is wrong or missing.
    Configuration = 78,
    /// Ended by SIGHUP, as shells report it: 128 plus the signal's number.
    HungUp = 129,
    /// Ended by SIGINT.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
}

/// What each means, for readers.
pub(super) const MEANINGS: [(Exit, &str); 12] = [
    (Exit::Fine, "All went well."),
    (Exit::Usage, "The command line makes no sense."),
    (Exit::Data, "Bad input, or a corrupted store."),
    (
        Exit::Unavailable,
        "A port in use, the store away, no such connection, a person has to consent, not ready.",
    ),
    (Exit::Internal, "A bug."),
    (Exit::Io, "Reading or writing failed."),
    (Exit::TryAgain, "It may work later."),
    (
        Exit::Permission,
        "Something may not be read, or others can read a secret.",
    ),
    (
        Exit::Configuration,
        "The configuration, or a sealing key, is wrong or missing.",
    ),
    (Exit::HungUp, "Ended by SIGHUP."),
    (Exit::Interrupted, "Ended by SIGINT."),
    (Exit::Terminated, "Ended by SIGTERM."),
];

impl From<End> for Exit {
    fn from(end: End) -> Self {
        match end {
            End::HungUp => Self::HungUp,
            End::Interrupted => Self::Interrupted,
            End::Terminated => Self::Terminated,
        }
    }
}

impl From<&StoreError> for Exit {
    fn from(error: &StoreError) -> Self {
        if error.is_damage() {
            Self::Data
        } else {
            Self::Unavailable
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed: what is said, and how the process ends.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    words: String,
    is_told: bool,
}

impl Failure {
    pub(super) fn new(exit: Exit, words: impl Display) -> Self {
        Self {
            exit,
            words: words.to_string(),
            is_told: false,
        }
    }

    /// An error with its causes.
    pub(super) fn of(exit: Exit, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(exit, crate::telemetry::chain::chain(error))
    }

    /// All was said already.
    pub(super) fn told(exit: Exit) -> Self {
        Self {
            exit,
            words: String::new(),
            is_told: true,
        }
    }

    pub(super) fn words(&self) -> &str {
        &self.words
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    pub(super) fn tell(self) -> Exit {
        if !self.is_told {
            super::print::error(&self.words);
        }
        self.exit
    }
}
