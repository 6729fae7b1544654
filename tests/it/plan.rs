//! `plan` says what a reload would change: access, scopes, and what needs a restart.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::geteuid;
use serde_json::json;

use crate::harness::gateway::{Setup, caller};
use crate::harness::program::{Output, run};
use crate::harness::sandbox::Minted;
use crate::harness::{BINARY, SOON};

/// The user that owns nothing.
const NOBODY: u32 = 65534;

const ROUTES: &str = r#"
[[routes]]
name = "employees"
methods = ["GET"]
path = "/v2/employees"
scopes = ["users:read"]
[[routes]]
name = "vendors"
methods = ["GET", "POST"]
path = "/v1/vendors/{id}"
scopes = ["vendors:read"]
"#;

/// The plan from the setup's file to `new` beside it.
fn plan(setup: &Setup, new: &str, more: &[&str]) -> Output {
    let file = setup.folder().join("new.toml");
    fs::write(&file, new).unwrap();
    let mut command = Command::new(BINARY);
    command.arg("plan").arg("-c").arg(file);
    command.arg("--against").arg(setup.file()).args(more);
    run(&mut command, "", SOON)
}

fn setup() -> Setup {
    let mut setup = Setup::at("http://127.0.0.1:1");
    setup.routes = ROUTES.into();
    setup.write();
    setup
}

#[test]
fn a_file_that_says_the_same_changes_nothing() {
    let setup = setup();
    let output = plan(&setup, &format!("# written anew\n{}", setup.text()), &[]);
    assert_eq!(
        (output.code, output.out.trim()),
        (0, "nothing would change")
    );
    assert!(
        !setup.folder().join("data/gateway.db").exists(),
        "a store was made"
    );
}

#[test]
fn who_gains_and_who_loses_access_is_said_by_name() {
    let setup = setup();
    let new = setup.text().replace(
        "tenants = [\"acme\", \"beta\"]",
        "tenants = [\"beta\", \"gamma\"]\nscopes = [\"users:read\"]",
    ) + &caller("crm", "crm-canary", "[\"acme\"]")
        + "[[routes]]\nname = \"no-post\"\nmethods = [\"POST\"]\npath = \"/v1/{*rest}\"\ndeny = true\n";
    let said = plan(&setup, &new, &["--json"]).json();
    let [erp, office] = [0, 1].map(|place| &said["callers"]["changed"][place]);
    assert_eq!(erp["caller"], "erp");
    assert_eq!(erp["calls_lost"], json!(["POST /v1/vendors/{id}"]));
    assert_eq!(office["tenants_gained"], json!(["gamma"]));
    assert_eq!(office["tenants_lost"], json!(["acme"]));
    assert_eq!(
        office["calls_lost"],
        json!(["GET /v1/vendors/{id}", "POST /v1/vendors/{id}"])
    );
    assert_eq!(office["ceiling"], json!([null, ["users:read"]]));
    let crm = &said["callers"]["added"][0];
    assert_eq!(
        crm["calls_gained"],
        json!(["GET /v1/vendors/{id}", "GET /v2/employees"])
    );
    assert_eq!(crm["keys_added"][0].as_str().unwrap().len(), 8);
    assert_eq!(
        said["routes"]["added"],
        json!(["no-post: POST /v1/{*rest} (deny)"])
    );
    assert_eq!(said["needs_restart"], json!([]));
    let words = plan(&setup, &new, &[]).out;
    for line in [
        "~ office",
        "may no longer call for acme",
        "may no longer call POST /v1/vendors/{id}",
        "+ crm",
    ] {
        assert!(words.contains(line), "{line} in {words}");
    }
}

#[test]
fn whoever_may_call_for_everybody_loses_nobody_and_gains_nobody_when_that_ends() {
    let setup = setup();
    let (named, all) = ("tenants = [\"acme\", \"beta\"]", "tenants = [\"*\"]");
    let wide = setup.text().replace(named, all);
    let said = plan(&setup, &wide, &["--json"]).json();
    let office = &said["callers"]["changed"][0];
    assert_eq!(
        (&office["tenants_gained"], &office["tenants_lost"]),
        (&json!(["*"]), &json!([]))
    );
    fs::write(setup.file(), &wide).unwrap();
    let narrow = wide.replace(all, named);
    let said = plan(&setup, &narrow, &["--json"]).json();
    let office = &said["callers"]["changed"][0];
    assert_eq!(
        (&office["tenants_gained"], &office["tenants_lost"]),
        (&json!([]), &json!(["*"]))
    );
    let words = plan(&setup, &narrow, &[]).out;
    assert!(
        words.contains("may no longer call for every tenant, but"),
        "{words}"
    );
}

#[test]
fn what_a_door_takes_at_once_is_named_by_its_address() {
    let setup = setup();
    let door = "address = \"127.0.0.1:0\"\n";
    let new = setup.text().replace(
        door,
        &format!("{door}tenant = \"acme\"\nhosts = [\"x\"]\nhalf_close = true\n"),
    );
    let said = plan(&setup, &new, &["--json"]).json();
    assert_eq!(
        said["taken"],
        json!([
            "[[listen]] 127.0.0.1:0 tenant",
            "[[listen]] 127.0.0.1:0 hosts"
        ])
    );
    assert_eq!(
        said["needs_restart"],
        json!(["[[listen]] 127.0.0.1:0 half_close"])
    );
}

