//! Where the server is and how to talk to it: a `postgres://` URL or a list of `key=value`, as libpq takes them. Nothing is
//! dialled here, and no message shows any of the text, since it holds a password.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use url::form_urlencoded;

use crate::net::database::DatabaseTrust;
use crate::secret::Secret;

/// What our connections are called in `pg_stat_activity`.
const NAME: &str = "pleo-gateway";
/// A silent link is probed after this long.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// What was sent and not acknowledged for this long is lost, and so is the link.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// For dialling one address.
const DIAL: Duration = Duration::from_secs(3);

/// A server and a database on it, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerAddress {
    pub(super) config: Box<Config>,
    /// `None`: in clear.
    pub(super) tls: Option<DatabaseTrust>,
}

/// Why a text names no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not of either form, or with an option that is not known.
    #[error(
        "it is no URL such as postgres://user:password@host/database (special characters as %xx)"
    )]
    Malformed,
    /// `sslmode` is none of those that verify the server, and not `disable`.
    #[error("its sslmode is not disable, require, verify-ca or verify-full")]
    SslMode,
    /// No host and no socket's folder.
    #[error("it names no host")]
    NoHost,
}

impl ServerAddress {
    /// Reads a text; `base` is the folder that a relative `sslrootcert` starts from.
    pub fn parse(text: &Secret, base: &Path) -> Result<Self, AddressError> {
        let (rest, options) = split(text.expose()).ok_or(AddressError::Malformed)?;
        let mut config: Config = (rest.expose().parse()).map_err(|_| AddressError::Malformed)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(AddressError::NoHost);
        }
        let tls = tls(&config, &options, base)?;
        config.ssl_mode(match tls {
            Some(_) => SslMode::Require,
            None => SslMode::Disable,
        });
        if config.get_application_name().is_none() {
            config.application_name(NAME);
        }
        config
            .connect_timeout(DIAL)
            .keepalives_idle(KEEPALIVE)
            .tcp_user_timeout(UNACKNOWLEDGED);
        Ok(Self {
            config: Box::new(config),
            tls,
        })
    }

    /// The file of whom to trust as the server, PEM, if one is named and needed.
    pub fn authorities(&self) -> Option<&Path> {
        self.tls.as_ref()?.ca_file.as_deref()
    }
}

/// Where it is, for messages.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgreSQL")?;
        for host in self.config.get_hosts() {
            match host {
                Host::Tcp(name) => write!(f, " at {name}")?,
                Host::Unix(folder) => write!(f, " at {}", folder.display())?,
            }
        }
        match self.config.get_dbname() {
            Some(name) => write!(f, ", database {name}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerAddress({self})")
    }
}

/// What libpq says of TLS, which the client here does not know.
#[derive(Default)]
struct Options {
    mode: Option<String>,
    root_cert: Option<String>,
}

impl Options {
    /// False for an option that is none of these.
    fn take(&mut self, key: &str, value: &str) -> bool {
        match key {
            "sslmode" => self.mode = Some(value.to_owned()),
            "sslrootcert" => self.root_cert = Some(value.to_owned()),
            _ => return false,
        }
        true
    }
}

fn tls(
    config: &Config,
    options: &Options,
    base: &Path,
) -> Result<Option<DatabaseTrust>, AddressError> {
    let check_name = match options.mode.as_deref() {
        None if is_local(config) => return Ok(None),
        None | Some("require" | "verify-full") => true,
        Some("verify-ca") => false,
        Some("disable") => return Ok(None),
        Some(_) => return Err(AddressError::SslMode),
    };
    let is_socket = |host: &Host| matches!(host, Host::Unix(_));
    if !config.get_hosts().is_empty() && config.get_hosts().iter().all(is_socket) {
        return Ok(None);
    }
    let ca_file: Option<PathBuf> = (options.root_cert.as_deref())
        .filter(|file| *file != "system")
        .map(|file| base.join(file));
    Ok(Some(DatabaseTrust {
        ca_file,
        check_name,
    }))
}

/// Loopback or a socket: nobody is in between.
fn is_local(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let bare = name.trim_start_matches('[').trim_end_matches(']');
            name == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    })
}

fn split(text: &str) -> Option<(Secret, Options)> {
    let is_url = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if is_url {
        split_url(text)
    } else {
        split_words(text)
    }
}

