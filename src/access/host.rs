//! The name by which a request addresses us: its one Host (RFC 9112 section 3.2, RFC 9113 section 8.3.1). Whether that name
//! is ours is not here (`site`).

use std::net::Ipv6Addr;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Version, header};

use super::denial::InvalidHost;

/// An entry of `hosts`, as [`Host::is`] compares it: in lower case, without a final dot. `None` for what is no host.
pub fn entry(text: &str) -> Option<String> {
    let host = Host::parse(text)?;
    let name = host.name.to_ascii_lowercase();
    Some(match host.port {
        Some(port) => format!("{name}:{port}"),
        None => name,
    })
}

/// A host with an optional port, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host<'a> {
    /// Without the port and without a final dot; an IPv6 address keeps its brackets.
    pub(super) name: &'a str,
    /// The port, if there is one.
    pub(super) port: Option<&'a str>,
}

/// The host a request names: in its target, its Host, or both alike. `None` only for HTTP/1.0.
pub(super) fn named(head: &Parts) -> Result<Option<Host<'_>>, InvalidHost> {
    let mut fields = head.headers.get_all(header::HOST).iter();
    let field = fields.next().map(HeaderValue::as_bytes);
    if fields.next().is_some() {
        return Err(InvalidHost::Repeated);
    }
    let target = head.uri.authority().map(Authority::as_str);
    let text = match (target, field) {
        (Some(target), Some(field)) if !target.as_bytes().eq_ignore_ascii_case(field) => {
            return Err(InvalidHost::Disagree);
        }
        (None, Some(field)) => std::str::from_utf8(field).map_err(|_| InvalidHost::Malformed)?,
        (Some(target), _) if field.is_some() || head.version != Version::HTTP_11 => target,
        (None, None) if head.version < Version::HTTP_11 => return Ok(None),
        _ => return Err(InvalidHost::Missing),
    };
    Host::parse(text).map(Some).ok_or(InvalidHost::Malformed)
}

impl<'a> Host<'a> {
    /// A DNS name, an IPv4 address or an IPv6 address in brackets, with or without a port. Nothing else that RFC 3986
    /// allows: no user, no escapes.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let end = text.find(']').map_or(0, |bracket| bracket + 1);
        let (name, port) = match text.get(end..)?.find(':') {
            Some(colon) => (&text[..end + colon], Some(&text[end + colon + 1..])),
            None => (text, None),
        };
        let name = match name.strip_suffix('.') {
            Some(whole) if !whole.ends_with(']') => whole,
            _ => name,
        };
        (is_name(name) && port.is_none_or(is_port)).then_some(Self { name, port })
    }

    /// True if an entry of `hosts` means this host; one without a port means every port.
    pub(super) fn is(self, entry: &str) -> bool {
        let named = entry.split_at_checked(self.name.len());
        named.is_some_and(|(name, rest)| {
            name.eq_ignore_ascii_case(self.name)
                && (rest.is_empty()
                    || rest
                        .strip_prefix(':')
                        .is_some_and(|port| Some(port) == self.port))
        })
    }
}

fn is_name(name: &str) -> bool {
    if let Some(address) = name.strip_prefix('[') {
        return address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (1..=255).contains(&name.len()) && name.bytes().all(plain)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn named_by(
        version: Version,
        target: &str,
        hosts: &[&str],
    ) -> Result<Option<String>, InvalidHost> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let text = |host: Host<'_>| match host.port {
            Some(port) => format!("{}:{port}", host.name),
            None => host.name.to_owned(),
        };
        named(&head).map(|host| host.map(text))
    }

    #[test]
    fn exactly_one_host_is_named() {
        use InvalidHost as E;
        let (old, one, two) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        for (version, target, hosts, expected) in [
            (one, "/", &["a:80"][..], Ok(Some("a:80"))),
            (one, "/", &[], Err(E::Missing)),
            (one, "/", &["a", "a"], Err(E::Repeated)),
            (one, "/", &[""], Err(E::Malformed)),
            (one, "http://a/", &["A"], Ok(Some("a"))),
            (one, "http://a/", &["b"], Err(E::Disagree)),
            (one, "http://a/", &[], Err(E::Missing)),
            (one, "http://u@a/", &["u@a"], Err(E::Malformed)),
            (old, "/", &[], Ok(None)),
            (old, "/", &["a"], Ok(Some("a"))),
            (old, "http://a/", &[], Ok(Some("a"))),
            (two, "http://a/", &[], Ok(Some("a"))),
            (two, "http://a/", &["a"], Ok(Some("a"))),
            (two, "http://a/", &["b"], Err(E::Disagree)),
            (two, "http://u@a/", &[], Err(E::Malformed)),
            (two, "/", &["a"], Ok(Some("a"))),
            (two, "/", &[], Err(E::Missing)),
        ] {
            let expected = expected.map(|text: Option<&str>| text.map(str::to_owned));
            assert_eq!(
                named_by(version, target, hosts),
                expected,
                "{version:?} {target} {hosts:?}"
            );
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for (text, name) in [
            ("pleo.internal", "pleo.internal"),
            ("127.0.0.1:8080", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
            ("pleo.internal.", "pleo.internal"),
            ("pleo.internal.:80", "pleo.internal"),
        ] {
            assert_eq!(
                Host::parse(text).map(|host| host.name),
                Some(name),
                "{text}"
            );
        }
        for text in [
            "",
            ":80",
            ".",
            "[::1].",
            "a:",
            "a:x",
            "a:65536",
            "a:+1",
            "a b",
            "a/b",
            "a?b",
            "a,b",
            "a%41",
            "é",
            "::1",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1%25eth0]",
            "x[::1]",
            "[a]",
            "a:1:2",
            "u@a",
            "a\t",
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_an_entry_says_is_what_a_request_can_name() {
        for (text, written) in [
            ("Pleo.Internal", Some("pleo.internal")),
            ("pleo.internal.", Some("pleo.internal")),
            ("pleo.internal.:80", Some("pleo.internal:80")),
            ("[::1]:80", Some("[::1]:80")),
            ("pleo.internal:", None),
            ("*.internal", None),
        ] {
            assert_eq!(entry(text).as_deref(), written, "{text}");
            if let Some(written) = written {
                assert!(Host::parse(text).unwrap().is(written), "{text}");
            }
        }
    }

    #[test]
    fn an_entry_without_a_port_means_every_port() {
        let host = Host::parse("LocalHost:8080").unwrap();
        assert!(host.is("localhost") && host.is("localhost:8080"));
        assert!(!host.is("localhost:80") && !host.is("host:8080") && !host.is("localhost.x"));
        assert!(!Host::parse("localhost").unwrap().is("localhost:8080"));
        assert!(Host::parse("localhost.:8080").unwrap().is("localhost:8080"));
        assert!(Host::parse("[::1]:1").unwrap().is("[::1]"));
    }
}
