//! Checks before `curfew deploy` and `curfew destroy` change anything: that the credentials and the endpoint of every service belong to
//! the same cloud and, before a deployment on AWS, how many instances it would manage and what it costs. It only observes; the
//! operator decides.

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

use self::cost::MonthlyCost;

/// The services that a deployment calls, by AWS's service ids.
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

/// The minimum length of an access key id on AWS (*`AccessKey`*, IAM API Reference). Keys for emulators are `test` or twelve digits.
const MIN_KEY_LENGTH: usize = 16;

/// The facts about a deployment to AWS that the operator sees before it starts.
#[derive(Debug)]
pub struct PreflightReport {
    /// The identity of the credentials.
    pub caller: Caller,
    /// The region of the deployment.
    pub region: String,
    /// The number of instances that the schedules manage now.
    pub managed: usize,
    /// Accounts and regions where instances could not be counted.
    pub unreachable: Vec<AccountRegionError>,
    /// The estimated cost of the stack, without instances.
    pub cost: MonthlyCost,
}

/// Why a deployment is refused: the credentials or endpoints contradict each other, or can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// A profile with AWS keys, and an emulator's endpoint.
    #[error(
        "`{endpoint}` is an emulator on this machine, and the profile `{profile}` has keys of AWS"
    )]
    RealKeys {
        /// The emulator's URL.
        endpoint: String,
        /// The name of the profile.
        profile: String,
    },
    /// An emulator's keys, and AWS.
    #[error("`{key}` is a key for emulators, and this is AWS, {region}")]
    EmulatorKeys {
        /// The access key id.
        key: String,
        /// The region of the deployment.
        region: String,
    },
    /// One service has an endpoint on AWS, and others on an emulator, or the reverse.
    #[error(
        "{service} has the endpoint {own}, and other services have {others}: one is AWS, the other is not"
    )]
    MixedEndpoints {
        /// The service with a different endpoint.
        service: &'static str,
        /// The service's endpoint.
        own: String,
        /// The endpoint of the other services.
        others: String,
    },
    /// No credentials are configured, or their source failed.
    #[error("there are no credentials")]
    NoCredentials(#[source] CredentialsError),
    /// An AWS call failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

impl PreflightError {
    /// Returns what the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::RealKeys { .. } => {
                "remove the endpoint to deploy into AWS (--endpoint-url, AWS_ENDPOINT_URL, `aws.endpoint`, `endpoint_url` of the profile), or the profile to deploy into the emulator"
            }
            Self::MixedEndpoints { .. } => {
                "set one endpoint for all services, by --endpoint-url, AWS_ENDPOINT_URL, `aws.endpoint` or `endpoint_url` of the profile, or none"
            }
            Self::EmulatorKeys { .. } => {
                "unset AWS_ACCESS_KEY_ID, or pass the emulator's address: --endpoint-url http://127.0.0.1:4566"
            }
            Self::NoCredentials(_) => "set AWS_PROFILE, or keys in the environment",
            Self::Cloud(error) => error.hint(),
        }
    }
}

/// Fails if the keys don't belong to the endpoint. Returns the facts about a deployment to AWS; none on an emulator, where nothing needs
/// confirmation.
pub async fn check(
    conn: &Connection,
    configuration: &Configuration,
    clock: &Clock,
) -> Result<Option<PreflightReport>, PreflightError> {
    let cloud = EndpointKind::of(conn);
    let provider = conn.sdk.credentials_provider();
    let provider = provider.ok_or_else(|| {
        PreflightError::NoCredentials(CredentialsError::not_loaded("none are configured"))
    })?;
    let credentials = provider.provide_credentials().await;
    let credentials = credentials.map_err(PreflightError::NoCredentials)?;
    let key = credentials.access_key_id();
    match (cloud, &configuration.aws.profile, conn.endpoint()) {
        (EndpointKind::Emulator | EndpointKind::LocalEmulator, Some(profile), Some(endpoint))
            if is_aws_key(key) =>
        {
            return Err(PreflightError::RealKeys {
                endpoint: endpoint.to_owned(),
                profile: profile.clone(),
            });
        }
        (EndpointKind::Emulator | EndpointKind::LocalEmulator, _, _) => return Ok(None),
        (EndpointKind::Aws, _, _) if key.len() < MIN_KEY_LENGTH => {
            return Err(PreflightError::EmulatorKeys {
                key: key.to_owned(),
                region: conn.region().to_owned(),
            });
        }
        (EndpointKind::Aws, _, _) => {}
    }
    let caller = caller_identity(conn).await.caller?;
    let organisation = Organisation::open(conn, &configuration.targets);
    let survey = organisation.observe(&Scope::All, Deadline::NONE).await;
    let observed = survey.answers.iter().flat_map(|(_, instances)| instances);
    let managed = observed.filter(|one| configuration.schedule_set.schedule_for(one).is_ok());
    Ok(Some(PreflightReport {
        caller,
        region: conn.region().to_owned(),
        managed: managed.count(),
        unreachable: survey.failures,
        cost: MonthlyCost::of(
            configuration,
            organisation.account_regions().len(),
            clock.now(),
        ),
    }))
}

/// Fails if some services have an endpoint on AWS and others on an emulator, between which a deployment would be split.
pub fn check_single_cloud(conn: &Connection) -> Result<(), PreflightError> {
    let cloud = EndpointKind::of(conn);
    let shown = |endpoint: Option<&str>| match endpoint {
        Some(url) => format!("`{url}`"),
        None => format!("AWS, {}", conn.region()),
    };
    for service in SERVICES {
        let own = conn.endpoint_of(service);
        if EndpointKind::at(own.as_deref()).is_aws() != cloud.is_aws() {
            return Err(PreflightError::MixedEndpoints {
                service,
                own: shown(own.as_deref()),
                others: shown(conn.endpoint()),
            });
        }
    }
    Ok(())
}

/// Whether the key id has AWS's prefix of a user's or a session's key (*Understanding unique ID prefixes*, IAM User Guide).
fn is_aws_key(key: &str) -> bool {
    key.len() >= MIN_KEY_LENGTH && (key.starts_with("AKIA") || key.starts_with("ASIA"))
}
