//! The names of an enum's variants as serde knows them, so that no list of names is written twice.

use std::fmt;

use serde::Serialize;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// The variant of that name.
pub(super) fn variant<T: DeserializeOwned>(name: &str) -> Option<T> {
    let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
    T::deserialize(name).ok()
}

/// The names of all variants of `T`, in the order of its declaration.
pub(super) fn variant_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The deserializer has nothing to give: it notes what it is asked for, and the refusal ends the matter.
    let refused = T::deserialize(Listener(&mut names)).is_err();
    debug_assert!(refused, "a listener gives no value");
    names
}

/// Writes an enum's variant by the name serde gives it.
pub(super) struct Name<'v, T>(pub(super) &'v T);

impl<T: Serialize> fmt::Display for Name<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

struct Listener<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Listener<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ValueError> {
        Err(ValueError::custom("not an enum"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ValueError> {
        *self.0 = variants;
        Err(ValueError::custom("only listening"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{ClipKind, Level};

    #[test]
    fn names_are_those_serde_reads() {
        assert_eq!(
            variant_names::<ClipKind>(),
            ["none", "value", "norm", "global-norm", "agc", "auto-clip", "z-clip", "ada-gc"]
        );
        assert_eq!(variant::<Level>("deny"), Some(Level::Deny));
        assert_eq!(variant::<Level>("Deny"), None);
        assert_eq!(Name(&ClipKind::GlobalNorm).to_string(), "global-norm");
    }
}
