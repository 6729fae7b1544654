//! When a refresh is sent, withheld, or given up (design.md R2).

use std::future::{pending, ready};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::{LIMIT, Script, Server, answer, json, options, pleo_with, token};
use crate::clock::{Boot, Clock, Timestamp};
use crate::pleo::failure::{NoPairCause, Refreshed};
use crate::pleo::wire::{LostCause, NotSentCause};

const PAIR: &str = r#"{"access_token":"a","refresh_token":"r"}"#;
/// The timer looks at the clock this often.
const TICK: Duration = Duration::from_secs(1);

/// A clock that jumps when told: the machine was suspended.
#[derive(Debug, Default)]
struct Jumping(AtomicU64);

impl Jumping {
    fn later(&self) {
        self.0.store(3600, Ordering::SeqCst);
    }
}

impl Clock for Jumping {
    fn wall(&self) -> Timestamp {
        Timestamp(0)
    }

    fn boot(&self) -> Boot {
        Boot(Duration::from_secs(self.0.load(Ordering::SeqCst)))
    }
}

#[tokio::test]
async fn the_last_check_comes_before_the_first_byte() {
    let server = Server::run(json("200 OK", PAIR));
    let came = server
        .pleo()
        .refresh(&token(), LIMIT, || ready(false))
        .await;
    assert!(matches!(came, Refreshed::Withheld), "{came}");
    assert!(server.saw_nothing());
}

#[tokio::test]
async fn a_machine_that_slept_through_its_deadline_sends_nothing() {
    let server = Server::run(json("200 OK", PAIR));
    let clock = Arc::new(Jumping::default());
    let pleo = pleo_with(options(&server.base), clock.clone());
    let came = pleo
        .refresh(&token(), LIMIT, || async {
            clock.later();
            true
        })
        .await;
    assert!(
        matches!(came, Refreshed::NotSent(NotSentCause::TimedOut)),
        "{came}"
    );
    assert!(server.saw_nothing());
}

#[tokio::test]
async fn a_last_check_that_hangs_is_not_sent() {
    let server = Server::run(json("200 OK", PAIR));
    let clock = Arc::new(Jumping::default());
    let pleo = pleo_with(options(&server.base), clock.clone());
    let hangs = || async {
        clock.later();
        pending().await
    };
    let came = pleo.refresh(&token(), LIMIT, hangs).await;
    assert!(
        matches!(came, Refreshed::NotSent(NotSentCause::TimedOut)),
        "{came}"
    );
    assert!(server.saw_nothing());
}

/// Requirement 102.
#[tokio::test]
async fn silence_and_drips_after_sending_time_out() {
    for said in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let (tell, word) = mpsc::channel();
        let server = Server::run(Script::SayWhenTold(said.as_bytes().to_vec(), word));
        let clock = Arc::new(Jumping::default());
        let pleo = pleo_with(options(&server.base), clock.clone());
        let token = token();
        let refresh = pleo.refresh(&token, LIMIT, || ready(true));
        let (came, ()) = tokio::join!(refresh, async {
            server.asked().await;
            tell.send(()).unwrap();
            server.asked().await;
            clock.later();
        });
        let lost = NoPairCause::Lost(LostCause::TimedOut);
        assert!(
            matches!(came, Refreshed::NoPair(cause) if cause == lost),
            "{came}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_already_there_beats_the_timer() {
    let (tell, word) = mpsc::channel();
    let server = {
        let answer = answer("200 OK", "", PAIR);
        Server::run(Script::SayWhenTold(answer, word))
    };
    let clock = Arc::new(Jumping::default());
    let pleo = pleo_with(options(&server.base), clock.clone());
    let held_up = async {
        server.asked().await;
        // The answer comes while this thread stands still, until the time is up and the timer has to look at the clock.
        tell.send(()).unwrap();
        server.seen();
        clock.later();
        std::thread::sleep(TICK);
    };
    let token = token();
    let refresh = pleo.refresh(&token, LIMIT, || ready(true));
    let (came, ()) = tokio::join!(refresh, held_up);
    assert!(matches!(came, Refreshed::Pair(_)), "{came}");
}

#[tokio::test]
async fn a_refresh_can_be_a_task_of_its_own_with_a_last_check_that_borrows() {
    let server = Server::run(json("200 OK", PAIR));
    let pleo = server.pleo();
    let row = Arc::new(String::from("still ours"));
    let tasks = crate::drain::Tasks::on(tokio::runtime::Handle::current());
    let task = tasks.spawn(async move {
        let token = token();
        pleo.refresh(&token, LIMIT, async || row.starts_with("still"))
            .await
    });
    assert!(matches!(task.await.unwrap(), Refreshed::Pair(_)));
}