#[test]
fn a_key_that_is_exchanged_is_told_by_a_part_of_its_digest() {
    let setup = setup();
    let (old, new) = (
        caller("erp", "erp-canary", ""),
        caller("erp", "other-canary", ""),
    );
    let digest = |lines: &str| lines.split('"').nth(3).unwrap().to_owned();
    let (old, new) = (digest(&old), digest(&new));
    let output = plan(&setup, &setup.text().replace(&old, &new), &[]);
    assert_eq!(output.code, 0, "{}", output.err);
    assert!(
        output.out.contains(&format!("keys added: {}", &new[..8])),
        "{}",
        output.out
    );
    assert!(
        output.out.contains(&format!("keys removed: {}", &old[..8])),
        "{}",
        output.out
    );
    assert!(!output.out.contains(&new[..12]) && !output.out.contains(&old[..12]));
}

#[test]
fn scopes_that_a_connection_lacks_are_named_with_its_tenant() {
    let setup = setup();
    let new = format!(
        "{}[[routes]]\nname = \"export\"\npath = \"/v3/export-jobs\"\nscopes = [\"made-up:read\", \"users:read\"]\n",
        setup.text()
    );
    let said = plan(&setup, &new, &["--json"]).json();
    let missing = |tenant: &str, known: bool| json!({"tenant": tenant, "scopes": ["made-up:read"], "known": known});
    assert_eq!(
        said["scopes_missing"],
        json!([missing("acme", false), missing("beta", false)])
    );
    setup.import("acme", &Minted::made_up());
    let said = plan(&setup, &new, &["--json"]).json();
    assert_eq!(
        said["scopes_missing"],
        json!([missing("acme", true), missing("beta", false)])
    );
    assert_eq!(
        said["routes"]["added"],
        json!(["export: * /v3/export-jobs"])
    );
}

#[test]
fn what_needs_a_restart_and_what_is_taken_at_once_is_told_apart() {
    let setup = setup();
    let new = setup
        .text()
        .replace(
            "[limits]\n",
            "[limits]\nmax_streams = 7\nmax_in_flight = 9\n",
        )
        .replace("threads = 1", "threads = 2\ntenant_host = \"{tenant}.x\"")
        + "[refresh]\nahead = \"1m\"\n[log]\naccess = false\n[[listen]]\naddress = \"[::1]:0\"\n";
    let said = plan(&setup, &new, &["--json"]).json();
    assert_eq!(
        said["needs_restart"],
        json!([
            "[[listen]] [::1]:0 opens",
            "[proxy] threads",
            "[refresh] ahead",
            "[limits] max_streams"
        ])
    );
    let taken = said["taken"].to_string();
    for name in [
        "[proxy] tenant_host",
        "[limits] max_in_flight",
        "[log] access",
    ] {
        assert!(taken.contains(name), "{name} in {taken}");
    }
    assert!(!taken.contains("max_uri_bytes"), "{taken}");
}

/// Who changes the configuration is not always who runs the gateway.
#[test]
fn whoever_may_not_read_the_store_is_told_that_grants_are_not_known() {
    let setup = setup();
    let closed = setup.folder().join("closed");
    fs::create_dir_all(closed.join("data")).unwrap();
    let text = setup
        .text()
        .replace("data/gateway.db", "closed/data/gateway.db");
    fs::write(setup.file(), &text).unwrap();
    let root = geteuid().is_root();
    let mode = if root { 0o700 } else { 0o000 };
    fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
    // Another user, or one that closed the door on itself.
    let other = setup.folder().join("plan");
    fs::copy(BINARY, &other).unwrap();
    let mut command = Command::new(&other);
    if root {
        for path in [setup.folder(), &setup.folder().join("client-secret")] {
            chown(path, Some(NOBODY), None).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    command.arg("plan").arg("-c").arg(setup.file());
    let output = run(command.arg("--against").arg(setup.file()), "", SOON);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(output.code, 0, "{}", output.err);
    assert!(
        output.err.contains("what was granted is not known"),
        "{}",
        output.err
    );
    assert_eq!(output.out.trim(), "nothing would change");
}

#[test]
fn a_bad_file_is_reported_as_check_does() {
    let setup = setup();
    let output = plan(&setup, &setup.text().replace("[limits]", "[limts]"), &[]);
    assert_eq!(output.code, 78);
    assert!(
        output.err.contains("did you mean `limits`?"),
        "{}",
        output.err
    );
    let missing = setup.folder().join("none.toml");
    let mut command = Command::new(BINARY);
    command
        .arg("plan")
        .arg("-c")
        .arg(setup.file())
        .arg("--against")
        .arg(missing);
    assert_eq!(run(&mut command, "", SOON).code, 78);
}
