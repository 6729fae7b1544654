//! Faults on demand: what goes wrong on the next calls of an endpoint, and playing it (contract.md section 8).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::watch;

use super::answer::{Answer, Wire};
use super::json::Span;
use super::router::{Call, act};
use super::server::Sandbox;
use super::socket::Link;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Endpoint {
    /// `POST /oauth/token`.
    Token,
    /// The authorise page and its form.
    Authorize,
    /// Both introspections.
    Introspect,
    /// The rest of the API.
    Api,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The right answer, late.
    Delay,
    /// Another answer, and no effect; 503 unless told otherwise.
    Status,
    /// The same with 200.
    Body,
    /// The effect, and the link closed without an answer.
    DropAfter,
    /// No effect, and the link closed without an answer.
    DropBefore,
    /// No effect, and the link reset.
    Reset,
    /// The effect, and the right answer byte by byte.
    Drip,
    /// The effect, and the first half of the right answer.
    Malformed,
}

/// A fault as it is ordered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    endpoint: Endpoint,
    #[serde(default = "once")]
    count: u64,
    kind: Kind,
    /// Before the answer or the end of the link; for `drip`, between bytes.
    delay: Option<Span>,
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    /// The answer's length, in filler.
    size: Option<u64>,
    /// Let the call take effect although its answer is replaced, or before it is delayed.
    #[serde(default)]
    commit: bool,
    /// Let the call take effect after `delay` even if the client has been answered or has gone.
    #[serde(default)]
    detached: bool,
}

fn once() -> u64 {
    1
}

/// Faults that wait, in the order in which they were ordered.
#[derive(Debug, Default)]
pub(super) struct Faults {
    waiting: VecDeque<Fault>,
    /// Speaks to those that are being played.
    calling_off: watch::Sender<()>,
}

/// A fault that befalls a call.
pub(super) struct Struck {
    fault: Fault,
    called_off: watch::Receiver<()>,
}

impl Faults {
    /// Orders a fault. The problem, if it makes no sense.
    pub(super) fn order(&mut self, fault: Fault) -> Result<(), &'static str> {
        if fault
            .status
            .is_some_and(|status| StatusCode::from_u16(status).is_err())
        {
            return Err("status is not a status code");
        }
        if !(fault.headers.iter()).all(|(name, value)| header(name, value).is_some()) {
            return Err("headers cannot be sent");
        }
        if fault.count > 0 {
            self.waiting.push_back(fault);
        }
        Ok(())
    }

    /// How many calls will still go wrong.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.iter().map(|fault| fault.count).sum()
    }

    /// Forgets what waits, and ends the pauses of what is being played.
    pub(super) fn call_off(&mut self) {
        self.waiting.clear();
        self.calling_off.send_replace(());
    }

    /// What happens to this call of `endpoint`, if anything.
    pub(super) fn next(&mut self, endpoint: Endpoint) -> Option<Struck> {
        let strikes = |fault: &Fault| fault.endpoint == endpoint;
        let place = self.waiting.iter().position(strikes)?;
        let next = self.waiting.get_mut(place)?;
        next.count -= 1;
        let fault = next.clone();
        if next.count == 0 {
            self.waiting.remove(place);
        }
        let called_off = self.calling_off.subscribe();
        Some(Struck { fault, called_off })
    }
}

/// Answers a call as the fault has it.
pub(super) async fn play(
    sandbox: &Arc<Sandbox>,
    link: &Link,
    call: Arc<Call>,
    struck: Struck,
) -> Response<Wire> {
    let Struck { fault, called_off } = struck;
    let length = fault.delay.unwrap_or_default().0;
    let committed = fault.commits_first().then(|| act(sandbox, &call));
    let late = (fault.detached && committed.is_none()).then(|| {
        let (sandbox, call) = (Arc::clone(sandbox), Arc::clone(&call));
        let (tasks, called_off) = (sandbox.tasks.clone(), called_off.clone());
        tasks.spawn(async move {
            pause(length, called_off).await;
            act(&sandbox, &call)
        })
    });
    let effect_is_behind = late.is_some() && fault.kind != Kind::Delay;
    if fault.kind != Kind::Drip && !effect_is_behind {
        pause(length, called_off).await;
    }
    match fault.kind {
        Kind::Status | Kind::Body => return fault.replacement(),
        Kind::DropBefore | Kind::DropAfter => link.close(),
        Kind::Reset => link.reset(),
        Kind::Delay | Kind::Drip | Kind::Malformed => {
            let answer = match (committed, late) {
                (Some(answer), _) => answer,
                (None, Some(late)) => late.await.unwrap_or_else(|_| lost()),
                (None, None) => act(sandbox, &call),
            };
            return fault.bend(answer);
        }
    }
    // the link is being torn down, and this with it
    std::future::pending().await
}

