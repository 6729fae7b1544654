//! Where Pleo is and who we are to it: the endpoints of each environment and our OAuth client's settings. Nothing is sent
//! from here.

use std::fmt::Write;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use url::Url;

use crate::model::ids::ProviderId;
use crate::secret::Secret;

/// Which Pleo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Customers' companies.
    Production,
    /// Pleo's own test environment: other clients, other companies.
    Staging,
    /// `pleo-gateway sandbox` on this machine.
    Sandbox,
    /// Endpoints of one's own.
    Custom,
}

impl Environment {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Sandbox => "sandbox",
            Self::Custom => "custom",
        }
    }
}

/// Pleo's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Where browsers consent.
    pub authorize: Url,
    /// Where codes and refresh tokens become pairs.
    pub token: Url,
    /// RFC 7662. "Who am I" is not asked here but at the API, which knows keys as well.
    pub introspect: Url,
    /// The API's base.
    pub api: Url,
}

impl Endpoints {
    /// Customers' companies.
    pub fn production() -> Self {
        Self::at("https://auth.pleo.io", "https://external.pleo.io")
    }

    /// Pleo's test environment.
    pub fn staging() -> Self {
        Self::at(
            "https://auth.staging.pleo.io",
            "https://external.staging.pleo.io",
        )
    }

    /// The stand-in on this machine: one origin for both hosts.
    pub fn sandbox() -> Self {
        Self::at("http://127.0.0.1:9400", "http://127.0.0.1:9400")
    }

    #[expect(clippy::expect_used, reason = "constants, all read by a test")]
    fn at(auth: &str, api: &str) -> Self {
        let url = |text: String| Url::parse(&text).expect("a constant URL");
        Self {
            authorize: url(format!("{auth}/oauth/authorize")),
            token: url(format!("{auth}/oauth/token")),
            introspect: url(format!("{auth}/oauth/token/introspect")),
            api: url(api.to_owned()),
        }
    }
}

/// How the OAuth client proves itself to the token endpoint. One or the other, never both, never probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_secret_basic`: what Pleo documents.
    #[default]
    Basic,
    /// `client_secret_post`.
    Post,
}

/// All that this room needs to know: `[pleo]` of the configuration.
#[derive(Clone, Debug)]
pub struct PleoOptions {
    /// Which Pleo.
    pub environment: Environment,
    /// Its addresses.
    pub endpoints: Endpoints,
    /// Our OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// How it proves itself.
    pub client_auth: ClientAuth,
    /// Where Pleo sends browsers back to, exactly as registered.
    pub redirect_uri: Url,
    /// How long a code exchange may take, dial and TLS included.
    pub exchange_timeout: Duration,
}

impl PleoOptions {
    /// The authorisation server that rows belong to: environment, token URL and client id (contract.md section 4).
    pub fn provider_id(&self) -> ProviderId {
        let parts = [
            self.environment.as_str(),
            self.endpoints.token.as_str(),
            &self.client_id,
        ];
        // None of the first two can hold a line feed, so no two triples give one text.
        let digest = digest(&SHA256, parts.join("\n").as_bytes());
        let hex = digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        ProviderId::new(hex)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Options for a Pleo at `base`, which stands for both of its hosts.
    pub(crate) fn options(base: &str) -> PleoOptions {
        PleoOptions {
            environment: Environment::Custom,
            endpoints: Endpoints::at(base, base),
            client_id: "client one".to_owned(),
            client_secret: Secret::new("s3cret+canary"),
            client_auth: ClientAuth::Basic,
            redirect_uri: Url::parse("https://gateway.example.com/oauth/callback").unwrap(),
            exchange_timeout: Duration::from_secs(5),
        }
    }

    #[test]
    fn the_environments_are_where_pleo_says() {
        let production = Endpoints::production();
        assert_eq!(
            production.authorize.as_str(),
            "https://auth.pleo.io/oauth/authorize"
        );
        assert_eq!(
            production.token.as_str(),
            "https://auth.pleo.io/oauth/token"
        );
        assert_eq!(production.api.as_str(), "https://external.pleo.io/");
        assert_eq!(
            Endpoints::staging().introspect.as_str(),
            "https://auth.staging.pleo.io/oauth/token/introspect"
        );
        assert_eq!(
            Endpoints::sandbox().token.as_str(),
            "http://127.0.0.1:9400/oauth/token"
        );
    }

    #[test]
    fn another_client_token_url_or_environment_is_another_provider() {
        let one = options("http://127.0.0.1:1");
        let mut others = [one.clone(), one.clone(), one.clone()];
        "two".clone_into(&mut others[0].client_id);
        others[1].endpoints.token.set_path("/other");
        others[2].environment = Environment::Sandbox;
        for other in &others {
            assert_ne!(one.provider_id(), other.provider_id());
        }
        assert_eq!(one.provider_id(), one.clone().provider_id());
        assert_eq!(one.provider_id().as_ref().len(), 64);
    }

    #[test]
    fn options_print_without_the_secret() {
        assert!(!format!("{:?}", options("http://127.0.0.1:1")).contains("canary"));
    }
}
