//! Minimal clients of services of which Curfew uses a few actions: SSM, SQS, SNS, STS, API Gateway and Lambda. Signature, time
//! limits, retries, clock correction, identity and errors are the SDK's; only its tables of all other actions are absent,
//! which made up a seventh of the Lambda (docs/contribute/performance.md).
//!
//! `tests/it/minimal_client` compares each call with the SDK's own, byte for byte where it is signed.

mod endpoint;
mod json;
mod query;

use aws_config::SdkConfig;
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::recursion_detection::RecursionDetectionInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_runtime::service_clock_skew::{ServiceClockSkewClassifier, ServiceClockSkewInterceptor};
use aws_runtime::user_agent::{ApiMetadata, UserAgentInterceptor};
use aws_smithy_runtime::client::http::connection_poisoning::ConnectionPoisoningInterceptor;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{
    HttpStatusCodeClassifier, TransientErrorClassifier,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::endpoint::EndpointResolverParams;
use aws_smithy_runtime_api::client::orchestrator::{
    HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use aws_types::request_id::apply_request_id;

use self::endpoint::SiblingEndpoint;
pub(crate) use self::query::XmlDocument;
use crate::calls::ApiCalls;

/// An action of a service, as AWS's documentation names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceAction {
    /// The service's id, with which `AWS_ENDPOINT_URL_<ID>` sets its endpoint: `SSM`.
    pub(crate) service: &'static str,
    /// The first label of its hosts' names, and its name in signatures: `ssm`.
    pub(crate) host: &'static str,
    /// The action's name, such as `GetParameter`.
    pub(crate) name: &'static str,
    /// The service's protocol.
    pub(crate) protocol: Protocol,
}

/// The protocol of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    /// <https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html> and 1.1.
    Json {
        /// The content type, such as `application/x-amz-json-1.1`.
        content_type: &'static str,
        /// The prefix of the action's name in `x-amz-target`, such as `AmazonSSM`.
        target: &'static str,
        /// Whether the service returns the error codes of its older protocol on request.
        query_compatible: bool,
    },
    /// <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>: the request is a form, the response XML.
    Query {
        /// The version of the service's API.
        version: &'static str,
    },
    /// <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html>, of which only `GET` is supported: the request is a
    /// path.
    Get,
}

/// A client of one action: it sends a JSON object, the form of the action's parameters or a path, and returns what `read` parses
/// from the response's body.
pub(crate) type ActionClient<O> = Operation<String, O, ServiceError>;

/// A service's error: the code, the message and the request's id, as far as they are known.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message().or(.0.code()).unwrap_or("the service refused without saying why"))]
pub(crate) struct ServiceError(ErrorMetadata);

impl ProvideErrorMetadata for ServiceError {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

impl ServiceAction {
    /// A client of this action with a connection's configuration, counted by `calls`. `read` must fail if a successful
    /// response is truncated; the call is retried then.
    pub(crate) fn by<O>(
        self,
        sdk: &SdkConfig,
        calls: &ApiCalls,
        read: fn(&[u8]) -> Result<O, BoxError>,
    ) -> ActionClient<O>
    where
        O: std::fmt::Debug + Send + Sync + 'static,
    {
        let mut operation = Operation::builder()
            .service_name(self.service)
            .operation_name(self.name)
            .behavior_version(BehaviorVersion::latest())
            .runtime_plugin(
                StaticRuntimePlugin::new()
                    .with_config(self.configuration(sdk).freeze())
                    .with_runtime_components(self.components(sdk).with_interceptor(calls.clone())),
            );
        if let Some(http) = sdk.http_client() {
            operation = operation.http_client(http);
        }
        if let Some(retries) = sdk.retry_config() {
            operation = operation.standard_retry(retries);
        }
        if let Some(limits) = sdk.timeout_config() {
            operation = operation.timeout_config(limits.clone());
        }
        operation
            .serializer(move |body| self.request(body))
            .deserializer(move |response| self.parse(response, read))
            .build()
    }

