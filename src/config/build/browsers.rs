//! `[connect]` and `[pleo].redirect_uri`: where browsers arrive, seen from both ends. Each takes its default from the other.

use url::Url;

use super::super::reader::Reader;
use super::super::report::{Finding, ProblemKind};
use super::super::settings::{Address, ConnectSettings};
use super::super::units;
use super::doors;

/// What is known of the door for browsers.
pub(super) struct Browsers {
    pub(super) listen: Address,
    pub(super) connect: Option<ConnectSettings>,
    pub(super) redirect_uri: Option<Url>,
}

pub(super) fn read(root: &Reader<'_>) -> Browsers {
    let (connect, pleo) = (root.table("connect"), root.table("pleo"));
    let listen = connect.defaulted("listen", |text| units::address(text, connect.base()));
    let tls = connect
        .table_if_given("tls")
        .and_then(|tls| doors::tls_files(&tls));
    let public_url = connect.parsed("public_url", |text| {
        units::safe_url(text).and_then(|_| units::origin(text))
    });
    let redirect_uri = if pleo.has("redirect_uri") {
        pleo.parsed("redirect_uri", units::safe_url)
    } else if connect.has("public_url") {
        public_url
            .as_ref()
            .and_then(|url| url.join("oauth/callback").ok())
    } else {
        derived(&pleo, &listen, tls.is_some())
    };
    if let (Some(public), Some(redirect)) = (&public_url, &redirect_uri) {
        check_origin(&connect, public, redirect);
    }
    let origin = public_url.as_ref().or(redirect_uri.as_ref());
    let public_url = origin.map(|url| url.origin().ascii_serialization());
    Browsers {
        listen: listen.clone(),
        connect: public_url.map(|public_url| ConnectSettings {
            listen,
            public_url,
            tls,
        }),
        redirect_uri,
    }
}

/// From the listener's own address, which only this machine's browsers can reach.
fn derived(pleo: &Reader<'_>, listen: &Address, tls: bool) -> Option<Url> {
    let scheme = if tls { "https" } else { "http" };
    let url = match listen {
        Address::Tcp(_) | Address::Host(..) if listen.is_local() => {
            Url::parse(&format!("{scheme}://{listen}/oauth/callback")).ok()
        }
        _ => None,
    };
    if url.is_none() {
        let message = "how browsers reach [connect].listen is not known";
        let remedy = "write the redirect URI that is registered at Pleo, such as \"https://gateway.example.com/oauth/callback\"";
        pleo.report(
            "redirect_uri",
            Finding::new(ProblemKind::Missing, message, remedy),
        );
    }
    url
}

fn check_origin(connect: &Reader<'_>, public: &Url, redirect: &Url) {
    if public.origin() != redirect.origin() {
        let message = format!(
            "is not the origin of redirect_uri, {}",
            redirect.origin().ascii_serialization()
        );
        let remedy = "use one origin for both: the cookie that binds a browser belongs to it";
        connect.report("public_url", Finding::invalid(message, remedy));
    }
}
