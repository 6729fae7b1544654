//! The way out: whom the gateway dials, and to whom it speaks once it has. Here: the stranger who answers in Pleo's place,
//! and the resolver that a test scripts.

mod addresses;
mod certificates;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::harness::SOON;
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::program::run;
use crate::harness::repository;

/// Pleo's name in these tests: only the resolver knows it.
const NAME: &str = "api.pleo.test";

/// How the stranger shakes hands.
#[derive(Clone)]
enum Face {
    Own(Arc<ServerConfig>),
    /// Another program does it, behind this port.
    Other(u16),
}

/// Somebody on the port that the gateway takes for Pleo's. It answers 200 to whatever it can read.
struct Stranger {
    port: u16,
    face: Arc<Mutex<Face>>,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Stranger {
    fn with(face: Face) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stranger = Self {
            port,
            face: Arc::new(Mutex::new(face)),
            heard: Arc::default(),
        };
        let (face, heard) = (Arc::clone(&stranger.face), Arc::clone(&stranger.heard));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (face, heard) = (face.lock().unwrap().clone(), Arc::clone(&heard));
                // a handshake that fails is what most of these links are for
                thread::spawn(move || match face {
                    Face::Own(config) => converse(stream, config, &heard),
                    Face::Other(port) => hand_on(&stream, port),
                });
            }
        });
        stranger
    }

    fn show(&self, face: Face) {
        *self.face.lock().unwrap() = face;
    }

    /// Everything that was ever said to it in confidence.
    fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }

    fn forget(&self) {
        self.heard.lock().unwrap().clear();
    }
}

fn converse(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    heard: &Mutex<Vec<u8>>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(SOON))?;
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut link = StreamOwned::new(session, stream);
    let mut some = [0; 16 * 1024];
    let length = link.read(&mut some)?;
    heard.lock().unwrap().extend(&some[..length]);
    link.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")?;
    link.conn.send_close_notify();
    link.flush()
}

fn hand_on(stream: &TcpStream, port: u16) -> io::Result<()> {
    let other = TcpStream::connect(("127.0.0.1", port))?;
    let (mut from, mut to) = (stream.try_clone()?, other.try_clone()?);
    let there = thread::spawn(move || {
        let copied = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
        copied
    });
    io::copy(&mut &other, &mut &*stream)?;
    stream.shutdown(Shutdown::Both)?;
    let _ = there.join();
    Ok(())
}

/// A gateway whose Pleo is the stranger at `NAME`, trusted by `ca.pem`; and what its resolver says, look-up by look-up.
fn setup(stranger: &Stranger, answers: &[&str]) -> Setup {
    let mut setup = Setup::at(&format!("https://{NAME}:{}", stranger.port));
    let folder = setup.folder().to_owned();
    let library = folder.join("resolver.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library);
    cc.arg(repository("tests/it/way_out/resolver.c"))
        .arg("-ldl");
    let built = run(&mut cc, "", SOON);
    assert_eq!(built.code, 0, "{}", built.err);
    setup.pleo = "ca_file = \"ca.pem\"".into();
    for (name, file) in [
        ("LD_PRELOAD", "resolver.so"),
        ("PLEO_TEST_ANSWERS", "answers"),
        ("PLEO_TEST_JOURNAL", "journal"),
    ] {
        setup.variables.push((name, folder.join(file).into()));
    }
    resolve(&folder, answers);
    setup
}

/// What the resolver says from now on.
fn resolve(folder: &Path, answers: &[&str]) {
    fs::write(folder.join("answers"), answers.join("\n")).unwrap();
}

/// The look-ups and links since the last time, in their order.
fn journal(gateway: &Gateway) -> Vec<String> {
    let file = gateway.setup.folder().join("journal");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(file);
    text.lines().map(str::to_owned).collect()
}
