//! HTTP/1.1 by hand over any stream, from either end: what is sent is exactly what a test wrote, and what arrives is shown.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use super::SOON;

/// Both directions of a link.
pub(crate) trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// A link, buffered where it is read.
pub(crate) struct Link(BufReader<Box<dyn Duplex>>);

/// The first line and the header fields of a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// As it came, up to the empty line.
    pub(crate) raw: String,
    pub(crate) first: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// How much of a body is still to come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rest {
    Bytes(u64),
    /// In chunks; the bytes left of this one.
    Chunks(u64),
    UntilClose,
    Nothing,
}

impl Head {
    /// The first value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        (self.fields.iter())
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The nth word of the first line.
    pub(crate) fn word(&self, place: usize) -> &str {
        self.first.split(' ').nth(place).unwrap_or("")
    }

    pub(crate) fn body(&self) -> Option<Rest> {
        if (self.field("transfer-encoding")).is_some_and(|coding| coding.contains("chunked")) {
            return Some(Rest::Chunks(0));
        }
        let length = self.field("content-length")?;
        Some(Rest::Bytes(length.parse().unwrap()))
    }
}

impl Read for Link {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

impl Link {
    pub(crate) fn over(stream: impl Duplex + 'static) -> Self {
        Self(BufReader::new(Box::new(stream)))
    }

    /// To `http://host:port` or `unix:/path`.
    pub(crate) fn to(base: &str) -> Self {
        if let Some(path) = base.strip_prefix("unix:") {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            return Self::over(stream);
        }
        let address = base.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address.trim_end_matches('/')).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        Self::over(stream)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let stream = self.0.get_mut();
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    /// The next message's head; none if the link ended first.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        let mut head = Head::default();
        loop {
            let mut line = Vec::new();
            self.0.read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(None);
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            head.raw.push_str(&text);
            match text.trim_end_matches(['\r', '\n']) {
                "" => return Ok(Some(head)),
                first if head.first.is_empty() => first.clone_into(&mut head.first),
                field => {
                    let (name, value) = field.split_once(':').unwrap();
                    let value = value.trim().to_owned();
                    head.fields.push((name.to_owned(), value));
                }
            }
        }
    }

    /// Some more of a body; empty at its end.
    pub(crate) fn some(&mut self, rest: &mut Rest) -> io::Result<Vec<u8>> {
        if let Rest::Chunks(0) = rest {
            let size = self.line()?;
            let size = size.split(';').next().unwrap_or("").trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| cut())?;
            *rest = if size == 0 {
                while !self.line()?.is_empty() {}
                Rest::Nothing
            } else {
                Rest::Chunks(size)
            };
        }
        let most = match *rest {
            Rest::Nothing | Rest::Bytes(0) => return Ok(Vec::new()),
            Rest::Bytes(left) | Rest::Chunks(left) => left,
            Rest::UntilClose => u64::MAX,
        };
        let buffered = self.0.fill_buf()?;
        let size = buffered
            .len()
            .min(usize::try_from(most).unwrap_or(usize::MAX));
        let bytes = buffered[..size].to_vec();
        self.0.consume(size);
        match rest {
            Rest::UntilClose | Rest::Nothing => {}
            Rest::Bytes(_) | Rest::Chunks(_) if size == 0 => return Err(cut()),
            Rest::Bytes(left) => *left -= size as u64,
            Rest::Chunks(left) => {
                *left -= size as u64;
                if *left == 0 {
                    self.line()?;
                }
            }
        }
        Ok(bytes)
    }

    /// All that remains of a body.
    pub(crate) fn all(&mut self, mut rest: Rest) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let more = self.some(&mut rest)?;
            if more.is_empty() {
                return Ok(body);
            }
            body.extend(more);
        }
    }

    /// True if the other end closes without another byte; silence is no end.
    pub(crate) fn is_closed(&mut self) -> bool {
        let came = self.0.fill_buf();
        came.map_or_else(
            |error| error.kind() != io::ErrorKind::WouldBlock,
            <[u8]>::is_empty,
        )
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(cut());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the message was cut off")
}
