//! Routes and scopes (requirements 26 to 33): the path that is judged is the path that is sent, and what is not allowed
//! costs nothing. Other spellings of every path of the catalogue are in `access::spellings`.

use std::io::ErrorKind;
use std::net::TcpListener;

use serde_json::json;

use super::Fate::{Declined, Served};
use super::{ANY, Scene, request};
use crate::harness::client::call;
use crate::harness::gateway::{Gateway, KEY, OFFICE_KEY, Setup, caller};
use crate::harness::sandbox::Minted;
use crate::harness::upstream::{FINE, Upstream};

fn get(target: &str) -> String {
    request(&format!("GET {target}"), "", "")
}

fn with_routes(routes: &str) -> Scene {
    let routes = routes.to_owned();
    Scene::made(
        |setup| setup.routes = ANY.to_owned() + &routes,
        super::served,
    )
}

/// Requirement 26: one canonical path is matched, also against what denies, and exactly that one is sent.
#[test]
fn what_is_judged_is_what_is_sent() {
    let scene =
        with_routes("[[routes]]\nname = \"secret\"\npath = \"/any/secret/{*rest}\"\ndeny = true\n");
    for (target, sent) in [
        ("/any/g", "/any/g"),
        ("/%61ny/%67", "/any/g"),
        ("/any/%7Eg%2D%5f", "/any/~g-_"),
        ("/any/x%3Asearch%40y", "/any/x:search@y"),
        ("/any/%c3%a9%20b", "/any/%C3%A9%20b"),
        ("/any/a%2cb%3bc", "/any/a%2Cb%3Bc"),
        ("/any/secrets/x", "/any/secrets/x"),
        ("/any/g?%61=%2e%2e/", "/any/g?%61=%2e%2e/"),
        ("/tenants/acme/any/g", "/any/g"),
        ("/%74enants/%61cme/any/%67?q=%67", "/any/g?q=%67"),
    ] {
        let outcome = scene.check(&get(target), Served(""));
        assert_eq!(outcome.head().word(1), sent, "{target}");
        let again = scene.check(&get(sent), Served(""));
        assert_eq!(again.head().word(1), sent, "its own canonical form");
    }
    for target in [
        "/any/secret/x",
        "/any/%73ecret/x",
        "/any/%73%65%63%72%65%74/%78",
        "/any/secret/",
        "/tenants/acme/any/%73ecret/x",
    ] {
        scene.check(&get(target), Declined(403));
    }
}

/// Requirement 27: no dot segment in any spelling, anywhere in the path, is served or resolved.
#[test]
fn dot_segments_are_refused_in_every_spelling() {
    let scene = Scene::new();
    let dot = [".", "%2e", "%2E"];
    let doubles = dot
        .iter()
        .flat_map(|one| dot.map(|other| format!("{one}{other}")));
    let spellings: Vec<String> = dot.map(str::to_owned).into_iter().chain(doubles).collect();
    assert_eq!(spellings.len(), 12);
    for dots in spellings {
        for target in [
            format!("/{dots}/any/g"),
            format!("/any/{dots}/g"),
            format!("/any/x/{dots}/g"),
            format!("/any/g/{dots}"),
            format!("/nowhere/{dots}/any/g"),
            format!("/tenants/acme/{dots}/any/g"),
            format!("/tenants/{dots}/any/g"),
        ] {
            scene.check(&get(&target), Declined(400));
        }
    }
}

/// Requirement 28: whatever two readers could take for different paths is refused.
#[test]
fn paths_with_two_readings_are_refused() {
    let scene = Scene::new();
    for odd in [
        "a%2fb",
        "a%2Fb",
        "a%5cb",
        "a%5Cb",
        "a\\b",
        "a%252fb",
        "a%252e",
        "%252e%252e",
        "%25%32%65",
        "..;",
        "..;/b",
        "%2e%2e;x",
        "..%3b/b",
        ";/b",
        "a;v=1",
        "a;",
        "a//b",
        "/b",
        "a//",
        "a%00",
        "a%00.json",
        "%c0%ae%c0%ae",
        "%c0%af",
        "%e0%80%ae",
        "%ef%bc%8e%ef%bc%8e",
        "%ef%bc%8f",
        "a%e2%88%95b",
        "a.",
        "a%2e",
        "a./b",
        "a%20",
        "a%20/b",
        "a%c2%a0",
        "%u002e",
        "%",
        "%2",
        "%zz",
    ] {
        scene.check(&get(&format!("/any/{odd}")), Declined(400));
    }
}

