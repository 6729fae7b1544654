//! Target: a caller's link. Input: all the bytes that it sends, before it closes its sending side. What reaches Pleo is what
//! a plain reading of these bytes finds in the same place: never another request, nor another body; and every request
//! that reaches it is answered.

mod reading;

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::message::{Head, Wire};
use crate::path;
use crate::stand::STAND;
use crate::upstream::Seen;
use reading::{Asked, asked};

const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

pub(crate) fn target(input: &[u8]) {
    let mut link = STAND.call();
    // The gateway may be done before all of it is read.
    let _ = link
        .write_all(input)
        .and_then(|()| link.shutdown(Shutdown::Write));
    let mut answers = Vec::new();
    let ended = link.read_to_end(&mut answers);
    let hung = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(
        !hung,
        "no end after {:?}",
        String::from_utf8_lossy(&answers)
    );
    let seen = STAND.upstream.take();
    if input.starts_with(H2_PREFACE) {
        return;
    }
    let asked = asked(input);
    let mut delivered = vec![false; seen.len()];
    for (place, answer) in finals(&answers, &asked).iter().enumerate() {
        let Some(which) = answer
            .all("x-seen")
            .first()
            .map(|seen| seen.parse::<usize>().unwrap())
        else {
            continue;
        };
        let asked = asked
            .get(place)
            .unwrap_or_else(|| panic!("nobody asked for {seen:?}"));
        same(&seen[which], asked);
        delivered[which] = true;
    }
    assert!(
        delivered.iter().all(|known| *known),
        "nobody asked for one of {seen:?}"
    );
}

/// The final answers, in their order. Each is whole, framed once, and if it is ours a problem.
fn finals(bytes: &[u8], asked: &[Asked]) -> Vec<Head> {
    let mut wire = Wire::new(bytes);
    let mut finals: Vec<Head> = Vec::new();
    while let Some(head) = wire.head() {
        let status: u16 = head.start.split(' ').nth(1).unwrap().parse().unwrap();
        if status < 200 {
            continue;
        }
        let asked = asked.get(finals.len());
        let is_head = asked.is_some_and(|asked| asked.method == "HEAD");
        let body = if is_head {
            Vec::new()
        } else {
            wire.body(&head, true).expect("all of it").0
        };
        // What breaks off is not among those asked, and may be a HEAD too.
        let has_problem = asked.map_or(!body.is_empty(), |_| !is_head);
        if head.all("pleo-gateway-error").len() == 1 && has_problem {
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["status"], status);
            assert_eq!(problem["code"], head.all("pleo-gateway-error")[0]);
        }
        finals.push(head);
    }
    finals
}

fn same(seen: &Seen, asked: &Asked) {
    assert_eq!(seen.method, asked.method);
    assert_eq!(seen.body, asked.body, "another body: {seen:?} {asked:?}");
    same_target(&seen.target, &asked.target);
}

/// True if one target was made of the other.
pub(crate) fn same_target(seen: &str, asked: &str) {
    let halves = |target: &str| {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        (path::decoded(path), query.map(str::to_owned))
    };
    let (mut asked_path, asked_query) = halves(&origin_form(asked));
    if let Some(rest) = asked_path.strip_prefix(b"/tenants/acme") {
        asked_path = rest.to_vec();
    }
    assert_eq!(
        halves(seen),
        (asked_path, asked_query),
        "{seen:?} was {asked:?}"
    );
}

/// A target without scheme, authority and fragment.
fn origin_form(target: &str) -> String {
    let target = target.split('#').next().unwrap_or_default();
    let local = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]
        }
        _ => target,
    };
    if local.starts_with('/') {
        local.to_owned()
    } else {
        format!("/{local}")
    }
}