    fn configuration(self, sdk: &SdkConfig) -> Layer {
        let mut configuration = Layer::new("curfew");
        configuration.store_put(AuthSchemeOptionResolverParams::new(()));
        configuration.store_put(EndpointResolverParams::new(()));
        configuration.store_put(SigV4OperationSigningConfig::default());
        configuration.store_put(SigningName::from_static(self.host));
        if let Some(region) = sdk.region() {
            configuration.store_put(SigningRegion::from(region.clone()));
        }
        configuration.store_put(ApiMetadata::new(self.host, env!("CARGO_PKG_VERSION")));
        // Credentials and the configuration document stay out of logs at every level.
        configuration.store_put(SensitiveOutput);
        configuration
    }

    /// The components of each of the SDK's clients, in the SDK's order.
    fn components(self, sdk: &SdkConfig) -> RuntimeComponentsBuilder {
        let mut components = RuntimeComponentsBuilder::new("curfew")
            .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![
                SCHEME_ID,
            ])))
            .with_auth_scheme(SigV4AuthScheme::new())
            .with_endpoint_resolver(Some(SiblingEndpoint::of(self, sdk)))
            .with_interceptor(ConnectionPoisoningInterceptor::new())
            .with_interceptor(ServiceClockSkewInterceptor::new())
            .with_interceptor(RequestInfoInterceptor::new())
            .with_interceptor(UserAgentInterceptor::new())
            .with_interceptor(InvocationIdInterceptor::new())
            .with_interceptor(RecursionDetectionInterceptor::new())
            .with_retry_classifier(HttpStatusCodeClassifier::default())
            .with_retry_classifier(TransientErrorClassifier::<ServiceError>::new())
            .with_retry_classifier(AwsErrorCodeClassifier::<ServiceError>::new())
            .with_retry_classifier(ServiceClockSkewClassifier::<ServiceError>::new());
        if let Some(credentials) = sdk.credentials_provider() {
            components.set_identity_resolver(SCHEME_ID, credentials);
        }
        if let Some(cache) = sdk.identity_cache() {
            components.set_identity_cache(Some(cache));
        }
        if let Some(sleep) = sdk.sleep_impl() {
            components.set_sleep_impl(Some(sleep));
        }
        if let Some(time) = sdk.time_source() {
            components.set_time_source(Some(time));
        }
        components
    }

    fn request(self, body: String) -> Result<HttpRequest, BoxError> {
        let (body, content_type) = match self.protocol {
            Protocol::Json { content_type, .. } => (body, content_type),
            Protocol::Query { version } => (
                format!("Action={}&Version={version}&{body}", self.name),
                "application/x-www-form-urlencoded",
            ),
            Protocol::Get => {
                let mut request = HttpRequest::new(SdkBody::empty());
                request.set_method("GET")?;
                request.set_uri(body)?;
                request.headers_mut().insert("accept", "application/json");
                return Ok(request);
            }
        };
        let length = body.len().to_string();
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST")?;
        request.set_uri("/")?;
        let headers = request.headers_mut();
        headers.insert("content-length", length);
        headers.insert("content-type", content_type);
        if let Protocol::Json {
            target,
            query_compatible,
            ..
        } = self.protocol
        {
            headers.insert("x-amz-target", format!("{target}.{}", self.name));
            if query_compatible {
                headers.insert("x-amzn-query-mode", "true");
            }
        }
        Ok(request)
    }

    fn parse<O>(
        self,
        response: &HttpResponse,
        read: fn(&[u8]) -> Result<O, BoxError>,
    ) -> Result<O, OrchestratorError<ServiceError>> {
        let body = response.body().bytes().unwrap_or_default();
        if response.status().is_success() {
            return read(body).map_err(OrchestratorError::response);
        }
        let error = match self.protocol {
            Protocol::Json { .. } | Protocol::Get => json::error(response.headers(), body),
            Protocol::Query { .. } => query::error(body),
        };
        let error = apply_request_id(error, response.headers());
        Err(OrchestratorError::operation(ServiceError(error.build())))
    }
}
