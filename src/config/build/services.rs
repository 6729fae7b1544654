//! `[proxy]`, `[admin]`, `[refresh]` and `[log]`.

use std::num::NonZeroUsize;

use tracing_subscriber::EnvFilter;

use super::super::reader::Reader;
use super::super::report::Finding;
use super::super::settings::{
    Address, AdminSettings, LogFormat, LogSettings, ProxySettings, RefreshSettings, Uncertain,
};
use super::super::units::{self, Remedy};
use super::{doors, pleo};

pub(super) fn proxy(root: &Reader<'_>) -> ProxySettings {
    let proxy = root.table("proxy");
    ProxySettings {
        threads: proxy.number("threads"),
        allow_private_upstream: proxy
            .flag_if_given("allow_private_upstream")
            .unwrap_or_else(|| pleo::is_private(&root.table("pleo"))),
    }
}

/// What is known of the door for operators.
pub(super) struct Operators {
    pub(super) listen: Address,
    pub(super) admin: Option<AdminSettings>,
}

pub(super) fn admin(admin: &Reader<'_>) -> Operators {
    let token = match admin.node("token") {
        Some(node) => admin.secret_source(node),
        None => admin.default_secret("token", admin.base().join("data/admin.token")),
    };
    let tls = admin
        .table_if_given("tls")
        .and_then(|tls| doors::tls_files(&tls));
    let listen = admin.defaulted("listen", |text| units::address(text, admin.base()));
    Operators {
        listen: listen.clone(),
        admin: token.map(|token| AdminSettings { listen, token, tls }),
    }
}

pub(super) fn refresh(refresh: &Reader<'_>) -> RefreshSettings {
    let read = RefreshSettings {
        ahead: refresh.duration("ahead"),
        timeout: refresh.duration("timeout"),
        adoption_grace: refresh.duration("adoption_grace"),
        hold: refresh.duration("hold"),
        default_lifetime: refresh.duration("default_lifetime"),
        keepalive: refresh.duration("keepalive"),
        concurrency: refresh
            .number::<usize>("concurrency")
            .try_into()
            .unwrap_or(NonZeroUsize::MIN),
        uncertain: match refresh.word("uncertain") {
            "park" => Uncertain::Park,
            _ => Uncertain::Resolve,
        },
    };
    if read.ahead >= read.keepalive {
        let remedy = "write a time below keepalive, such as \"3m\"";
        let finding = Finding::invalid("every connection would be refreshed all the time", remedy);
        refresh.report("ahead", finding);
    }
    if read.ahead >= read.default_lifetime {
        let remedy =
            "write a time below default_lifetime; half of a token's life is the most that counts";
        refresh.warn("ahead", "is as long as a token's assumed life", remedy);
    }
    read
}

/// The level comes from the variable of our own, then from `RUST_LOG`, then from the file.
pub(super) fn log(log: &Reader<'_>) -> LogSettings {
    let level = log.defaulted("level", filter);
    let environment = (log.variable("RUST_LOG")).filter(|text| {
        let overridden = log.variable("PLEO_GATEWAY_LOG__LEVEL").is_some();
        !overridden && !text.is_empty()
    });
    let environment = environment.filter(|text| match filter(text) {
        Ok(_) => true,
        Err(remedy) => {
            log.warn_of_variable("RUST_LOG", "is no filter, and passed over", remedy);
            false
        }
    });
    LogSettings {
        format: match log.word("format") {
            "text" => LogFormat::Text,
            _ => LogFormat::Json,
        },
        level: environment.map_or(level, str::to_owned),
    }
}

fn filter(text: &str) -> Result<String, Remedy> {
    let remedy = "write error, warn, info, debug or trace, or a filter such as \"info,pleo_gateway::tokens=debug\"";
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
    if text.is_empty() || (plain && !levels.contains(&text.to_ascii_lowercase().as_str())) {
        return Err(remedy);
    }
    EnvFilter::try_new(text).map_err(|_| remedy)?;
    Ok(text.to_owned())
}
