//! Parses responses in XML.

use std::collections::BTreeMap;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::Builder;
use aws_smithy_xml::decode::{self, ScopedDecoder, try_data};

/// The texts of a document by element name; the last one if a name repeats.
#[derive(Debug, Default)]
pub(crate) struct XmlDocument(BTreeMap<String, String>);

impl XmlDocument {
    /// Reads a document; fails if it is truncated.
    pub(crate) fn read(document: &[u8]) -> Result<Self, BoxError> {
        let mut read = Self::default();
        let text = std::str::from_utf8(document)?;
        let mut document = decode::Document::new(text);
        let mut root = document.root_element()?;
        let end = format!("</{}>", root.start_el().local());
        read.fill(&mut root)?;
        if text.trim_end().ends_with(&end) {
            Ok(read)
        } else {
            Err("the response is truncated".into())
        }
    }

    /// The text of the element `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn fill(&mut self, element: &mut ScopedDecoder<'_, '_>) -> Result<(), BoxError> {
        while let Some(mut child) = element.next_tag() {
            let name = child.start_el().local().to_owned();
            if PARENTS.contains(&&*name) || name.ends_with("Result") {
                self.fill(&mut child)?;
            } else {
                self.0.insert(name, try_data(&mut child)?.into_owned());
            }
        }
        Ok(())
    }
}

/// The elements with children in the supported responses, besides `…Result`.
const PARENTS: [&str; 4] = [
    "Credentials",
    "AssumedRoleUser",
    "Error",
    "ResponseMetadata",
];

/// Parses an error's code and message.
///
/// <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#operation-error-serialization>
pub(super) fn error(body: &[u8]) -> Builder {
    let document = XmlDocument::read(body).unwrap_or_default();
    let mut error = ErrorMetadata::builder();
    if let Some(code) = document.text("Code") {
        error = error.code(code);
    }
    if let Some(message) = document.text("Message") {
        error = error.message(message);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: &str = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>Sender</Type>\n\
        <Code>AccessDenied</Code>\n    <Message>User: a &amp; b is not authorized</Message>\n  </Error>\n\
        <RequestId>1</RequestId>\n</ErrorResponse>\n";

    #[test]
    fn an_error_has_a_code_and_a_message() {
        let parsed = error(REFUSAL.as_bytes()).build();
        assert_eq!(parsed.code(), Some("AccessDenied"));
        assert_eq!(parsed.message(), Some("User: a & b is not authorized"));
    }

    #[test]
    fn truncated_or_invalid_xml_has_no_code_and_message() {
        for length in 0..REFUSAL.trim_end().len() {
            assert!(
                XmlDocument::read(&REFUSAL.as_bytes()[..length]).is_err(),
                "{length}"
            );
        }
        let parsed = error(b"Service Unavailable").build();
        assert_eq!((parsed.code(), parsed.message()), (None, None));
    }
}
