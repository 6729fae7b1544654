//! Questions to the server: one message there, one back, each in a transaction of its own that the server ends by itself, so
//! that a client that stops at any moment leaves nothing open. What is asked is not here.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::ServerAddress;
use crate::drain::Tasks;
use crate::net::database::{database_config, no_database_tls};
use crate::net::tls::TlsError;
use crate::store::seal::hex;
use crate::store::{OpenFault, StoreError};

/// The longest a question may take, with dialling.
const LIMIT: Duration = Duration::from_secs(4);
/// Links at once: questions are short.
const LINKS: usize = 8;
/// How often to try what the server undid for the sake of another transaction.
const TRIES: usize = 4;

/// What every transaction begins with. It says what the server's own settings must not change: commits are durable (a
/// stronger setting stays, design.md R3), waiting ends before we stop waiting, and rows are read as we read them.
const BEGINNING: &str = "set transaction isolation level read committed; \
     select set_config('synchronous_commit', \
         case current_setting('synchronous_commit') when 'remote_apply' then 'remote_apply' else 'on' end, true); \
     set local lock_timeout = '2s'; set local statement_timeout = '3s'; \
     set local search_path = pg_catalog; set local bytea_output = hex; ";

/// A server with a few links to it. Clones are the same.
#[derive(Clone, Debug)]
pub(in crate::store) struct Server {
    pub(super) config: Config,
    pub(super) tls: MakeTls,
    pub(super) tasks: Tasks,
    pool: Pool,
}

/// Makes TLS; with an `ServerAddress` in clear it is never asked to.
#[derive(Clone)]
pub(super) struct MakeTls(pub(super) MakeRustlsConnect);

impl std::fmt::Debug for MakeTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MakeTls")
    }
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Not reached, or not let in.
    #[error("no connection to the server")]
    Connect(#[source] tokio_postgres::Error),
    /// No answer in time.
    #[error("the server does not answer")]
    Silent {
        /// Whether the question was on its way.
        sent: bool,
    },
    /// It said why it did not do it, and did not.
    #[error("the server refused")]
    Refused(#[source] tokio_postgres::Error),
    /// The link ended before the answer.
    #[error("the link to the server was cut off")]
    CutOff(#[source] tokio_postgres::Error),
    /// The answer is none that our functions give.
    #[error("the server's answer makes no sense")]
    Nonsense,
    /// The store was closed.
    #[error("the store was closed")]
    Closed,
    /// A bug.
    #[error("the question ended in a panic")]
    Panicked,
}

impl ServerError {
    /// The server's own word for it (SQLSTATE).
    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Connect(error) | Self::Refused(error) | Self::CutOff(error) => error.code(),
            Self::Silent { .. } | Self::Nonsense | Self::Closed | Self::Panicked => None,
        }
    }

    /// True if what was asked may have been done nevertheless.
    fn is_open(&self) -> bool {
        match self {
            Self::CutOff(_) | Self::Panicked | Self::Silent { sent: true } => true,
            Self::Connect(_)
            | Self::Silent { sent: false }
            | Self::Refused(_)
            | Self::Nonsense
            | Self::Closed => false,
        }
    }

    /// Whose fault it is, if the store cannot be opened for it.
    pub(in crate::store) fn fault(&self) -> OpenFault {
        if self.is_damage() {
            return OpenFault::Damaged;
        }
        let code = self.code().map_or("", SqlState::code);
        match self {
            _ if code == SqlState::INSUFFICIENT_PRIVILEGE.code() => OpenFault::Permission,
            _ if code.starts_with("28") || code == SqlState::INVALID_CATALOG_NAME.code() => {
                OpenFault::Configuration
            }
            // The client tells it by words only.
            Self::Connect(error) if error.to_string().contains("TLS") => OpenFault::Configuration,
            _ => OpenFault::Away,
        }
    }

    /// Undone for the sake of another transaction: it may be asked again at once.
    fn gave_way(&self) -> bool {
        let code = self.code();
        code == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
            || code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
    }

    /// True for damage, and for what cannot happen in tables that only we write.
    pub(super) fn is_damage(&self) -> bool {
        let Self::Refused(error) = self else {
            return matches!(self, Self::Nonsense);
        };
        let code = error.code().map_or("", SqlState::code);
        let class = code.get(..2).unwrap_or_default();
        code != SqlState::INSUFFICIENT_PRIVILEGE.code()
            && ["22", "23", "3F", "42", "P0", "XX"].contains(&class)
    }

    /// A read's trouble.
    pub(super) fn of_read(self) -> StoreError {
        if self.is_damage() {
            StoreError::Corrupt(self.into())
        } else {
            StoreError::Unavailable(self.into())
        }
    }

    /// A write's trouble.
    pub(super) fn of_write(self) -> StoreError {
        if self.is_open() {
            StoreError::Unknown(self.into())
        } else {
            self.of_read()
        }
    }
}

