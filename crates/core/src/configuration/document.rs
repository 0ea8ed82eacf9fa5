//! The configuration document, which the command line and the daemon publish and the Lambda reads. It has a version, because writer and
//! reader are deployed at different times.
//!
//! [`DocumentVersion::CURRENT`] changes with the document: the minor when a reader can ignore the new fields, the major when a reader
//! that ignores them would act wrongly. A reader accepts every older document, and a document that is newer in the minor, whose unknown
//! fields it ignores. It refuses a document that is newer in the major; its caller keeps the previous configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};
use serde_json::Value;

use super::{RawManaging, RawSchedule, RawScheduleSet};
use crate::account_regions::RawAccount;
use crate::problem::Problem;

/// The version of a configuration document, written `1.0`.
///
/// ```
/// use curfew_core::configuration::DocumentVersion;
///
/// let version: DocumentVersion = "1.3".parse().unwrap();
/// assert!(DocumentVersion::CURRENT.reads(version), "newer in the minor");
/// assert!(!DocumentVersion::CURRENT.reads("2.0".parse().unwrap()), "newer in the major");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocumentVersion {
    /// A reader with a smaller major refuses the document.
    pub major: u16,
    /// A reader with a smaller minor ignores unknown fields.
    pub minor: u16,
}

impl DocumentVersion {
    /// The version that this program writes.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };
    /// The version of a document, or of deployed code, that does not state one.
    pub const UNNAMED: Self = Self { major: 0, minor: 0 };

    /// Returns whether code of this version accepts a document of version `document`.
    pub fn reads(self, document: Self) -> bool {
        document.major <= self.major
    }
}

impl fmt::Display for DocumentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is not a document's version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a document's version, such as `{}`", .0.escape_debug(), DocumentVersion::CURRENT)]
pub struct InvalidDocumentVersion(String);

impl FromStr for DocumentVersion {
    type Err = InvalidDocumentVersion;

    fn from_str(text: &str) -> Result<Self, InvalidDocumentVersion> {
        let parsed = text.split_once('.').and_then(|(major, minor)| {
            Some(Self {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| InvalidDocumentVersion(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for DocumentVersion {
    type Error = InvalidDocumentVersion;

    fn try_from(text: String) -> Result<Self, InvalidDocumentVersion> {
        text.parse()
    }
}

impl From<DocumentVersion> for String {
    fn from(version: DocumentVersion) -> Self {
        version.to_string()
    }
}

/// The reason why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The document is newer than the reader in the major.
    #[error("the configuration document is of version {found}, and this code reads versions up to {}.x", DocumentVersion::CURRENT.major)]
    Newer {
        /// The version of the document.
        found: DocumentVersion,
    },
    /// The text is not a configuration document.
    #[error(transparent)]
    Malformed(#[from] Problem),
}

/// The fields of the document in the order in which they are written.
#[derive(Serialize)]
struct WrittenDocument<'a> {
    version: DocumentVersion,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    managing: &'a RawManaging,
    schedules: &'a BTreeMap<String, RawSchedule>,
    #[serde(skip_serializing_if = "slice_is_empty")]
    account: &'a [RawAccount],
}

fn slice_is_empty(accounts: &&[RawAccount]) -> bool {
    accounts.is_empty()
}

/// Writes a document of this version. The same configuration gives the same text.
pub(super) fn write(configuration: &RawScheduleSet) -> String {
    let written = WrittenDocument {
        version: DocumentVersion::CURRENT,
        origin: configuration.origin.as_deref(),
        managing: &configuration.managing,
        schedules: &configuration.schedules,
        account: &configuration.account,
    };
    serde_json::to_string(&written)
        .expect("strings, lists and maps with string keys are always JSON")
}

/// Parses a document of this version, of an older one, or of one that is newer only in the minor.
pub(super) fn read(text: &str) -> Result<RawScheduleSet, DocumentError> {
    let malformed =
        |error: serde_json::Error| Problem::new("configuration document", error.to_string());
    let mut document: Value = serde_json::from_str(text).map_err(malformed)?;
    let mut version = DocumentVersion::UNNAMED;
    if let Value::Object(fields) = &mut document
        && let Some(named) = fields.remove("version")
    {
        version = DocumentVersion::deserialize(named).map_err(malformed)?;
    }
    if !DocumentVersion::CURRENT.reads(version) {
        return Err(DocumentError::Newer { found: version });
    }
    let unknown = if version > DocumentVersion::CURRENT {
        UnknownFields::Ignored
    } else {
        UnknownFields::Refused
    };
    let node = Node {
        value: document,
        unknown,
    };
    Ok(RawScheduleSet::deserialize(node).map_err(malformed)?)
}

/// The treatment of a field that a structure does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnknownFields {
    /// The field is passed to the structure; those of the configuration refuse it.
    Refused,
    /// The field is removed before the structure is deserialized.
    Ignored,
}

/// A value in a document, with the treatment of unknown fields below it.
struct Node {
    value: Value,
    unknown: UnknownFields,
}

impl<'de> Deserializer<'de> for Node {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let unknown = self.unknown;
        let within = |value| Node { value, unknown };
        match self.value {
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(key, value)| (key, within(value)));
                visitor.visit_map(MapDeserializer::new(fields))
            }
            Value::Array(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(within)))
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if let (Value::Object(fields), UnknownFields::Ignored) = (&mut self.value, self.unknown) {
            fields.retain(|key, _| known.contains(&key.as_str()));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        // The enums of the configuration are strings, so there are no fields to filter.
        self.value.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl IntoDeserializer<'_, serde_json::Error> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
