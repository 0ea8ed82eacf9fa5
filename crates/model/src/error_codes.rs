//! The error codes of EC2, SQS and STS, each with its message.
//!
//! Codes come from the page *Error codes for the Amazon EC2 API*. Messages are those observed on AWS, because clients
//! parse ids out of them; where AWS's wording is not public, the constructor says so.

use jiff::Timestamp;

use crate::action::{ApiAction, Service};
use crate::error::ModelError;
use crate::ids::{Ec2InstanceId, Home};
use crate::instance::ModelCapacityPool;

impl ModelError {
    pub(crate) fn invalid_action(action: &str, version: &str) -> Self {
        Self::client(
            "InvalidAction",
            format!("The action {action} is not valid for this web service (version {version})."),
        )
    }

    pub(crate) fn missing_parameter(name: &str) -> Self {
        Self::client(
            "MissingParameter",
            format!("The request must contain the parameter {name}"),
        )
    }

    pub(crate) fn invalid_value(message: impl Into<String>) -> Self {
        Self::client("InvalidParameterValue", message)
    }

    pub(crate) fn invalid_combination(message: impl Into<String>) -> Self {
        Self::client("InvalidParameterCombination", message)
    }

    pub(crate) fn unknown_filter(name: &str) -> Self {
        Self::invalid_value(format!("The filter '{name}' is invalid"))
    }

    pub(crate) fn invalid_token() -> Self {
        Self::client("InvalidNextToken", "The specified NextToken is not valid.")
    }

    pub(crate) fn malformed_id(id: &str) -> Self {
        Self::client(
            "InvalidInstanceID.Malformed",
            format!("Invalid id: \"{id}\""),
        )
    }

    pub(crate) fn no_such_instances(ids: &[&str]) -> Self {
        let message = match ids {
            [id] => format!("The instance ID '{id}' does not exist"),
            ids => format!("The instance IDs '{}' do not exist", ids.join(", ")),
        };
        Self::client("InvalidInstanceID.NotFound", message)
    }

    pub(crate) fn cannot_start(id: &Ec2InstanceId) -> Self {
        Self::client(
            "IncorrectInstanceState",
            format!("The instance '{id}' is not in a state from which it can be started."),
        )
    }

    pub(crate) fn cannot_stop(id: &Ec2InstanceId) -> Self {
        Self::client(
            "IncorrectInstanceState",
            format!("This instance '{id}' is not in a state from which it can be stopped."),
        )
    }

    pub(crate) fn never_ran(id: &Ec2InstanceId) -> Self {
        Self::client(
            "IncorrectInstanceState",
            format!(
                "Instance '{id}' cannot be stopped as it has never reached the 'running' state."
            ),
        )
    }

    pub(crate) fn not_stopped(id: &Ec2InstanceId) -> Self {
        Self::client(
            "IncorrectInstanceState",
            format!("The instance '{id}' is not in the 'stopped' state."),
        )
    }

    pub(crate) fn instance_store(id: &Ec2InstanceId) -> Self {
        Self::client(
            "UnsupportedOperation",
            format!(
                "The instance '{id}' does not have an 'ebs' root device type and cannot be stopped."
            ),
        )
    }

    pub(crate) fn one_time_spot(id: &Ec2InstanceId) -> Self {
        Self::client(
            "UnsupportedOperation",
            format!(
                "You can't stop the Spot Instance '{id}' because it is associated with a one-time Spot Instance \
                 request. You can only stop Spot Instances associated with persistent Spot Instance requests."
            ),
        )
    }

    /// AWS stopped the instance, and only AWS starts it again (*Spot Instance interruptions*, EC2 User Guide).
    pub(crate) fn spot_not_startable(id: &Ec2InstanceId) -> Self {
        Self::client(
            "IncorrectSpotRequestState",
            format!(
                "You can't start the Spot Instance '{id}' because the associated Spot Instance request is not in an \
                 appropriate state to support start."
            ),
        )
    }

    pub(crate) fn stop_protected(id: &Ec2InstanceId) -> Self {
        Self::client(
            "OperationNotPermitted",
            format!(
                "The instance '{id}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again."
            ),
        )
    }

