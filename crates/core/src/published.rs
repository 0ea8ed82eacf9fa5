//! What a deployment's configuration document tells before another replaces it: which schedules it has, and which file they come from.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A configuration document that is deployed, or would be. Read leniently: another version may have written it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The file that it was published from, with the machine that this is on: `build-7:/etc/curfew/curfew.toml`. None where its
    /// publisher said nothing.
    pub origin: Option<String>,
    /// The names of its schedules.
    pub schedules: BTreeSet<String>,
}

impl Published {
    /// Reads a document. One that can't be read, since it is damaged, has nothing that could be lost.
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

    /// What would be lost if `next` took this one's place without a person's word. The file that published this one may well have lost a
    /// schedule since, since its author took that out; but not all of them, as a file does that was cut off. Documents that don't say
    /// where they come from count as of two files.
    pub fn lost_to(&self, next: &Self) -> Option<Loss> {
        let is_same_file = self.origin.is_some() && self.origin == next.origin;
        let schedules: Vec<String> = self
            .schedules
            .difference(&next.schedules)
            .cloned()
            .collect();
        let is_meant = is_same_file && !next.schedules.is_empty();
        (!is_meant && !schedules.is_empty()).then(|| Loss {
            schedules,
            publisher: self.origin.clone(),
        })
    }
}

/// Deployed schedules that a document would drop without a person's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Their names, in order; one at least.
    pub schedules: Vec<String>,
    /// The file that published them, with its machine, if that is known.
    pub publisher: Option<String>,
}

impl std::fmt::Display for Loss {
    /// "`office` and `lab`, which `build-7:/etc/curfew/curfew.toml` published".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// As many as a person reads; the others are counted.
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

/// Whether two documents say the same, whichever files they come from. Documents that can't be read are compared as text.
pub fn say_the_same(one: &str, other: &str) -> bool {
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

    fn document(origin: &str, schedules: &str) -> Published {
        let names = schedules.split_whitespace();
        let schedules: Vec<String> = names.map(|name| format!("\"{name}\":{{}}")).collect();
        let origin = match origin {
            "" => String::new(),
            file => format!("\"origin\":\"{file}\","),
        };
        let schedules = schedules.join(",");
        Published::from_json(&format!(
            "{{{origin}\"later\":1,\"schedules\":{{{schedules}}}}}"
        ))
    }

    #[test]
    fn another_file_loses_what_it_does_not_have_and_the_same_only_everything() {
        let deployed = document("a:/etc/curfew.toml", "lab office");
        let next = |origin, schedules| {
            let lost = deployed.lost_to(&document(origin, schedules));
            lost.map(|lost| lost.to_string())
        };
        let both = "the schedules `lab`, `office`, which `a:/etc/curfew.toml` published";
        assert_eq!(next("b:/etc/curfew.toml", "").as_deref(), Some(both));
        assert_eq!(next("", "other").as_deref(), Some(both));
        let one = "the schedule `lab`, which `a:/etc/curfew.toml` published";
        assert_eq!(next("b:/etc/curfew.toml", "office").as_deref(), Some(one));
        assert_eq!(next("b:/etc/curfew.toml", "lab office more"), None);
        assert_eq!(next("a:/etc/curfew.toml", "office"), None);
        // Emptied, or cut off behind its first table.
        assert_eq!(next("a:/etc/curfew.toml", "").as_deref(), Some(both));
    }

    #[test]
    fn who_published_may_be_unknown_and_a_damaged_document_loses_nothing() {
        let old = document("", "lab");
        let lost = old.lost_to(&document("", "")).unwrap();
        assert_eq!(
            lost.to_string(),
            "the schedule `lab`, which another file published"
        );
        for damaged in ["", "[]", "{", "{\"schedules\":[]}"] {
            assert_eq!(Published::from_json(damaged), Published::default());
        }
        let many = document("a", "1 2 3 4 5 6 7")
            .lost_to(&document("b", ""))
            .unwrap();
        assert_eq!(
            many.to_string(),
            "the schedules `1`, `2`, `3`, `4`, `5` and 2 more, which `a` published"
        );
    }

    #[test]
    fn documents_are_compared_without_their_files() {
        let one = r#"{"origin":"a","schedules":{"x":{"start":[1]}}}"#;
        assert!(say_the_same(
            one,
            r#"{"schedules":{"x":{"start":[1]}},"origin":"b"}"#
        ));
        assert!(say_the_same(one, r#"{"schedules":{"x":{"start":[1]}}}"#));
        assert!(!say_the_same(
            one,
            r#"{"origin":"a","schedules":{"x":{"start":[2]}}}"#
        ));
        assert!(!say_the_same("damaged", one));
    }
}
