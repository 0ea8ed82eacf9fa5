//! The tokens of the HTTP API: the holder's name and the SHA-256 digest of each. The tokens themselves are not stored.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The digests of the API's tokens, by the holder's name. Overrides, the log and the journal show this name as the actor.
///
/// The text form is `NAME=SHA256`, joined by commas; an environment variable of the Lambda holds it.
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
/// # Ok::<(), curfew_core::token::InvalidToken>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(BTreeMap<String, TokenDigest>);

impl Tokens {
    /// The name of a token that several holders share.
    pub const SHARED: &str = "token";
    /// The maximum number of tokens. A Lambda's environment has at most 4 kB, of which twenty tokens with the longest names take
    /// half; for more callers there is `auth = "iam"`.
    pub const MOST: usize = 20;
    /// The maximum length of a name. The tag of an override truncates an actor's name at twice this length.
    const LONGEST_NAME: usize = 32;

    /// Adds a token by its holder's name and its digest, 64 hexadecimal digits. Fails if either is malformed, if the name has a token
    /// already, or if there are more than [`Self::MOST`].
    pub fn insert(&mut self, name: &str, digest: &str) -> Result<(), InvalidToken> {
        let letters = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if name.is_empty() || name.len() > Self::LONGEST_NAME || !name.chars().all(letters) {
            return Err(InvalidToken::Name(name.chars().take(40).collect()));
        }
        let digest = digest.parse()?;
        if self.0.insert(name.to_owned(), digest).is_some() {
            return Err(InvalidToken::Twice(name.to_owned()));
        }
        if self.0.len() > Self::MOST {
            return Err(InvalidToken::TooMany);
        }
        Ok(())
    }

    /// Returns the names and digests, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TokenDigest)> {
        self.0.iter().map(|(name, digest)| (name.as_str(), digest))
    }

    /// Returns whether there are no tokens.
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
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let mut tokens = Self::default();
        for one in text.split(',').filter(|one| !one.is_empty()) {
            let (name, digest) = one.split_once('=').ok_or(InvalidToken::Digest)?;
            tokens.insert(name, digest)?;
        }
        Ok(tokens)
    }
}

/// The SHA-256 digest of a token. It is not a secret, since a token is 32 random bytes; `Debug` omits it all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Returns the digest's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for TokenDigest {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidToken::Digest);
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| InvalidToken::Digest)?;
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

/// The reason why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// The holder's name is malformed.
    #[error(
        "`{}` can't name a token's holder: it takes 1 to {} letters, digits, `.`, `_`, `@` or `-`",
        .0.escape_debug(), Tokens::LONGEST_NAME
    )]
    Name(String),
    /// The digest is not a SHA-256 in hexadecimal.
    #[error("a SHA-256 has 64 hexadecimal digits; `curfew token new` prints one")]
    Digest,
    /// Two tokens have the same name.
    #[error("`{0}` holds two tokens")]
    Twice(String),
    /// There are too many tokens for a Lambda's environment.
    #[error(
        "there are more than {} tokens; use `auth = \"iam\"` for more people",
        Tokens::MOST
    )]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(name: &str, digest: &str) -> Result<(), InvalidToken> {
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
            assert_eq!(
                bad.parse::<TokenDigest>(),
                Err(InvalidToken::Digest),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_name_has_only_characters_that_are_safe_in_tags_and_lists() {
        let digest = "ab".repeat(32);
        for good in ["a", "alice@example.com", "ci-2.deploy_x", &"x".repeat(32)] {
            assert_eq!(insert(good, &digest), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a=b", "a,b", "ä", "a\n", &"x".repeat(33)] {
            assert!(
                matches!(insert(bad, &digest), Err(InvalidToken::Name(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn duplicate_names_and_too_many_tokens_are_refused() {
        let digest = "ab".repeat(32);
        let twice = format!("a={digest},a={digest}");
        assert_eq!(
            twice.parse::<Tokens>(),
            Err(InvalidToken::Twice("a".into()))
        );
        let many = |count: usize| {
            (0..count)
                .map(|n| format!("t{n}={digest}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert!(many(Tokens::MOST).parse::<Tokens>().is_ok());
        assert_eq!(
            many(Tokens::MOST + 1).parse::<Tokens>(),
            Err(InvalidToken::TooMany)
        );
        assert_eq!(
            digest.parse::<Tokens>(),
            Err(InvalidToken::Digest),
            "no name"
        );
        assert!("".parse::<Tokens>().unwrap().is_empty());
    }
}
