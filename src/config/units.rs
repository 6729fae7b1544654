//! The notations of single values: durations, sizes, rates, addresses, URLs. Where they stand is not here (`reader`).

use std::net::{IpAddr, SocketAddr};
use std::num::{IntErrorKind, NonZeroU32, ParseIntError};
use std::os::unix;
use std::path::Path;
use std::time::Duration;

use url::{Host, Url};

use super::settings::Address;
use crate::model::caller::Rate;

/// The remedy for a text that is not in its notation.
pub(super) type Remedy = &'static str;

pub(super) const DURATION: Remedy =
    "write a whole number and one unit, ms, s, m, h or d, such as \"90s\", \"3m\" or \"20d\"";
const SIZE: Remedy =
    "write a whole number and B, KiB, MiB or GiB, such as \"64KiB\", or a plain number of bytes";
const RATE: Remedy =
    "write a number above zero and a unit, such as \"300/min\", \"5/s\" or \"1000/h\"";
pub(super) const ADDRESS: Remedy =
    "write host:port, [v6]:port, unix:/path or fd:NAME, such as \"127.0.0.1:8080\"";

/// `"90s"`: one number and one unit, which only zero may leave out. The error says how to write it.
pub fn duration(text: &str) -> Result<Duration, Remedy> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (count, unit) = number_and_unit(text).ok_or(DURATION)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(DURATION),
    };
    count
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or("write a shorter time")
}

/// `"64KiB"`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, Remedy> {
    let (count, unit) = number_and_unit(text).ok_or(SIZE)?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(SIZE),
    };
    count.checked_mul(bytes).ok_or("write a smaller size")
}

/// `"300/min"`.
pub(super) fn rate(text: &str) -> Result<Rate, Remedy> {
    let (count, unit) = text.split_once('/').ok_or(RATE)?;
    let seconds = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        _ => return Err(RATE),
    };
    let count: NonZeroU32 =
        (digits(count).ok_or(RATE)?.parse()).map_err(|error: ParseIntError| {
            match error.kind() {
                IntErrorKind::PosOverflow => "write a smaller number: it is at most 4294967295",
                _ => RATE,
            }
        })?;
    Ok(Rate {
        count,
        per: Duration::from_secs(seconds),
    })
}

/// A listener's address; a unix socket's path is relative to `base`.
pub(super) fn address(text: &str, base: &Path) -> Result<Address, Remedy> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = base.join((!path.is_empty()).then_some(path).ok_or(ADDRESS)?);
        return match unix::net::SocketAddr::from_pathname(&path) {
            Ok(_) => Ok(Address::Unix(path)),
            Err(_) => Err("write a shorter path: the whole of it may have 107 bytes"),
        };
    }
    if let Some(name) = text.strip_prefix("fd:") {
        let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        return fits
            .then(|| Address::Inherited(name.to_owned()))
            .ok_or(ADDRESS);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Address::Tcp(address));
    }
    let (host, port) = text.rsplit_once(':').ok_or(ADDRESS)?;
    let port: u16 = digits(port).and_then(|p| p.parse().ok()).ok_or(ADDRESS)?;
    if host.contains('*') {
        return Err("for every address of this machine write 0.0.0.0 or [::] before the port");
    }
    match Host::parse(host) {
        Ok(Host::Domain(host)) if !host.is_empty() => Ok(Address::Host(host, port)),
        _ => Err(ADDRESS),
    }
}

/// A URL for HTTP, without user, password and fragment.
pub(super) fn url(text: &str) -> Result<Url, Remedy> {
    let url = Url::parse(text).map_err(|_| "write a URL such as \"https://example.com/path\"")?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("write a URL that begins with https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("leave user and password out of the URL");
    }
    if url.fragment().is_some() {
        return Err("leave out '#' and what follows it");
    }
    Ok(url)
}

/// A URL to which secrets go: https, or http to a loopback host.
pub(super) fn safe_url(text: &str) -> Result<Url, Remedy> {
    let url = url(text)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err("use https:// (http:// is only for loopback hosts)");
    }
    Ok(url)
}

/// A URL that is an origin and nothing more.
pub(super) fn origin(text: &str) -> Result<Url, Remedy> {
    let url = url(text)?;
    if url.path() != "/" || url.query().is_some() {
        return Err("write scheme, host and port only, such as \"https://gateway.example.com\"");
    }
    Ok(url)
}

/// True if the URL's host is this machine by name alone.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_loopback_name(name),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// `localhost` and what is below it (RFC 6761 section 6.3).
pub(super) fn is_loopback_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// True if two listeners cannot both have their address.
pub(super) fn clash(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp(a), Address::Tcp(b)) => {
            let anywhere = |ip: IpAddr| ip.is_unspecified();
            a.port() == b.port()
                && a.port() != 0
                && (a.ip() == b.ip() || anywhere(a.ip()) || anywhere(b.ip()))
        }
        (one, other) => one == other,
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// The text, if it is digits and nothing else: `parse` alone would take a `+`.
fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|b| b.is_ascii_digit()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_number_and_one_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("20d"), Ok(Duration::from_hours(480)));
        for bad in ["", "s", "90", "1h30m", "-1s", "1.5s", "3 m", "3min"] {
            assert_eq!(duration(bad), Err(DURATION), "{bad:?}");
        }
        assert!(duration("18446744073709551615d").is_err());
    }

    #[test]
    fn sizes_and_rates_are_exact() {
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("65536"), Ok(65536));
        assert_eq!(size("64KB"), Err(SIZE));
        assert_eq!(rate("300/min").unwrap().count.get(), 300);
        for bad in ["0/s", "300", "300/m", "+3/s", "x/s", "/s"] {
            assert_eq!(rate(bad), Err(RATE), "{bad:?}");
        }
    }

    #[test]
    fn addresses_have_four_forms() {
        let base = Path::new("/etc/gateway");
        let unix = Address::Unix("/etc/gateway/run.sock".into());
        assert_eq!(address("unix:run.sock", base), Ok(unix));
        assert_eq!(
            address("fd:web", base),
            Ok(Address::Inherited("web".into()))
        );
        assert!(matches!(address("[::1]:80", base), Ok(Address::Tcp(_))));
        assert!(matches!(
            address("db.internal:80", base),
            Ok(Address::Host(..))
        ));
        for bad in [
            "8080",
            "localhost",
            "127.0.0.1:99999",
            "unix:",
            "fd:",
            ":80",
            "a b:80",
        ] {
            assert_eq!(address(bad, base), Err(ADDRESS), "{bad:?}");
        }
    }

    #[test]
    fn the_path_of_a_socket_is_one_that_clients_can_connect_to() {
        let base = Path::new("/x");
        let of = |length: usize| address(&format!("unix:{}", "s".repeat(length)), base);
        assert!(of(104).is_ok());
        assert!(of(105).unwrap_err().starts_with("write a shorter path"));
    }

    #[test]
    fn clear_text_goes_to_this_machine_only() {
        for good in [
            "https://pleo.example",
            "http://127.0.0.1:9400/x",
            "http://[::1]/",
            "http://localhost",
        ] {
            assert!(safe_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://pleo.example",
            "http://127.0.0.1.example",
            "ftp://x",
            "https://a:b@c",
            "x",
        ] {
            assert!(safe_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_address_clashes_with_its_port() {
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap());
        assert!(clash(&tcp("0.0.0.0:80"), &tcp("127.0.0.1:80")));
        assert!(!clash(&tcp("127.0.0.2:80"), &tcp("127.0.0.1:80")));
        assert!(!clash(&tcp("127.0.0.1:0"), &tcp("127.0.0.1:0")));
    }
}
