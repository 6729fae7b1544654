//! Reload, as the running gateway does it: all or nothing, by signal, by request and by itself; what takes effect, what is
//! named, and what stays.

use std::fs;
use std::os::unix::fs::symlink;

use crate::harness::authority::Authority;
use crate::harness::client::{Answer, call, curled};
use crate::harness::eventually;
use crate::harness::gateway::{Gateway, KEY, OFFICE_KEY, Setup, secret_file};
use crate::harness::sandbox::Minted;
use crate::harness::upstream::Upstream;

fn reload(gateway: &Gateway) -> Answer {
    let token = fs::read_to_string(gateway.setup.folder().join("data/admin.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let field = [("authorization", bearer.as_str())];
    call(&gateway.admin, "POST", "/-/reload", &field, b"")
}

fn write(gateway: &Gateway, text: &str) {
    fs::write(gateway.setup.file(), text).unwrap();
}

fn as_office(door: &str, tenant: &str) -> Answer {
    let fields = [
        ("pleo-gateway-key", OFFICE_KEY),
        ("pleo-gateway-tenant", tenant),
    ];
    call(door, "GET", "/v2/employees", &fields, b"")
}

const LESS: (&str, &str) = ("catalogue = \"*\"", "catalogue = \"vendors/*\"");

/// Requirement 118.
#[test]
fn a_reload_changes_what_is_allowed_and_a_bad_file_changes_nothing() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let text = gateway.setup.text();
    call(&gateway.admin, "POST", "/-/reload", &[], b"").expect(401);

    let wrong = text
        .replace("[limits]", "[limts]")
        .replace("threads = 1", "threads = \"x\"");
    write(&gateway, &wrong);
    let problems = reload(&gateway).expect(422).text();
    for part in ["limts: unknown key", "threads: expected a whole number"] {
        assert!(problems.contains(part), "every problem is told: {problems}");
    }
    gateway.get("/v2/employees").expect(200);
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("config_last_reload_successful 0"),
        "{metrics}"
    );

    write(&gateway, &format!("{text}\n[log]\nformat = \"text\"\n"));
    let answer = reload(&gateway).expect(200).text();
    assert!(
        answer.contains("[log] format"),
        "what needs a restart is named: {answer}"
    );

    write(&gateway, &text.replace(LESS.0, LESS.1));
    reload(&gateway).expect(200);
    gateway.get("/v2/employees").refused(403, "route-denied");
    write(&gateway, &text);
    gateway.reload();
    eventually("the reload by signal", || {
        (gateway.get("/v2/employees").status == 200).then_some(())
    });
}

#[test]
fn a_changed_file_is_read_again_by_itself() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    gateway.get("/v2/employees").expect(200);
    // as editors do it: a new file in the old one's place
    let new = gateway.setup.folder().join("new.toml");
    fs::write(&new, gateway.setup.text().replace(LESS.0, LESS.1)).unwrap();
    fs::rename(&new, gateway.setup.file()).unwrap();
    eventually("the changed file to be read", || {
        (gateway.get("/v2/employees").status == 403).then_some(())
    });
}

#[test]
fn what_is_put_back_right_after_a_reload_is_noticed() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let text = gateway.setup.text();
    for _ in 0..2 {
        write(&gateway, &text.replace(LESS.0, LESS.1));
        reload(&gateway).expect(200);
        write(&gateway, &text);
        eventually("what was put back to be read", || {
            (gateway.get("/v2/employees").status == 200).then_some(())
        });
    }
}

/// A `ConfigMap` is a folder of links to `..data/NAME`; an update swaps what `..data` is a link to.
#[test]
fn the_swap_of_a_config_maps_folder_is_noticed() {
    let upstream = Upstream::fine();
    let setup = Setup::at(&upstream.origin());
    setup.write();
    setup.import("acme", &Minted::made_up());
    let (folder, text) = (setup.folder().to_owned(), setup.text());
    let version = |name: &str, text: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("gateway.toml"), text).unwrap();
    };
    version("..2026_1", &text);
    version("..2026_2", &text.replace(LESS.0, LESS.1));
    symlink("..2026_1", folder.join("..data")).unwrap();
    fs::remove_file(setup.file()).unwrap();
    symlink("..data/gateway.toml", setup.file()).unwrap();
    let gateway = setup.start_as_written();
    gateway.get("/v2/employees").expect(200);
    symlink("..2026_2", folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    fs::remove_dir_all(folder.join("..2026_1")).unwrap();
    eventually("the swap to be noticed", || {
        (gateway.get("/v2/employees").status == 403).then_some(())
    });
}

/// A door is known by its address: it follows the file wherever its table stands there, and is never taken for another.
#[test]
fn an_open_door_follows_the_file_and_other_doors_wait_for_a_restart() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    let [one, two] = [1, 2].map(|_| crate::harness::free_port());
    let door =
        |port: u16, more: &str| format!("[[listen]]\naddress = \"127.0.0.1:{port}\"\n{more}");
    setup.doors = door(one, "tenant = \"acme\"\n") + &door(two, "");
    let gateway = setup.start_with_acme();
    let [pinned, open] = [0, 1].map(|place| gateway.callers[place].clone());
    assert_eq!(as_office(&pinned, "beta").status, 400);
    assert_eq!(as_office(&open, "acme").status, 200);

    // The tables change places, the pin moves to the other door, and a third door is written.
    let text = gateway.setup.text();
    let doors =
        door(two, "tenant = \"acme\"\n") + &door(one, "") + &door(crate::harness::free_port(), "");
    let new = text
        .replace(&gateway.setup.doors, &doors)
        .replace(LESS.0, LESS.1);
    write(&gateway, &new);
    let told = reload(&gateway).expect(200).text();
    assert!(told.contains("needs a restart: [[listen]]"), "{told}");
    as_office(&pinned, "beta").refused(403, "route-denied");
    assert_eq!(as_office(&open, "beta").status, 400);

    // A door that the file no longer has stays as it was until the restart; the rest is taken.
    write(
        &gateway,
        &text.replace(&gateway.setup.doors, &door(one, "tenant = \"acme\"\n")),
    );
    let told = reload(&gateway).expect(200).text();
    assert!(told.contains("[[listen]]"), "{told}");
    assert_eq!(as_office(&pinned, "beta").status, 400);
    assert_eq!(as_office(&open, "beta").status, 400);
    as_office(&open, "acme").expect(200);
}

