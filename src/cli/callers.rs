//! `callers new`: a key for a caller, shown once.

use std::fmt::Write;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::arguments::Callers;
use super::exit::{Exit, Failure};
use super::print;
use crate::access::identify::key_digest;

pub(super) fn run(command: &Callers) -> Result<(), Failure> {
    let Callers::New { name, json } = command;
    if !(1..=128).contains(&name.len())
        || name
            .chars()
            .any(|c| c.is_control() || c == '"' || c == '\\')
    {
        return Err(Failure::new(
            Exit::Usage,
            "a caller's name is a plain word of at most 128 bytes, such as erp",
        ));
    }
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure::new(Exit::Internal, "no random numbers"))?;
    let key = format!("pgw_{}", URL_SAFE_NO_PAD.encode(bytes));
    let digest = hex(&key_digest(key.as_bytes()));
    if *json {
        return print::json(&serde_json::json!({ "name": name, "key": key, "key_sha256": digest }));
    }
    print::remark(
        "The caller's key. It is told once and kept nowhere; the caller sends it as `Authorization: Bearer`:",
    );
    print::line(&key)?;
    print::remark("\nPaste into the configuration, and name the tenants it may call for:");
    print::line(&format!(
        "\n[[callers]]\nname       = \"{name}\"\nkey_sha256 = [\"{digest}\"]\ntenants    = [\"your-tenant\"]"
    ))
}

/// Lower-case hex, as `key_sha256` is written.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
