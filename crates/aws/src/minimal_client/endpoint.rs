//! Resolves a service's endpoint from EC2's: the same host with another first label.
//!
//! Each SDK compiles in AWS's partitions, regions and exceptions, and reads them at its first call. EC2's are needed anyway,
//! and lead to the same hosts for the services used here; a test compares them all.

use aws_config::SdkConfig;
use aws_sdk_ec2::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_smithy_runtime_api::client::endpoint::{
    EndpointFuture, EndpointResolverParams, ResolveEndpoint,
};
use aws_smithy_types::endpoint::Endpoint;

use super::ServiceAction;
use crate::endpoint::endpoint_of;

/// The start of every URL of EC2.
const EC2: &str = "https://ec2";

/// Resolves the configured endpoint, or else the sibling of EC2's.
#[derive(Debug)]
pub(super) struct SiblingEndpoint {
    host: &'static str,
    endpoint: Option<String>,
    region: Option<String>,
    fips: Option<bool>,
    dual_stack: Option<bool>,
}

impl SiblingEndpoint {
    pub(super) fn of(action: ServiceAction, sdk: &SdkConfig) -> Self {
        Self {
            host: action.host,
            endpoint: endpoint_of(action.service, sdk),
            region: sdk.region().map(ToString::to_string),
            fips: sdk.use_fips(),
            dual_stack: sdk.use_dual_stack(),
        }
    }
}

impl ResolveEndpoint for SiblingEndpoint {
    fn resolve_endpoint<'a>(&'a self, _: &'a EndpointResolverParams) -> EndpointFuture<'a> {
        EndpointFuture::new(async {
            let url = match &self.endpoint {
                Some(endpoint) => endpoint.clone(),
                None => {
                    let params = Params::builder()
                        .set_region(self.region.clone())
                        .set_use_fips(self.fips)
                        .set_use_dual_stack(self.dual_stack)
                        .build()?;
                    let ec2 = DefaultResolver::new().resolve_endpoint(&params).await?;
                    let rest = ec2.url().strip_prefix(EC2).ok_or("EC2 is elsewhere")?;
                    format!("https://{}{rest}", self.host)
                }
            };
            Ok(Endpoint::builder().url(url).build())
        })
    }
}
