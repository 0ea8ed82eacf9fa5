//! Checks before `curfew deploy` changes anything on AWS: credentials of another partition than the endpoint's, more
//! instances than expected, unexpected costs. It only observes; the operator decides.

pub mod cost;

use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use curfew_aws::caller_identity::{Caller, caller_identity};
use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_aws::error::CloudError;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{AccountRegionError, Organisation};
use curfew_config::Configuration;

use self::cost::{Cost, Load};

/// What a deployment calls, by AWS's ids of services.
const SERVICES: [&str; 9] = [
    "CloudFormation",
    "API Gateway",
    "S3",
    "SSM",
    "EventBridge",
    "EC2",
    "Lambda",
    "SQS",
    "STS",
];

/// AWS's shortest key id (*`AccessKey`*, IAM API Reference); emulators are given `test` or twelve digits.
const SHORTEST_KEY: usize = 16;

/// A deployment to AWS, as far as it can be told before.
#[derive(Debug)]
pub struct Outlook {
    /// The identity that deploys.
    pub caller: Caller,
    /// In which region.
    pub region: String,
    /// How many instances the schedules manage now.
    pub managed: usize,
    /// Accounts and regions where that could not be told.
    pub unseen: Vec<AccountRegionError>,
    /// What the stack itself costs.
    pub cost: Cost,
}

/// A deployment that can't be what was meant.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// A profile of AWS, and an emulator.
    #[error(
        "`{endpoint}` is an emulator on this machine, and the profile `{profile}` has keys of AWS"
    )]
    RealKeys {
        /// Where.
        endpoint: String,
        /// The AWS profile.
        profile: String,
    },
    /// AWS, and the keys of an emulator.
    #[error("`{key}` is a key for emulators, and this is AWS, {region}")]
    EmulatorKeys {
        /// Its id.
        key: String,
        /// Where.
        region: String,
    },
    /// Half of it would go to AWS, and half to an emulator.
    #[error(
        "{service} is asked at {own}, and other services at {others}: one is AWS, the other is not"
    )]
    TwoClouds {
        /// Which has an endpoint of its own.
        service: &'static str,
        /// Where that is.
        own: String,
        /// Where the others are.
        others: String,
    },
    /// No credentials were found.
    #[error("there are no credentials")]
    NoCredentials(#[source] CredentialsError),
    /// A call failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

impl GuardError {
    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::RealKeys { .. } => {
                "take the endpoint away to deploy into AWS (--endpoint-url, AWS_ENDPOINT_URL, `aws.endpoint`, `endpoint_url` of the profile), or the profile to deploy into the emulator"
            }
            Self::TwoClouds { .. } => {
                "name one endpoint for all services, by --endpoint-url, AWS_ENDPOINT_URL, `aws.endpoint` or `endpoint_url` of the profile, or none"
            }
            Self::EmulatorKeys { .. } => {
                "take AWS_ACCESS_KEY_ID away, or name the emulator's address: --endpoint-url http://127.0.0.1:4566"
            }
            Self::NoCredentials(_) => "set AWS_PROFILE, or keys in the environment",
            Self::Cloud(error) => error.hint(),
        }
    }
}

/// Refuses keys that don't belong to the endpoint; and, on AWS, tells what is about to be deployed into. None on an emulator, where
/// nothing can be lost.
pub async fn look(
    conn: &Connection,
    configuration: &Configuration,
    clock: &Clock,
) -> Result<Option<Outlook>, GuardError> {
    let cloud = EndpointKind::of(conn);
    let provider = conn.sdk.credentials_provider();
    let provider = provider.ok_or_else(|| {
        GuardError::NoCredentials(CredentialsError::not_loaded("none are configured"))
    })?;
    let credentials = provider.provide_credentials().await;
    let credentials = credentials.map_err(GuardError::NoCredentials)?;
    let key = credentials.access_key_id();
    match (cloud, &configuration.aws.profile, conn.endpoint()) {
        (EndpointKind::Emulator | EndpointKind::LocalEmulator, Some(profile), Some(endpoint))
            if is_of_aws(key) =>
        {
            return Err(GuardError::RealKeys {
                endpoint: endpoint.to_owned(),
                profile: profile.clone(),
            });
        }
        (EndpointKind::Emulator | EndpointKind::LocalEmulator, _, _) => return Ok(None),
        (EndpointKind::Aws, _, _) if key.len() < SHORTEST_KEY => {
            return Err(GuardError::EmulatorKeys {
                key: key.to_owned(),
                region: conn.region().to_owned(),
            });
        }
        (EndpointKind::Aws, _, _) => {}
    }
    let caller = caller_identity(conn).await.caller?;
    let organisation = Organisation::open(conn, &configuration.targets);
    let survey = organisation.observe(&Scope::All, Deadline::NONE).await;
    let seen = survey.answers.iter().flat_map(|(_, instances)| instances);
    let managed = seen.filter(|one| configuration.schedule_set.schedule_for(one).is_ok());
    Ok(Some(Outlook {
        caller,
        region: conn.region().to_owned(),
        managed: managed.count(),
        unseen: survey.failures,
        cost: Cost::of(&Load::of(
            configuration,
            organisation.account_regions().len(),
            clock.now(),
        )),
    }))
}

/// Refuses a configuration in which one service has another endpoint than the others: half of a deployment would be made or
/// removed there.
pub fn one_cloud(conn: &Connection) -> Result<(), GuardError> {
    let cloud = EndpointKind::of(conn);
    let place = |endpoint: Option<&str>| match endpoint {
        Some(url) => format!("`{url}`"),
        None => format!("AWS, {}", conn.region()),
    };
    for service in SERVICES {
        let own = conn.endpoint_of(service);
        if EndpointKind::at(own.as_deref()).is_aws() != cloud.is_aws() {
            return Err(GuardError::TwoClouds {
                service,
                own: place(own.as_deref()),
                others: place(conn.endpoint()),
            });
        }
    }
    Ok(())
}

/// A user's key or a session's, by AWS's prefixes (*Understanding unique ID prefixes*, IAM User Guide).
fn is_of_aws(key: &str) -> bool {
    key.len() >= SHORTEST_KEY && (key.starts_with("AKIA") || key.starts_with("ASIA"))
}
