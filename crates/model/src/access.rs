//! Access control: denied actions, denied instances, rejected credentials, regions that are not enabled.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::action::{ApiAction, Service};
use crate::caller::ApiCaller;
use crate::error::ModelError;
use crate::filter::WildcardPattern;
use crate::ids::{Home, HomeFilter};
use crate::instance::{Ec2Instance, instance_arn};
use crate::request::{ApiRequest, RegionLine};

/// A denied action: it is refused with `UnauthorizedOperation`, for every instance or, with a condition on
/// `aws:ResourceTag`, for some. Describe actions have no resource-level permissions (*Actions, resources, and condition
/// keys for Amazon EC2*), so a denial with a condition does not affect them.
#[derive(Debug, Clone)]
pub struct Denial {
    action: ApiAction,
    scope: HomeFilter,
    condition: Option<TagCondition>,
}

#[derive(Debug, Clone)]
struct TagCondition {
    key: String,
    value: WildcardPattern,
    denied: DeniedWhen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeniedWhen {
    WithTag,
    WithoutTag,
}

impl Denial {
    /// Denies this action in every account and region.
    pub fn of(action: ApiAction) -> Self {
        Self {
            action,
            scope: HomeFilter::default(),
            condition: None,
        }
    }

    /// Limits the denial to callers of this account.
    #[must_use]
    pub fn in_account(mut self, account: impl Into<String>) -> Self {
        self.scope.account = Some(account.into());
        self
    }

    /// Limits the denial to this region.
    #[must_use]
    pub fn in_region(mut self, region: impl Into<String>) -> Self {
        self.scope.region = Some(region.into());
        self
    }

    /// Limits the denial to instances with this tag; the value is a pattern of IAM's `StringLike`.
    #[must_use]
    pub fn if_tagged(mut self, key: impl Into<String>, value: &str) -> Self {
        self.condition = Some(TagCondition {
            key: key.into(),
            value: WildcardPattern::new(value),
            denied: DeniedWhen::WithTag,
        });
        self
    }

    /// Limits the denial to instances without this tag, like a policy that allows only tagged instances.
    #[must_use]
    pub fn unless_tagged(mut self, key: impl Into<String>, value: &str) -> Self {
        self.condition = Some(TagCondition {
            key: key.into(),
            value: WildcardPattern::new(value),
            denied: DeniedWhen::WithoutTag,
        });
        self
    }

    fn concerns(&self, home: &Home, action: ApiAction) -> bool {
        self.action == action && self.scope.covers(home)
    }
}

impl TagCondition {
    fn denies(&self, instance: &Ec2Instance) -> bool {
        let tagged = instance
            .tags
            .get(&self.key)
            .is_some_and(|value| self.value.matches(value));
        match self.denied {
            DeniedWhen::WithTag => tagged,
            DeniedWhen::WithoutTag => !tagged,
        }
    }
}

/// The error that an account's credentials cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialFault {
    /// An expired session: `ExpiredToken`, 400.
    ExpiredToken,
    /// An expired session in EC2's wording: `RequestExpired`, 400.
    RequestExpired,
    /// Unknown keys: `AuthFailure`, 401.
    AuthFailure,
}

/// Whether the time of a signature is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockCheck {
    /// Refuses a signature that is more than five minutes from the model's `now`, and sends `now` in the `Date` header,
    /// from which SDKs correct their clock.
    On,
    /// Accepts any time, as needed in virtual time for an SDK that signs with the real one.
    Off,
}

/// *Signature Version 4*: "requests must reach AWS within five minutes of the time stamp".
const SKEW_ALLOWED: SignedDuration = SignedDuration::from_mins(5);

/// Regions that are enabled for every account (*Regions and Availability Zones*).
const ENABLED: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// Some of the regions that need opting in.
const OPT_IN: [&str; 6] = [
    "af-south-1",
    "ap-east-1",
    "eu-central-2",
    "eu-south-1",
    "il-central-1",
    "me-south-1",
];

#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) denials: Vec<Denial>,
    pub(crate) credentials: BTreeMap<String, CredentialFault>,
    pub(crate) clock: ClockCheck,
    opted_in: BTreeSet<String>,
}

impl Access {
    pub(crate) fn open() -> Self {
        Self {
            denials: Vec::new(),
            credentials: BTreeMap::new(),
            clock: ClockCheck::Off,
            opted_in: BTreeSet::new(),
        }
    }

    pub(crate) fn opt_in(&mut self, region: &str) {
        self.opted_in.insert(region.to_owned());
    }

    /// Checks the caller's credentials. EC2 answers a region that the account has not enabled like invalid keys.
    pub(crate) fn authenticate(
        &self,
        caller: &ApiCaller,
        service: Service,
        now: Timestamp,
    ) -> Result<(), ModelError> {
        match self.credentials.get(&caller.home.account) {
            Some(CredentialFault::ExpiredToken) => return Err(ModelError::expired_token()),
            Some(CredentialFault::RequestExpired) => return Err(ModelError::request_expired(now)),
            Some(CredentialFault::AuthFailure) => return Err(ModelError::unknown_key(service)),
            None => {}
        }
        if !self.is_enabled(&caller.home.region) {
            return Err(ModelError::unknown_key(service));
        }
        match (self.clock, caller.signed_at) {
            (ClockCheck::On, Some(signed)) if now.duration_since(signed).abs() > SKEW_ALLOWED => {
                Err(ModelError::request_expired(now))
            }
            _ => Ok(()),
        }
    }

    /// Checks the caller's permissions for these instances; the error names the first denied one.
    pub(crate) fn authorize<'a>(
        &self,
        home: &Home,
        request: &ApiRequest,
        targets: impl Fn() -> Vec<&'a Ec2Instance>,
    ) -> Result<(), ModelError> {
        let action = request.action();
        for denial in &self.denials {
            if !denial.concerns(home, action) {
                continue;
            }
            let resource = match &denial.condition {
                None => request
                    .ids()
                    .first()
                    .map_or("*".to_owned(), |id| instance_arn(home, id)),
                Some(_) if action.is_describe() => continue,
                Some(condition) => {
                    match targets()
                        .into_iter()
                        .find(|instance| condition.denies(instance))
                    {
                        Some(instance) => instance.arn(),
                        None => continue,
                    }
                }
            };
            return Err(match action.service() {
                Service::Ec2 => ModelError::unauthorized(home, action, &resource),
                Service::Sqs | Service::Sts => ModelError::access_denied(home, action, &resource),
            });
        }
        Ok(())
    }

    pub(crate) fn regions(&self) -> Vec<RegionLine> {
        let required = ENABLED.iter().map(|name| (*name, "opt-in-not-required"));
        let optional = OPT_IN.iter().map(|name| {
            let chosen = self.opted_in.contains(*name);
            (*name, if chosen { "opted-in" } else { "not-opted-in" })
        });
        required
            .chain(optional)
            .map(|(name, opt_in)| RegionLine {
                name: name.to_owned(),
                opt_in,
            })
            .collect()
    }

    fn is_enabled(&self, region: &str) -> bool {
        ENABLED.contains(&region) || self.opted_in.contains(region)
    }
}

impl ApiAction {
    /// Returns whether the action only reads.
    pub fn is_describe(self) -> bool {
        self.name().starts_with("Describe")
    }
}
