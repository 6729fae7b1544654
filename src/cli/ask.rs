//! One HTTP/1.1 request over a link of its own, for `health` and `demo --once`: too little for a client library.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use url::Url;

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
const LONGEST: u64 = 4 << 20;

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
}

/// `GET path`, with whole header lines. `http` only: both ends are on this machine.
pub(super) fn get(base: &Url, path: &str, headers: &[String]) -> std::io::Result<Reply> {
    let host = base.host_str().ok_or(ErrorKind::InvalidInput)?;
    let port = base.port_or_known_default().unwrap_or(80);
    let address = (host.trim_matches(['[', ']']), port)
        .to_socket_addrs()?
        .next()
        .ok_or(ErrorKind::AddrNotAvailable)?;
    let mut link = TcpStream::connect_timeout(&address, ANSWERS_WITHIN)?;
    link.set_read_timeout(Some(ANSWERS_WITHIN))?;
    link.set_write_timeout(Some(ANSWERS_WITHIN))?;
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n");
    for line in headers {
        head.push_str(line);
        head.push_str("\r\n");
    }
    link.write_all(format!("{head}\r\n").as_bytes())?;
    let mut answer = String::new();
    link.take(LONGEST).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| Error::other("the answer is not HTTP"))?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| Error::other("the answer is not HTTP"))?;
    Ok(Reply {
        status,
        body: body.to_owned(),
    })
}
