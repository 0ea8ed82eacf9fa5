//! Ids of instances, their accounts and regions, and the generation of ids.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::ModelError;

/// The id of an instance, `i-` and 8 or 17 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ec2InstanceId(Arc<str>);

impl Ec2InstanceId {
    pub(crate) fn numbered(number: u64) -> Self {
        Self(format!("i-0{number:016x}").into())
    }

    /// Returns the id as EC2 writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ec2InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Ec2InstanceId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Ec2InstanceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Ec2InstanceId {
    type Err = ModelError;

    /// Fails with `InvalidInstanceID.Malformed`, which EC2 checks before existence.
    fn from_str(text: &str) -> Result<Self, ModelError> {
        let digits = text.strip_prefix("i-").unwrap_or_default();
        let hexadecimal = digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if hexadecimal && matches!(digits.len(), 8 | 17) {
            Ok(Self(text.into()))
        } else {
            Err(ModelError::malformed_id(text))
        }
    }
}

/// The account and region that owns a resource, or that a call addresses. EC2 sees nothing beyond it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Home {
    /// The twelve digits of the account.
    pub account: String,
    /// The region's name, such as `eu-west-1`.
    pub region: String,
}

impl Home {
    /// Creates a home from account and region.
    pub fn new(account: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            account: account.into(),
            region: region.into(),
        }
    }
}

impl Default for Home {
    /// Account 000000000000 in `us-east-1`, the default of the emulators.
    fn default() -> Self {
        Self::new("000000000000", "us-east-1")
    }
}

/// A set of accounts and regions: all, until narrowed.
#[derive(Debug, Clone, Default)]
pub(crate) struct HomeFilter {
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
}

impl HomeFilter {
    pub(crate) fn covers(&self, home: &Home) -> bool {
        let covers =
            |wanted: &Option<String>, name: &String| wanted.as_ref().is_none_or(|w| w == name);
        covers(&self.account, &home.account) && covers(&self.region, &home.region)
    }
}

/// The model's only source of randomness: the same seed and calls give the same ids and faults.
///
/// `SplitMix64`: a counter through a mixing function, so that no two draws of a seed are equal.
#[derive(Debug, Clone)]
pub(crate) struct SeededRandom {
    state: u64,
}

impl SeededRandom {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns true in `percent` of 100 draws.
    pub(crate) fn happens(&mut self, percent: u8) -> bool {
        self.draw() % 100 < u64::from(percent)
    }
}

/// Formats a UUID of version 4 from two draws.
pub(crate) fn uuid(high: u64, low: u64) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_eight_or_seventeen_hexadecimal_digits() {
        for good in ["i-12345678", "i-0123456789abcdef0"] {
            assert_eq!(good.parse::<Ec2InstanceId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "i-",
            "i-1234567",
            "i-123456789",
            "i-0123456789ABCDEF0",
            "x-12345678",
            "i-zzzzzzzz",
        ] {
            let error = bad.parse::<Ec2InstanceId>().unwrap_err();
            assert_eq!(error.code, "InvalidInstanceID.Malformed", "{bad:?}");
        }
    }

    #[test]
    fn new_ids_are_well_formed_and_differ() {
        let mut chance = SeededRandom::seeded(7);
        let (one, two) = (
            Ec2InstanceId::numbered(chance.draw()),
            Ec2InstanceId::numbered(chance.draw()),
        );
        assert_ne!(one, two);
        assert_eq!(one.as_str().parse::<Ec2InstanceId>().unwrap(), one);
    }

    #[test]
    fn a_percentage_is_kept_over_many_draws() {
        let mut chance = SeededRandom::seeded(1);
        let hits = (0..10_000).filter(|_| chance.happens(30)).count();
        assert!((2_800..3_200).contains(&hits), "{hits} of 10,000");
        assert!(!(0..100).any(|_| chance.happens(0)));
        assert!((0..100).all(|_| chance.happens(100)));
    }
}
