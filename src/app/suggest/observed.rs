//! What the access log shows of calls, counted by names from the configuration and the catalogue, so that it grows with
//! these and not with the log.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use serde::Deserialize;

/// In bytes. No line of ours is longer.
const LINE: u64 = 16 << 10;
/// How many kinds of calls are told apart. Callers times operations are fewer, unless the log is made up.
const KINDS: usize = 50_000;

/// The calls of an access log.
#[derive(Debug, Default)]
pub struct Observed {
    /// Calls that say something about what their callers need.
    pub(super) calls: BTreeMap<Call, Times>,
    /// How many lines are of an access log.
    pub lines: u64,
    /// How many are not, and the number of the first of them.
    pub others: Option<(u64, u64)>,
    /// How many calls were passed over because there are too many kinds of them.
    pub beyond: u64,
}

/// Calls that are alike, by the names in the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Call {
    pub(super) caller: String,
    pub(super) method: String,
    pub(super) operation: Option<String>,
    /// Name and template.
    pub(super) route: Option<(String, String)>,
    /// True if no route, or the caller's ceiling, let it pass.
    pub(super) is_refused: bool,
}

/// How often, and the first request's id.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) count: u64,
    pub(super) first: String,
}

/// What is read of a line. `status` and `method` tell it from a line of our own log.
#[derive(Deserialize)]
struct Line {
    request_id: String,
    #[serde(rename = "status")]
    _status: u16,
    method: String,
    caller: Option<String>,
    route: Option<String>,
    path_template: Option<String>,
    operation: Option<String>,
    error: Option<String>,
}

impl Observed {
    /// Reads an access log to its end. Other lines are counted and passed over: the two logs may lie in one file.
    pub fn read(mut log: impl BufRead) -> io::Result<Self> {
        let mut observed = Self::default();
        let mut text = Vec::new();
        let mut number = 0;
        while log.by_ref().take(LINE).read_until(b'\n', &mut text)? > 0 {
            number += 1;
            if !text.ends_with(b"\n") {
                log.skip_until(b'\n')?;
            }
            match serde_json::from_slice::<Line>(&text) {
                Ok(line) => observed.add(line),
                Err(_) if text.trim_ascii().is_empty() => {}
                Err(_) => observed.others.get_or_insert((0, number)).0 += 1,
            }
            text.clear();
        }
        Ok(observed)
    }

    fn add(&mut self, line: Line) {
        self.lines += 1;
        let is_refused = matches!(
            line.error.as_deref(),
            Some("route-denied" | "scope-forbidden")
        );
        let route = line.route.zip(line.path_template);
        let Some(caller) = line.caller else {
            return;
        };
        if route.is_none() && !is_refused {
            return;
        }
        let call = Call {
            caller,
            method: line.method,
            operation: line.operation,
            route,
            is_refused,
        };
        if self.calls.len() >= KINDS && !self.calls.contains_key(&call) {
            self.beyond += 1;
            return;
        }
        let first = line.request_id;
        let times = self.calls.entry(call).or_insert(Times { count: 0, first });
        times.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(log: &str) -> Observed {
        Observed::read(log.as_bytes()).unwrap()
    }

    fn line(id: &str, more: &str) -> String {
        format!("{{\"request_id\":\"{id}\",\"method\":\"GET\",\"status\":200{more}}}\n")
    }

    #[test]
    fn calls_that_are_alike_are_counted_together() {
        let call = r#","caller":"erp","route":"a","path_template":"/a","error":null"#;
        let log: String = (0..1000).map(|n| line(&format!("r{n}"), call)).collect();
        let observed = read(&log);
        assert_eq!((observed.lines, observed.calls.len()), (1000, 1));
        let (_, times) = observed.calls.first_key_value().unwrap();
        assert_eq!((times.count, times.first.as_str()), (1000, "r0"));
    }

    #[test]
    fn what_failed_for_another_reason_passed_the_rules_and_what_never_came_to_them_says_nothing() {
        let errors = ["rate-limited", "scope-missing", "upstream-timeout"];
        for (error, is_refused) in (errors.map(|error| (error, false)))
            .into_iter()
            .chain([("scope-forbidden", true), ("route-denied", true)])
        {
            let more =
                format!(r#","caller":"erp","route":"a","path_template":"/a","error":"{error}""#);
            let observed = read(&line("r", &more));
            let (call, _) = observed.calls.first_key_value().unwrap();
            assert_eq!(call.is_refused, is_refused, "{error}");
        }
        for more in [
            r#","error":"caller-unknown""#,
            r#","caller":"erp","error":"bad-request""#,
        ] {
            let observed = read(&line("r", more));
            assert_eq!((observed.lines, observed.calls.len()), (1, 0), "{more}");
        }
    }

    #[test]
    fn a_log_that_somebody_made_up_costs_no_more_than_one_of_ours() {
        let call = |caller: &str| {
            let more = r#","route":"a","path_template":"/a","error":null"#;
            line("r", &format!(r#","caller":"{caller}"{more}"#))
        };
        let log: String = (0..KINDS + 2).map(|n| call(&format!("c{n}"))).collect();
        let observed = read(&(log + &call("c0")));
        assert_eq!((observed.calls.len(), observed.beyond), (KINDS, 2));

        let wide = call(&"x".repeat(1 << 20));
        let endless = io::Read::take(io::repeat(b'x'), 1 << 20);
        let log = wide.as_bytes().chain(io::BufReader::new(endless));
        let log = log.chain(&b"\n"[..]).chain(call("erp").leak().as_bytes());
        let observed = Observed::read(log).unwrap();
        assert_eq!((observed.lines, observed.others), (1, Some((2, 1))));
    }

    #[test]
    fn other_lines_are_passed_over_and_counted() {
        let log = format!(
            "\n{}{{\"level\":\"INFO\",\"target\":\"audit\"}}\n\u{1}\u{fffd}\n{}",
            line("a", ""),
            line("b", "").trim_end()
        );
        let observed = read(&log);
        assert_eq!((observed.lines, observed.others), (2, Some((2, 3))));
    }
}
