//! Operators' requests that have flags or a body: to link, to import, to set a key, to disconnect. The body is what the
//! command reads from standard input; the query holds the command's flags by their names (contract.md sections 4 and 5).

use std::time::Duration;

use http::StatusCode;
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::connections::failed;
use super::{Admin, Answer, WHO, json, problem};
use crate::connect::link::{self, LinkError, Terms};
use crate::model::ids::TenantName;
use crate::model::query;
use crate::net::body::MessageBody;
use crate::secret::Secret;
use crate::tokens::api_key::{ApiKey, KeyKind, KeyTerms};
use crate::tokens::brought;
use crate::tokens::operate::{ImportTerms, OperateError};

/// A body that takes longer is not waited for.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// How long a link is good unless told otherwise.
const LINK_LASTS: Duration = Duration::from_hours(1);

/// The flags of the commands.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the query")]
struct Flags {
    allow_shared_company: bool,
    replace: bool,
    verify: bool,
    uninstall: bool,
    expires_in: Option<Duration>,
}

/// The body of `PUT …/key`. Other members are a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    key: Secret,
    #[serde(default)]
    kind: KeyKind,
}

impl Flags {
    /// Only those in `allowed` may be given; a switch is on as `name` or `name=true`, off as `name=false`. The error says
    /// what is wrong, for the operator.
    fn read(query: Option<&str>, allowed: &[&str]) -> Result<Self, String> {
        let mut flags = Self::default();
        for (name, value) in query::pairs(query.unwrap_or_default()) {
            let unclear = || format!("the query may hold: {}", allowed.join(", "));
            if !allowed.contains(&name.as_ref()) {
                return Err(unclear());
            }
            let switch = match value.as_ref() {
                "" | "true" => Some(true),
                "false" => Some(false),
                _ => None,
            };
            match name.as_ref() {
                "expires_in" => {
                    let seconds = value.parse::<u32>().map_err(|_| unclear())?;
                    flags.expires_in = Some(link::life(Duration::from_secs(seconds.into()))?);
                }
                "replace" => flags.replace = switch.ok_or_else(unclear)?,
                "verify" => flags.verify = switch.ok_or_else(unclear)?,
                "uninstall" => flags.uninstall = switch.ok_or_else(unclear)?,
                _ => flags.allow_shared_company = switch.ok_or_else(unclear)?,
            }
        }
        Ok(flags)
    }
}

impl Admin {
    pub(super) async fn link(&self, tenant: &TenantName, query: Option<&str>) -> Answer {
        let flags = match Flags::read(query, &["expires_in", "allow_shared_company"]) {
            Ok(flags) => flags,
            Err(detail) => return unprocessable(&detail),
        };
        let terms = Terms {
            scopes: self.snapshot.load().scopes_to_ask(tenant),
            expires: flags.expires_in.unwrap_or(LINK_LASTS),
            allow_shared_company: flags.allow_shared_company,
            who: WHO.to_owned(),
        };
        let (store, tokens) = (self.store.clone(), self.tokens.clone());
        let (public_url, tenant) = (self.public_url.clone(), tenant.clone());
        let issued = self.carried_out(async move {
            link::issue(&store, &tokens, &public_url, &tenant, terms).await
        });
        match issued.await {
            Some(Ok(issued)) => json(StatusCode::OK, &issued.to_json()),
            Some(Err(LinkError::Tenant(error))) => failed(&error),
            Some(Err(LinkError::Store(error))) => failed(&OperateError::Store(error)),
            None => failed(&OperateError::Panicked),
        }
    }

    pub(super) async fn disconnect(&self, tenant: &TenantName, query: Option<&str>) -> Answer {
        let flags = match Flags::read(query, &["uninstall"]) {
            Ok(flags) => flags,
            Err(detail) => return unprocessable(&detail),
        };
        let tenant = tenant.clone();
        self.done(|tokens| async move { tokens.disconnect(&tenant, flags.uninstall).await })
            .await
    }

    pub(super) async fn import<B: MessageBody>(
        &self,
        tenant: &TenantName,
        query: Option<&str>,
        body: B,
    ) -> Answer {
        let allowed = ["replace", "verify", "allow_shared_company"];
        let (flags, text) = match (Flags::read(query, &allowed), read(body).await) {
            (Ok(flags), Ok(text)) => (flags, text),
            (Err(detail), _) => return unprocessable(&detail),
            (_, Err(answer)) => return answer,
        };
        let brought = match brought::parse(&text) {
            Ok(brought) => brought,
            Err(words) => return unprocessable(&words),
        };
        if brought.tenant.is_some_and(|named| named != tenant.as_ref()) {
            return unprocessable("the JSON names another tenant than the path");
        }
        let terms = ImportTerms {
            expected_company: self.snapshot.load().pinned_company(tenant).cloned(),
            allow_shared_company: flags.allow_shared_company,
            replace: flags.replace,
            verify: flags.verify,
        };
        let tenant = tenant.clone();
        let bundle = brought.bundle;
        self.done(|tokens| async move { tokens.import(&tenant, bundle, &terms).await })
            .await
    }

    pub(super) async fn set_key<B: MessageBody>(
        &self,
        tenant: &TenantName,
        query: Option<&str>,
        body: B,
    ) -> Answer {
        let allowed = ["replace", "allow_shared_company"];
        let (flags, text) = match (Flags::read(query, &allowed), read(body).await) {
            (Ok(flags), Ok(text)) => (flags, text),
            (Err(detail), _) => return unprocessable(&detail),
            (_, Err(answer)) => return answer,
        };
        let Ok(body) = serde_json::from_str::<KeyBody>(&text) else {
            return unprocessable(r#"not the shape {"key","kind"}, kind integrated or standalone"#);
        };
        let key = match ApiKey::parse(body.key.expose()) {
            Ok(key) => key,
            Err(error) => return failed(&error.into()),
        };
        let terms = KeyTerms {
            kind: body.kind,
            expected_company: self.snapshot.load().pinned_company(tenant).cloned(),
            allow_shared_company: flags.allow_shared_company,
            replace: flags.replace,
        };
        let tenant = tenant.clone();
        self.done(|tokens| async move { tokens.set_key(&tenant, key, &terms).await })
            .await
    }
}

/// The whole body, if it is not too large, in a buffer with room for all of it: growing would leave copies behind.
async fn read<B: MessageBody>(body: B) -> Result<Zeroizing<String>, Answer> {
    let mut body = Limited::new(body, brought::LONGEST);
    let room = body
        .size_hint()
        .upper()
        .and_then(|most| usize::try_from(most).ok());
    let room = room.map_or(brought::LONGEST, |most| most.min(brought::LONGEST));
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let arrived = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            if let Some(data) = frame.data_ref() {
                bytes.extend_from_slice(data);
            }
        }
        true
    };
    if !matches!(
        tokio::time::timeout(ARRIVES_WITHIN, arrived).await,
        Ok(true)
    ) {
        let words = "the body is too large, too slow, or broke off";
        return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, words));
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(_) => Err(unprocessable("the body is no text")),
    }
}

fn unprocessable(words: &str) -> Answer {
    problem(StatusCode::UNPROCESSABLE_ENTITY, words)
}
