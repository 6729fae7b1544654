//! Time, descriptors and memory (contract.md section 2, `[limits]`): callers that are slow, silent or many, against a real
//! process. What a flood of HTTP/2 frames may cost is in `requirements::floods`.

mod attack;
mod counts;
mod descriptors;
mod slow;

use std::fs;
use std::time::Duration;

use crate::harness::gateway::{Gateway, Setup};
use crate::harness::program::Program;
use crate::harness::upstream::{FINE, Upstream};

/// The defaults of `[limits]`, all shorter by the same measure or more.
const SCALED: &str = "header_timeout = \"3s\"\nbody_idle_timeout = \"2s\"\nidle_timeout = \"3s\"\nrequest_timeout = \"4s\"";

pub(super) const SLOW: &str = "/v2/employees/slow";

/// Answers [`SLOW`] with more than any buffer holds, and all else at once.
fn pleo() -> Upstream {
    Upstream::start(|exchange| {
        if exchange.head.word(1) != SLOW {
            if exchange.whole().is_some() {
                return exchange.reply(FINE);
            }
            return exchange.close();
        }
        let length = 64 << 20;
        exchange.reply(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
        ));
        let piece = vec![b'x'; 64 * 1024];
        let sent = (0..length / piece.len()).all(|_| exchange.link.send(&piece).is_ok());
        if !sent {
            exchange.close();
        }
    })
}

fn gateway(pleo: &Upstream, adjust: impl FnOnce(&mut Setup)) -> Gateway {
    let mut setup = Setup::at(&pleo.origin());
    SCALED.clone_into(&mut setup.limits);
    adjust(&mut setup);
    setup.start_with_acme()
}

/// `host:port` of a door's URL.
fn address(url: &str) -> &str {
    url.split_once("://").unwrap().1.trim_end_matches('/')
}

/// The links of a door that a process holds; those that wait to be accepted belong to nobody yet.
fn held(url: &str) -> usize {
    let port: u16 = address(url).rsplit_once(':').unwrap().1.parse().unwrap();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let at_door = format!(":{port:04X}");
    let is_held = |line: &&str| {
        let mut words = line.split_whitespace();
        let is_ours = words.nth(1).is_some_and(|local| local.ends_with(&at_door));
        let is_listening = words.nth(1) == Some("0A");
        is_ours && !is_listening && words.nth(5).is_some_and(|inode| inode != "0")
    };
    table.lines().skip(1).filter(is_held).count()
}

/// The processor time that a process has had.
fn processor_time(program: &Program) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.pid())).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let words: Vec<&str> = after_name.split(' ').collect();
    let ticks: u64 = [words[11], words[12]]
        .map(|word| word.parse::<u64>().unwrap())
        .iter()
        .sum();
    // Linux counts in hundredths of a second, whatever its own clock does.
    Duration::from_millis(ticks * 10)
}