/// Requirement 29: an unknown path, method or tenant is refused here. Nobody connects to Pleo for it, and no token is
/// fetched, though there is none in hand.
#[test]
fn what_is_not_allowed_costs_no_connection_and_no_token() {
    let pleo = TcpListener::bind("127.0.0.1:0").unwrap();
    pleo.set_nonblocking(true).unwrap();
    let mut setup = Setup::at(&format!("http://{}", pleo.local_addr().unwrap()));
    setup.callers += &caller("all", "all-canary", "[\"*\"]");
    setup.routes = "[[routes]]\nname = \"one\"\nmethods = [\"GET\"]\npath = \"/one\"\nscopes = [\"users:read\"]\n[[routes]]\nname = \"any\"\npath = \"/any\"\nscopes = []\n".into();
    let minted = Minted::made_up().without_access();
    let gateway = setup.start_connected(&[("acme", &minted)]);
    for (key, method, target, tenant, status) in [
        (KEY, "GET", "/two", "acme", 403),
        (KEY, "GET", "/one/", "acme", 403),
        (KEY, "POST", "/one", "acme", 403),
        (KEY, "HEAD", "/one", "acme", 403),
        (KEY, "OPTIONS", "/one", "acme", 403),
        (KEY, "get", "/one", "acme", 403),
        (KEY, "TRACE", "/one", "acme", 405),
        (KEY, "GET", "/one", "beta", 403),
        (KEY, "GET", "/one", "nobody", 403),
        ("all-canary", "GET", "/one", "nobody", 403),
        ("all-canary", "GET", "/two", "nobody", 403),
        ("all-canary", "OPTIONS", "/any", "nobody", 403),
        (KEY, "GET", "/one?access_token=x", "acme", 400),
        ("wrong-canary", "GET", "/one", "acme", 401),
    ] {
        let fields = [
            ("pleo-gateway-key", key),
            ("pleo-gateway-tenant", tenant),
            ("max-forwards", "0"),
        ];
        let answer = call(gateway.base(), method, target, &fields, b"");
        assert_eq!(answer.status, status, "{key} {method} {target} {tenant}");
        assert!(answer.code().is_some());
    }
    let came = pleo.accept().map(|_| ()).unwrap_err();
    assert_eq!(came.kind(), ErrorKind::WouldBlock, "somebody connected");
    // What is allowed would.
    let mut link = crate::harness::link::Link::to(gateway.base());
    let allowed = format!("GET /one HTTP/1.1\r\nhost: x\r\npleo-gateway-key: {KEY}\r\n\r\n");
    link.send(allowed).unwrap();
    crate::harness::eventually("a fetch of a token", || pleo.accept().ok());
}

/// Requirement 30: a route means whole segments, letter by letter.
#[test]
fn routes_mean_whole_segments_letter_by_letter() {
    let scene = with_routes(
        "[[routes]]\nname = \"below\"\npath = \"/export/{*rest}\"\nscopes = []\n\
         [[routes]]\nname = \"exact\"\npath = \"/vendors\"\nscopes = []\n\
         [[routes]]\nname = \"verb\"\npath = \"/vendors/{id}:archive\"\nscopes = []\n",
    );
    for served in [
        "/export/a",
        "/export/a/b",
        "/export/",
        "/vendors",
        "/vendors/7:archive",
    ] {
        scene.check(&get(served), Served(""));
    }
    for refused in [
        "/export",
        "/exportx",
        "/exportx/a",
        "/xexport/a",
        "/Export/a",
        "/EXPORT/a",
        "/vendors/",
        "/vendorsx",
        "/vendors/7",
        "/Vendors",
        "/vendors/7:Archive",
        "/vendors/7:archivex",
        "/vendors/:archive",
        "/vendors/7/8:archive",
        "/vendors/7:x:archive",
    ] {
        scene.check(&get(refused), Declined(403));
    }
}

