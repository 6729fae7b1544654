//! Hundreds of slow callers at once, and an honest one beside them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};

use super::{address, held, processor_time};
use crate::harness::gateway::Gateway;

static ALONE: Mutex<()> = Mutex::new(());
/// Of one kind.
const ATTACKERS: usize = 200;
/// What the system keeps of an answer that a caller does not take, in bytes: to fill more would only keep the machine busy.
const KEPT: u32 = 64 << 10;
/// From the end of the first rush until the last of them is gone.
const CUT_WITHIN: Duration = Duration::from_secs(15);
/// What they may cost, in bytes.
const BOUND: u64 = 64 << 20;
/// Between two drops.
const DRIP: Duration = Duration::from_millis(300);
/// How long others wait for their answers, half of them and all of them, on a machine that has much else to do: alone they
/// wait for 3 ms.
const USUAL: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5);

/// What a slow caller does.
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// The door's URL.
    pub(super) door: String,
    /// Sent at once.
    pub(super) opening: Vec<u8>,
    /// Sent again and again.
    pub(super) drop: Vec<u8>,
    /// So much is read with each drop; else nothing is.
    pub(super) sip: usize,
}

impl Attack {
    /// Attacks until the gateway has closed every link, while others are served.
    pub(super) fn run(&self, gateway: &Gateway) {
        // What is measured is this attack, not another beside it.
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let before = gateway.program.memory_now();
        let idle = held(&self.door);
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        let mut links: Vec<TcpStream> = (0..ATTACKERS).map(|_| self.link(&runtime)).collect();
        let mut waits = Vec::new();
        let mut memory = self.rush(gateway);
        let begun = Instant::now();
        loop {
            let round = Instant::now();
            for link in &mut links {
                self.drip(link);
            }
            while round.elapsed() < DRIP {
                let asked = Instant::now();
                gateway.get("/v2/employees").expect(200);
                waits.push(asked.elapsed());
                thread::sleep(Duration::from_millis(20));
            }
            memory = memory.max(gateway.program.memory_now());
            let left = held(&self.door).saturating_sub(idle);
            // The honest caller's own link may still be there.
            let untouched = links.iter().filter(|link| is_untouched(link)).count();
            if left <= 1 && untouched == 0 {
                break;
            }
            assert!(
                begun.elapsed() < CUT_WITHIN,
                "{}: {left} left, nothing came to {untouched}",
                self.name
            );
        }
        waits.sort_unstable();
        let (half, last) = (waits[waits.len() / 2], waits[waits.len() - 1]);
        let grown = memory.saturating_sub(before);
        println!(
            "{}: {ATTACKERS} links were gone after {:?}; others waited {half:?}, {last:?} at most; memory grew by {} KiB",
            self.name,
            begun.elapsed(),
            grown >> 10
        );
        assert!(half < USUAL && last < LONGEST, "{half:?} {last:?}");
        assert!(grown < BOUND, "grew by {} MiB", grown >> 20);
    }

    /// Until the system has taken what it takes of answers: that is the gateway's whole speed, and no attack. The most
    /// memory meanwhile.
    fn rush(&self, gateway: &Gateway) -> u64 {
        let (begun, mut memory) = (Instant::now(), 0);
        let (mut spent, mut quiet) = (processor_time(&gateway.program), 0);
        while quiet < 2 {
            thread::sleep(DRIP);
            memory = memory.max(gateway.program.memory_now());
            let now = processor_time(&gateway.program);
            quiet = if now.saturating_sub(spent) < DRIP / 6 {
                quiet + 1
            } else {
                0
            };
            spent = now;
            assert!(begun.elapsed() < CUT_WITHIN, "{}: no end of it", self.name);
        }
        memory
    }

    fn link(&self, runtime: &Runtime) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(KEPT).unwrap();
        let link = socket.connect(address(&self.door).parse().unwrap());
        let mut link = runtime.block_on(link).unwrap().into_std().unwrap();
        link.set_nonblocking(false).unwrap();
        link.set_nodelay(true).unwrap();
        link.write_all(&self.opening).unwrap();
        link.set_nonblocking(true).unwrap();
        link
    }

    fn drip(&self, link: &mut TcpStream) {
        // Those that are closed already are no concern of this.
        let _ = link.write(&self.drop);
        if self.sip > 0 {
            let _ = link.read(&mut vec![0; self.sip]);
        }
    }
}

/// True as long as neither a byte nor an end has come, as to a link that nobody has accepted.
fn is_untouched(link: &TcpStream) -> bool {
    let came = link.peek(&mut [0]);
    came.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}
