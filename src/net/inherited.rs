//! Listening sockets handed over by the service manager (socket activation), by name. Not here: sockets of our own.

use std::io;

use listenfd::ListenFd;

use super::listener::Socket;

/// The sockets that were handed over and not yet taken.
pub struct Inherited {
    sockets: ListenFd,
    names: Vec<String>,
}

impl Inherited {
    /// Those that the service manager announced; `names` is the value of `LISTEN_FDNAMES`. To be called once.
    pub fn named(names: &str) -> Self {
        Self {
            sockets: ListenFd::from_env(),
            names: names.split(':').map(str::to_owned).collect(),
        }
    }

    /// None at all.
    pub fn none() -> Self {
        Self {
            sockets: ListenFd::empty(),
            names: Vec::new(),
        }
    }

    /// The socket of that name; none if there is no such name, or it was taken already.
    pub(super) fn take(&mut self, name: &str) -> io::Result<Option<Socket>> {
        let Some(index) = self.names.iter().position(|known| known == name) else {
            return Ok(None);
        };
        if let Ok(Some(socket)) = self.sockets.take_unix_listener(index) {
            return Ok(Some(Socket::Unix(socket)));
        }
        let socket = self.sockets.take_tcp_listener(index)?;
        Ok(socket.map(Socket::Tcp))
    }
}

impl std::fmt::Debug for Inherited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inherited")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
