//! `explain` says of thousands of random requests what admission and grant, as the proxy asks them, decide.

use std::path::Path;

use http::request::Parts;

use super::*;
use crate::access::{PeerFacts, admit};
use crate::config::{self, Environment};
use crate::model::ids::{Epoch, TenantName};

/// Three callers whose keys are `erp`, `crm` and `ops`.
const FILE: &str = r#"version = 1
[[listen]]
address = "127.0.0.1:1"
[[callers]]
name = "erp"
key_sha256 = ["dc35c76ca66ec98a1d22b76ad3f0b41b1e1ab4cbab8e3b7c2ecdd4d18fbae2a9"]
tenants = ["acme"]
[[callers]]
name = "crm"
key_sha256 = ["DIGEST-CRM"]
tenants = ["acme", "beta"]
scopes = ["a", "b"]
[[callers]]
name = "ops"
key_sha256 = ["DIGEST-OPS"]
tenants = ["*"]
[[tenants]]
name = "beta"
company_id = "company-1"
[[routes]]
path = "/v1/a"
scopes = ["a"]
[[routes]]
path = "/v1/ab/{id}"
methods = ["GET", "POST"]
scopes = ["a", "b"]
[[routes]]
path = "/v1/c/{*rest}"
scopes = ["c"]
observe = true
[[routes]]
path = "/v1/secret/{*rest}"
deny = true
[[routes]]
path = "/v1/company"
scopes = []
company = "query:company_id"
[[routes]]
path = "/v1/ops"
scopes = []
callers = ["ops"]
"#;

fn settings() -> config::Settings {
    let digest = |key: &str| {
        let bytes = crate::access::identify::key_digest(key.as_bytes());
        bytes.map(|byte| format!("{byte:02x}")).concat()
    };
    let text = FILE
        .replace(
            "dc35c76ca66ec98a1d22b76ad3f0b41b1e1ab4cbab8e3b7c2ecdd4d18fbae2a9",
            &digest("erp"),
        )
        .replace("DIGEST-CRM", &digest("crm"))
        .replace("DIGEST-OPS", &digest("ops"));
    let path = Path::new("/etc/gateway/gateway.toml");
    config::parse(path, &text, &Environment::default()).unwrap()
}

/// A small generator (SplitMix64): every run asks the same.
struct Dice(u64);

impl Dice {
    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let length = u64::try_from(of.len()).unwrap();
        &of[usize::try_from((z ^ (z >> 31)) % length).unwrap()]
    }
}

fn row(dice: &mut Dice, tenant: &str) -> Option<Connection> {
    let scopes = *dice.pick(&[None, Some(""), Some("a"), Some("a b"), Some("a b c")]);
    let company = *dice.pick(&[None, Some("company-1"), Some("company-2")]);
    let exists = *dice.pick(&[true, true, true, false]);
    exists.then(|| Connection {
        epoch: Epoch(1),
        state: *dice.pick(&State::ALL),
        company: company.map(crate::model::ids::CompanyId::new),
        scopes: scopes.map(|text| ScopeSet::parse(text).unwrap()),
        ..Connection::pending(TenantName::parse(tenant).unwrap())
    })
}

fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "localhost");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// As the proxy decides: by the key, then by what the connection was granted.
fn is_forwarded(snapshot: &Snapshot, head: &Parts, row: Option<&Connection>) -> bool {
    let facts = PeerFacts {
        door: &snapshot.doors[0],
        unix_uid: None,
        certificate_names: None,
    };
    let usable = [State::Active, State::Refreshing, State::Uncertain];
    admit(snapshot, head, facts).is_ok_and(|permit| {
        row.is_some_and(|row| {
            usable.contains(&row.state)
                && granted(&permit, row.scopes.as_ref(), row.company.as_ref()).is_ok()
        })
    })
}

#[test]
fn explain_and_the_proxy_decide_alike() {
    let settings = settings();
    let snapshot = &settings.snapshot;
    let mut dice = Dice(4);
    let (mut forwarded, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let name = *dice.pick(&["erp", "crm", "ops"]);
        let tenant = *dice.pick(&["acme", "beta", "gamma"]);
        let method = *dice.pick(&["GET", "POST", "HEAD", "TRACE"]);
        let target = *dice.pick(&[
            "/v1/a",
            "/v1/%61",
            "/v1/ab/7",
            "/v1/ab/7/8",
            "/v1/c/x/y",
            "/v1/c/../a",
            "/v1/secret/x",
            "/v1/company?company_id=company-1",
            "/v1/company",
            "/v1/ops",
            "/v2",
        ]);
        let row = row(&mut dice, tenant);
        let caller = caller(snapshot, Some(name)).unwrap();
        let asked = head(method, target, &[("pleo-gateway-tenant", tenant)]);
        let explained = match admit_as(&caller, snapshot, &asked, &snapshot.doors[0]) {
            Ok(permit) => judged(snapshot, &permit, row.as_ref()),
            Err(denied) => super::refused(&caller, denied),
        };
        let fields = [("pleo-gateway-tenant", tenant), ("pleo-gateway-key", name)];
        let expected = is_forwarded(snapshot, &head(method, target, &fields), row.as_ref());
        assert_eq!(
            explained.verdict == "forwarded",
            expected,
            "{name} {tenant} {method} {target} {row:?}: {:?}",
            explained.why
        );
        *if expected {
            &mut forwarded
        } else {
            &mut refused
        } += 1;
    }
    assert!(forwarded > 500 && refused > 5_000, "{forwarded} {refused}");
}
