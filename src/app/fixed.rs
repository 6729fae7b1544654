//! What is built once at the start and stays until the next one: what a reload cannot change, and the name by which that is
//! reported. `reload` and `plan` ask the same question here.

use crate::config::{
    Address, AdminSettings, ConnectSettings, CustomEndpoints, ListenSettings, LogSettings,
    PleoEnvironment, PleoSettings, ProxySettings, RefreshSettings, Settings, StoreSettings,
    TelemetrySettings,
};
use crate::model::limits::Limits;

/// What stays until the next start.
#[derive(Debug, PartialEq)]
pub(super) struct Fixed {
    bindings: Vec<Binding>,
    pleo: PleoSettings,
    store: StoreSettings,
    proxy: ProxySettings,
    connect: ConnectSettings,
    admin: AdminSettings,
    refresh: RefreshSettings,
    log: LogSettings,
    telemetry: TelemetrySettings,
    limits: Limits,
}

/// What a callers' door is bound with. Its tenant, its names and the files of its certificate are left out: later links
/// follow the new ones.
#[derive(Debug, PartialEq)]
struct Binding {
    address: Address,
    mode: u32,
    half_close: bool,
    is_secure: bool,
}

impl Fixed {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            bindings: bindings(&settings.listens),
            pleo: settings.pleo.clone(),
            store: settings.store.clone(),
            proxy: settings.proxy.clone(),
            connect: settings.connect.clone(),
            admin: settings.admin.clone(),
            refresh: settings.refresh.clone(),
            log: settings.log.clone(),
            telemetry: settings.telemetry.clone(),
            limits: of_links(&settings.snapshot.limits),
        }
    }

    /// The keys that differ, in the order of the reference; doors by their addresses.
    pub(super) fn changed(&self, new: &Self) -> Vec<String> {
        let before = [pleo(&self.pleo, &new.pleo), store(&self.store, &new.store)];
        let after = [
            proxy(&self.proxy, &new.proxy),
            connect(&self.connect, &new.connect),
            admin(&self.admin, &new.admin),
            refresh(&self.refresh, &new.refresh),
            limits(&self.limits, &new.limits),
            log(&self.log, &new.log),
            telemetry(&self.telemetry, &new.telemetry),
        ];
        let owned = |names: Vec<&'static str>| names.into_iter().map(str::to_owned);
        (before.into_iter().flat_map(owned))
            .chain(doors(&self.bindings, &new.bindings))
            .chain(after.into_iter().flat_map(owned))
            .collect()
    }
}

/// What of the doors waits for a restart: keys of those that stay, those that go, those that come.
fn doors(old: &[Binding], new: &[Binding]) -> Vec<String> {
    let addresses = |bindings: &[Binding]| -> Vec<Address> {
        bindings.iter().map(|b| b.address.clone()).collect()
    };
    let places = places_of(&addresses(old), &addresses(new));
    let of_old = old.iter().zip(&places).flat_map(|(binding, place)| {
        let keys = match place {
            None => vec!["closes"],
            Some(place) => {
                let Binding {
                    address: _,
                    mode,
                    half_close,
                    is_secure,
                } = &new[*place];
                named([
                    ("mode", binding.mode != *mode),
                    ("half_close", binding.half_close != *half_close),
                    ("tls", binding.is_secure != *is_secure),
                ])
            }
        };
        let address = &binding.address;
        keys.into_iter()
            .map(move |key| format!("[[listen]] {address} {key}"))
    });
    let come = (new.iter().enumerate()).filter(|(place, _)| !places.contains(&Some(*place)));
    of_old
        .chain(come.map(|(_, binding)| format!("[[listen]] {} opens", binding.address)))
        .collect()
}

/// The names of what differs.
pub(super) fn named<const N: usize>(keys: [(&'static str, bool); N]) -> Vec<&'static str> {
    keys.into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name)
        .collect()
}

/// The keys of a section that differ. One that is not listed does not compile.
macro_rules! differing {
    ($section:literal, $kind:ident { $($key:ident),* }, $old:ident, $new:ident) => {{
        let $kind { $($key: _),* } = $old;
        named([$((concat!($section, " ", stringify!($key)), $old.$key != $new.$key)),*])
    }};
}

fn pleo(old: &PleoSettings, new: &PleoSettings) -> Vec<&'static str> {
    let urls = match (&old.environment, &new.environment) {
        (PleoEnvironment::Custom(old), PleoEnvironment::Custom(new)) => urls(old, new),
        (old, new) => named([("[pleo] environment", old != new)]),
    };
    let new = &PleoSettings {
        environment: old.environment.clone(),
        ..new.clone()
    };
    let others = differing!(
        "[pleo]",
        PleoSettings {
            environment,
            client_id,
            client_secret,
            client_auth,
            redirect_uri,
            ca_file
        },
        old,
        new
    );
    [urls, others].concat()
}

fn urls(old: &CustomEndpoints, new: &CustomEndpoints) -> Vec<&'static str> {
    differing!(
        "[pleo]",
        CustomEndpoints {
            authorize_url,
            token_url,
            introspect_url,
            api_url
        },
        old,
        new
    )
}

fn store(old: &StoreSettings, new: &StoreSettings) -> Vec<&'static str> {
    named([
        ("[store] sqlite or postgres", old.database != new.database),
        ("[store] sealing_keys", old.sealing_keys != new.sealing_keys),
        ("[store] salvage", old.salvage != new.salvage),
        ("[store] high_water", old.high_water != new.high_water),
    ])
}

fn proxy(old: &ProxySettings, new: &ProxySettings) -> Vec<&'static str> {
    differing!(
        "[proxy]",
        ProxySettings {
            threads,
            allow_private_upstream
        },
        old,
        new
    )
}

