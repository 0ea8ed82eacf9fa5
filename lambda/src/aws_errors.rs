//! What AWS's failures mean to who asked over HTTP. It stands apart so that everything in front of AWS can be built without its SDK,
//! as the fuzz targets do.

use curfew_aws::error::{CloudError, CloudErrorKind, presentable};

use crate::api_error::{ApiError, ErrorCode};

impl From<&CloudError> for ApiError {
    fn from(error: &CloudError) -> Self {
        let code = match error.kind {
            CloudErrorKind::Unreachable => ErrorCode::Unreachable,
            CloudErrorKind::NotSent => ErrorCode::OutOfTime,
            CloudErrorKind::Credentials | CloudErrorKind::Expired => ErrorCode::NoCredentials,
            CloudErrorKind::Denied | CloudErrorKind::Account => ErrorCode::Denied,
            CloudErrorKind::Throttled => ErrorCode::Throttled,
            CloudErrorKind::NotFound => ErrorCode::NotFound,
            CloudErrorKind::Capacity => ErrorCode::NoCapacity,
            CloudErrorKind::WrongState => ErrorCode::WrongState,
            CloudErrorKind::Service => ErrorCode::CloudFailed,
            CloudErrorKind::Quota | CloudErrorKind::Refused => ErrorCode::Refused,
        };
        // Who asks over HTTP can't mend the function's credentials, and no pass repeats a request that EC2 did not accept.
        let hint = match code {
            ErrorCode::NoCredentials => {
                "the function's role is broken; whoever runs Curfew finds more in its log"
            }
            ErrorCode::Unreachable => {
                "ask again in a moment; if that does not help, check the function's endpoint and network"
            }
            ErrorCode::Throttled => "ask again in a few seconds",
            ErrorCode::WrongState => "ask again when it has settled",
            ErrorCode::NoCapacity => {
                "ask again later, or for a while (`for=2h`): an override is tried again at each pass"
            }
            _ => error.hint(),
        };
        Self::new(code, presentable(&error.to_string()), hint)
    }
}

impl From<CloudError> for ApiError {
    fn from(error: CloudError) -> Self {
        Self::from(&error)
    }
}
