//! The configured endpoint of a service.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

/// Returns the endpoint of this service. An endpoint set for the service alone has precedence over one for all services,
/// unless the latter was passed by the caller.
pub(crate) fn endpoint_of(service: &'static str, sdk: &SdkConfig) -> Option<String> {
    let for_all = sdk.endpoint_url().map(str::to_owned);
    if sdk.get_origin("endpoint_url").is_client_config() {
        return for_all;
    }
    let key = ServiceConfigKey::builder()
        .service_id(service)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .expect("everything is named");
    let own = sdk.service_config().and_then(|of| of.load_config(key));
    own.or(for_all)
}
