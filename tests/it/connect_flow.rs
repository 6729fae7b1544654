//! The browser's journey: a link, a page, Pleo's consent, and back; and everything that must not work.

use serde_json::json;
use url::Url;

use crate::harness::client::{Answer, call, call_pleo};
use crate::harness::eventually;
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::sandbox::Sandbox;

/// A browser that keeps our one cookie, and follows nothing by itself.
struct Browser<'a> {
    gateway: &'a Gateway,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    fn new(gateway: &'a Gateway) -> Self {
        Self {
            gateway,
            cookie: None,
        }
    }

    fn ask(&mut self, method: &str, url: &str) -> Answer {
        let host = self
            .gateway
            .connect
            .strip_prefix("http://")
            .unwrap()
            .to_owned();
        let mut headers = vec![("host", host.as_str())];
        headers.extend(self.cookie.as_deref().map(|cookie| ("cookie", cookie)));
        let answer = call(&self.gateway.connect, method, target(url), &headers, b"");
        if let Some(set) = answer.header("set-cookie") {
            self.cookie = set.split(';').next().map(str::to_owned);
        }
        answer
    }

    /// Presses the link's button; gives Pleo's authorise URL.
    fn set_out(&mut self, link: &str) -> Url {
        let sent = self.ask("POST", link).expect(303);
        Url::parse(sent.header("location").unwrap()).unwrap()
    }

    /// All the way with a link; the last page.
    fn consent(&mut self, link: &str, company: &str) -> Answer {
        let back = decide(&self.set_out(link), "approve", company);
        self.ask("GET", &back)
    }
}

/// The path and query of a URL.
fn target(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1;
    &rest[rest.find('/').unwrap()..]
}

/// Decides at Pleo as a customer; gives where the browser is sent back to.
fn decide(authorize: &Url, decision: &str, company: &str) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(authorize.query_pairs());
    form.append_pair("company", company)
        .append_pair("decision", decision);
    let form = form.finish();
    let origin = authorize.origin().ascii_serialization();
    let page = format!("{}?{}", authorize.path(), authorize.query().unwrap());
    call_pleo(&origin, "GET", &page, &[], b"").expect(200);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let sent = call_pleo(&origin, "POST", authorize.path(), &headers, form.as_bytes()).expect(303);
    sent.header("location").unwrap().to_owned()
}

fn parameter(url: &Url, name: &str) -> String {
    let mut pairs = url.query_pairs();
    pairs.find(|(key, _)| key == name).unwrap().1.into_owned()
}

/// Pleo, its first company, and a gateway that nobody has connected yet.
fn unconnected() -> (Sandbox, String, Gateway) {
    let sandbox = Sandbox::start("15m");
    let company = sandbox.companies().remove(0);
    let mut setup = Setup::with(&sandbox);
    "[[routes]]\ncatalogue = \"export/v3\"\n".clone_into(&mut setup.routes);
    let gateway = setup.start();
    (sandbox, company, gateway)
}

fn link(gateway: &Gateway, more: &[&str]) -> String {
    let arguments = [&["connections", "link", "acme", "--json"], more].concat();
    let made = gateway.cli(&arguments, "").json();
    assert_eq!(made["tenant"], "acme");
    assert!(
        made["expires_at"].as_str().unwrap().ends_with('Z'),
        "{made}"
    );
    made["url"].as_str().unwrap().to_owned()
}

fn jobs(gateway: &Gateway, company: &str) -> Answer {
    gateway.get(&format!("/v3/export-jobs?company_id={company}"))
}

/// The same with a new link and browser.
fn consent(gateway: &Gateway, company: &str) -> Answer {
    Browser::new(gateway).consent(&link(gateway, &[]), company)
}

