//! A rolling restart behind a load balancer: two gateways, haproxy in front that asks `/readyz`, and callers who notice
//! nothing.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::canary::Home;
use crate::harness::client::{answer, call, send};
use crate::harness::gateway::{Gateway, KEY, Setup};
use crate::harness::link::Link;
use crate::harness::upstream::Upstream;
use crate::harness::{eventually, free_port};
use crate::stand::is_long;

/// Callers at once, each on a link of its own; half of them by way of HTTP/2 to the gateways.
const CALLERS: usize = 8;
/// Longer than haproxy needs to notice, on a busy machine too: three questions that are answered.
const LIMITS: &str = "drain_delay = \"5s\"";

/// A haproxy that runs; it ends with this.
struct Balancer {
    child: Child,
    /// Where callers come in, speaking HTTP/1.1 and HTTP/2 to the gateways.
    doors: [String; 2],
    page: String,
    _folder: Home,
}

impl Balancer {
    /// In front of gateways at these ports, with health at those.
    fn start(gateways: &[(u16, u16)]) -> Self {
        let folder = Home::new();
        let ports = [free_port(), free_port(), free_port()];
        let mut text = "global\n    maxconn 1000\ndefaults\n    mode http\n    timeout connect 2s\n    timeout client 30s\n    timeout server 30s\n    timeout check 2s\n".to_owned();
        let _ = write!(
            text,
            "listen page\n    bind 127.0.0.1:{}\n    stats enable\n    stats uri /\n",
            ports[2]
        );
        for (port, protocol) in ports.iter().zip(["", " proto h2"]) {
            let _ = write!(
                text,
                "listen door{port}\n    bind 127.0.0.1:{port}\n    option httpchk GET /readyz\n    default-server check inter 200ms fall 3 rise 1{protocol} check-proto h1\n"
            );
            for (place, (door, admin)) in gateways.iter().enumerate() {
                let _ = writeln!(text, "    server g{place} 127.0.0.1:{door} port {admin}");
            }
        }
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, text).unwrap();
        let child = Command::new("/usr/sbin/haproxy")
            .args(["-db", "-f"])
            .arg(&file)
            .stdout(File::create(folder.path().join("haproxy.stdout")).unwrap())
            .spawn()
            .unwrap();
        let url = |port| format!("http://127.0.0.1:{port}");
        Self {
            child,
            doors: [url(ports[0]), url(ports[1])],
            page: url(ports[2]),
            _folder: folder,
        }
    }

    /// Waits until haproxy sends to every gateway, at both doors.
    fn sees(&self, gateways: usize) {
        let address = self.page.strip_prefix("http://").unwrap();
        eventually("haproxy to see the gateways", || {
            std::net::TcpStream::connect(address).ok()?;
            let table = call(&self.page, "GET", "/;csv", &[], b"").text();
            let is_up = |line: &&str| line.contains(",g") && line.contains(",UP,");
            (table.lines().filter(is_up).count() == 2 * gateways).then_some(())
        });
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway at places that a restart keeps, and its ports.
fn gateway(pleo: &Upstream) -> (Gateway, (u16, u16)) {
    let ports = (free_port(), free_port());
    let mut setup = Setup::at(&pleo.origin());
    setup.doors = format!("[[listen]]\naddress = \"127.0.0.1:{}\"\n", ports.0);
    setup.operators = format!("127.0.0.1:{}", ports.1);
    LIMITS.clone_into(&mut setup.limits);
    let gateway = setup.start_with_acme();
    (gateway, ports)
}

/// What callers saw.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    served: AtomicUsize,
    links: AtomicUsize,
}

/// Calls on one link for as long as it lives, GET and POST in turn, until it is over; whatever is not 200 fails.
fn calls(door: &str, seen: &Seen) {
    let fields = [("pleo-gateway-key", KEY)];
    while !seen.over.load(Ordering::Relaxed) {
        seen.links.fetch_add(1, Ordering::Relaxed);
        let mut link = Link::to(door);
        for turn in 0_usize.. {
            let (method, target, body) = match turn % 2 {
                0 => ("GET", "/v2/employees", &b""[..]),
                _ => ("POST", "/v1/vendors:search", &b"{}"[..]),
            };
            send(&mut link, method, target, &fields, body);
            let answer = answer(&mut link, method).unwrap().expect(200);
            seen.served.fetch_add(1, Ordering::Relaxed);
            let is_last = answer.header("connection") == Some("close");
            if is_last || seen.over.load(Ordering::Relaxed) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn restarts(times: usize) {
    let pleo = Upstream::fine();
    let (first, second) = (gateway(&pleo), gateway(&pleo));
    let balancer = Balancer::start(&[first.1, second.1]);
    let mut gateways = [first.0, second.0];
    balancer.sees(2);
    let (seen, begun) = (Seen::default(), Instant::now());
    thread::scope(|threads| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|place| {
                let (door, seen) = (&balancer.doors[place % 2], &seen);
                threads.spawn(move || calls(door, seen))
            })
            .collect();
        for turn in 0..times {
            let gateway = &mut gateways[turn % 2];
            assert!(gateway.terminate().success());
            gateway.restart();
            balancer.sees(2);
            let served = seen.served.load(Ordering::Relaxed);
            eventually("calls to go on", || {
                (seen.served.load(Ordering::Relaxed) > served + CALLERS).then_some(())
            });
            if callers.iter().any(thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        seen.over.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().unwrap();
        }
    });
    println!(
        "{times} restarts: {} calls on {} links in {:?}, none lost",
        seen.served.load(Ordering::Relaxed),
        seen.links.load(Ordering::Relaxed),
        begun.elapsed()
    );
}

/// Requirement 118: restarts under load lose no request, over HTTP/1.1 and HTTP/2.
#[test]
fn restarts_behind_a_load_balancer_lose_nothing() {
    restarts(3);
}

/// Requirement 118: the same, many times.
#[test]
fn long_ten_restarts_behind_a_load_balancer_lose_nothing() {
    if is_long() {
        restarts(10);
    }
}
