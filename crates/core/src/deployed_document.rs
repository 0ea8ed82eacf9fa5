//! The schedules and the origin of a deployed configuration document, which are compared before another document replaces it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The part of a configuration document that is compared. Unknown fields are ignored, since another version may have written it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedDocument {
    /// The machine and file that the document was published from: `build-7:/etc/curfew/curfew.toml`; `None` if the document does not
    /// contain them.
    pub origin: Option<String>,
    /// The names of its schedules.
    pub schedules: BTreeSet<String>,
}

impl PublishedDocument {
    /// Parses a document. A damaged one counts as empty: it has no schedules that could be lost.
    pub fn from_json(document: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[expect(
            clippy::zero_sized_map_values,
            reason = "an object is no list, and what its keys hold is not read"
        )]
        struct Raw {
            #[serde(default)]
            origin: Option<String>,
            #[serde(default)]
            schedules: BTreeMap<String, IgnoredAny>,
        }
        let Raw { origin, schedules } = serde_json::from_str(document).unwrap_or_default();
        Self {
            origin,
            schedules: schedules.into_keys().collect(),
        }
    }

    /// Returns the schedules that would be lost if `next` replaced this document without confirmation. The file that published this
    /// document may drop some of its schedules, but not all of them, which a truncated file would do. Documents without an origin
    /// count as two different files.
    pub fn lost_by_replacing_with(&self, next: &Self) -> Option<LostSchedules> {
        let is_same_file = self.origin.is_some() && self.origin == next.origin;
        let schedules: Vec<String> = self
            .schedules
            .difference(&next.schedules)
            .cloned()
            .collect();
        let is_meant = is_same_file && !next.schedules.is_empty();
        (!is_meant && !schedules.is_empty()).then(|| LostSchedules {
            schedules,
            publisher: self.origin.clone(),
        })
    }
}

/// Deployed schedules that a new document would remove without confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostSchedules {
    /// The names of the schedules, sorted; at least one.
    pub schedules: Vec<String>,
    /// The machine and file that published them, if known.
    pub publisher: Option<String>,
}

impl std::fmt::Display for LostSchedules {
    /// Writes a phrase such as "the schedules `lab`, `office`, which `build-7:/etc/curfew/curfew.toml` published".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// The number of schedules that are named; the others are counted, so that the sentence stays readable.
        const NAMED: usize = 5;
        let names = self.schedules.iter().take(NAMED);
        let names: Vec<String> = names
            .map(|name| format!("`{}`", name.escape_debug()))
            .collect();
        let plural = if self.schedules.len() == 1 { "" } else { "s" };
        write!(f, "the schedule{plural} {}", names.join(", "))?;
        if self.schedules.len() > NAMED {
            write!(f, " and {} more", self.schedules.len() - NAMED)?;
        }
        match &self.publisher {
            Some(file) => write!(f, ", which `{}` published", file.escape_debug()),
            None => f.write_str(", which another file published"),
        }
    }
}

/// Returns whether two documents are equal but for their origin. Documents that are not JSON objects are compared as text.
pub fn have_same_content(one: &str, other: &str) -> bool {
    let content = |document: &str| {
        let mut value: serde_json::Value = serde_json::from_str(document).ok()?;
        value.as_object_mut()?.remove("origin");
        Some(value)
    };
    match (content(one), content(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(origin: &str, schedules: &str) -> PublishedDocument {
        let names = schedules.split_whitespace();
        let schedules: Vec<String> = names.map(|name| format!("\"{name}\":{{}}")).collect();
        let origin = match origin {
            "" => String::new(),
            file => format!("\"origin\":\"{file}\","),
        };
        let schedules = schedules.join(",");
        PublishedDocument::from_json(&format!(
            "{{{origin}\"later\":1,\"schedules\":{{{schedules}}}}}"
        ))
    }

    #[test]
    fn another_file_loses_the_schedules_it_lacks_and_the_same_file_only_if_it_is_empty() {
        let deployed = document("a:/etc/curfew.toml", "lab office");
        let next = |origin, schedules| {
            let lost = deployed.lost_by_replacing_with(&document(origin, schedules));
            lost.map(|lost| lost.to_string())
        };
        let both = "the schedules `lab`, `office`, which `a:/etc/curfew.toml` published";
        assert_eq!(next("b:/etc/curfew.toml", "").as_deref(), Some(both));
        assert_eq!(next("", "other").as_deref(), Some(both));
        let one = "the schedule `lab`, which `a:/etc/curfew.toml` published";
        assert_eq!(next("b:/etc/curfew.toml", "office").as_deref(), Some(one));
        assert_eq!(next("b:/etc/curfew.toml", "lab office more"), None);
        assert_eq!(next("a:/etc/curfew.toml", "office"), None);
        // The file was emptied, or truncated after its first table.
        assert_eq!(next("a:/etc/curfew.toml", "").as_deref(), Some(both));
    }

    #[test]
    fn the_publisher_may_be_unknown_and_a_damaged_document_loses_nothing() {
        let old = document("", "lab");
        let lost = old.lost_by_replacing_with(&document("", "")).unwrap();
        assert_eq!(
            lost.to_string(),
            "the schedule `lab`, which another file published"
        );
        for damaged in ["", "[]", "{", "{\"schedules\":[]}"] {
            assert_eq!(
                PublishedDocument::from_json(damaged),
                PublishedDocument::default()
            );
        }
        let many = document("a", "1 2 3 4 5 6 7")
            .lost_by_replacing_with(&document("b", ""))
            .unwrap();
        assert_eq!(
            many.to_string(),
            "the schedules `1`, `2`, `3`, `4`, `5` and 2 more, which `a` published"
        );
    }

    #[test]
    fn documents_are_compared_without_their_files() {
        let one = r#"{"origin":"a","schedules":{"x":{"start":[1]}}}"#;
        assert!(have_same_content(
            one,
            r#"{"schedules":{"x":{"start":[1]}},"origin":"b"}"#
        ));
        assert!(have_same_content(
            one,
            r#"{"schedules":{"x":{"start":[1]}}}"#
        ));
        assert!(!have_same_content(
            one,
            r#"{"origin":"a","schedules":{"x":{"start":[2]}}}"#
        ));
        assert!(!have_same_content("damaged", one));
    }
}
