//! The OAuth calls: where to send a browser, a code for a pair, a pair for the next one. The oauth2 crate builds the
//! requests; `wire` sends them and `failure` sorts the answers, because the crate's own errors drop phase and status and
//! carry raw bodies.

use std::cell::RefCell;
use std::future::{Future, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::AUTHORIZATION;
use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RefreshToken, SyncHttpClient, TokenUrl,
};
use url::Url;
use zeroize::Zeroizing;

use super::Pleo;
use super::answer::TokenAnswer;
use super::endpoints::{ClientAuth, PleoOptions};
use super::failure::{self, ExchangeError, Refreshed};
use super::wire::{Errand, NotSentCause, Reply};
use crate::model::scope::ScopeSet;
use crate::secret::Secret;

/// Our OAuth client as the crate knows it.
pub(super) type Client =
    BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// Proof Key for Code Exchange, S256 (RFC 7636).
#[derive(Debug)]
pub struct Pkce {
    challenge: PkceCodeChallenge,
    /// Kept until the exchange: 256 bits in base64url.
    pub verifier: Secret,
}

impl Pkce {
    /// A new one, for one consent.
    pub fn make() -> Self {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        Self {
            challenge,
            verifier: Secret::new(verifier.into_secret()),
        }
    }
}

pub(super) fn client(options: &PleoOptions) -> Client {
    BasicClient::new(ClientId::new(options.client_id.clone()))
        .set_client_secret(ClientSecret::new(options.client_secret.expose().to_owned()))
        .set_auth_type(match options.client_auth {
            ClientAuth::Basic => AuthType::BasicAuth,
            ClientAuth::Post => AuthType::RequestBody,
        })
        .set_auth_uri(AuthUrl::from_url(options.endpoints.authorize.clone()))
        .set_token_uri(TokenUrl::from_url(options.endpoints.token.clone()))
        .set_redirect_uri(RedirectUrl::from_url(options.redirect_uri.clone()))
}

impl Pleo {
    /// Where a browser goes to consent.
    pub fn authorize_url(&self, scopes: &ScopeSet, state: &Secret, pkce: &Pkce) -> Url {
        let scopes = scopes
            .iter()
            .map(|scope| oauth2::Scope::new(scope.to_string()));
        let (url, _) = self
            .0
            .client
            .authorize_url(|| CsrfToken::new(state.expose().to_owned()))
            .add_scopes(scopes)
            .set_pkce_challenge(pkce.challenge.clone())
            .url();
        url
    }

    /// A code for the first pair. Sent once: a code whose answer was lost is spent (requirement 90).
    pub async fn exchange(
        &self,
        code: &Secret,
        verifier: &Secret,
    ) -> Result<TokenAnswer, ExchangeError> {
        let code = AuthorizationCode::new(code.expose().to_owned());
        let verifier = PkceCodeVerifier::new(verifier.expose().to_owned());
        let request = made_by(|draft| {
            let ask = self
                .0
                .client
                .exchange_code(code)
                .set_pkce_verifier(verifier);
            let _ = ask.request(draft);
        });
        let limit = self.0.options.exchange_timeout;
        let reply = self.ask_token(request, limit, || ready(true)).await;
        failure::sort(reply, self.0.wire.clock.wall())
    }

    /// A refresh token for the next pair: one call, sent once or not at all. `limit` covers dial, TLS, `before_send` and
    /// the answer, by the clock that counts suspend. `before_send` runs when only the first byte is left to send;
    /// false withholds it.
    pub async fn refresh<F, A>(
        &self,
        refresh_token: &Secret,
        limit: Duration,
        before_send: F,
    ) -> Refreshed
    where
        F: FnOnce() -> A + Send,
        A: Future<Output = bool> + Send,
    {
        let token = RefreshToken::new(refresh_token.expose().to_owned());
        let request = made_by(|draft| {
            let _ = self.0.client.exchange_refresh_token(&token).request(draft);
        });
        let reply = self.ask_token(request, limit, before_send).await;
        failure::sort(reply, self.0.wire.clock.wall()).into()
    }

    async fn ask_token<F, A>(
        &self,
        request: Option<Request<Bytes>>,
        limit: Duration,
        before_send: F,
    ) -> Reply
    where
        F: FnOnce() -> A + Send,
        A: Future<Output = bool> + Send,
    {
        let Some(request) = request else {
            return Reply::NotSent(NotSentCause::Unfit);
        };
        let errand = Errand {
            origin: &self.0.token_origin,
            request,
            limit,
        };
        self.0.wire.call(errand, before_send).await
    }
}

/// Takes the crate's request instead of sending it.
#[derive(Default)]
struct Draft(RefCell<Option<HttpRequest>>);

#[derive(Debug, thiserror::Error)]
#[error("taken, not sent")]
struct Taken;

impl SyncHttpClient for Draft {
    type Error = Taken;

    fn call(&self, request: HttpRequest) -> Result<HttpResponse, Taken> {
        self.0.replace(Some(request));
        Err(Taken)
    }
}

/// The request that `ask` would have had sent, its secrets out of sight and wiped when it is gone.
fn made_by(ask: impl FnOnce(&Draft)) -> Option<Request<Bytes>> {
    let draft = Draft::default();
    ask(&draft);
    let mut request = draft.0.into_inner()?;
    if let Some(authorization) = request.headers_mut().get_mut(AUTHORIZATION) {
        authorization.set_sensitive(true);
    }
    Some(request.map(|body| Bytes::from_owner(Zeroizing::new(body))))
}
