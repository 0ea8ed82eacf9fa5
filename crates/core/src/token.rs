//! Who may ask over HTTP by a token: a name and the token's SHA-256 each. The tokens themselves are with their holders, and nowhere
//! else.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The tokens that the API knows, by the name of who holds each: the name that reaches holds, the log and the journal.
///
/// It is written as `NAME=SHA256`, joined by commas, which is how the Lambda gets it.
///
/// ```
/// use curfew_core::token::Tokens;
///
/// let mut tokens = Tokens::default();
/// tokens.insert("alice", &"ab".repeat(32))?;
/// tokens.insert("ci", &"CD".repeat(32))?;
/// let written = tokens.to_string();
/// assert_eq!(written, format!("alice={},ci={}", "ab".repeat(32), "cd".repeat(32)));
/// assert_eq!(written.parse(), Ok(tokens));
/// # Ok::<(), curfew_core::token::BadToken>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(BTreeMap<String, TokenDigest>);

impl Tokens {
    /// The holder's name where one token is for everybody.
    pub const SHARED: &str = "token";
    /// All of a Lambda's environment is 4 kB, and twenty of the longest take half of that. More people than that are IAM's business.
    pub const MOST: usize = 20;
    /// A name as long as this is still read in an override's tag, which cuts names of twice the length.
    const LONGEST_NAME: usize = 32;

    /// Adds who holds the token with this digest: 64 hexadecimal digits.
    pub fn insert(&mut self, name: &str, digest: &str) -> Result<(), BadToken> {
        let letters = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if name.is_empty() || name.len() > Self::LONGEST_NAME || !name.chars().all(letters) {
            return Err(BadToken::Name(name.chars().take(40).collect()));
        }
        let digest = digest.parse()?;
        if self.0.insert(name.to_owned(), digest).is_some() {
            return Err(BadToken::Twice(name.to_owned()));
        }
        if self.0.len() > Self::MOST {
            return Err(BadToken::TooMany);
        }
        Ok(())
    }

    /// Names and digests, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TokenDigest)> {
        self.0.iter().map(|(name, digest)| (name.as_str(), digest))
    }

    /// Whether nobody holds any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, digest)) in self.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{name}={digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Tokens {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let mut tokens = Self::default();
        for one in text.split(',').filter(|one| !one.is_empty()) {
            let (name, digest) = one.split_once('=').ok_or(BadToken::Digest)?;
            tokens.insert(name, digest)?;
        }
        Ok(tokens)
    }
}

/// The SHA-256 of a token. It is no secret (a token is 32 random bytes, which nobody guesses), and still not shown by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for TokenDigest {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadToken::Digest);
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| BadToken::Digest)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

/// A token that can't be known by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// No name for a holder.
    #[error(
        "`{}` can't name a token's holder: it takes 1 to {} letters, digits, `.`, `_`, `@` or `-`",
        .0.escape_debug(), Tokens::LONGEST_NAME
    )]
    Name(String),
    /// No SHA-256.
    #[error("a SHA-256 has 64 hexadecimal digits; `curfew token new` prints one")]
    Digest,
    /// One name, two tokens.
    #[error("`{0}` holds two tokens")]
    Twice(String),
    /// Too many for a Lambda's environment.
    #[error(
        "there are more than {} tokens; use `auth = \"iam\"` for more people",
        Tokens::MOST
    )]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(name: &str, digest: &str) -> Result<(), BadToken> {
        Tokens::default().insert(name, digest)
    }

    #[test]
    fn a_digest_has_64_hexadecimal_digits_and_is_not_shown_by_accident() {
        let good = "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631";
        let digest: TokenDigest = good.parse().unwrap();
        assert_eq!(digest.to_string(), good);
        assert_eq!(format!("{digest:?}"), "TokenDigest(…)");
        for bad in [
            "",
            &good[1..],
            &good.replace('4', "g"),
            &good.replace("41", "+1"),
            &"é".repeat(32),
        ] {
            assert_eq!(bad.parse::<TokenDigest>(), Err(BadToken::Digest), "{bad}");
        }
    }

    #[test]
    fn a_name_is_one_that_can_be_written_everywhere() {
        let digest = "ab".repeat(32);
        for good in ["a", "alice@example.com", "ci-2.deploy_x", &"x".repeat(32)] {
            assert_eq!(insert(good, &digest), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a=b", "a,b", "ä", "a\n", &"x".repeat(33)] {
            assert!(
                matches!(insert(bad, &digest), Err(BadToken::Name(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn what_is_written_twice_or_too_often_is_refused() {
        let digest = "ab".repeat(32);
        let twice = format!("a={digest},a={digest}");
        assert_eq!(twice.parse::<Tokens>(), Err(BadToken::Twice("a".into())));
        let many = |count: usize| {
            (0..count)
                .map(|n| format!("t{n}={digest}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert!(many(Tokens::MOST).parse::<Tokens>().is_ok());
        assert_eq!(
            many(Tokens::MOST + 1).parse::<Tokens>(),
            Err(BadToken::TooMany)
        );
        assert_eq!(digest.parse::<Tokens>(), Err(BadToken::Digest), "no name");
        assert!("".parse::<Tokens>().unwrap().is_empty());
    }
}
