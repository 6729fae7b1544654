//! `config/reference.toml` and `config/schema.json` are what the program makes of the table of keys.

use super::super::{reference, schema};
use super::renewal::assert_current;

#[test]
fn the_reference_is_current() {
    assert_current("config/reference.toml", &reference());
}

#[test]
fn the_schema_beside_the_files_is_current() {
    let schema = serde_json::to_string_pretty(&schema()).unwrap();
    assert_current("config/schema.json", &format!("{schema}\n"));
}