fn split_url(text: &str) -> Option<(Secret, Options)> {
    let mut options = Options::default();
    let Some((url, query)) = text.split_once('?') else {
        return Some((Secret::new(text), options));
    };
    let mut kept = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        // In a URL of libpq a plus is a plus.
        let plain = part.replace('+', "%2B");
        let (key, value) = form_urlencoded::parse(plain.as_bytes()).next()?;
        if !options.take(&key, &value) {
            kept.push(part);
        }
    }
    let rest = if kept.is_empty() {
        url.to_owned()
    } else {
        format!("{url}?{}", kept.join("&"))
    };
    Some((Secret::new(rest), options))
}

fn split_words(text: &str) -> Option<(Secret, Options)> {
    let mut options = Options::default();
    let mut kept = String::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, length) = value(after.trim_start())?;
        let end = after.trim_start().split_at_checked(length)?;
        if !options.take(key.trim_end(), &value) {
            kept.extend([key.trim_end(), "=", end.0, " "]);
        }
        rest = end.1.trim_start();
    }
    (!kept.is_empty()).then(|| (Secret::new(kept), options))
}

/// A value, quoted or bare, and how long it is as it stands.
fn value(text: &str) -> Option<(String, usize)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut letters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next()?.1),
            '\'' if quoted => return Some((value, at + 1)),
            letter if letter.is_whitespace() && !quoted => return Some((value, at)),
            letter => value.push(letter),
        }
    }
    (!quoted).then_some((value, text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ServerAddress, AddressError> {
        ServerAddress::parse(&Secret::new(text), Path::new("/etc/gateway"))
    }

    fn trust(text: &str) -> Option<DatabaseTrust> {
        parse(text).unwrap().tls
    }

    #[test]
    fn beyond_this_machine_tls_is_used_and_the_server_verified() {
        let full = Some(DatabaseTrust {
            ca_file: None,
            check_name: true,
        });
        for text in [
            "postgres://u:p@db.example.com/d",
            "postgres://u:p@10.0.0.1/d?sslmode=require",
            "postgresql://u@db/d?sslmode=verify-full&application_name=x",
            "host=db user=u sslmode='verify-full' dbname=d",
            "postgres://u@127.0.0.1/d?sslmode=require",
            "postgres://u@localhost,db/d",
        ] {
            assert_eq!(trust(text), full, "{text}");
        }
        for text in [
            "postgres://u:p@localhost/d",
            "postgres://u:p@127.0.0.1:5433/d",
            "postgres://u@[::1]/d",
            "postgres://u@/d?host=/run/postgresql",
            "host=/run/postgresql sslmode=require user=u",
            "postgres://u:p@db.example.com/d?sslmode=disable",
        ] {
            assert_eq!(trust(text), None, "{text}");
        }
    }

    #[test]
    fn roots_and_names_are_as_the_url_says() {
        let text = "postgres://u@db/d?sslmode=verify-ca&sslrootcert=ca%2Broot.pem";
        let wanted = Some(DatabaseTrust {
            ca_file: Some("/etc/gateway/ca+root.pem".into()),
            check_name: false,
        });
        assert_eq!(trust(text), wanted);
        let words = "sslrootcert = '/my certs/ca.pem' host=db password='a b\\'=c' user=u";
        let address = parse(words).unwrap();
        assert_eq!(
            address.tls.unwrap().ca_file,
            Some("/my certs/ca.pem".into())
        );
        assert_eq!(address.config.get_password(), Some(&b"a b'=c"[..]));
    }

    #[test]
    fn what_names_no_server_is_refused_without_being_shown() {
        for (text, wanted) in [
            ("canary", AddressError::Malformed),
            ("mysql://u:canary@h/d", AddressError::Malformed),
            ("postgres://u:canary@h:port/d", AddressError::Malformed),
            (
                "postgres://u:can@ary@h/d?nonsense=1",
                AddressError::Malformed,
            ),
            (
                "postgres://u:canary@h/d?sslmode=prefer",
                AddressError::SslMode,
            ),
            ("postgres:///canary", AddressError::NoHost),
            ("user=u password='canary", AddressError::Malformed),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, wanted, "{text}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
        let address = parse("postgres://u:canary@h/d").unwrap();
        assert!(!format!("{address} {address:?}").contains("canary"));
    }
}
