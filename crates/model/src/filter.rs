//! Server-side filters: names from each describe action's page in the API Reference, `*` and `?` in values as in *List
//! and filter using the CLI and API* (EC2 User Guide), AND between filters, OR between values, case-sensitive.
//!
//! An unknown name is refused with AWS's error, also if AWS knows the filter and the model does not: a filter that
//! silently matched everything would turn a caller's mistake into a large fleet.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::error::ModelError;
use crate::instance::{Ec2Instance, HibernationOption, RootDeviceType};

/// The most values that one call's filters may have together (`FilterLimitExceeded`).
const MAX_VALUES: usize = 200;

/// One filter of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribeFilter {
    /// The name, such as `instance-state-name` or `tag:Schedule`.
    pub name: String,
    /// The values, one of which must match.
    pub values: Vec<String>,
}

impl DescribeFilter {
    /// Creates a filter from its name and values.
    pub fn new(
        name: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            name: name.into(),
            values: values.into_iter().map(Into::into).collect(),
        }
    }
}

/// A field that one kind of resource can be filtered by.
pub(crate) trait FilterField: Sized {
    /// The resource that has the field.
    type Of: ?Sized;

    /// Returns the field for a filter's name.
    fn named(name: &str) -> Option<Self>;

    /// Returns whether any value of the field matches.
    fn any(&self, of: &Self::Of, wanted: &FilterValues) -> bool;
}

/// The filters of a call, compiled for matching many resources.
pub(crate) struct CompiledFilters<F>(Vec<(F, FilterValues)>);

impl<F: FilterField> CompiledFilters<F> {
    pub(crate) fn compile(filters: &[DescribeFilter]) -> Result<Self, ModelError> {
        if filters
            .iter()
            .map(|filter| filter.values.len())
            .sum::<usize>()
            > MAX_VALUES
        {
            return Err(ModelError::client(
                "FilterLimitExceeded",
                format!(
                    "The maximum number of filter values specified on a single call is {MAX_VALUES}"
                ),
            ));
        }
        filters
            .iter()
            .map(|filter| {
                let field = F::named(&filter.name)
                    .ok_or_else(|| ModelError::unknown_filter(&filter.name))?;
                Ok((field, FilterValues::new(&filter.values)))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn accept(&self, of: &F::Of) -> bool {
        self.0.iter().all(|(field, wanted)| field.any(of, wanted))
    }
}

/// The values of one filter. Most have no wildcards, and a call may match 200 of them against 100,000 instances.
pub(crate) struct FilterValues {
    plain: HashSet<String>,
    patterns: Vec<WildcardPattern>,
}

impl FilterValues {
    fn new(values: &[String]) -> Self {
        let (patterns, plain): (Vec<_>, Vec<_>) = values
            .iter()
            .partition(|value| value.contains(['*', '?', '\\']));
        Self {
            plain: plain.into_iter().cloned().collect(),
            patterns: patterns
                .into_iter()
                .map(|text| WildcardPattern::new(text))
                .collect(),
        }
    }

    pub(crate) fn is(&self, value: &str) -> bool {
        self.plain.contains(value) || self.patterns.iter().any(|pattern| pattern.matches(value))
    }
}

/// A value with wildcards: `*` matches any run of characters, `?` matches one, and `\` escapes the next character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WildcardPattern(Vec<PatternPiece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PatternPiece {
    Character(char),
    One,
    Run,
}

impl WildcardPattern {
    pub(crate) fn new(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            pieces.push(match character {
                '*' => PatternPiece::Run,
                '?' => PatternPiece::One,
                '\\' => PatternPiece::Character(characters.next().unwrap_or('\\')),
                other => PatternPiece::Character(other),
            });
        }
        Self(pieces)
    }

    pub(crate) fn matches(&self, value: &str) -> bool {
        let value: Vec<char> = value.chars().collect();
        let (mut piece, mut at) = (0, 0);
        // The position to resume at when the text after the last `*` didn't match: after the star, one character
        // further.
        let mut resume = None;
        while at < value.len() {
            match self.0.get(piece) {
                Some(PatternPiece::Run) => {
                    resume = Some((piece + 1, at));
                    piece += 1;
                }
                Some(PatternPiece::One) => (piece, at) = (piece + 1, at + 1),
                Some(PatternPiece::Character(character)) if *character == value[at] => {
                    (piece, at) = (piece + 1, at + 1);
                }
                _ => {
                    let Some((after_star, from)) = resume else {
                        return false;
                    };
                    resume = Some((after_star, from + 1));
                    (piece, at) = (after_star, from + 1);
                }
            }
        }
        self.0[piece..]
            .iter()
            .all(|piece| *piece == PatternPiece::Run)
    }
}

/// The filters of `DescribeInstances` and `DescribeInstanceStatus` that the model implements.
pub(crate) enum InstanceField {
    Architecture,
    AvailabilityZone,
    HibernationConfigured,
    ImageId,
    InstanceId,
    InstanceLifecycle,
    InstanceStateCode,
    InstanceStateName,
    InstanceType,
    LaunchTime,
    OwnerId,
    PrivateIpAddress,
    Reason,
    ReservationId,
    RootDeviceType,
    SpotInstanceRequestId,
    StateReasonCode,
    SubnetId,
    Tag(String),
    TagKey,
    VpcId,
}

impl FilterField for InstanceField {
    type Of = Ec2Instance;

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "architecture" => Self::Architecture,
            "availability-zone" => Self::AvailabilityZone,
            "hibernation-options.configured" => Self::HibernationConfigured,
            "image-id" => Self::ImageId,
            "instance-id" => Self::InstanceId,
            "instance-lifecycle" => Self::InstanceLifecycle,
            "instance-state-code" => Self::InstanceStateCode,
            "instance-state-name" => Self::InstanceStateName,
            "instance-type" => Self::InstanceType,
            "launch-time" => Self::LaunchTime,
            "owner-id" => Self::OwnerId,
            "private-ip-address" => Self::PrivateIpAddress,
            "reason" => Self::Reason,
            "reservation-id" => Self::ReservationId,
            "root-device-type" => Self::RootDeviceType,
            "spot-instance-request-id" => Self::SpotInstanceRequestId,
            "state-reason-code" => Self::StateReasonCode,
            "subnet-id" => Self::SubnetId,
            "tag-key" => Self::TagKey,
            "vpc-id" => Self::VpcId,
            name => Self::Tag(name.strip_prefix("tag:")?.to_owned()),
        })
    }

    fn any(&self, of: &Ec2Instance, wanted: &FilterValues) -> bool {
        let value: Cow<'_, str> = match self {
            Self::Architecture => ARCHITECTURE.into(),
            Self::AvailabilityZone => of.zone.as_str().into(),
            Self::HibernationConfigured => (of.hibernation == HibernationOption::Configured)
                .to_string()
                .into(),
            Self::ImageId => of.image.as_str().into(),
            Self::InstanceId => of.id.as_str().into(),
            Self::InstanceLifecycle => match of.spot {
                Some(_) => "spot".into(),
                None => return false,
            },
            Self::InstanceStateCode => of.state.code().to_string().into(),
            Self::InstanceStateName => of.state.name().into(),
            Self::InstanceType => of.instance_type.as_str().into(),
            Self::LaunchTime => of
                .launch_time
                .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
                .to_string()
                .into(),
            Self::OwnerId => of.home.account.as_str().into(),
            Self::PrivateIpAddress => of.private_ip.as_str().into(),
            Self::Reason => of.transition_reason.as_str().into(),
            Self::ReservationId => of.reservation.as_ref().into(),
            Self::RootDeviceType => of.root.name().into(),
            Self::SpotInstanceRequestId => match &of.spot {
                Some(spot) => spot.id.as_str().into(),
                None => return false,
            },
            Self::StateReasonCode => match &of.state_reason {
                Some(reason) => reason.code.as_str().into(),
                None => return false,
            },
            Self::SubnetId => of.subnet().into(),
            Self::Tag(key) => match of.tags.get(key) {
                Some(value) => value.as_str().into(),
                None => return false,
            },
            Self::TagKey => return of.tags.keys().any(|key| wanted.is(key)),
            Self::VpcId => of.vpc().into(),
        };
        wanted.is(&value)
    }
}