/// Requirement 31: a scope that the tenant's grant lacks is refused here, by a code and by its name; and granted is what the
/// token endpoint's answer said, whatever was asked for or imported.
#[test]
fn granted_is_what_the_token_endpoint_said() {
    let upstream = Upstream::start(|exchange| {
        exchange.body();
        let pair = json!({
            "access_token": "new-access-canary", "refresh_token": "new-refresh-canary",
            "token_type": "Bearer", "expires_in": 900, "scope": "users:read",
        })
        .to_string();
        match exchange.head.word(1) {
            "/oauth/token" => exchange.reply(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{pair}",
                pair.len()
            )),
            _ => exchange.reply(FINE),
        }
    });
    // It says that it may read vendors, and has no access token: the first call refreshes.
    let minted = Minted::made_up().without_access();
    let gateway = Setup::at(&upstream.origin()).start_connected(&[("acme", &minted)]);
    gateway.get("/v2/employees").expect(200);
    let refused = gateway
        .call("POST", "/v1/vendors:search", b"{}")
        .refused(403, "scope-missing");
    let told = refused.json();
    assert_eq!(told["missing_scopes"], json!(["vendors:read"]));
    assert!(
        told["detail"]
            .as_str()
            .unwrap()
            .contains("connections link"),
        "{told}"
    );
    let seen = upstream.seen();
    let sent = seen
        .iter()
        .any(|seen| seen.head.word(1) == "/v1/vendors:search");
    assert!(!sent, "it was sent");
    assert_eq!(gateway.connection("acme")["scopes"], json!(["users:read"]));
}

/// Requirement 32: a query is passed on byte by byte, means nothing to us, and bears no credential.
#[test]
fn a_query_is_passed_on_and_means_nothing_here() {
    let scene = Scene::new();
    for query in [
        "",
        "&",
        "a",
        "a=",
        "=a",
        "a=1&a=2&a=1",
        "b=2&a=1",
        "a=+&b=%20&c=%2B",
        "a=%c3%A9",
        "a=%zz",
        "a[]=1&a%5B%5D=2",
        "a=//../;x?y",
        "tenant=beta",
        "pleo-gateway-tenant=beta",
        "path=/any/other",
        "_method=DELETE",
        "access_tokens=1",
        "a=access_token",
        "token=x",
    ] {
        let target = format!("/any/g?{query}");
        let outcome = scene.check(&get(&target), Served(""));
        assert_eq!(outcome.head().word(1), target);
    }
    for query in [
        "access_token=x",
        "a&access_token",
        "acces%73_token=x",
        "access%5Ftoken=x",
    ] {
        scene.check(&get(&format!("/any/g?{query}")), Declined(400));
    }
    for name in ["key", "pleo-gateway-key", "api_key", "authorization"] {
        let target = format!("/any/g?{name}={KEY}");
        call(scene.gateway.base(), "GET", &target, &[], b"").refused(401, "caller-unknown");
    }
}

/// Requirement 33: fields that would have another method or path served change neither here, and do not arrive.
#[test]
fn no_field_overrides_the_method_or_the_path() {
    let scene = with_routes(
        "[[routes]]\nname = \"no\"\nmethods = [\"DELETE\"]\npath = \"/any/{x}\"\ndeny = true\n",
    );
    for (name, value) in [
        ("x-http-method-override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("X-Original-URL", "/admin"),
        ("X-Original-Uri", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-Forwarded-Prefix", "/admin"),
        ("X-Forwarded-Uri", "/admin"),
        ("X-Forwarded-Method", "DELETE"),
        ("x_http_method_override", "DELETE"),
        ("x_original_url", "/admin"),
    ] {
        let outcome = scene.check(
            &request("GET /any/g", &format!("{name}: {value}\r\n"), ""),
            Served(""),
        );
        let head = outcome.head();
        assert_eq!((head.word(0), head.word(1)), ("GET", "/any/g"), "{name}");
        assert!(!head.raw.contains(value), "{name} in {}", head.raw);
    }
    // And none makes a call of what is denied.
    let sent = request("DELETE /any/g", "x-http-method-override: GET\r\n", "");
    scene.check(&sent, Declined(403));
}

/// Beside requirement 29: whether a tenant exists is not told by which error comes.
#[test]
fn an_unknown_tenant_and_a_foreign_one_are_one_answer_for_every_route() {
    let scene = Scene::new();
    let told = |gateway: &Gateway, key: &str, tenant: &str, target: &str| {
        let fields = [
            ("pleo-gateway-key", key),
            ("pleo-gateway-tenant", tenant),
            ("x-request-id", "same"),
        ];
        let answer = call(gateway.base(), "GET", target, &fields, b"");
        (answer.status, answer.text())
    };
    for target in ["/any/g", "/nothing", "/any/g?company_id=x"] {
        let foreign = told(&scene.gateway, KEY, "beta", target);
        assert_eq!(foreign, told(&scene.gateway, KEY, "nobody", target));
        assert_eq!(foreign, told(&scene.gateway, OFFICE_KEY, "nobody", target));
        assert_eq!(foreign.0, 403);
    }
}
