//! On whose behalf something is done, for the audit: the process's own, or somebody's. Carried along into the flight that is
//! started for them. What is written down is not here (`rows`).

use std::future::Future;

tokio::task_local! {
    static ON_BEHALF_OF: &'static str;
}

/// Does `work` on behalf of `who`: `admin`, `browser`.
pub async fn on_behalf_of<T>(who: &'static str, work: impl Future<Output = T>) -> T {
    ON_BEHALF_OF.scope(who, work).await
}

/// On whose behalf this is done; `None`: the process does it by itself.
pub(super) fn who() -> Option<&'static str> {
    ON_BEHALF_OF.try_with(|who| *who).ok()
}

/// Work that another task goes on with, on the same behalf.
pub(super) fn handed_on<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let who = who();
    async move {
        match who {
            Some(who) => on_behalf_of(who, work).await,
            None => work.await,
        }
    }
}
