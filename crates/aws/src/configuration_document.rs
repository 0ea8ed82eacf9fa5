//! Converts a configuration document to the values of SSM parameters, and back. Makes no calls.
//!
//! A standard parameter holds 4 KB at no cost, an advanced one 8 KB. A small document is stored as plain text, readable in
//! the console; a larger one is compressed (accounts and schedules are repetitive, and shrink to a tenth); a still larger one
//! is split over several parameters named by their content. Only the first parameter is ever overwritten, and it lists its
//! parts, so that a reader gets either the old document or the new one, never half of each.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use sha2::{Digest, Sha256};

/// Largest value of a standard parameter, in bytes; standard parameters cost nothing.
pub const PARAMETER: usize = 4096;
/// Enough for some 1,500 accounts. Each part costs one more call, of about 10 ms, before the Lambda's first decision.
const MOST_PARTS: usize = 10;
/// Largest compressed document, in bytes.
pub const LARGEST: usize = MOST_PARTS * PARAMETER;
/// Largest unpacked document, far above what fits into the parameters after compression. Without a limit, a principal with
/// write access to the parameter could make the Lambda unpack gigabytes.
const LARGEST_DOCUMENT: usize = 4 << 20;
/// The best compression: a document is compressed once and read many times.
const LEVEL: u8 = 10;
const COMPRESSED: &str = "deflate:";
const IN_PARTS: &str = "parts:";

/// A document as parameter values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDocument {
    /// The value of the parameter that the Lambda knows by name. Must be written last.
    pub value: String,
    /// The parameters that contain the document if `value` only lists them: the suffix of the name, and the value.
    pub parts: Vec<(String, String)>,
}

/// A document over a size limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentTooLarge {
    /// It does not fit into the parameters.
    #[error(
        "the configuration takes {size} bytes when compressed, {} more than the {LARGEST} that {MOST_PARTS} SSM parameters hold",
        .size - LARGEST
    )]
    Compressed {
        /// The compressed size, in bytes.
        size: usize,
    },
    /// The Lambda would refuse to unpack it.
    #[error(
        "the configuration takes {size} bytes, {} more than the {LARGEST_DOCUMENT} that the Lambda unpacks",
        .size - LARGEST_DOCUMENT
    )]
    Unpacked {
        /// The uncompressed size, in bytes.
        size: usize,
    },
}

/// A parameter value that can't be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is damaged: {0}")]
pub struct DamagedDocument(&'static str);

/// The decoded value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterContents {
    /// The document itself.
    Document(String),
    /// The document is in these other parameters.
    InParts(DocumentParts),
}

/// The names of the parameters that contain a document, and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentParts {
    hash: String,
    count: usize,
}

impl StoredDocument {
    /// Encodes a document. Equal documents have equal values.
    pub fn new(document: &str) -> Result<Self, DocumentTooLarge> {
        let single = |value: String| Self {
            value,
            parts: Vec::new(),
        };
        if document.len() > LARGEST_DOCUMENT {
            let size = document.len();
            return Err(DocumentTooLarge::Unpacked { size });
        }
        // SSM interprets double braces as a reference to another parameter, and refuses them.
        if document.len() <= PARAMETER && !document.contains("{{") {
            return Ok(single(document.to_owned()));
        }
        let text = STANDARD_NO_PAD.encode(compress_to_vec(document.as_bytes(), LEVEL));
        let size = text.len();
        if COMPRESSED.len() + size <= PARAMETER {
            return Ok(single(format!("{COMPRESSED}{text}")));
        }
        if size > LARGEST {
            return Err(DocumentTooLarge::Compressed { size });
        }
        let parts = DocumentParts {
            hash: hash(&text),
            count: size.div_ceil(PARAMETER),
        };
        // Base64 is ASCII, so it can be cut at every byte.
        let cut = |index| text[index * PARAMETER..size.min((index + 1) * PARAMETER)].to_owned();
        Ok(Self {
            value: format!("{IN_PARTS}{}/{}", parts.hash, parts.count),
            parts: parts.suffixes().zip((0..).map(cut)).collect(),
        })
    }
}

impl ParameterContents {
    /// Decodes a parameter's value. A value without a known prefix is the document itself.
    pub fn of(value: &str) -> Result<Self, DamagedDocument> {
        if let Some(text) = value.strip_prefix(COMPRESSED) {
            return decompressed(text).map(Self::Document);
        }
        let Some(parts) = value.strip_prefix(IN_PARTS) else {
            return Ok(Self::Document(value.to_owned()));
        };
        let parts = parts.split_once('/').and_then(|(hash, count)| {
            let count = count.parse().ok()?;
            (1..=MOST_PARTS).contains(&count).then(|| DocumentParts {
                hash: hash.to_owned(),
                count,
            })
        });
        parts
            .map(Self::InParts)
            .ok_or(DamagedDocument("it does not say which parts it has"))
    }
}

