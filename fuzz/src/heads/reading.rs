//! A plain reading of what a caller sent: as far as anybody could read it, and no further. More lenient than the gateway: it
//! tells the most that may reach Pleo, not the least.

/// A request as it was sent.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

/// The requests of a link, until there is one that nobody could read.
pub(super) fn asked(bytes: &[u8]) -> Vec<Asked> {
    let mut rest = bytes;
    std::iter::from_fn(|| one(&mut rest)).collect()
}

fn one(rest: &mut &[u8]) -> Option<Asked> {
    while let Some(after) = rest
        .strip_prefix(b"\r\n")
        .or_else(|| rest.strip_prefix(b"\n"))
    {
        *rest = after;
    }
    let start = line(rest)?;
    let mut words = start.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    if !matches!(words.next()?, "HTTP/1.0" | "HTTP/1.1") || words.next().is_some() {
        return None;
    }
    let fields = fields(rest)?;
    let last = |name: &str| {
        let named = fields
            .iter()
            .rev()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    };
    let body = match (last("transfer-encoding"), last("content-length")) {
        (Some(_), _) => chunks(rest)?,
        (None, Some(length)) => take(rest, length.parse().ok()?)?.to_vec(),
        (None, None) => Vec::new(),
    };
    Some(Asked {
        method,
        target,
        body,
    })
}

fn fields(rest: &mut &[u8]) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(rest)?;
        if line.is_empty() {
            return Some(fields);
        }
        let (name, value) = line.split_once(':')?;
        fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

fn chunks(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(rest)?;
        let digits = size
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(size.len());
        match usize::from_str_radix(&size[..digits], 16).ok()? {
            0 => break,
            size => body.extend(take(rest, size)?),
        }
        line(rest)?;
    }
    fields(rest).map(|_| body)
}

/// Up to a line feed, with or without a carriage return before it.
fn line(rest: &mut &[u8]) -> Option<String> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Some(line.iter().map(|byte| char::from(*byte)).collect())
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}
