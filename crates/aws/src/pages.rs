//! Follows the pages of a list: each page has the token of the next one, until the list ends.
//!
//! The SDK's paginators stop only if a page repeats its own token; a longer cycle of tokens would be followed forever. Every
//! paged call of Curfew follows its tokens here.

use std::collections::HashSet;

use crate::error::{CloudError, CloudErrorKind};

/// The page tokens that one list has named so far.
#[derive(Debug)]
pub struct PageTokens {
    operation: &'static str,
    named: HashSet<String>,
}

impl PageTokens {
    /// Starts a list at its first page. `operation` is its name in errors, such as `ec2:DescribeInstances`.
    pub fn new(operation: &'static str) -> Self {
        Self {
            operation,
            named: HashSet::new(),
        }
    }

    /// Starts a list at the page with this token.
    #[must_use]
    pub fn from_page(mut self, token: &str) -> Self {
        self.named.insert(token.to_owned());
        self
    }

    /// The token of the next page, from the last page's token; none after the last page. Some services end a list with an
    /// empty token.
    ///
    /// # Errors
    ///
    /// If the list repeats a token: it would never end.
    pub fn follow(&mut self, named: Option<String>) -> Result<Option<String>, CloudError> {
        let Some(token) = named.filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        if self.named.insert(token.clone()) {
            return Ok(Some(token));
        }
        let message = format!(
            "after {} pages, the list names a page that it has named before, so it would never end",
            self.named.len()
        );
        Err(CloudError::new(
            self.operation,
            CloudErrorKind::Service,
            message,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(tokens: &[&str]) -> Result<usize, String> {
        let mut pages = PageTokens::new("events:ListRules");
        let mut tokens = tokens.iter();
        for read in 1.. {
            let named = tokens.next().map(|token| (*token).to_owned());
            match pages.follow(named) {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(read),
                Err(error) => return Err(error.to_string()),
            }
        }
        unreachable!("the tokens end")
    }

    #[test]
    fn a_list_ends_with_a_page_without_a_token() {
        assert_eq!(follow(&["a", "b"]), Ok(3));
        assert_eq!(follow(&["a", ""]), Ok(2), "an empty token is none");
    }

    #[test]
    fn a_cycle_of_pages_is_an_error_whatever_its_length() {
        for round in [&["a", "a"][..], &["a", "b", "a"], &["a", "b", "c", "b"]] {
            let error = follow(round).unwrap_err();
            assert!(error.contains("`events:ListRules`"), "{error}");
            assert!(error.contains("named before"), "{error}");
        }
        let mut pages = PageTokens::new("ec2:DescribeInstances").from_page("a");
        assert!(pages.follow(Some("a".to_owned())).is_err());
    }
}