async fn pause(length: Duration, mut called_off: watch::Receiver<()>) {
    tokio::select! {
        () = tokio::time::sleep(length) => {}
        _ = called_off.changed() => {}
    }
}

impl Fault {
    fn commits_first(&self) -> bool {
        match self.kind {
            Kind::DropAfter | Kind::Drip | Kind::Malformed => true,
            Kind::DropBefore => false,
            Kind::Delay | Kind::Status | Kind::Body | Kind::Reset => self.commit,
        }
    }

    fn bend(&self, mut answer: Answer) -> Response<Wire> {
        match self.kind {
            Kind::Drip => {
                let body = std::mem::take(&mut answer.body);
                let every = self.delay.unwrap_or_default().0;
                answer.carrying(Wire::drip(body, every))
            }
            Kind::Malformed => {
                let half = answer.body.len() / 2;
                answer.body.truncate(half);
                if answer.body.is_empty() {
                    answer.body = Bytes::from_static(b"{\"");
                }
                answer.into()
            }
            _ => answer.into(),
        }
    }

    fn replacement(&self) -> Response<Wire> {
        let usual = if self.kind == Kind::Body { 200 } else { 503 };
        let status = StatusCode::from_u16(self.status.unwrap_or(usual)).unwrap_or_default();
        let mut answer = match &self.body {
            Some(body) => Answer::text(status, "application/json", body.clone()),
            None if self.kind == Kind::Body => Answer::empty(status),
            None if self.endpoint == Endpoint::Api => {
                Answer::api_error(status, "SANDBOX_FAULT", "ordered by a test")
            }
            None => Answer::oauth_error(status, "temporarily_unavailable", "ordered by a test"),
        };
        let headers = self
            .headers
            .iter()
            .filter_map(|(name, value)| header(name, value));
        answer.headers.extend(headers);
        match self.size {
            Some(size) => answer.carrying(Wire::Filler(size)),
            None => answer.into(),
        }
    }
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

fn lost() -> Answer {
    Answer::empty(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn faults_strike_their_endpoint_in_order_and_as_often_as_ordered() {
        let mut faults = Faults::default();
        faults
            .order(fault(r#"{"endpoint":"token","count":2,"kind":"reset"}"#))
            .unwrap();
        faults
            .order(fault(r#"{"endpoint":"token","kind":"delay","delay":"2s"}"#))
            .unwrap();
        assert!(faults.next(Endpoint::Api).is_none());
        assert_eq!(faults.waiting(), 3);
        let kinds: Vec<_> = std::iter::from_fn(|| faults.next(Endpoint::Token))
            .map(|struck| struck.fault.kind)
            .collect();
        assert_eq!(kinds, [Kind::Reset, Kind::Reset, Kind::Delay]);
    }

    #[test]
    fn a_fault_that_makes_no_sense_is_refused() {
        let mut faults = Faults::default();
        for bad in [
            r#"{"endpoint":"token","kind":"status","status":99}"#,
            r#"{"endpoint":"token","kind":"status","headers":{"a b":"c"}}"#,
        ] {
            assert!(faults.order(fault(bad)).is_err(), "{bad}");
        }
        let unknown = r#"{"endpoint":"token","kind":"status","statsu":1}"#;
        assert!(serde_json::from_str::<Fault>(unknown).is_err());
    }
}
