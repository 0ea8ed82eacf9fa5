//! Deserialization of the merged layers without conversion between types: `enforce = "yes"` and `poll = 10` are errors. Only the
//! values of environment variables, which are always strings, are converted to booleans and numbers.

use std::collections::BTreeMap;
use std::fmt;

use config::{Value, ValueKind};
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    Deserialize as _, Deserializer, Error, Expected, IntoDeserializer, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

/// A value of the merged layers.
pub(super) struct StrictValue(pub(super) Value);

/// The reason why a value can't be deserialized. Its path is known to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// A table has a key that it must not have.
    UnknownKey {
        key: String,
        allowed: &'static [&'static str],
    },
    /// A table lacks a key.
    MissingKey(&'static str),
    /// A value is not allowed.
    Value(String),
    /// A string is none of those that are allowed.
    UnknownString {
        found: String,
        allowed: &'static [&'static str],
    },
}

impl ReadError {
    /// Returns a string that is allowed in the place of the value.
    pub(super) fn allowed_string(&self) -> Option<&'static str> {
        match self {
            Self::UnknownString { allowed, .. } => allowed.first().copied(),
            Self::UnknownKey { .. } | Self::MissingKey(_) | Self::Value(_) => None,
        }
    }
}

impl std::error::Error for ReadError {}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, .. } => write!(formatter, "`{key}` is not a key here"),
            Self::MissingKey(key) => write!(formatter, "`{key}` is missing"),
            Self::Value(message) => formatter.write_str(message),
            Self::UnknownString { found, allowed } => {
                write!(formatter, "found `{}`; allowed is ", found.escape_debug())?;
                for (index, name) in allowed.iter().enumerate() {
                    let separator = match index {
                        0 => "",
                        _ if index + 1 == allowed.len() => " or ",
                        _ => ", ",
                    };
                    write!(formatter, "{separator}`{name}`")?;
                }
                Ok(())
            }
        }
    }
}

impl Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Value(format!(
            "found {}; allowed is {}",
            describe(found),
            allowed(&expected.to_string())
        ))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, allowed: &'static [&'static str]) -> Self {
        Self::UnknownString {
            found: found.to_owned(),
            allowed,
        }
    }

    fn unknown_field(key: &str, allowed: &'static [&'static str]) -> Self {
        Self::UnknownKey {
            key: key.to_owned(),
            allowed,
        }
    }

    fn missing_field(key: &'static str) -> Self {
        Self::MissingKey(key)
    }
}

fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("the boolean `{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Str(value) => {
            let shown: String = value.chars().take(40).collect();
            format!("the string `{}`", shown.escape_debug())
        }
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// Translates serde's name of an expected type to TOML's.
fn allowed(expected: &str) -> String {
    match expected {
        "a boolean" => "`true` or `false`, without quotes".to_owned(),
        "a string" | "path string" => "a string, in quotes".to_owned(),
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number of 0 or more".to_owned(),
        "f64" | "f32" => "a number".to_owned(),
        "a sequence" => "a list, in brackets".to_owned(),
        "a map" => "a table".to_owned(),
        expected if expected.starts_with("struct ") => "a table".to_owned(),
        other => other.to_owned(),
    }
}

impl StrictValue {
    /// Returns the text of an environment variable.
    fn variable(&self) -> Option<&str> {
        match &self.0.kind {
            // The `config` crate gives every value of the environment this origin, and no origin to those of our other layers.
            ValueKind::String(text) if self.0.origin() == Some("the environment") => Some(text),
            _ => None,
        }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $number:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            match self.variable().map(str::parse::<$number>) {
                Some(Ok(number)) => visitor.$visit(number),
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for StrictValue {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_unit(),
            ValueKind::Boolean(value) => visitor.visit_bool(value),
            ValueKind::I64(value) => visitor.visit_i64(value),
            ValueKind::I128(value) => visitor.visit_i128(value),
            ValueKind::U64(value) => visitor.visit_u64(value),
            ValueKind::U128(value) => visitor.visit_u128(value),
            ValueKind::Float(value) => visitor.visit_f64(value),
            ValueKind::String(value) => visitor.visit_string(value),
            ValueKind::Array(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(StrictValue)))
            }
            ValueKind::Table(table) => {
                // In order, so that the same file gives the same errors.
                let table: BTreeMap<String, Value> = table.into_iter().collect();
                let entries = table.into_iter().map(|(key, value)| (key, Self(value)));
                visitor.visit_map(MapDeserializer::new(entries))
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let is_variable = self.variable().is_some();
        match is_variable.then(|| self.0.clone().into_bool()) {
            Some(Ok(value)) => visitor.visit_bool(value),
            _ => self.deserialize_any(visitor),
        }
    }

    numbers! {
        deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_f64 visit_f64 f64,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    /// Every enum of the configuration is one of several strings.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let name = String::deserialize(self)?;
        visitor.visit_enum(name.into_deserializer())
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, ReadError> for StrictValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
