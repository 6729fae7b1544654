//! JSON Schema of the file, for editors: the table of keys in another notation.

use serde_json::{Map, Value, json};

use super::keys::{FILE, Key, Shape};

/// JSON Schema (2020-12) of the configuration.
pub fn schema() -> Value {
    let mut schema = object(FILE);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("pleo-gateway");
    schema
}

fn object(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = (keys.iter())
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = (keys.iter().filter(|key| key.required))
        .map(|key| key.name)
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(key: &Key) -> Value {
    let mut property = shape(key.shape);
    property["description"] = json!(key.about);
    if let Some(default) = key.default {
        property["default"] = match key.shape {
            Shape::Integer { .. } | Shape::Boolean => default.parse().unwrap_or(Value::Null),
            _ => json!(default),
        };
    }
    property
}

fn shape(shape_of: Shape) -> Value {
    match shape_of {
        Shape::Text => json!({ "type": "string" }),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::Duration { zero: true } => {
            json!({ "type": "string", "pattern": "^(0|[0-9]+(ms|s|m|h|d))$" })
        }
        Shape::Duration { zero: false } => {
            json!({ "type": "string", "pattern": "^0*[1-9][0-9]*(ms|s|m|h|d)$" })
        }
        Shape::Rate => json!({ "type": "string", "pattern": "^0*[1-9][0-9]*/(s|min|h)$" }),
        Shape::Size { min, max } => json!({ "anyOf": [
            { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$" },
            { "type": "integer", "minimum": min, "maximum": max },
        ] }),
        Shape::Integer { min, max } => {
            json!({ "type": "integer", "minimum": min, "maximum": max })
        }
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Secret => secret(),
        Shape::List(item) => json!({ "type": "array", "items": shape(*item) }),
        Shape::Table(keys) => object(keys),
        Shape::Tables(keys) => json!({ "type": "array", "items": object(keys) }),
    }
}

fn secret() -> Value {
    let place = json!({ "type": "string", "minLength": 1 });
    json!({
        "type": "object",
        "properties": { "file": place, "env": place, "credential": place },
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_knows_types_defaults_and_what_is_required() {
        let schema = schema();
        assert_eq!(schema["required"], json!(["version"]));
        let refresh = &schema["properties"]["refresh"]["properties"];
        assert_eq!(refresh["ahead"]["default"], json!("3m"));
        assert_eq!(refresh["concurrency"]["default"], json!(8));
        let caller = &schema["properties"]["callers"]["items"];
        assert_eq!(caller["required"], json!(["name", "tenants"]));
        assert_eq!(caller["additionalProperties"], json!(false));
    }
}
