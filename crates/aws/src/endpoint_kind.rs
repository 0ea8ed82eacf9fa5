//! AWS itself, or something that speaks its language: the one place that tells them apart.

use http::Uri;

use crate::connect::{Connection, is_local};

/// The AWS account that owns the instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointKind {
    /// AWS's own, by its public endpoints or by a VPC's.
    Aws,
    /// An emulator's, somewhere.
    Emulator,
    /// An emulator's on this machine.
    LocalEmulator,
}

/// What the names of AWS's hosts end in: in each partition the usual one and that of dual-stack endpoints, which VPC endpoints have
/// too. The partitions are those of the SDKs' `partitions.json`.
/// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
const DOMAINS: [&str; 15] = [
    // aws, aws-us-gov
    "amazonaws.com",
    "api.aws",
    // aws-cn
    "amazonaws.com.cn",
    "api.amazonwebservices.com.cn",
    // aws-eusc
    "amazonaws.eu",
    "api.amazonwebservices.eu",
    // aws-iso
    "c2s.ic.gov",
    "api.aws.ic.gov",
    // aws-iso-b
    "sc2s.sgov.gov",
    "api.aws.scloud",
    // aws-iso-e
    "cloud.adc-e.uk",
    "api.cloud-aws.adc-e.uk",
    // aws-iso-f
    "csp.hci.ic.gov",
    "api.aws.hci.ic.gov",
    // function URLs
    "on.aws",
];

impl EndpointKind {
    /// By the endpoint that a connection goes to.
    pub fn of(connection: &Connection) -> Self {
        Self::at(connection.endpoint())
    }

    /// By an endpoint's URL; none is AWS's own. AWS may be reached by an endpoint of one's own, in a private network: its name
    /// tells. What is no URL is an emulator's, which grants nothing.
    pub fn at(endpoint: Option<&str>) -> Self {
        let Some(url) = endpoint else {
            return Self::Aws;
        };
        if is_local(url) {
            return Self::LocalEmulator;
        }
        let host = url.parse::<Uri>().ok().and_then(|url| {
            let host = url.host()?.trim_end_matches('.');
            Some(host.to_ascii_lowercase())
        });
        let within = |host: &str, domain: &str| {
            host.strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
        };
        match host {
            Some(host) if DOMAINS.iter().any(|domain| within(&host, domain)) => Self::Aws,
            _ => Self::Emulator,
        }
    }

    /// Whether this is AWS itself.
    pub fn is_aws(self) -> bool {
        self == Self::Aws
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_is_known_by_the_end_of_its_hosts_names() {
        for (endpoint, cloud) in [
            ("https://ec2.eu-west-3.amazonaws.com", EndpointKind::Aws),
            (
                "https://ec2.eu-west-3.amazonaws.com:443/",
                EndpointKind::Aws,
            ),
            ("https://EC2.EU-WEST-3.AMAZONAWS.COM.", EndpointKind::Aws),
            ("ec2.eu-west-3.amazonaws.com", EndpointKind::Aws),
            ("https://ec2.eu-west-3.api.aws", EndpointKind::Aws),
            (
                "https://vpce-0a1b-ec2.eu-west-3.vpce.amazonaws.com",
                EndpointKind::Aws,
            ),
            ("https://ec2.cn-north-1.amazonaws.com.cn", EndpointKind::Aws),
            (
                "https://ec2.cn-north-1.api.amazonwebservices.com.cn",
                EndpointKind::Aws,
            ),
            ("https://ec2.eusc-de-east-1.amazonaws.eu", EndpointKind::Aws),
            ("https://ec2.us-iso-east-1.c2s.ic.gov", EndpointKind::Aws),
            // A name that only looks like one of AWS's.
            ("https://amazonaws.com", EndpointKind::Emulator),
            (
                "https://ec2.amazonaws.com.example.com",
                EndpointKind::Emulator,
            ),
            ("https://ec2.notamazonaws.com", EndpointKind::Emulator),
            (
                "https://ec2.amazonaws.com@example.com",
                EndpointKind::Emulator,
            ),
            (
                "https://example.com/ec2.amazonaws.com",
                EndpointKind::Emulator,
            ),
            ("http://localstack:4566", EndpointKind::Emulator),
            ("http://172.17.0.2:4566", EndpointKind::Emulator),
            ("", EndpointKind::Emulator),
            ("not a url", EndpointKind::Emulator),
            ("http://127.0.0.1:4566", EndpointKind::LocalEmulator),
            (
                "http://localhost.localstack.cloud:4566",
                EndpointKind::LocalEmulator,
            ),
        ] {
            assert_eq!(EndpointKind::at(Some(endpoint)), cloud, "{endpoint}");
        }
        assert_eq!(EndpointKind::at(None), EndpointKind::Aws);
    }
}
