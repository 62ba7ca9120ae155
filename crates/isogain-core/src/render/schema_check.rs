//! The committed JSON Schemas against the documents, with a small validator for the keywords those schemas use.

use serde_json::Value;

use super::fixture::{cured, healthy, hostile, remarked, uncured, vanishing};

const CHECK: &str = include_str!("../../../../schema/check.schema.json");
const CURE: &str = include_str!("../../../../schema/cure.schema.json");

/// Keywords the validator understands; a schema with another one would be believed unread.
const KEYWORDS: [&str; 18] = [
    "$schema",
    "$id",
    "$defs",
    "$ref",
    "title",
    "description",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "enum",
    "const",
    "minimum",
    "maximum",
    "anyOf",
];

/// A schema with the others it may refer to.
struct Schemas {
    check: Value,
    cure: Value,
}

impl Schemas {
    fn read() -> Self {
        Self { check: serde_json::from_str(CHECK).unwrap(), cure: serde_json::from_str(CURE).unwrap() }
    }

    fn resolve<'a>(&'a self, reference: &str, root: &'a Value) -> (&'a Value, &'a Value) {
        let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let root = if file == "check.schema.json" { &self.check } else { root };
        let found = root.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"));
        (found, root)
    }

    /// Every way in which `value` breaks `schema`.
    fn faults(&self, schema: &Value, root: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let keys: Vec<&String> = schema.as_object().map(|schema| schema.keys().collect()).unwrap_or_default();
        for key in keys {
            assert!(KEYWORDS.contains(&key.as_str()), "{key} is not checked");
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let (schema, root) = self.resolve(reference, root);
            self.faults(schema, root, value, at, faults);
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            let fits = |choice: &Value| {
                let mut inner = Vec::new();
                self.faults(choice, root, value, at, &mut inner);
                inner.is_empty()
            };
            if !choices.iter().any(fits) {
                faults.push(format!("{at}: no choice fits {value}"));
            }
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        };
        if !types.is_empty() && !types.iter().any(|kind| is(value, kind)) {
            faults.push(format!("{at}: {value} is not {types:?}"));
        }
        if schema["enum"].as_array().is_some_and(|known| !known.contains(value))
            || schema.get("const").is_some_and(|only| only != value)
        {
            faults.push(format!("{at}: {value} is not one of those allowed"));
        }
        if let Some(number) = value.as_f64() {
            let below = schema["minimum"].as_f64().is_some_and(|minimum| number < minimum);
            if below || schema["maximum"].as_f64().is_some_and(|maximum| number > maximum) {
                faults.push(format!("{at}: {number} is out of range"));
            }
        }
        if let Some(items) = value.as_array() {
            let few = schema["minItems"].as_u64().is_some_and(|fewest| (items.len() as u64) < fewest);
            if few || schema["maxItems"].as_u64().is_some_and(|most| items.len() as u64 > most) {
                faults.push(format!("{at}: {} items", items.len()));
            }
            if schema.get("items").is_some() {
                for (index, item) in items.iter().enumerate() {
                    self.faults(&schema["items"], root, item, &format!("{at}/{index}"), faults);
                }
            }
        }
        if let Some(object) = value.as_object() {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            faults
                .extend(required.filter(|key| !object.contains_key(*key)).map(|key| format!("{at}: {key} is missing")));
            for (key, item) in object {
                match schema["properties"].get(key) {
                    Some(schema) => self.faults(schema, root, item, &format!("{at}/{key}"), faults),
                    None if schema["additionalProperties"] == false => {
                        faults.push(format!("{at}: {key} is not described"))
                    }
                    None => {}
                }
            }
        }
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn check_faults(document: &Value) -> Vec<String> {
    let schemas = Schemas::read();
    let mut faults = Vec::new();
    schemas.faults(&schemas.check, &schemas.check, document, "", &mut faults);
    faults
}

fn cure_faults(document: &Value) -> Vec<String> {
    let schemas = Schemas::read();
    let mut faults = Vec::new();
    schemas.faults(&schemas.cure, &schemas.cure, document, "", &mut faults);
    faults
}

#[test]
fn every_document_keeps_its_schema() {
    for report in [vanishing(), healthy(), remarked()] {
        assert_eq!(check_faults(&serde_json::to_value(report).unwrap()), Vec::<String>::new());
    }
    for report in [cured(), uncured(), hostile()] {
        assert_eq!(cure_faults(&serde_json::to_value(report).unwrap()), Vec::<String>::new());
    }
}

#[test]
fn a_broken_document_is_noticed() {
    let whole = serde_json::to_value(cured()).unwrap();
    let broken = |pointer: &str, value: Value| {
        let mut document = whole.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        cure_faults(&document)
    };
    assert_eq!(broken("/check/findings/0/level", "deny".into()).len(), 1);
    assert_eq!(broken("/check/findings/0/layers", Value::Array(vec!["fc1".into()])).len(), 1);
    assert_eq!(broken("/check/flow/joints/3/log_gain", "big".into()).len(), 1);
    assert_eq!(broken("/spent", serde_json::json!({ "seconds": 1.0, "trials": 2 })), ["/spent: steps is missing"]);
    assert_eq!(broken("/check/findings/0/causes/0/share", 1.5.into()).len(), 1);
    assert_eq!(broken("/prescriptions/0/verdict", "great".into()).len(), 1);
    assert_eq!(broken("/spent", serde_json::json!({ "seconds": 1.0, "trials": 2, "steps": 3, "mood": 4 })).len(), 1);
}