fn connect(old: &ConnectSettings, new: &ConnectSettings) -> Vec<&'static str> {
    differing!(
        "[connect]",
        ConnectSettings {
            listen,
            public_url,
            tls
        },
        old,
        new
    )
}

fn admin(old: &AdminSettings, new: &AdminSettings) -> Vec<&'static str> {
    // What operators present is read again.
    let new = &AdminSettings {
        token: old.token.clone(),
        ..new.clone()
    };
    differing!("[admin]", AdminSettings { listen, token, tls }, old, new)
}

fn refresh(old: &RefreshSettings, new: &RefreshSettings) -> Vec<&'static str> {
    differing!(
        "[refresh]",
        RefreshSettings {
            ahead,
            timeout,
            adoption_grace,
            hold,
            default_lifetime,
            keepalive,
            concurrency,
            uncertain
        },
        old,
        new
    )
}

fn limits(old: &Limits, new: &Limits) -> Vec<&'static str> {
    differing!(
        "[limits]",
        Limits {
            max_connections,
            max_connections_per_peer,
            max_header_bytes,
            max_headers,
            max_uri_bytes,
            header_timeout,
            body_idle_timeout,
            idle_timeout,
            request_timeout,
            connect_timeout,
            first_byte_timeout,
            max_request_body,
            replay_buffer,
            max_in_flight,
            max_queue_per_tenant,
            max_streams,
            upstream_links,
            upstream_idle_timeout,
            drain_delay,
            drain_timeout
        },
        old,
        new
    )
}

fn log(old: &LogSettings, new: &LogSettings) -> Vec<&'static str> {
    differing!("[log]", LogSettings { format, level }, old, new)
}

/// The variables beside it belong to the process, and stay.
fn telemetry(old: &TelemetrySettings, new: &TelemetrySettings) -> Vec<&'static str> {
    named([("[telemetry] otlp_endpoint", old.traces != new.traces)])
}

fn bindings(listens: &[ListenSettings]) -> Vec<Binding> {
    (listens.iter())
        .map(|listen| Binding {
            address: listen.address.clone(),
            mode: listen.mode,
            half_close: listen.half_close,
            is_secure: listen.tls.is_some(),
        })
        .collect()
}

/// The limits that links are made with; those that requests read anew are left out.
fn of_links(limits: &Limits) -> Limits {
    let Limits {
        max_uri_bytes,
        request_timeout,
        max_request_body,
        replay_buffer,
        max_in_flight,
        ..
    } = Limits::default();
    Limits {
        max_uri_bytes,
        request_timeout,
        max_request_body,
        replay_buffer,
        max_in_flight,
        ..limits.clone()
    }
}

/// For every door opened at the start, its place in a new configuration: the door with its address and, among several with
/// one address, the same position. `None` where that is unclear or the door is gone: it stays as it is.
pub(super) fn places(old: &[ListenSettings], new: &[ListenSettings]) -> Vec<Option<usize>> {
    let addresses = |listens: &[ListenSettings]| -> Vec<Address> {
        listens.iter().map(|l| l.address.clone()).collect()
    };
    places_of(&addresses(old), &addresses(new))
}

fn places_of(old: &[Address], new: &[Address]) -> Vec<Option<usize>> {
    (old.iter().enumerate())
        .map(|(place, address)| {
            let turn = old[..place]
                .iter()
                .filter(|other| *other == address)
                .count();
            let count = old.iter().filter(|other| *other == address).count();
            let found: Vec<usize> = (new.iter().enumerate())
                .filter(|(_, other)| *other == address)
                .map(|(place, _)| place)
                .collect();
            (found.len() == count).then(|| found[turn])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_requests_read_anew_need_no_restart() {
        let mut limits = Limits {
            max_request_body: 1,
            max_in_flight: 1,
            ..Limits::default()
        };
        assert_eq!(of_links(&limits), of_links(&Limits::default()));
        limits.upstream_links = 1;
        assert_ne!(of_links(&limits), of_links(&Limits::default()));
    }

    fn listens(ports: &[u16]) -> Vec<ListenSettings> {
        let listen = |port: &u16| ListenSettings {
            address: Address::Tcp(([127, 0, 0, 1], *port).into()),
            tls: None,
            mode: 0o600,
            half_close: false,
        };
        ports.iter().map(listen).collect()
    }

    #[test]
    fn a_door_is_found_by_its_address_and_never_guessed() {
        for (old, new, found) in [
            (&[1, 2][..], &[2, 1][..], &[Some(1), Some(0)][..]),
            (&[1, 2], &[2, 3], &[None, Some(0)]),
            (&[0, 0], &[1, 0, 0], &[Some(1), Some(2)]),
            (&[0, 0], &[0], &[None, None]),
            (&[0], &[0, 0], &[None]),
        ] {
            assert_eq!(
                places(&listens(old), &listens(new)),
                found,
                "{old:?} {new:?}"
            );
        }
    }

    #[test]
    fn what_of_the_doors_waits_for_a_restart_is_named_by_address() {
        let waits =
            |old: &[ListenSettings], new: &[ListenSettings]| doors(&bindings(old), &bindings(new));
        assert_eq!(waits(&listens(&[1, 2]), &listens(&[2, 1])), [""; 0]);
        let mut new = listens(&[2, 3]);
        (new[0].mode, new[0].half_close) = (0o660, true);
        assert_eq!(
            waits(&listens(&[1, 2]), &new),
            [
                "[[listen]] 127.0.0.1:1 closes",
                "[[listen]] 127.0.0.1:2 mode",
                "[[listen]] 127.0.0.1:2 half_close",
                "[[listen]] 127.0.0.1:3 opens",
            ]
        );
    }
}
