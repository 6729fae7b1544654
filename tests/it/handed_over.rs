//! Doors whose sockets the service manager hands over (`fd:NAME`): which are taken, which are refused, and what is said
//! about those that no door takes.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use crate::canary::Home;
use crate::harness::client::call;
use crate::harness::gateway::{KEY, Setup};
use crate::harness::program::{Output, Stream, run};
use crate::harness::sandbox::Minted;
use crate::harness::upstream::Upstream;
use crate::harness::{BINARY, SOON};

/// Behind what the shell opens, and before what it keeps for itself.
const FIRST_KEPT: i32 = 50;

/// A gateway whose only door is `fd:callers`.
fn setup(origin: &str) -> Setup {
    let mut setup = Setup::at(origin);
    setup.doors = "[[listen]]\naddress = \"fd:callers\"\n".into();
    setup
}

/// Open in programs that are started from now on, too.
fn kept_open(socket: &impl AsFd) -> OwnedFd {
    let socket = fcntl_dupfd_cloexec(socket, FIRST_KEPT).unwrap();
    fcntl_setfd(&socket, FdFlags::empty()).unwrap();
    socket
}

/// `serve` as the service manager starts it: sockets from 3 on, and their names.
fn activated(setup: &Setup, names: &str, sockets: &[OwnedFd]) -> Command {
    use std::os::fd::AsRawFd;
    let numbers: Vec<String> = (sockets.iter())
        .map(|socket| socket.as_raw_fd().to_string())
        .collect();
    let script = r#"n=3
        for fd in $3; do eval "exec $n<&$fd $fd<&-"; n=$((n + 1)); done
        export LISTEN_PID=$$ LISTEN_FDS=$((n - 3)) LISTEN_FDNAMES=$2
        exec "$0" serve -c "$1""#;
    let mut command = Command::new("bash");
    command.args(["-c", script, BINARY]).arg(setup.file());
    command.args([names, &numbers.join(" ")]);
    command
}

fn refused(names: &str, sockets: &[OwnedFd]) -> Output {
    let setup = setup("http://127.0.0.1:1");
    setup.write();
    let output = run(&mut activated(&setup, names, sockets), "", SOON);
    assert_eq!(output.code, 69, "{}", output.err);
    output
}

#[test]
fn a_door_is_found_by_its_name_among_the_sockets_that_are_handed_over() {
    let upstream = Upstream::fine();
    let setup = setup(&upstream.origin());
    setup.write();
    setup.import("acme", &Minted::made_up());
    let (other, callers) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let base = format!("http://{}", callers.local_addr().unwrap());
    let sockets = [kept_open(&other), kept_open(&callers)];
    let gateway = setup.start_with(|setup| activated(setup, "other:callers", &sockets));
    let key = [("pleo-gateway-key", KEY)];
    call(&base, "GET", "/v2/employees", &key, b"").expect(200);
    let told = gateway.program.wait_for("what is left", |stream, line| {
        (stream == Stream::Err && line.contains("no door has its name")).then(|| line.to_owned())
    });
    assert!(told.contains("\"other\""), "{told}");
}

#[test]
fn what_nobody_can_call_is_no_door() {
    let (one, two) = UnixStream::pair().unwrap();
    let folder = Home::new();
    let path = folder.path().join("door");
    let bound = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
    rustix::net::bind(&bound, &address).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = File::open("/dev/null").unwrap();
    for (socket, word) in [
        (kept_open(&one), "ListenStream"),
        (kept_open(&bound), "ListenStream"),
        (kept_open(&udp), "ListenStream"),
        (kept_open(&file), "ListenStream"),
    ] {
        let output = refused("callers", &[socket]);
        assert!(output.err.contains(word), "{}", output.err);
    }
    drop(two);
}

#[test]
fn two_sockets_of_one_name_are_refused_so_that_neither_is_left_without_an_answer() {
    let sockets = [
        kept_open(&TcpListener::bind("127.0.0.1:0").unwrap()),
        kept_open(&TcpListener::bind("[::1]:0").unwrap()),
    ];
    let output = refused("callers:callers", &sockets);
    assert!(output.err.contains("more than once"), "{}", output.err);
    assert!(output.err.contains("FileDescriptorName"), "{}", output.err);
}

#[test]
fn a_name_without_a_socket_is_none() {
    let folder = Home::new();
    let socket = UnixListener::bind(folder.path().join("door")).unwrap();
    let output = refused("other:callers", &[kept_open(&socket)]);
    assert!(output.err.contains("not handed over"), "{}", output.err);
}
