//! `/v1/connections…`: what operators see of connections and do to them.

use http::{Method, Request, StatusCode};
use serde_json::json as value;

use super::{Admin, Answer, json, problem, wrong_method};
use crate::model::connection::Connection;
use crate::model::ids::TenantName;
use crate::net::body::MessageBody;
use crate::telemetry::chain::chain;
use crate::tokens::Tokens;
use crate::tokens::operate::OperateError;
use crate::tokens::summary::{HistoryRow, Summary};

impl Admin {
    /// `rest` is what follows `/v1/connections`.
    pub(super) async fn connections<B: MessageBody>(
        &self,
        rest: &str,
        request: Request<B>,
    ) -> Answer {
        let (head, body) = request.into_parts();
        let (method, query) = (&head.method, head.uri.query());
        let mut words = rest.split('/').skip(1);
        let (Some(name), verb, None) = (words.next().or(Some("")), words.next(), words.next())
        else {
            return problem(StatusCode::NOT_FOUND, "no such page");
        };
        if name.is_empty() && verb.is_none() {
            return if method == Method::GET {
                self.list().await
            } else {
                wrong_method("GET")
            };
        }
        let Ok(tenant) = TenantName::parse(name) else {
            return problem(StatusCode::NOT_FOUND, "there is no such connection");
        };
        match (method, verb) {
            (&Method::GET, None) => self.shown(self.tokens.show(&tenant).await),
            (&Method::GET, Some("history")) => self.history(&tenant).await,
            (&Method::POST, Some("refresh")) => {
                self.done(|tokens| async move { tokens.refresh(&tenant).await })
                    .await
            }
            (&Method::POST, Some("verify")) => {
                let snapshot = self.snapshot.load_full();
                self.done(|tokens| async move {
                    let pinned = snapshot.pinned_company(&tenant);
                    tokens.verify(&tenant, pinned).await
                })
                .await
            }
            (&Method::POST, Some("disconnect")) => self.disconnect(&tenant, query).await,
            (&Method::POST, Some("link")) => self.link(&tenant, query).await,
            (&Method::POST, Some("import")) => self.import(&tenant, query, body).await,
            (&Method::PUT, Some("key")) => self.set_key(&tenant, query, body).await,
            (_, None | Some("history")) => wrong_method("GET"),
            (_, Some("key")) => wrong_method("PUT"),
            (_, Some("refresh" | "verify" | "disconnect" | "link" | "import")) => {
                wrong_method("POST")
            }
            (_, Some(_)) => problem(StatusCode::NOT_FOUND, "no such page"),
        }
    }

    async fn list(&self) -> Answer {
        match self.tokens.list().await {
            Ok(rows) => {
                let (mut shown, mut unreadable) = (Vec::new(), Vec::new());
                for row in rows {
                    match row {
                        Ok(row) => shown.push(Summary::of(&row, &self.policy)),
                        Err((tenant, error)) => {
                            unreadable.push(value!({ "tenant": tenant, "why": chain(&error) }));
                        }
                    }
                }
                let list = value!({ "connections": shown, "unreadable": unreadable });
                json(StatusCode::OK, &list)
            }
            Err(error) => failed(&error),
        }
    }

    async fn history(&self, tenant: &TenantName) -> Answer {
        match self.tokens.history(tenant).await {
            Ok(lines) => json(
                StatusCode::OK,
                &lines.iter().map(HistoryRow::from).collect::<Vec<_>>(),
            ),
            Err(error) => failed(&error),
        }
    }

    /// Does to a connection what `wish` says, to its end.
    pub(super) async fn done<F>(&self, wish: impl FnOnce(Tokens) -> F) -> Answer
    where
        F: Future<Output = Result<Connection, OperateError>> + Send + 'static,
    {
        let done = self.carried_out(wish(self.tokens.clone())).await;
        self.shown(done.unwrap_or(Err(OperateError::Panicked)))
    }

    fn shown(&self, done: Result<Connection, OperateError>) -> Answer {
        match done {
            Ok(row) => json(StatusCode::OK, &Summary::of(&row, &self.policy)),
            Err(error) => failed(&error),
        }
    }
}

pub(super) fn failed(error: &OperateError) -> Answer {
    let status = match error {
        OperateError::NotConnected(_) => StatusCode::NOT_FOUND,
        OperateError::WouldReplace(_)
        | OperateError::CompanyTaken(_)
        | OperateError::TokenTaken(_)
        | OperateError::TokenSpent
        | OperateError::WrongCompany { .. }
        | OperateError::NotUncertain(_)
        | OperateError::NotRefreshed(_)
        | OperateError::KeyRejected(_)
        | OperateError::NoCompany
        | OperateError::ScopesLost(_)
        | OperateError::NotInstalled(_)
        | OperateError::Restored(_)
        | OperateError::Refused
        | OperateError::ReauthorizationRequired(_) => StatusCode::CONFLICT,
        OperateError::NothingToVerify | OperateError::NotAKey(_) | OperateError::NotAToken(_) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        OperateError::Silent(_) | OperateError::Uninstall(_) => StatusCode::BAD_GATEWAY,
        OperateError::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        OperateError::Store(error) if error.is_damage() => StatusCode::INTERNAL_SERVER_ERROR,
        OperateError::TryAgain { .. } | OperateError::Store(_) | OperateError::StoreAway => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let words = match error {
        OperateError::WouldReplace(_) => format!("{error}: `?replace=true` replaces it"),
        OperateError::CompanyTaken(_) => {
            format!("{error}: disconnect that one, or add `?allow_shared_company=true`")
        }
        error => chain(error),
    };
    tracing::info!(error = words, "an operator's wish was not carried out");
    problem(status, &words)
}
