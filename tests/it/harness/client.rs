//! A caller: one request on a link of its own, and its answer.

use std::io;
use std::process::Command;

use serde_json::Value;

use super::SOON;
use super::link::{Head, Link, Rest};
use super::program::{Output, run};
use crate::canary;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// The code of an error of the gateway's own.
    pub(crate) fn code(&self) -> Option<&str> {
        self.header("pleo-gateway-error")
    }

    /// The answer, if it has this status; else the test ends here and says what came.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        let body = self.text();
        assert_eq!(self.status, status, "{}\n{body}", self.head.raw);
        self
    }

    /// An error of the gateway's own with this code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.code(), Some(code), "{}", answer.text());
        answer
    }
}

/// Fields that bring a secret.
const CREDENTIALS: [&str; 5] = [
    "authorization",
    "cookie",
    "pleo-gateway-key",
    "proxy-authorization",
    "x-api-key",
];

/// One request straight to the sandbox, which hands out tokens and codes: its answer is not searched.
pub(crate) fn call_pleo(
    origin: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut link = Link::to(origin);
    send(&mut link, method, target, headers, body);
    whole_answer(&mut link, method).unwrap()
}

/// One request on a link of its own.
pub(crate) fn call(
    base: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut link = Link::to(base);
    send(&mut link, method, target, headers, body);
    answer(&mut link, method).unwrap()
}

/// Writes a request; with a length if there is a body or the method wants one.
pub(crate) fn send(
    link: &mut Link,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) {
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        text.push_str("host: 127.0.0.1\r\n");
    }
    for (name, value) in headers {
        if (CREDENTIALS.iter()).any(|known| known.eq_ignore_ascii_case(name)) {
            canary::assert_known(value.as_bytes());
        }
        text.extend([name, ": ", value, "\r\n"]);
    }
    if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
        let length = body.len().to_string();
        text.extend(["content-length: ", &length, "\r\n"]);
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend(body);
    // who is refused before its body is read may find the link closed; the answer tells
    let _ = link.send(bytes);
}

/// The final answer's head, and what its body is; interim answers are passed over.
pub(crate) fn answer_head(link: &mut Link, method: &str) -> io::Result<(u16, Head, Rest)> {
    loop {
        let head = link.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status: u16 = head.word(1).parse().unwrap();
        if status < 200 {
            continue;
        }
        let rest = match (method, status) {
            ("HEAD", _) | (_, 204 | 304) => Rest::Nothing,
            _ => head.body().unwrap_or(Rest::UntilClose),
        };
        return Ok((status, head, rest));
    }
}

/// Runs curl; what it says ends with a line of the version and the status, `0 000` if there was no answer.
pub(crate) fn curl(arguments: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "45"]);
    command.args(["--noproxy", "*"]);
    command.args(["--write-out", "\n%{http_version} %{http_code}"]);
    run(command.args(arguments), "", SOON)
}

/// The status that curl gets; `000` if the handshake fails.
pub(crate) fn curled(arguments: &[&str]) -> String {
    let said = curl(arguments).out;
    said.rsplit(' ').next().unwrap().to_owned()
}

/// The whole answer, in which no secret stands; an error if it is cut off.
pub(crate) fn answer(link: &mut Link, method: &str) -> io::Result<Answer> {
    let answer = whole_answer(link, method)?;
    let fields = answer.head.fields.iter();
    let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
    canary::search_answer(fields, &answer.body);
    Ok(answer)
}

fn whole_answer(link: &mut Link, method: &str) -> io::Result<Answer> {
    let (status, head, rest) = answer_head(link, method)?;
    let body = link.all(rest)?;
    Ok(Answer { status, head, body })
}
