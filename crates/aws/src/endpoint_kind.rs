//! Tells AWS from emulators, and emulators on this machine from others. No other code compares endpoints.

use std::net::IpAddr;

use http::Uri;

/// What answers at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointKind {
    /// AWS, at a public endpoint or a VPC endpoint.
    Aws,
    /// An emulator on another host, such as LocalStack in a container.
    Emulator,
    /// An emulator on this machine, such as the embedded one.
    LocalEmulator,
}

/// The domains of AWS's endpoints: for each partition of the SDKs' `partitions.json`, the DNS suffix and the one of dual-stack
/// endpoints. VPC endpoints are below them, too.
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
    /// The kind of an endpoint by its URL; without one, it is AWS. A configured endpoint is AWS if its host is in one of AWS's
    /// domains, such as a VPC endpoint. Text that is not a URL counts as an emulator, which is granted nothing.
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

    /// Whether the endpoint is AWS.
    pub fn is_aws(self) -> bool {
        self == Self::Aws
    }

    /// Whether the endpoint is an emulator on this machine.
    pub fn is_local(self) -> bool {
        self == Self::LocalEmulator
    }
}

/// Whether a URL's host is this machine: a loopback address, or a name that resolves to one, including LocalStack's.
pub(crate) fn is_local(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host),
    };
    is_loopback(host)
}

fn is_loopback(host: &str) -> bool {
    let named = [
        "localhost",
        "localhost.localstack.cloud",
        "host.docker.internal",
    ];
    host.parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback())
        || named.contains(&host)
        || host.ends_with(".localhost")
        || host.ends_with(".localhost.localstack.cloud")
}

/// Whether a host can't be reached through a proxy: loopback, and link-local addresses, which the metadata services have.
#[cfg(feature = "proxy")]
pub(crate) fn is_direct(host: &str) -> bool {
    /// The network of EC2's and EKS's IPv6 metadata services, `fd00:ec2::/32`.
    const METADATA: [u16; 2] = [0xfd00, 0x0ec2];
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    is_loopback(bare)
        || match bare.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => address.is_link_local(),
            Ok(IpAddr::V6(address)) => {
                address.is_unicast_link_local() || address.segments()[..2] == METADATA
            }
            Err(_) => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_is_recognised_by_its_domains() {
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

    #[test]
    fn only_loopback_is_local() {
        for local in [
            "http://127.0.0.1:4566",
            "http://localhost:4566/",
            "http://[::1]:4566",
            "http://localhost.localstack.cloud:4566",
            "https://abc.execute-api.localhost.localstack.cloud:4566/x",
        ] {
            assert!(is_local(local), "{local}");
        }
        for remote in [
            "https://ec2.eu-west-3.amazonaws.com",
            "http://10.0.0.1:4566",
            "http://localhost.example.com",
        ] {
            assert!(!is_local(remote), "{remote}");
        }
    }
}