impl Server {
    /// Dials nothing yet. Runs on the runtime that this is called on.
    pub(super) fn new(address: &ServerAddress) -> Result<Self, TlsError> {
        let tls = match &address.tls {
            Some(trust) => database_config(trust)?,
            None => no_database_tls()?,
        };
        let tls = MakeTls(MakeRustlsConnect::new(tls));
        let recycle = ManagerConfig {
            // Nothing is sent: behind a pooler it would reach another session.
            recycling_method: RecyclingMethod::Fast,
        };
        let config = (*address.config).clone();
        let manager = Manager::from_config(config.clone(), tls.0.clone(), recycle);
        let mut pool = Pool::builder(manager).max_size(LINKS);
        pool = pool.runtime(Runtime::Tokio1);
        Ok(Self {
            config,
            tls,
            tasks: Tasks::on(Handle::current()),
            #[expect(
                clippy::expect_used,
                reason = "it fails only for timeouts without a runtime"
            )]
            pool: pool.build().expect("a pool without timeouts of its own"),
        })
    }

    /// Has one of our functions do its work.
    pub(super) async fn call(&self, function: &str, asked: &Value) -> Result<Value, ServerError> {
        // In hexadecimal, which nothing can break out of, whatever the server takes for an escape.
        let asked = hex(asked.to_string().as_bytes());
        let sql = format!(
            "select coalesce(pleo_gateway.{function}(convert_from(decode('{asked}', 'hex'), 'utf8')::jsonb), 'null')::text"
        );
        let text = self.ask(sql).await?.ok_or(ServerError::Nonsense)?;
        serde_json::from_str(&text).map_err(|_| ServerError::Nonsense)
    }

    /// Has statements carried out, all or none; the first column of the last row. It is done even if the caller does not
    /// wait for it.
    pub(super) async fn ask(&self, sql: String) -> Result<Option<String>, ServerError> {
        self.ask_within(sql, LIMIT).await
    }

    /// The same for what takes longer.
    pub(super) async fn ask_within(
        &self,
        sql: String,
        limit: Duration,
    ) -> Result<Option<String>, ServerError> {
        if self.tasks.is_stopping() {
            return Err(ServerError::Closed);
        }
        let pool = self.pool.clone();
        let sql: Arc<str> = format!("{BEGINNING}{sql}").into();
        let asking = self.tasks.spawn(async move {
            let end = Instant::now() + limit;
            let mut tried = 1;
            loop {
                match once(&pool, &sql, end).await {
                    Err(error) if error.gave_way() && tried < TRIES => tried += 1,
                    done => return done,
                }
            }
        });
        asking.await.unwrap_or(Err(ServerError::Panicked))
    }

    /// Runs beside the questions until the store is closed.
    pub(super) fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        let tasks = self.tasks.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = tasks.stopping() => {}
                () = work => {}
            }
        });
    }

    /// Ends after what was asked already.
    pub(super) async fn close(&self) {
        self.tasks.stop();
        // None of them takes longer.
        self.tasks.finished(LIMIT * 2).await;
        self.pool.close();
    }
}

async fn once(pool: &Pool, sql: &str, end: Instant) -> Result<Option<String>, ServerError> {
    let link = match timeout_at(end, pool.get()).await {
        Ok(Ok(link)) => link,
        Ok(Err(PoolError::Backend(error))) => return Err(ServerError::Connect(error)),
        Ok(Err(PoolError::Closed)) => return Err(ServerError::Closed),
        Ok(Err(_)) | Err(_) => return Err(ServerError::Silent { sent: false }),
    };
    let error = match timeout_at(end, link.simple_query(sql)).await {
        Ok(Ok(messages)) => return Ok(last(&messages)),
        Ok(Err(error)) => match error.as_db_error() {
            Some(said) if !ends_the_link(said.code()) => return Err(ServerError::Refused(error)),
            _ => ServerError::CutOff(error),
        },
        Err(_) => ServerError::Silent { sent: true },
    };
    // None of the links is trusted after that: the next question dials.
    drop(Object::take(link));
    pool.retain(|_, _| false);
    Err(error)
}

fn last(messages: &[SimpleQueryMessage]) -> Option<String> {
    let row = messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    row.get(0).map(str::to_owned)
}

/// The server goes away, or a pooler lost it: what became of the question is not said.
fn ends_the_link(code: &SqlState) -> bool {
    code.code().starts_with("08") || code.code().starts_with("57P")
}
