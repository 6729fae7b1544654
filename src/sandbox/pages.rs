//! The pages that a browser sees: consent, and a problem. Everything from outside is escaped here.

use std::fmt::Write as _;

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};

use super::answer::Answer;
use super::authorize::Asked;
use super::options::CLIENT_ID;
use super::state::Company;
use crate::model::scope::ScopeSet;

const STYLE: &str = "\
body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}\
h1{font-size:1.4rem}code{background:#f2f2f2;padding:.1rem .3rem;border-radius:.2rem}\
label,select{display:block;font:inherit}select{width:100%;padding:.4rem;margin:.3rem 0 1rem}\
button{font:inherit;padding:.5rem 1.2rem;margin-right:.5rem;border:1px solid #1b1b1b;border-radius:.3rem;background:#fff}\
button[value=approve]{background:#1b1b1b;color:#fff}.note{color:#595959;font-size:.9rem}\
@media(prefers-color-scheme:dark){body{background:#161616;color:#eee}code{background:#2a2a2a}.note{color:#aaa}\
button,select{background:#161616;color:#eee;border-color:#eee}button[value=approve]{background:#eee;color:#161616}}";

/// Asks the customer. The form carries the request, so that nothing has to be remembered.
pub(super) fn consent(asked: &Asked, companies: &[Company]) -> Answer {
    let mut body = format!(
        "<h1>Connect <code>{CLIENT_ID}</code> to Pleo?</h1>\
         <p>It asks for:</p><ul>{}</ul>\
         <form method=\"post\" action=\"/oauth/authorize\">",
        list(&asked.scopes)
    );
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", &asked.redirect_text),
        ("state", &asked.state),
        ("scope", &asked.scopes.to_string()),
        ("code_challenge", &asked.challenge),
        ("code_challenge_method", "S256"),
    ] {
        let value = escaped(value);
        let _ = write!(
            body,
            "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"
        );
    }
    body.push_str("<label for=\"company\">Company</label><select id=\"company\" name=\"company\">");
    for company in companies {
        let chosen = asked.subject.as_deref() == Some(&company.id);
        let selected = if chosen { " selected" } else { "" };
        let (id, name) = (escaped(&company.id), escaped(company.name));
        let _ = write!(body, "<option value=\"{id}\"{selected}>{name}</option>");
    }
    body.push_str(
        "</select><button name=\"decision\" value=\"approve\">Approve</button>\
         <button name=\"decision\" value=\"deny\">Deny</button></form>",
    );
    page(StatusCode::OK, "Connect to Pleo", &body)
}

/// Says what is wrong; the browser is not sent anywhere.
pub(super) fn problem(status: StatusCode, problem: &str) -> Answer {
    let body = format!(
        "<h1>This does not work</h1><p>{}</p><p>Go back to the program that sent you here, and start again.</p>",
        escaped(problem)
    );
    page(status, "This does not work", &body)
}

fn page(status: StatusCode, title: &str, body: &str) -> Answer {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} (sandbox)</title>\
         <style>{STYLE}</style></head><body><main>{body}</main>\
         <p class=\"note\">This is the sandbox of pleo-gateway, not Pleo. Companies and data are made up.</p>\
         </body></html>"
    );
    // no form-action: browsers apply it to the redirect that answers the form
    Answer::text(status, "text/html;charset=UTF-8", html)
        .with(CACHE_CONTROL, "no-store")
        .with(REFERRER_POLICY, "no-referrer")
        .with(
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
        )
}

fn list(scopes: &ScopeSet) -> String {
    scopes.iter().fold(String::new(), |mut items, scope| {
        let _ = write!(items, "<li><code>{}</code></li>", escaped(scope.as_str()));
        items
    })
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_escaped() {
        assert_eq!(
            escaped("<a b='c' d=\"&\">"),
            "&lt;a b=&#39;c&#39; d=&quot;&amp;&quot;&gt;"
        );
        let body = problem(StatusCode::BAD_REQUEST, "<script>").body;
        assert!(!String::from_utf8_lossy(&body).contains("<script>"));
    }
}
