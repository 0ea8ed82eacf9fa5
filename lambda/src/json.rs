//! Reads JSON and detects repeated keys.
//!
//! RFC 8259 does not define the meaning of a repeated key. `serde_json` keeps the last value, so that `{"dry_run": true, "dry_run":
//! false}` would act, while another parser keeps the first. Such a document is refused.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// A JSON document, with the first repeated key in it, if any.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonDocument {
    value: Value,
    repeated: Option<String>,
}

/// Reports a key that an object contains more than once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key {} is repeated", crate::api_error::quoted(.0))]
pub struct RepeatedKey(String);

impl JsonDocument {
    /// Returns the value. Fails if the document repeats a key.
    pub fn unambiguous(&self) -> Result<&Value, RepeatedKey> {
        match &self.repeated {
            None => Ok(&self.value),
            Some(key) => Err(RepeatedKey(key.clone())),
        }
    }

    /// Returns the document with the last value of each repeated key. Use it only to choose the form of a response.
    pub(crate) fn last_values(&self) -> &Value {
        &self.value
    }
}

impl From<Value> for JsonDocument {
    fn from(value: Value) -> Self {
        Self {
            value,
            repeated: None,
        }
    }
}

impl Serialize for JsonDocument {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let repeated = RefCell::default();
        let value = ValueReader(&repeated).deserialize(deserializer)?;
        Ok(Self {
            value,
            repeated: repeated.into_inner(),
        })
    }
}

/// Deserializes a value as `serde_json` does, and records the first repeated key.
#[derive(Clone, Copy)]
struct ValueReader<'a>(&'a RefCell<Option<String>>);

impl<'de> DeserializeSeed<'de> for ValueReader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueReader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        let number = number.ok_or_else(|| E::custom("a number that JSON lacks"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element_seed(self)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            if fields.contains_key(&key) {
                self.0.borrow_mut().get_or_insert_with(|| key.clone());
            }
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Value, String> {
        let document: JsonDocument =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let value = document.unambiguous().map_err(|error| error.to_string());
        value.cloned()
    }

    #[test]
    fn a_repeated_key_is_reported_at_any_depth() {
        assert_eq!(
            read(r#"{"dry_run": true, "dry_run": false}"#).unwrap_err(),
            "the key `dry_run` is repeated"
        );
        assert_eq!(
            read(r#"[{"a": {"b": 1, "b": 1}}]"#).unwrap_err(),
            "the key `b` is repeated"
        );
        // The same key with and without an escape.
        assert!(read(r#"{"all": false, "\u0061ll": true}"#).is_err());
        assert!(read(r#"{"a": {"b": 1}, "c": {"b": 1}}"#).is_ok());
        assert!(read(r#"{"a": 1,}"#).unwrap_err().contains("trailing comma"));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_without_repeated_keys_reads_like_serde_json(value in json()) {
            let text = value.to_string();
            let plain: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read(&text), Ok(plain));
        }
    }
}
