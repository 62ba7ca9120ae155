//! A number of the record that may not be finite. JSON has only finite numbers, and a diverging loss must neither
//! break its line nor lose which way it went: NaN is written as `null`, the infinities by name.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

const INFINITY: &str = "Infinity";
const NEGATIVE_INFINITY: &str = "-Infinity";

pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match *value {
        f64::INFINITY => serializer.serialize_str(INFINITY),
        f64::NEG_INFINITY => serializer.serialize_str(NEGATIVE_INFINITY),
        value if value.is_nan() => serializer.serialize_unit(),
        value => serializer.serialize_f64(value),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Option::<Written>::deserialize(deserializer)? {
        None => Ok(f64::NAN),
        Some(Written::Number(value)) => Ok(value),
        Some(Written::Name(name)) => match name.as_str() {
            INFINITY => Ok(f64::INFINITY),
            NEGATIVE_INFINITY => Ok(f64::NEG_INFINITY),
            _ => Err(D::Error::custom(format!(
                "expected a number, null, \"{INFINITY}\" or \"{NEGATIVE_INFINITY}\", found {name:?}"
            ))),
        },
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number, null, \"Infinity\" or \"-Infinity\"")]
enum Written {
    Number(f64),
    Name(String),
}