#[test]
fn a_link_leads_to_consent_and_consent_to_calls() {
    let (sandbox, company, gateway) = unconnected();
    let url = link(&gateway, &[]);
    assert!(url.starts_with(&format!("{}/", gateway.connect)), "{url}");
    assert_eq!(gateway.connection("acme")["state"], "pending");
    jobs(&gateway, &company).refused(503, "not-connected");

    let mut browser = Browser::new(&gateway);
    let page = browser.ask("GET", &url).expect(200);
    for word in [
        "acme",
        "custom",
        "export-jobs:read",
        "<form method=\"post\"",
    ] {
        assert!(page.text().contains(word), "{word} in {}", page.text());
    }
    for (name, value) in [
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    let authorize = browser.set_out(&url);
    assert_eq!(authorize.origin().ascii_serialization(), sandbox.origin);
    assert_eq!(parameter(&authorize, "code_challenge_method"), "S256");
    let back = decide(&authorize, "approve", &company);
    assert!(
        back.starts_with(&format!("{}/oauth/callback?", gateway.connect)),
        "{back}"
    );
    let done = browser.ask("GET", &back).expect(200);
    assert!(done.text().contains("acme"), "{}", done.text());

    jobs(&gateway, &company).expect(200);
    let row = gateway.connection("acme");
    assert_eq!(row["state"], "active");
    assert_eq!(row["company_id"], company.as_str());
    assert!(
        row["scopes"]
            .as_array()
            .unwrap()
            .contains(&json!("export-jobs:read")),
        "{row}"
    );
    assert!(row["consented_at"].is_string());
    sandbox.assert_no_rule_was_broken();
    browser.ask("GET", &url).expect(410);
}

#[test]
fn the_cookie_is_for_this_browser_and_this_site_only() {
    let (_sandbox, _, gateway) = unconnected();
    let url = link(&gateway, &[]);
    let sent = Browser::new(&gateway).ask("POST", &url).expect(303);
    let cookie = sent.header("set-cookie").unwrap();
    for flag in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    let foreign = [("origin", "https://evil.example.com")];
    call(&gateway.connect, "POST", target(&url), &foreign, b"").expect(403);
}

#[test]
fn a_mail_scanner_that_opens_the_link_uses_nothing_up() {
    let (_sandbox, company, gateway) = unconnected();
    let url = link(&gateway, &[]);
    for method in ["HEAD", "GET", "GET"] {
        Browser::new(&gateway).ask(method, &url).expect(200);
    }
    // one that presses the button, too, but never comes back
    Browser::new(&gateway).set_out(&url);
    let mut browser = Browser::new(&gateway);
    browser.consent(&url, &company).expect(200);
    jobs(&gateway, &company).expect(200);
}

#[test]
fn an_answer_counts_once_and_only_in_the_browser_that_asked() {
    let (sandbox, company, gateway) = unconnected();
    let url = link(&gateway, &[]);
    let mut browser = Browser::new(&gateway);
    let authorize = browser.set_out(&url);
    let back = decide(&authorize, "approve", &company);
    let stolen = Browser::new(&gateway).ask("GET", &back);
    assert_eq!(stolen.status / 100, 4, "{}", stolen.text());
    assert_eq!(
        sandbox.count("token_calls"),
        0,
        "the code was used for a stranger"
    );

    let authorize = browser.set_out(&url);
    let back = decide(&authorize, "approve", &company);
    browser.ask("GET", &back).expect(200);
    let again = browser.ask("GET", &back);
    assert_eq!(again.status / 100, 4);
    assert_eq!(sandbox.count("exchanges"), 1);
    jobs(&gateway, &company).expect(200);
    sandbox.assert_no_rule_was_broken();
}

#[test]
fn a_state_that_was_made_up_is_refused() {
    let (sandbox, _, gateway) = unconnected();
    let mut browser = Browser::new(&gateway);
    browser.set_out(&link(&gateway, &[]));
    let callback = format!("{}/oauth/callback", gateway.connect);
    for query in [
        "",
        "?code=x",
        "?state=x",
        "?code=x&state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "?code=x&state=a&state=b",
    ] {
        let answer = browser.ask("GET", &format!("{callback}{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(
            !answer.text().contains("AAAA"),
            "what came from outside is shown"
        );
    }
    assert_eq!(sandbox.count("token_calls"), 0);
}

#[test]
fn an_expired_link_says_what_to_do() {
    let (_sandbox, _, gateway) = unconnected();
    let url = link(&gateway, &["--expires", "1s"]);
    let gone = eventually("the link is over", || {
        let answer = Browser::new(&gateway).ask("GET", &url);
        (answer.status != 200).then_some(answer)
    })
    .expect(410);
    assert!(gone.text().contains("link-expired"), "{}", gone.text());
    Browser::new(&gateway).ask("POST", &url).expect(410);
    let unknown = format!("{}/connect/nothing", gateway.connect);
    Browser::new(&gateway).ask("GET", &unknown).expect(404);
}

#[test]
fn a_customer_who_declines_gets_a_page_and_may_try_again() {
    let (_sandbox, company, gateway) = unconnected();
    let url = link(&gateway, &[]);
    let mut browser = Browser::new(&gateway);
    let authorize = browser.set_out(&url);
    let back = decide(&authorize, "deny", &company);
    assert!(back.contains("error=access_denied"), "{back}");
    let page = browser.ask("GET", &back);
    assert!(
        page.text().contains("declined"),
        "{} {}",
        page.status,
        page.text()
    );
    assert_eq!(gateway.connection("acme")["state"], "pending");
    browser.consent(&url, &company).expect(200);
    jobs(&gateway, &company).expect(200);
}

/// Requirements 92 and 93: an unexpected company is refused, and a good pair takes the old one's place at once.
#[test]
fn another_company_at_a_new_consent_is_refused_and_the_old_pair_stays_in_use() {
    let (sandbox, _, gateway) = unconnected();
    let companies = sandbox.companies();
    consent(&gateway, &companies[0]).expect(200);
    let before = gateway.connection("acme");
    let refused = consent(&gateway, &companies[1]);
    assert_eq!(refused.status / 100, 4, "{}", refused.text());
    assert!(
        refused.text().contains("wrong-company"),
        "{}",
        refused.text()
    );
    let after = gateway.connection("acme");
    assert_eq!(after["company_id"], before["company_id"]);
    assert_eq!(after["state"], "active");
    jobs(&gateway, &companies[0]).expect(200);

    consent(&gateway, &companies[0]).expect(200);
    let renewed = gateway.connection("acme");
    assert!(
        renewed["epoch"].as_u64() > before["epoch"].as_u64(),
        "{renewed}"
    );
    jobs(&gateway, &companies[0]).expect(200);
}

#[test]
fn one_company_is_one_tenants_unless_it_is_allowed() {
    let (sandbox, company, gateway) = unconnected();
    let minted = sandbox.mint();
    assert_eq!(minted.company, company);
    gateway.setup.import("beta", &minted);
    let refused = consent(&gateway, &company);
    assert_eq!(refused.status / 100, 4, "{}", refused.text());
    assert!(
        !refused.text().contains("beta"),
        "another tenant's name is shown"
    );
    let shared = link(&gateway, &["--allow-shared-company"]);
    Browser::new(&gateway)
        .consent(&shared, &company)
        .expect(200);
    jobs(&gateway, &company).expect(200);
}

#[test]
fn a_pleo_that_fails_at_the_exchange_leaves_the_link_good() {
    let (sandbox, company, gateway) = unconnected();
    let url = link(&gateway, &[]);
    sandbox.fault(&json!({"endpoint": "token", "kind": "status", "status": 503}));
    let mut browser = Browser::new(&gateway);
    let failed = browser.consent(&url, &company);
    assert!(failed.status >= 400, "{}", failed.text());
    browser.consent(&url, &company).expect(200);
    jobs(&gateway, &company).expect(200);
}
