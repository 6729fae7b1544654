//! `callers new`: a key for a caller, told once.

use aws_lc_rs::digest;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::arguments::Callers;
use super::exit::{Exit, Failure};
use super::print;

pub(super) fn run(command: &Callers) -> Result<(), Failure> {
    let Callers::New { name, json } = command;
    if name.is_empty() || name.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        return Err(Failure::new(Exit::Usage, "a caller's name is a plain word, such as erp"));
    }
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Failure::new(Exit::Internal, "no random numbers"))?;
    let key = format!("pgw_{}", URL_SAFE_NO_PAD.encode(bytes));
    let digest = digest::digest(&digest::SHA256, key.as_bytes());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if *json {
        return print::json(&serde_json::json!({ "name": name, "key": key, "key_sha256": digest }));
    }
    print::remark("The caller's key. It is told once and kept nowhere; the caller sends it as `Authorization: Bearer`:");
    print::line(&key)?;
    print::remark("\nPaste into the configuration, and name the tenants it may call for:");
    print::line(&format!("\n[[callers]]\nname       = \"{name}\"\nkey_sha256 = [\"{digest}\"]\ntenants    = []"))
}