/// The architecture of every instance.
pub(crate) const ARCHITECTURE: &str = "x86_64";

impl RootDeviceType {
    /// EC2's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ebs => "ebs",
            Self::InstanceStore => "instance-store",
        }
    }
}

/// The filters of `DescribeTags`, on an instance's id and one of its tags.
pub(crate) enum TagField {
    Key,
    ResourceId,
    ResourceType,
    Tag(String),
    Value,
}

impl FilterField for TagField {
    type Of = (String, String, String);

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "key" => Self::Key,
            "resource-id" => Self::ResourceId,
            "resource-type" => Self::ResourceType,
            "value" => Self::Value,
            name => Self::Tag(name.strip_prefix("tag:")?.to_owned()),
        })
    }

    fn any(&self, (resource, key, value): &Self::Of, wanted: &FilterValues) -> bool {
        match self {
            Self::Key => wanted.is(key),
            Self::ResourceId => wanted.is(resource),
            Self::ResourceType => wanted.is("instance"),
            Self::Tag(name) => name == key && wanted.is(value),
            Self::Value => wanted.is(value),
        }
    }
}

/// The filters of `DescribeSpotInstanceRequests` that the model implements, on the instance of the request.
pub(crate) enum SpotField {
    InstanceId,
    State,
    StatusCode,
    Request,
    Kind,
}

impl FilterField for SpotField {
    type Of = Ec2Instance;

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "instance-id" => Self::InstanceId,
            "state" => Self::State,
            "status-code" => Self::StatusCode,
            "spot-instance-request-id" => Self::Request,
            "type" => Self::Kind,
            _ => return None,
        })
    }

    fn any(&self, of: &Ec2Instance, wanted: &FilterValues) -> bool {
        of.spot.as_ref().is_some_and(|spot| match self {
            Self::InstanceId => wanted.is(of.id.as_str()),
            Self::State => wanted.is(spot.state),
            Self::StatusCode => wanted.is(spot.status),
            Self::Request => wanted.is(&spot.id),
            Self::Kind => wanted.is(spot.kind.name()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_ec2_documents() {
        for (pattern, value, expected) in [
            ("dev*", "dev", true),
            ("dev*", "develop", true),
            ("dev*", "a-dev", false),
            ("*dev", "a-dev", true),
            ("*-*-x", "a-b-c-x", true),
            ("d?v", "dev", true),
            ("d?v", "dv", false),
            ("?", "é", true),
            ("", "", true),
            ("*", "", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("Dev*", "develop", false),
            ("*ab", "aab", true),
            ("a*b*c", "abbb", false),
        ] {
            assert_eq!(
                WildcardPattern::new(pattern).matches(value),
                expected,
                "{pattern:?} on {value:?}"
            );
        }
    }
}
