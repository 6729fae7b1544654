//! An error and its causes on one line: the one place where a chain becomes text.

use std::error::Error;
use std::fmt::Write;

/// The error and each of its causes, from the outside in. For logs and operators, never for callers.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        // Writing into a String does not fail.
        if !text.ends_with(&words) {
            let _ = write!(text, ": {words}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outside")]
    struct Outside(#[source] std::io::Error);

    #[test]
    fn causes_follow_from_the_outside_in() {
        assert_eq!(
            chain(&Outside(std::io::Error::other("inside"))),
            "outside: inside"
        );
    }
}
