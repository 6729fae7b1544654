//! The gateway's health. `/livez` is answered without looking anywhere.

use std::time::Duration;

use http::StatusCode;

use super::{Admin, Answer, text};

/// A store that takes longer is as good as away.
const STORE_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

impl Admin {
    /// Ready: every door open, not draining, the store answers and holds every pair. Configuration and keys were proven
    /// at the start, and no reload takes what is worse.
    pub(super) async fn ready(&self, query: Option<&str>) -> Answer {
        let asked = tokio::time::timeout(STORE_ANSWERS_WITHIN, self.store.now()).await;
        let checks = [
            ("started", self.stage.has_started()),
            ("configuration", self.stage.has_started()),
            ("not draining", !self.stage.is_draining()),
            ("store", matches!(asked, Ok(Ok(_)))),
            ("pairs stored", !self.tokens.hold_unstored()),
            ("keys", self.stage.has_started()),
        ];
        let ready = checks.iter().all(|(_, good)| *good);
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let verbose = query.is_some_and(|query| {
            query
                .split('&')
                .any(|key| key == "verbose" || key.starts_with("verbose="))
        });
        if !verbose {
            return text(status, if ready { "ok\n" } else { "not ready\n" });
        }
        let mut lines = String::new();
        for (name, good) in checks {
            lines.push_str(if good { "[+] " } else { "[-] " });
            lines.push_str(name);
            lines.push('\n');
        }
        text(status, lines)
    }

    pub(super) fn started(&self) -> Answer {
        if self.stage.has_started() {
            text(StatusCode::OK, "ok\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "starting\n")
        }
    }
}