impl DocumentParts {
    /// The names of the parts in order, for the parameter `parameter` that lists them.
    pub fn names(&self, parameter: &str) -> impl Iterator<Item = String> {
        self.suffixes()
            .map(move |suffix| format!("{parameter}/{suffix}"))
    }

    /// Decodes the document from the values of all parts, in order.
    pub fn join(&self, values: &[String]) -> Result<String, DamagedDocument> {
        let text = values.concat();
        if hash(&text) != self.hash {
            return Err(DamagedDocument(
                "its parts are not the ones that it was cut into",
            ));
        }
        decompressed(&text)
    }

    fn suffixes(&self) -> impl Iterator<Item = String> + use<> {
        let hash = self.hash.clone();
        (1..=self.count).map(move |number| format!("{hash}/{number}"))
    }
}

fn decompressed(text: &str) -> Result<String, DamagedDocument> {
    let bytes = STANDARD_NO_PAD
        .decode(text)
        .map_err(|_| DamagedDocument("it is not Base64"))?;
    let document = decompress_to_vec_with_limit(&bytes, LARGEST_DOCUMENT)
        .map_err(|_| DamagedDocument("it can't be unpacked"))?;
    String::from_utf8(document).map_err(|_| DamagedDocument("it is no text"))
}

/// 64 bits are enough: only successive documents of one stack must differ.
fn hash(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .take(8)
        .fold(String::new(), |mut hex, byte| {
            let _always = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the Lambda makes of what is stored.
    fn read(stored: &StoredDocument) -> Result<String, DamagedDocument> {
        match ParameterContents::of(&stored.value)? {
            ParameterContents::Document(document) => Ok(document),
            ParameterContents::InParts(parts) => {
                let names: Vec<_> = parts.names("/p").collect();
                let expected = stored
                    .parts
                    .iter()
                    .map(|(suffix, _)| format!("/p/{suffix}"));
                assert_eq!(names, expected.collect::<Vec<_>>());
                let values: Vec<_> = stored.parts.iter().map(|(_, v)| v.clone()).collect();
                parts.join(&values)
            }
        }
    }

    /// Digits that don't repeat, so that nothing is compressed that would not be in life.
    fn noise(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *seed >> 20
    }

    fn accounts(count: usize) -> String {
        let mut seed = 1;
        let accounts = (0..count).map(|_| {
            let id = noise(&mut seed) % 1_000_000_000_000;
            let name = noise(&mut seed) % (1 << 32);
            format!(
                r#"{{"id":"{id:012}","name":"team-{name:08x}","role_arn":"arn:aws:iam::{id:012}:role/curfew-member","external_id":"of-the-whole-company","regions":["eu-west-1","eu-central-1"]}}"#
            )
        });
        let accounts: Vec<_> = accounts.collect();
        format!(
            r#"{{"version":"1.0","managing":{{"tag":"Schedule"}},"schedules":{{}},"account":[{}]}}"#,
            accounts.join(",")
        )
    }

    fn schedules(count: usize) -> String {
        let mut seed = 1;
        let schedules = (0..count).map(|number| {
            let mut below = |limit| noise(&mut seed) % limit;
            let zone = ["Europe/Paris", "America/New_York", "Asia/Tokyo"][number % 3];
            let (from, to) = (below(600), 900 + below(500));
            let (month, day) = (1 + below(12), 1 + below(28));
            format!(
                r#""team-{number}":{{"timezone":"{zone}","running":["Mon-Fri {:02}:{:02}-{:02}:{:02}"],"except":["12-25","{month:02}-{day:02}"],"enforce":false,"adopt":"edges","hibernate":false,"include_asg":false,"match":{{"ids":[],"tags":{{"Team":"{:06}","Environment":"dev*"}}}}}}"#,
                from / 60, from % 60, to / 60, to % 60, below(1_000_000)
            )
        });
        let schedules: Vec<_> = schedules.collect();
        format!(r#"{{"schedules":{{{}}}}}"#, schedules.join(","))
    }

    #[test]
    fn a_small_document_is_stored_as_plain_text() {
        let document = r#"{"schedules":{}}"#;
        let stored = StoredDocument::new(document).unwrap();
        assert_eq!((stored.value.as_str(), stored.parts.len()), (document, 0));
        let reference = r#"{"schedules":{"a":{"match":{"tags":{"Name":"{{x}}"}}}}}"#;
        let stored = StoredDocument::new(reference).unwrap();
        assert!(!stored.value.contains("{{"), "SSM refuses it");
        assert_eq!(read(&stored).unwrap(), reference);
    }

    #[test]
    fn a_hundred_schedules_fit_into_one_parameter_and_five_hundred_accounts_into_a_few() {
        let hundred = StoredDocument::new(&schedules(100)).unwrap();
        assert_eq!(hundred.parts.len(), 0);
        assert_eq!(read(&hundred).unwrap(), schedules(100));
        let many = StoredDocument::new(&accounts(500)).unwrap();
        assert_eq!(
            many.parts.len(),
            4,
            "docs/contribute/performance.md has this figure"
        );
        assert_eq!(read(&many).unwrap(), accounts(500));
        let values = many.parts.iter().map(|(_, value)| value);
        for value in values.chain([&many.value, &hundred.value]) {
            assert!(value.len() <= PARAMETER, "{}", value.len());
        }
    }

    #[test]
    fn a_too_large_document_is_reported_with_the_excess() {
        let most = StoredDocument::new(&accounts(1500)).unwrap();
        assert_eq!(
            most.parts.len(),
            MOST_PARTS,
            "docs/contribute/performance.md has this figure"
        );
        let error = StoredDocument::new(&accounts(2000)).unwrap_err();
        let DocumentTooLarge::Compressed { size } = error else {
            panic!("{error}")
        };
        let more = format!("{} more than the 40960 that 10", size - 40960);
        assert!(error.to_string().contains(&more), "{error}");
        let error = StoredDocument::new(&" ".repeat(5 << 20)).unwrap_err();
        insta::assert_snapshot!(error, @"the configuration takes 5242880 bytes, 1048576 more than the 4194304 that the Lambda unpacks");
    }

    #[test]
    fn a_damaged_value_is_not_decoded() {
        let stored = StoredDocument::new(&accounts(500)).unwrap();
        let damaged = |change: &dyn Fn(&mut StoredDocument)| {
            let mut stored = stored.clone();
            change(&mut stored);
            let ParameterContents::InParts(parts) = ParameterContents::of(&stored.value).unwrap()
            else {
                panic!("in parts")
            };
            let values: Vec<_> = stored.parts.into_iter().map(|(_, value)| value).collect();
            parts.join(&values).unwrap_err().to_string()
        };
        let errors = [
            damaged(&|stored| stored.parts.reverse()),
            damaged(&|stored| stored.parts.truncate(1)),
            damaged(&|stored| stored.parts[0].1.replace_range(9..10, "+")),
            ParameterContents::of("deflate:?").unwrap_err().to_string(),
            ParameterContents::of("deflate:AAAA")
                .unwrap_err()
                .to_string(),
            ParameterContents::of("parts:").unwrap_err().to_string(),
            ParameterContents::of("parts:ab/0").unwrap_err().to_string(),
            ParameterContents::of("parts:ab/11")
                .unwrap_err()
                .to_string(),
        ];
        insta::assert_snapshot!(errors.join("\n"), @"
        it is damaged: its parts are not the ones that it was cut into
        it is damaged: its parts are not the ones that it was cut into
        it is damaged: its parts are not the ones that it was cut into
        it is damaged: it is not Base64
        it is damaged: it can't be unpacked
        it is damaged: it does not say which parts it has
        it is damaged: it does not say which parts it has
        it is damaged: it does not say which parts it has
        ");
    }

    #[test]
    fn decompression_is_limited() {
        let bomb = compress_to_vec(&vec![b' '; LARGEST_DOCUMENT + 1], LEVEL);
        let value = format!("{COMPRESSED}{}", STANDARD_NO_PAD.encode(bomb));
        assert_eq!(
            ParameterContents::of(&value),
            Err(DamagedDocument("it can't be unpacked"))
        );
    }

    proptest! {
        // Compressing is slow in a debug build.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_stored_document_is_decoded_unchanged(document in ".{0,9000}") {
            let stored = StoredDocument::new(&document).unwrap();
            // A document is an object; what is not is only stored here.
            prop_assume!(!document.starts_with(COMPRESSED) && !document.starts_with(IN_PARTS));
            prop_assert_eq!(read(&stored).unwrap(), document);
        }
    }
}
