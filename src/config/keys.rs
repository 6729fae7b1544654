//! The exact shape of the file: every key with its type, its default and its description. The check, the environment's
//! overrides, the JSON Schema and `config/reference.toml` all follow this table; what values mean together is not here
//! (`build`).

/// One key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// True if it must be written.
    pub(super) required: bool,
    /// As the file would write it, without quotes; `None`: derived or absent, as `build` decides.
    pub(super) default: Option<&'static str>,
    /// A value as the file writes it, for the reference; empty where there is a default.
    pub(super) example: &'static str,
    /// True if the reference writes it out; otherwise it is a comment there.
    pub(super) shown: bool,
    /// For editors and the reference.
    pub(super) about: &'static str,
}

/// A value's type.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `"90s"`; zero only where it means "off".
    Duration { zero: bool },
    /// `"64KiB"` or bytes, within these bounds.
    Size { min: u64, max: u64 },
    /// `"300/min"`.
    Rate,
    /// A whole number within these bounds.
    Integer { min: i64, max: i64 },
    /// `true` or `false`.
    Boolean,
    /// `{ file = … }`, `{ env = … }` or `{ credential = … }`.
    Secret,
    /// Any number of these.
    List(&'static Shape),
    /// A table with these keys.
    Table(&'static [Key]),
    /// Any number of tables with these keys.
    Tables(&'static [Key]),
}

impl Shape {
    /// True if the environment writes it without quotes.
    pub(super) fn is_plain(self) -> bool {
        matches!(
            self,
            Self::Text | Self::Word(_) | Self::Duration { .. } | Self::Size { .. } | Self::Rate
        )
    }
}

/// The whole file.
pub(super) const FILE: &[Key] = &[
    required("version", VERSION, "1", "The form of this file: 1"),
    section("pleo", Shape::Table(PLEO), "Whose API, and who we are there"),
    section("store", Shape::Table(STORE), "Where connections are kept"),
    section("listen", Shape::Tables(LISTEN), "The doors for callers, one or more"),
    section("proxy", Shape::Table(PROXY), "How calls are passed on"),
    section("connect", Shape::Table(CONNECT), "The door for browsers"),
    section("admin", Shape::Table(ADMIN), "The door for operators"),
    section("refresh", Shape::Table(REFRESH), "How tokens are kept fresh"),
    section("limits", Shape::Table(LIMITS), "Every wait and every queue"),
    section("log", Shape::Table(LOG), "What is written to standard error"),
    section("telemetry", Shape::Table(TELEMETRY), "What is sent to collectors"),
    section("callers", Shape::Tables(CALLERS), "The programs that may call"),
    section("tenants", Shape::Tables(TENANTS), "What is particular about a tenant"),
    section("routes", Shape::Tables(ROUTES), "The calls that may be made"),
];

const VERSION: Shape = Shape::Integer { min: 1, max: 1 };
const TEXTS: Shape = Shape::List(&Shape::Text);
const OR_OFF: Shape = Shape::Duration { zero: true };
const ABOVE_ZERO: Shape = Shape::Duration { zero: false };
const COUNT: Shape = Shape::Integer { min: 1, max: 1_000_000 };
const COUNT_OR_OFF: Shape = Shape::Integer { min: 0, max: 1_000_000 };
/// hyper needs 8 KiB for a head.
const HEAD: Shape = Shape::Size { min: 8 << 10, max: 1 << 20 };
const URI: Shape = Shape::Size { min: 256, max: 1 << 20 };
const BODY: Shape = Shape::Size { min: 0, max: 1 << 40 };
const BUFFER: Shape = Shape::Size { min: 0, max: 64 << 20 };
const UID: Shape = Shape::Integer { min: 0, max: u32::MAX as i64 };

const PLEO: &[Key] = &[
    defaulted("environment", Shape::Word(&["production", "staging", "sandbox", "custom"]), "sandbox", "Which Pleo"),
    optional("client_id", Shape::Text, r#""the id of your OAuth client""#, "Our client's id; the sandbox needs none"),
    optional("client_secret", Shape::Secret, r#"{ file = "secrets/pleo-client-secret" }"#, "Our client's secret; the sandbox needs none"),
    defaulted("client_auth", Shape::Word(&["basic", "post"]), "basic", "How id and secret are sent"),
    optional("redirect_uri", Shape::Text, r#""http://127.0.0.1:8081/oauth/callback""#, "Where Pleo sends browsers back to; by default /oauth/callback on [connect]"),
    optional("authorize_url", Shape::Text, r#""https://auth.example.com/oauth/authorize""#, "Where browsers consent; this and the three below are for environment \"custom\" only: https, or http to loopback"),
    optional("token_url", Shape::Text, r#""https://auth.example.com/oauth/token""#, "Where tokens are made (custom only)"),
    optional("introspect_url", Shape::Text, r#""https://auth.example.com/oauth/token/introspect""#, "Where a token is explained (custom only)"),
    optional("api_url", Shape::Text, r#""https://api.example.com""#, "The base of the API (custom only)"),
    optional("ca_file", Shape::Text, r#""certs/extra-roots.pem""#, "Extra roots of trust, PEM"),
];

const STORE: &[Key] = &[
    defaulted("sqlite", Shape::Text, "data/gateway.db", "The embedded database's file"),
    optional("postgres", Shape::Secret, r#"{ env = "DATABASE_URL" }"#, "The URL of a server shared by replicas, instead of sqlite"),
    optional("sealing_keys", Shape::List(&Shape::Secret), r#"[{ file = "data/sealing.key" }]"#, "The first seals, all open; by default sealing.key beside the database"),
    optional("salvage", Shape::Text, r#""data/salvage""#, "Folder for pairs whose commit failed; by default salvage beside the database"),
    optional("high_water", Shape::Text, r#""data/high-water""#, "Newest pairs seen: keep it out of backups of the database; by default high-water beside it"),
];

const LISTEN: &[Key] = &[
    required("address", Shape::Text, r#""127.0.0.1:8080""#, "host:port, [v6]:port, unix:/path or fd:NAME (socket activation)"),
    optional("tls", Shape::Table(TLS_WITH_CLIENTS), r#"{ cert_file = "certs/cert.pem", key_file = "certs/key.pem", client_ca_file = "certs/clients.pem" }"#, "HTTPS"),
    optional("hosts", TEXTS, r#"["pleo.internal"]"#, "Names this door answers to where anonymous callers are allowed; by default loopback names and public_url"),
    optional("mode", Shape::Text, r#""0600""#, "Mode of a unix socket, octal; 0600 by default"),
    defaulted("half_close", Shape::Boolean, "false", "Serve clients that close their sending side early"),
    optional("tenant", Shape::Text, r#""acme""#, "Pins every request of this door to one tenant"),
];

const TLS_WITH_CLIENTS: &[Key] = &[
    required("cert_file", Shape::Text, r#""certs/cert.pem""#, "The certificate's chain, PEM"),
    required("key_file", Shape::Text, r#""certs/key.pem""#, "The certificate's key, PEM"),
    optional("client_ca_file", Shape::Text, r#""certs/clients.pem""#, "Ask callers for certificates from these, PEM"),
    optional("client_crl_file", Shape::Text, r#""certs/revoked.pem""#, "Revocation lists of all of these, PEM"),
];

const TLS: &[Key] = &[
    required("cert_file", Shape::Text, r#""certs/cert.pem""#, "The certificate's chain, PEM"),
    required("key_file", Shape::Text, r#""certs/key.pem""#, "The certificate's key, PEM"),
];

const PROXY: &[Key] = &[
    optional("public_url", Shape::Text, r#""http://127.0.0.1:8080""#, "How callers reach us; by default the first door's address"),
    optional("tenant_host", Shape::Text, r#""{tenant}.pleo.internal""#, "The tenant is a label of the Host: \"{tenant}.pleo.internal\""),
    defaulted("threads", Shape::Integer { min: 0, max: 1024 }, "0", "Threads that serve callers; 0 is one per core"),
    defaulted("observe", Shape::Boolean, "false", "Every route observes: scopes that enforcement would refuse are reported, and pass"),
    optional("allow_private_upstream", Shape::Boolean, "true", "Pleo's host may be on a private network; true for custom and sandbox"),
];

const CONNECT: &[Key] = &[
    defaulted("listen", Shape::Text, "127.0.0.1:8081", "Where browsers arrive"),
    optional("public_url", Shape::Text, r#""http://127.0.0.1:8081""#, "How browsers reach us; by default the origin of redirect_uri"),
    optional("tls", Shape::Table(TLS), r#"{ cert_file = "certs/cert.pem", key_file = "certs/key.pem" }"#, "HTTPS"),
];

const ADMIN: &[Key] = &[
    defaulted("listen", Shape::Text, "127.0.0.1:9090", "Health, metrics and API"),
    optional("token", Shape::Secret, r#"{ file = "data/admin.token" }"#, "What operators present; by default data/admin.token, made at the first start"),
    optional("tls", Shape::Table(TLS), r#"{ cert_file = "certs/cert.pem", key_file = "certs/key.pem" }"#, "HTTPS; beyond loopback and without it only health and metrics are served"),
];

const REFRESH: &[Key] = &[
    defaulted("ahead", ABOVE_ZERO, "3m", "Refresh when less life than this is left, at most half the lifetime"),
    defaulted("timeout", ABOVE_ZERO, "20s", "Of one call to the token endpoint"),
    defaulted("adoption_grace", ABOVE_ZERO, "2m", "How long an attempt of unknown fate is waited for after its deadline"),
    defaulted("hold", OR_OFF, "2s", "How long sends wait while a refresh runs, half of it for uploads to end; 0s is off"),
    defaulted("default_lifetime", ABOVE_ZERO, "5m", "Of an access token that does not say"),
    defaulted("keepalive", ABOVE_ZERO, "20d", "An idle connection is refreshed at least this often"),
    defaulted("concurrency", Shape::Integer { min: 1, max: 1024 }, "8", "Refreshes at once, and as many that nobody waits for"),
    defaulted("uncertain", Shape::Word(&["resolve", "park"]), "resolve", "What becomes of an attempt of unknown fate"),
];

const LIMITS: &[Key] = &[
    defaulted("max_connections", COUNT, "10000", "Callers' links at once"),
    defaulted("max_connections_per_peer", COUNT_OR_OFF, "0", "Callers' links from one address; 0 is off"),
    defaulted("max_header_bytes", HEAD, "64KiB", "A request's head (431)"),
    defaulted("max_headers", Shape::Integer { min: 10, max: 10_000 }, "100", "Fields of a request's head (431)"),
    defaulted("max_uri_bytes", URI, "16KiB", "A request's target (414)"),
    defaulted("header_timeout", ABOVE_ZERO, "10s", "Until a head is complete"),
    defaulted("body_idle_timeout", ABOVE_ZERO, "30s", "A body that does not move, either way"),
    defaulted("idle_timeout", ABOVE_ZERO, "75s", "A link between requests"),
    defaulted("request_timeout", OR_OFF, "5m", "The whole of a request; 0s is off"),
    defaulted("connect_timeout", ABOVE_ZERO, "5s", "To Pleo: resolve, dial and TLS"),
    defaulted("first_byte_timeout", ABOVE_ZERO, "60s", "To Pleo: until the answer's head"),
    defaulted("max_request_body", BODY, "64MiB", "A request's body (413)"),
    defaulted("replay_buffer", BUFFER, "64KiB", "What is kept of a body for a replay"),
    defaulted("max_in_flight", COUNT, "4096", "Requests at once"),
    defaulted("max_queue_per_tenant", COUNT, "1024", "Requests of a tenant that wait for a token"),
    defaulted("max_streams", Shape::Integer { min: 1, max: 10_000 }, "100", "HTTP/2 streams per link"),
    defaulted("upstream_links", COUNT, "256", "Links to Pleo"),
    defaulted("upstream_idle_timeout", ABOVE_ZERO, "60s", "A link to Pleo between requests"),
    defaulted("drain_delay", OR_OFF, "0s", "On SIGTERM: not ready, still accepting"),
    defaulted("drain_timeout", OR_OFF, "25s", "On SIGTERM: until requests in flight are cut"),
];

const LOG: &[Key] = &[
    defaulted("format", Shape::Word(&["json", "text"]), "json", "How lines look"),
    defaulted("level", Shape::Text, "info", "A filter such as \"info,pleo_gateway::tokens=debug\"; RUST_LOG comes first"),
    defaulted("access", Shape::Boolean, "true", "One line per request"),
];

const TELEMETRY: &[Key] = &[optional(
    "otlp_endpoint",
    Shape::Text,
    r#""http://127.0.0.1:4318""#,
    "Sends traces to an OpenTelemetry collector, by OTLP over HTTP, at /v1/traces below. OTEL_* variables are honoured",
)];

const CALLERS: &[Key] = &[
    required("name", Shape::Text, r#""erp""#, "The caller's name"),
    shown("key_sha256", TEXTS, r#"["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]"#, "Digests of its keys, lower-case hex; two during a rotation. `pleo-gateway callers new` prints them"),
    optional("client_cert", TEXTS, r#"["dns:erp.internal"]"#, "Names in a verified client certificate, such as \"dns:erp.internal\""),
    optional("unix_uid", Shape::List(&UID), "[1001]", "User ids of the peer of a unix socket"),
    defaulted("anonymous", Shape::Boolean, "false", "It is whoever presents nothing; only on local doors and for named tenants"),
    required("tenants", TEXTS, r#"["acme"]"#, "For whom it may call: names, or [\"*\"]"),
    optional("scopes", TEXTS, r#"["export-jobs:read"]"#, "It never gets more than these"),
    optional("rate", Shape::Rate, r#""300/min""#, "Calls a time: N/s, N/min or N/h, per process; off unless set"),
    optional("max_in_flight", COUNT, "20", "Calls at once; off unless set"),
];

const TENANTS: &[Key] = &[
    required("name", Shape::Text, r#""acme""#, "The tenant's name: a-z, 0-9 and -"),
    optional("company_id", Shape::Text, r#""3fa85f64-5717-4562-b3fc-2c963f66afa6""#, "Refuse a connection to any other Pleo company"),
    optional("scopes", TEXTS, r#"["export-jobs:read"]"#, "Asked for at connect; by default what its callers' routes need"),
    shown("rate", Shape::Rate, r#""500/min""#, "Calls a time, shared by its callers; 500/min is what Pleo advises. Off unless set"),
];

const ROUTES: &[Key] = &[
    shown("catalogue", Shape::Text, r#""export/v3""#, "A family and version of Pleo's catalogue, such as \"export/v3\", \"tags/*\" or \"*\""),
    optional("operations", TEXTS, r#"["createExportJobV3"]"#, "Only these of it, by their names in the catalogue; by default all"),
    shown("name", Shape::Text, r#""employees""#, "The route's name, in logs and metrics; by default its methods and path"),
    shown("methods", TEXTS, r#"["GET"]"#, "By default every method"),
    shown("path", Shape::Text, r#""/v2/employees/{employeeId}""#, "{name} is a segment, or its part before a suffix; {*rest} is all that remains"),
    shown("scopes", TEXTS, r#"["users:read"]"#, "All are required"),
    optional("callers", TEXTS, r#"["erp"]"#, "Only for these callers; by default for every caller"),
    defaulted("deny", Shape::Boolean, "false", "Refuse what it matches"),
    optional("timeout", OR_OFF, r#""30s""#, "The whole of a request; 0s is off; by default request_timeout of [limits]"),
    optional("max_request_body", BODY, r#""8MiB""#, "A request's body (413); by default that of [limits]"),
    optional("replay_buffer", BUFFER, r#""64KiB""#, "What is kept of a body for a replay; by default that of [limits]"),
    optional("company", Shape::Text, r#""query:company_id""#, "The query key that must name the connection's company"),
    defaulted("observe", Shape::Boolean, "false", "Report what enforcement would refuse, and let it pass"),
    defaulted("allow_set_cookie", Shape::Boolean, "false", "Let Pleo's Set-Cookie pass"),
    optional("rate", Shape::Rate, r#""60/min""#, "Calls a time; off unless set"),
    optional("max_in_flight", COUNT, "10", "Calls at once; off unless set"),
];

const fn required(name: &'static str, shape: Shape, example: &'static str, about: &'static str) -> Key {
    Key { required: true, example, ..section(name, shape, about) }
}

const fn optional(name: &'static str, shape: Shape, example: &'static str, about: &'static str) -> Key {
    Key { example, shown: false, ..section(name, shape, about) }
}

const fn shown(name: &'static str, shape: Shape, example: &'static str, about: &'static str) -> Key {
    Key { example, ..section(name, shape, about) }
}

const fn defaulted(name: &'static str, shape: Shape, default: &'static str, about: &'static str) -> Key {
    Key { default: Some(default), ..section(name, shape, about) }
}

const fn section(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, required: false, default: None, example: "", shown: true, about }
}
