//! Converts AWS errors into API errors. It is a separate module so that the modules that parse requests can be built without the
//! AWS SDK, as the fuzz targets do.

use curfew_aws::error::{CloudError, presentable};
use curfew_core::error_code::ErrorCode;

use crate::api_error::ApiError;

impl From<&CloudError> for ApiError {
    fn from(error: &CloudError) -> Self {
        let code = error.kind.into();
        // These hints are for API clients: they can't repair the function's credentials, and no pass repeats a refused request.
        let hint = match code {
            ErrorCode::NoCredentials => {
                "the function's role is broken; its operator finds details in the function's log"
            }
            ErrorCode::Unreachable => {
                "retry in a moment; if it fails again, check the function's endpoint and network"
            }
            ErrorCode::Throttled => "retry in a few seconds",
            ErrorCode::WrongState => "retry when its state is stable",
            ErrorCode::NoCapacity => {
                "retry later, or set an override (`for=2h`): every pass retries it"
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
