//! The schema and the reading of the file agree: what the schema refuses is refused, and what is refused for its shape alone
//! is refused by the schema too. What only the reading can know (names that must exist, files) passes the schema.

use std::fs;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::super::keys::{FILE, Key, Shape};
use super::super::{ProblemKind, Problems, schema};
use super::shipped::shipped;
use super::{SOUND, read};

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// True if the schema takes this file; `None` if it is no TOML.
pub(super) fn accepts(text: &str) -> Option<bool> {
    let value: toml::Value = toml::from_str(text).ok()?;
    Some(validator().is_valid(&serde_json::to_value(value).unwrap()))
}

#[test]
fn the_schema_accepts_every_shipped_file_and_each_names_it() {
    for name in ["gateway.toml", "reference.toml", "sidecar.toml"] {
        let text = fs::read_to_string(shipped(name)).unwrap();
        assert!(text.starts_with("#:schema schema.json\n"), "{name}");
        let value: toml::Value = toml::from_str(&text).unwrap();
        let value = serde_json::to_value(value).unwrap();
        let errors: Vec<String> = validator()
            .iter_errors(&value)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
    assert!(jsonschema::meta::is_valid(&schema()));
}

/// What is wrong with the shape, whatever the values mean.
pub(super) fn is_of_shape(problems: &Problems) -> bool {
    problems.iter().any(|problem| {
        let message = problem.message.as_str();
        problem.kind == ProblemKind::Unknown
            || (message.starts_with('`') && message.ends_with("` is missing"))
            || message.starts_with("expected ")
            || (message.starts_with('"') && message.ends_with(" is not known"))
            || message.starts_with("a secret")
    })
}

/// One value of every type, and texts in every notation.
fn values() -> Vec<Value> {
    vec![
        json!(1),
        json!(-1),
        json!(true),
        json!(1.5),
        json!(""),
        json!("x"),
        json!("90s"),
        json!("0"),
        json!("0s"),
        json!("1h30m"),
        json!("64KiB"),
        json!("300/min"),
        json!("300/m"),
        json!([]),
        json!(["x"]),
        json!([1]),
        json!({}),
        json!({ "file": "none" }),
        json!({ "file": "a", "env": "b" }),
        json!([{}]),
    ]
}

/// The file with one key of one part written so.
fn with(part: &Key, key: Option<&Key>, value: &Value) -> String {
    let mut file = toml_of(SOUND);
    let slot = match (key, part.shape) {
        (None, _) => &mut file[part.name],
        (Some(key), Shape::Tables(_)) => {
            if !file[part.name].is_array() {
                file[part.name] = json!([{}]);
            }
            &mut file[part.name][0][key.name]
        }
        (Some(key), _) => &mut file[part.name][key.name],
    };
    *slot = value.clone();
    toml::to_string(&file).unwrap()
}

fn toml_of(text: &str) -> Value {
    let value: toml::Value = toml::from_str(text).unwrap();
    serde_json::to_value(value).unwrap()
}

#[test]
fn the_schema_and_the_reading_agree_about_every_key_with_every_type() {
    let validator = validator();
    let mut asked = 0;
    for part in FILE {
        let keys: Vec<Option<&Key>> = match part.shape {
            Shape::Table(keys) | Shape::Tables(keys) => {
                keys.iter().map(Some).chain([None]).collect()
            }
            _ => vec![None],
        };
        for key in keys {
            for value in values() {
                let text = with(part, key, &value);
                let accepted = validator.is_valid(&toml_of(&text));
                match read(&text) {
                    Ok(_) => assert!(accepted, "only the schema refuses:\n{text}"),
                    Err(problems) => assert!(
                        !accepted || !is_of_shape(&problems),
                        "only the reading refuses:\n{text}\n{problems}"
                    ),
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 1500, "{asked}");
}
