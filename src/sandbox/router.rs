//! Every call, from its head to its answer: which endpoint it is for, its body, its fault, its effect.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::ALLOW;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::answer::{Answer, Wire};
use super::faults::{Endpoint, play};
use super::grants::Arrival;
use super::server::Sandbox;
use super::socket::Link;
use super::{api, authorize, control, openapi, token};

/// A request that has arrived whole. No `Debug`: it holds tokens.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// Its beginning, as far as it is kept.
    pub(super) body: Bytes,
    /// True if there was more.
    pub(super) body_cut: bool,
}

/// Where a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Authorize,
    Token,
    TokenIntrospect,
    ApiIntrospect,
    Api,
    OpenApi,
    Control,
    Nowhere,
}

/// Bodies beyond this are refused.
const MAX_BODY: u64 = 64 * 1024 * 1024;
/// What is kept of a body; the rest is read and dropped.
const KEPT: usize = 1024 * 1024;

/// Answers one request.
pub(super) async fn answer(
    sandbox: Arc<Sandbox>,
    link: Link,
    request: Request<Incoming>,
) -> Result<Response<Wire>, Infallible> {
    let (head, body) = request.into_parts();
    let call = match read(body).await {
        Ok((body, body_cut)) => Arc::new(Call {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            body,
            body_cut,
        }),
        Err(answer) => return Ok(answer.into()),
    };
    let place = place(call.uri.path());
    let _visit = Visit::begin(&sandbox, place, &call);
    let struck = place
        .endpoint()
        .and_then(|endpoint| sandbox.fault(endpoint));
    let response = match struck {
        Some(struck) => play(&sandbox, &link, Arc::clone(&call), struck).await,
        None => act(&sandbox, &call).into(),
    };
    let (method, path, status) = (&call.method, call.uri.path(), response.status().as_u16());
    tracing::debug!(%method, path, status, "sandbox call");
    Ok(response)
}

/// The effect of a call and its right answer.
pub(super) fn act(sandbox: &Sandbox, call: &Call) -> Answer {
    let now = sandbox.now();
    let (options, companies) = (&sandbox.options, &sandbox.companies);
    match (place(call.uri.path()), &call.method) {
        (Place::Authorize, &Method::GET) => {
            authorize::show(&mut sandbox.state(), options, companies, call)
        }
        (Place::Authorize, &Method::POST) => {
            authorize::decide(&mut sandbox.state(), options, companies, call, now)
        }
        (Place::Token, &Method::POST) => token::token(&mut sandbox.state(), call, now),
        (Place::TokenIntrospect, &Method::POST) => {
            token::introspect(&mut sandbox.state(), call, now)
        }
        (Place::Authorize, _) => only("GET, POST"),
        (Place::Token | Place::TokenIntrospect, _) => only("POST"),
        (Place::ApiIntrospect | Place::Api, _) => api::answer(sandbox, call, now),
        (Place::OpenApi, &Method::GET) => Answer::json(StatusCode::OK, &openapi::document()),
        (Place::OpenApi, _) => only("GET"),
        (Place::Control, _) => control::answer(sandbox, call, now),
        (Place::Nowhere, _) => Answer::api_error(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "the sandbox has /oauth/authorize, /oauth/token, the API's paths, /openapi.json and /_sandbox/",
        ),
    }
}

impl Place {
    fn endpoint(self) -> Option<Endpoint> {
        match self {
            Self::Authorize => Some(Endpoint::Authorize),
            Self::Token => Some(Endpoint::Token),
            Self::TokenIntrospect | Self::ApiIntrospect => Some(Endpoint::Introspect),
            Self::Api => Some(Endpoint::Api),
            Self::OpenApi | Self::Control | Self::Nowhere => None,
        }
    }
}

fn place(path: &str) -> Place {
    match path {
        "/oauth/authorize" => Place::Authorize,
        "/oauth/token" => Place::Token,
        "/oauth/token/introspect" => Place::TokenIntrospect,
        "/v1/introspect" => Place::ApiIntrospect,
        "/openapi.json" => Place::OpenApi,
        _ if path.starts_with("/_sandbox/") => Place::Control,
        _ if path.starts_with("/v") => Place::Api,
        _ => Place::Nowhere,
    }
}

fn only(methods: &'static str) -> Answer {
    Answer::empty(StatusCode::METHOD_NOT_ALLOWED).with(ALLOW, methods)
}

/// Reads a body to its end. An error is the answer to give.
async fn read(mut body: Incoming) -> Result<(Bytes, bool), Answer> {
    let mut kept = BytesMut::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Answer::empty(StatusCode::BAD_REQUEST))?;
        let Some(chunk) = frame.data_ref() else {
            continue;
        };
        size += chunk.len() as u64;
        if size > MAX_BODY {
            let problem = "the body is larger than 64 MiB";
            return Err(Answer::api_error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "PAYLOAD_TOO_LARGE",
                problem,
            ));
        }
        kept.extend_from_slice(&chunk[..chunk.len().min(KEPT - kept.len())]);
    }
    let cut = size > kept.len() as u64;
    Ok((kept.freeze(), cut))
}

/// A refresh at the token endpoint, from its arrival until it is answered or given up.
struct Visit<'a> {
    sandbox: &'a Sandbox,
    arrival: Arrival,
}

impl<'a> Visit<'a> {
    fn begin(sandbox: &'a Sandbox, place: Place, call: &Call) -> Option<Self> {
        let refresh = (place == Place::Token).then(|| token::refresh_token_of(call))??;
        let arrival = sandbox.state().arrive(&refresh)?;
        Some(Self { sandbox, arrival })
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.sandbox.state().grants.leave(self.arrival);
    }
}
