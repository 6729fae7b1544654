//! Lasting troubles: reported when they begin or change, and only now and then after that, however often they are met.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Boot;

/// One and the same trouble is told again after this.
const EVERY: Duration = Duration::from_mins(10);

/// What was told of each thing, and when.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<HashMap<String, (String, Boot)>>);

impl Seldom {
    /// True if `words` about this thing are to be told now.
    pub(super) fn is_due(&self, about: impl Into<String>, words: &str, now: Boot) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, (_, at)| at.until(now) < EVERY);
        let about = about.into();
        if told.get(&about).is_some_and(|(before, _)| before == words) {
            return false;
        }
        told.insert(about, (words.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_when_it_changes_and_after_a_while() {
        let seldom = Seldom::default();
        let is_due = |words, minute| {
            let now = Boot(Duration::from_mins(minute));
            seldom.is_due("a file", words, now)
        };
        assert!(is_due("away", 1));
        assert!(!is_due("away", 2));
        assert!(is_due("damaged", 3));
        assert!(!is_due("damaged", 12));
        assert!(is_due("damaged", 13));
    }
}