    /// The code is AWS's; of the message only the end, `: ID`, is known (AWS's Instance Scheduler parses the id there).
    pub(crate) fn not_configured_for_hibernation(id: &Ec2InstanceId) -> Self {
        Self::client(
            "UnsupportedHibernationConfiguration",
            format!("The following instance is not configured for hibernation: {id}"),
        )
    }

    pub(crate) fn not_ready_to_hibernate() -> Self {
        Self::client(
            "UnsupportedOperation",
            "Instance is not ready to hibernate yet, retry in a few minutes",
        )
    }

    pub(crate) fn no_capacity(pool: &ModelCapacityPool) -> Self {
        let (code, status) = ("InsufficientInstanceCapacity", 500);
        if pool.spot {
            return Self::with_status(
                status,
                code,
                "There is no Spot capacity available that matches your request.",
            );
        }
        if pool.placement.reservation.is_some() {
            return Self::client(
                "ReservationCapacityExceeded",
                "The requested Capacity Reservation does not have enough available capacity to fulfill your request.",
            );
        }
        let ModelCapacityPool {
            instance_type,
            zone,
            ..
        } = pool;
        Self::with_status(
            status,
            code,
            format!(
                "We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested \
                 ({zone}). Our system will be working on provisioning additional capacity."
            ),
        )
    }

    pub(crate) fn tag_limit() -> Self {
        Self::client(
            "TagLimitExceeded",
            "The maximum number of Tags for a resource has been reached.",
        )
    }

    pub(crate) fn throttled(home: &Home, action: ApiAction, which: &str) -> Self {
        Self::with_status(
            503,
            "RequestLimitExceeded",
            format!(
                "Request limit exceeded. Account {} has been throttled on ec2:{action} because it exceeded its {which} \
                 rate limit.",
                home.account
            ),
        )
    }

    pub(crate) fn unauthorized(home: &Home, action: ApiAction, resource: &str) -> Self {
        Self::with_status(
            403,
            "UnauthorizedOperation",
            format!(
                "You are not authorized to perform this operation. User: arn:aws:iam::{}:user/curfew is not authorized \
                 to perform: ec2:{action} on resource: {resource} because no identity-based policy allows the \
                 ec2:{action} action.",
                home.account
            ),
        )
    }

    pub(crate) fn dry_run() -> Self {
        Self::with_status(
            412,
            "DryRunOperation",
            "Request would have succeeded, but DryRun flag is set.",
        )
    }

    /// The denial of a service other than EC2.
    pub(crate) fn access_denied(home: &Home, action: ApiAction, resource: &str) -> Self {
        let (account, service) = (&home.account, action.service().name());
        Self::with_status(
            403,
            if service == "sqs" {
                "AccessDeniedException"
            } else {
                "AccessDenied"
            },
            format!(
                "User: arn:aws:iam::{account}:user/curfew is not authorized to perform: {service}:{action} on resource: \
                 {resource}"
            ),
        )
    }

    /// Credentials that are unknown to the service, or not enabled in this region.
    pub(crate) fn unknown_key(service: Service) -> Self {
        match service {
            Service::Ec2 => Self::with_status(
                401,
                "AuthFailure",
                "AWS was not able to validate the provided access credentials",
            ),
            Service::Sqs | Service::Sts => Self::with_status(
                403,
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            ),
        }
    }

    /// An error of SQS, under its name in the query protocol, which clients still use.
    pub(crate) fn queue(code: &'static str) -> Self {
        let message = match code {
            "AWS.SimpleQueueService.NonExistentQueue" => "The specified queue does not exist.",
            "AWS.SimpleQueueService.MessageNotInflight" => "The message isn't in flight.",
            "ReceiptHandleIsInvalid" => "The input receipt handle is invalid.",
            "EmptyBatchRequest" => "There should be at least one entry in the request.",
            "TooManyEntriesInBatchRequest" => "Maximum number of entries per request are 10.",
            _ => "",
        };
        Self::client(code, message)
    }

    pub(crate) fn expired_token() -> Self {
        Self::client(
            "ExpiredToken",
            "The security token included in the request is expired",
        )
    }

    pub(crate) fn request_expired(now: Timestamp) -> Self {
        Self::client(
            "RequestExpired",
            format!("Request has expired. Server time is {now:.0}."),
        )
    }
}
