//! What AWS's failures mean to who asked over HTTP. It stands apart so that everything in front of AWS can be built without its SDK,
//! as the fuzz targets do.

use curfew_aws::error::{CloudError, CloudErrorKind, presentable};

use crate::refusal::{Code, Refusal};

impl From<&CloudError> for Refusal {
    fn from(error: &CloudError) -> Self {
        let code = match error.kind {
            CloudErrorKind::Unreachable => Code::Unreachable,
            CloudErrorKind::NotSent => Code::OutOfTime,
            CloudErrorKind::Credentials | CloudErrorKind::Expired => Code::NoCredentials,
            CloudErrorKind::Denied | CloudErrorKind::Account => Code::Denied,
            CloudErrorKind::Throttled => Code::Throttled,
            CloudErrorKind::NotFound => Code::NotFound,
            CloudErrorKind::Capacity => Code::NoCapacity,
            CloudErrorKind::WrongState => Code::WrongState,
            CloudErrorKind::Service => Code::CloudFailed,
            CloudErrorKind::Quota | CloudErrorKind::Refused => Code::Refused,
        };
        // Who asks over HTTP can't mend the function's credentials, and no pass repeats a request that EC2 did not accept.
        let hint = match code {
            Code::NoCredentials => {
                "the function's role is broken; whoever runs Curfew finds more in its log"
            }
            Code::Unreachable => {
                "ask again in a moment; if that does not help, check the function's endpoint and network"
            }
            Code::Throttled => "ask again in a few seconds",
            Code::WrongState => "ask again when it has settled",
            Code::NoCapacity => {
                "ask again later, or for a while (`for=2h`): an override is tried again at each pass"
            }
            _ => error.hint(),
        };
        Self::new(code, presentable(&error.to_string()), hint)
    }
}

impl From<CloudError> for Refusal {
    fn from(error: CloudError) -> Self {
        Self::from(&error)
    }
}
