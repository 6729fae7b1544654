//! Target: what Pleo sends a browser back with. Input: the query. The plain reading takes it apart by hand, and accepts it
//! if it has one `state` and one of `code` and `error`, and nothing twice.

use std::collections::BTreeMap;

use pleo_gateway::connect::parameters::{Outcome, Parameters, read};

pub(crate) fn target(input: &[u8]) {
    let Ok(query) = std::str::from_utf8(input) else {
        return;
    };
    match (read(query), plain(query)) {
        (None, None) => {}
        (Some(read), Some(plain)) => same(&read, &plain),
        (read, plain) => panic!("{query:?} is {read:?}, and should be {plain:?}"),
    }
}

fn same(read: &Parameters, plain: &BTreeMap<String, String>) {
    assert_eq!(read.state.secret().expose(), plain["state"]);
    assert_eq!(read.issuer.as_ref(), plain.get("iss"));
    match &read.outcome {
        Outcome::Code(code) => assert_eq!(code.expose(), plain["code"]),
        Outcome::Declined => assert_eq!(plain["error"], "access_denied"),
        Outcome::Failed(Some(word)) => {
            assert_eq!(word, &plain["error"]);
            let shown = |c: char| c == '_' || c.is_ascii_lowercase();
            assert!(word.len() <= 64 && word.chars().all(shown), "{word:?}");
        }
        Outcome::Failed(None) => assert_ne!(plain["error"], "access_denied"),
    }
}

/// The parameters by name, if this is an answer.
fn plain(query: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if found.insert(decoded(name), decoded(value)).is_some() {
            return None;
        }
    }
    let state = found.get("state")?;
    let is_ours = state.len() == 43
        && state
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let is_one = match (found.get("code"), found.get("error")) {
        (Some(code), None) => {
            (1..=4096).contains(&code.len()) && code.chars().all(|c| (' '..='~').contains(&c))
        }
        (None, Some(_)) => true,
        _ => false,
    };
    (query.len() <= 8192 && is_ours && is_one).then_some(found)
}

/// As a form is decoded.
fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    String::from_utf8_lossy(&super::path::decoded(&spaced)).into_owned()
}
