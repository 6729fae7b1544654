//! HTTP/1.1 read by the letter of RFC 9112, and nothing beyond it: the second reader of what the gateway writes, to Pleo and
//! to callers. Panics at whatever another reader could understand differently.

use std::io::{BufRead, BufReader, Read};

/// Names in lower case, and values.
pub(crate) type Fields = Vec<(String, String)>;

/// A message's start line and fields.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) fields: Fields,
}

impl Head {
    /// Every value of a field; names are in lower case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// A stream of messages. Every answer is `None` once the stream has broken off.
pub(crate) struct Wire<R>(BufReader<R>);

impl<R: Read> Wire<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self(BufReader::new(stream))
    }

    pub(crate) fn stream(&mut self) -> &mut R {
        self.0.get_mut()
    }

    pub(crate) fn head(&mut self) -> Option<Head> {
        let start = self.line()?;
        Some(Head {
            start,
            fields: self.fields()?,
        })
    }

    /// The body that these fields frame, and its trailers. `until_end`: without framing it is all that comes.
    pub(crate) fn body(&mut self, head: &Head, until_end: bool) -> Option<(Vec<u8>, Fields)> {
        let (lengths, codings) = (head.all("content-length"), head.all("transfer-encoding"));
        match (&lengths[..], &codings[..]) {
            ([], []) if until_end => {
                let mut body = Vec::new();
                self.0.read_to_end(&mut body).ok()?;
                Some((body, Vec::new()))
            }
            ([], []) => Some((Vec::new(), Vec::new())),
            ([length], []) => {
                assert!(length.bytes().all(|byte| byte.is_ascii_digit()), "{head:?}");
                Some((self.exactly(length.parse().unwrap())?, Vec::new()))
            }
            ([], [coding]) => {
                assert_eq!(*coding, "chunked", "{head:?}");
                self.chunks()
            }
            _ => panic!("framed twice: {head:?}"),
        }
    }

    fn chunks(&mut self) -> Option<(Vec<u8>, Fields)> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            assert!(
                size.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "a chunk's size: {size:?}"
            );
            match usize::from_str_radix(&size, 16).unwrap() {
                0 => return Some((body, self.fields()?)),
                size => body.extend(self.exactly(size)?),
            }
            assert_eq!(self.line()?, "", "a chunk's end");
        }
    }

    fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    fn fields(&mut self) -> Option<Fields> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some(fields);
            }
            let (name, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("no field: {line:?}"));
            assert!(is_token(name), "a field's name: {line:?}");
            let visible = |c: char| c == '\t' || !c.is_control() || u32::from(c) > 0x7F;
            assert!(value.chars().all(visible), "a field's value: {line:?}");
            fields.push((
                name.to_ascii_lowercase(),
                value.trim_matches([' ', '\t']).to_owned(),
            ));
        }
    }

    /// Ended by CRLF, with no other CR or LF in it. Bytes become the characters of the same numbers.
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).ok()?;
        let line = line.strip_suffix(b"\n")?;
        let line = line
            .strip_suffix(b"\r")
            .unwrap_or_else(|| panic!("a bare LF after {line:?}"));
        assert!(
            !line.contains(&b'\r') && !line.contains(&0),
            "a bare CR or NUL in {line:?}"
        );
        Some(line.iter().map(|byte| char::from(*byte)).collect())
    }
}

pub(crate) fn is_token(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(fits)
}