#[test]
fn a_secret_is_read_again_and_one_that_others_can_read_refuses_the_reload() {
    use std::os::unix::fs::PermissionsExt;
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let secret = gateway.setup.folder().join("client-secret");
    secret_file(&secret, "another-canary");
    let told = reload(&gateway).expect(200).text();
    assert!(
        told.contains("needs a restart: [pleo] client_secret"),
        "{told}"
    );
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let problems = reload(&gateway).expect(422).text();
    assert!(
        problems.contains("chmod 600") && !problems.contains("canary"),
        "{problems}"
    );
    gateway.get("/v2/employees").expect(200);
}

#[test]
fn an_admin_token_that_was_replaced_is_dead_after_a_reload() {
    use std::os::unix::fs::PermissionsExt;
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let file = gateway.setup.folder().join("data/admin.token");
    let asked = |token: &str| {
        let bearer = format!("Bearer {}", token.trim());
        let field = [("authorization", bearer.as_str())];
        let answer = call(&gateway.admin, "POST", "/-/reload", &field, b"");
        (answer.status, answer.text())
    };
    let old = fs::read_to_string(&file).unwrap();
    assert_eq!(asked(&old), (200, "reloaded\n".to_owned()));
    secret_file(&file, "new-token-canary");
    // The file is looked at now and then as well: that may have been quicker.
    let reloaded = asked(&old);
    assert!(reloaded.1 == "reloaded\n" || reloaded.0 == 401);
    assert_eq!(asked(&old).0, 401);
    assert_eq!(asked("new-token-canary").0, 200);
    fs::remove_file(&file).unwrap();
    assert_eq!(asked("new-token-canary").0, 200);
    assert!(!file.exists(), "the next start makes one");
    secret_file(&file, "new-token-canary");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (status, problems) = asked("new-token-canary");
    assert_eq!(status, 422);
    assert!(
        problems.contains("chmod 600") && !problems.contains("canary"),
        "{problems}"
    );
}

#[test]
fn other_roots_of_trust_wait_for_a_restart() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    let roots = Authority::new().write(setup.folder());
    setup.pleo = "ca_file = \"ca.pem\"".into();
    let gateway = setup.start_with_acme();
    let told = |gateway: &Gateway| reload(gateway).expect(200).text();
    assert_eq!(told(&gateway), "reloaded\n");
    Authority::new().write(gateway.setup.folder());
    let restart = "reloaded; needs a restart: [pleo] ca_file\n";
    assert_eq!(told(&gateway), restart);
    fs::write(&roots, "no roots").unwrap();
    let problems = reload(&gateway).expect(422).text();
    assert!(problems.contains("pleo.ca_file"), "{problems}");
}

/// Two doors with certificates: if one of them cannot be loaded, neither is, and nothing else is taken.
#[test]
fn a_certificate_that_cannot_be_loaded_refuses_the_whole_reload() {
    let (authority, upstream) = (Authority::new(), Upstream::fine());
    let mut setup = Setup::at(&upstream.origin());
    let names = ["localhost", "127.0.0.1"];
    for name in ["one", "two"] {
        authority.certificate(&names).write(setup.folder(), name);
    }
    let door = |name: &str| {
        format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ cert_file = \"{name}.pem\", key_file = \"{name}.key\" }}\n"
        )
    };
    setup.doors = door("one") + &door("two");
    let gateway = setup.start_with_acme();
    let (folder, text) = (gateway.setup.folder().to_owned(), gateway.setup.text());
    let stranger = Authority::new();
    let status = |ca: &Authority, door: usize| {
        let ca = ca.write(&folder).display().to_string();
        let key = format!("pleo-gateway-key: {KEY}");
        let url = format!("{}/v2/employees", gateway.callers[door]);
        curled(&["--cacert", &ca, "--header", &key, &url])
    };
    assert_eq!(status(&authority, 0), "200");
    // What is broken goes first: the files are looked at now and then as well.
    let key = fs::read(folder.join("two.key")).unwrap();
    secret_file(&folder.join("two.key"), "no key");
    stranger.certificate(&names).write(&folder, "one");
    write(&gateway, &text.replace(LESS.0, LESS.1));
    let problems = reload(&gateway).expect(422).text();
    assert!(problems.contains("listen[1].tls.key_file"), "{problems}");
    assert_eq!(
        (status(&authority, 0), status(&stranger, 0)),
        ("200".into(), "000".into())
    );

    // By itself, as soon as the files are right.
    fs::write(folder.join("two.key"), key).unwrap();
    eventually("the certificate to be read", || {
        (status(&stranger, 0) == "403").then_some(())
    });
    assert_eq!(status(&authority, 1), "403");
}
