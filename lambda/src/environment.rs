//! The environment variables that the stack sets for the function.

use curfew_aws::endpoint_kind::EndpointKind;
use curfew_core::select::DEFAULT_LIMIT;
use curfew_core::token::{InvalidToken, Tokens};

use crate::auth::Authenticator;

/// The function's settings, read from its environment variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The name of the SSM parameter with the configuration.
    pub configuration_parameter: String,
    /// The URL of the work queue, if the stack has one.
    pub work_queue: Option<String>,
    /// The authentication of HTTP requests.
    pub auth: Authenticator,
    /// The only other origin that may call the API (`CURFEW_CORS_ORIGIN`), such as `https://status.example.com`.
    pub cors_origin: Option<String>,
    /// The largest number of instances that a request without `all=true` may change (`CURFEW_REQUEST_LIMIT`).
    pub request_limit: usize,
}

/// Reports a missing or invalid environment variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// A required variable is not set.
    #[error("the environment variable `{0}` is not set; `curfew deploy` sets it")]
    Missing(&'static str),
    /// `CURFEW_AUTH` has an unknown value.
    #[error("`CURFEW_AUTH` is `{}`; use `none`, `token` or `iam`", .0.escape_debug())]
    UnknownAuth(String),
    /// `CURFEW_TOKENS` is not a list of token digests.
    #[error("`CURFEW_TOKENS` can't be used: {0}")]
    BadTokens(InvalidToken),
    /// `CURFEW_REQUEST_LIMIT` is not a number.
    #[error("`CURFEW_REQUEST_LIMIT` is `{}`; use a number of instances", .0.escape_debug())]
    BadLimit(String),
    /// `CURFEW_AUTH` is `none` on real AWS.
    #[error(
        "`CURFEW_AUTH` is `none` on AWS, where the API would be open to the internet; use `token` or `iam`"
    )]
    OpenOnAws,
}

impl Environment {
    /// Reads the variables through `get`. Fails if a required variable is missing or a value is invalid.
    pub fn read(
        get: impl Fn(&'static str) -> Option<String>,
        cloud: EndpointKind,
    ) -> Result<Self, EnvironmentError> {
        let needed = |key| {
            get(key)
                .filter(|value| !value.is_empty())
                .ok_or(EnvironmentError::Missing(key))
        };
        let auth = match (get("CURFEW_AUTH").as_deref(), cloud) {
            (Some("none"), EndpointKind::Aws) => return Err(EnvironmentError::OpenOnAws),
            (Some("none"), EndpointKind::Emulator | EndpointKind::LocalEmulator)
            | (None | Some(""), EndpointKind::LocalEmulator) => Authenticator::None,
            (None | Some(""), _) => return Err(EnvironmentError::Missing("CURFEW_AUTH")),
            (Some("iam"), _) => Authenticator::Iam,
            (Some("token"), _) => {
                let tokens: Result<Tokens, InvalidToken> = needed("CURFEW_TOKENS")?.parse();
                Authenticator::Token(tokens.map_err(EnvironmentError::BadTokens)?)
            }
            (Some(other), _) => return Err(EnvironmentError::UnknownAuth(other.to_owned())),
        };
        let request_limit = match get("CURFEW_REQUEST_LIMIT").filter(|text| !text.is_empty()) {
            None => DEFAULT_LIMIT,
            Some(text) => text.parse().map_err(|_| EnvironmentError::BadLimit(text))?,
        };
        Ok(Self {
            request_limit,
            configuration_parameter: needed("CURFEW_CONFIGURATION_PARAMETER")?,
            work_queue: get("CURFEW_WORK_QUEUE").filter(|url| !url.is_empty()),
            auth,
            cors_origin: get("CURFEW_CORS_ORIGIN").filter(|origin| !origin.is_empty()),
        })
    }
}

/// Returns the emulator's endpoint: the variable that the emulator sets inside its functions, or else the fallback that the stack
/// was deployed with. On AWS, neither is set.
pub fn emulator_endpoint(get: impl Fn(&'static str) -> Option<String>) -> Option<String> {
    ["AWS_ENDPOINT_URL", "CURFEW_FALLBACK_ENDPOINT"]
        .into_iter()
        .filter_map(get)
        .find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        auth: Option<&str>,
        tokens: &str,
        cloud: EndpointKind,
    ) -> Result<Authenticator, EnvironmentError> {
        let get = |key: &str| match key {
            "CURFEW_AUTH" => auth.map(str::to_owned),
            "CURFEW_TOKENS" => Some(tokens.to_owned()),
            "CURFEW_REQUEST_LIMIT" => None,
            _ => Some("x".to_owned()),
        };
        Environment::read(get, cloud).map(|config| config.auth)
    }

    #[test]
    fn aws_requires_token_or_iam() {
        assert_eq!(
            read(Some("none"), "", EndpointKind::Aws),
            Err(EnvironmentError::OpenOnAws)
        );
        assert_eq!(
            read(None, "", EndpointKind::Aws),
            Err(EnvironmentError::Missing("CURFEW_AUTH"))
        );
        assert_eq!(
            read(None, "", EndpointKind::Emulator),
            Err(EnvironmentError::Missing("CURFEW_AUTH"))
        );
        assert_eq!(
            read(Some("none"), "", EndpointKind::Emulator),
            Ok(Authenticator::None)
        );
        assert_eq!(
            read(None, "", EndpointKind::LocalEmulator),
            Ok(Authenticator::None)
        );
        assert_eq!(
            read(Some("iam"), "", EndpointKind::Aws),
            Ok(Authenticator::Iam)
        );
    }

    #[test]
    fn token_auth_requires_valid_digests() {
        assert_eq!(
            read(Some("token"), "", EndpointKind::Emulator),
            Err(EnvironmentError::Missing("CURFEW_TOKENS"))
        );
        assert_eq!(
            read(Some("token"), "alice=abc", EndpointKind::Emulator),
            Err(EnvironmentError::BadTokens(InvalidToken::Digest))
        );
        assert!(matches!(
            read(
                Some("token"),
                &format!("alice={}", "ab".repeat(32)),
                EndpointKind::Aws
            ),
            Ok(Authenticator::Token(_))
        ));
        assert_eq!(
            read(Some("basic"), "", EndpointKind::Emulator),
            Err(EnvironmentError::UnknownAuth("basic".into()))
        );
    }

    #[test]
    fn the_request_limit_must_be_a_number() {
        let read = |limit: &'static str| {
            let get = |key: &str| match key {
                "CURFEW_AUTH" => Some("iam".to_owned()),
                "CURFEW_REQUEST_LIMIT" => Some(limit.to_owned()),
                _ => Some("x".to_owned()),
            };
            Environment::read(get, EndpointKind::Aws).map(|config| config.request_limit)
        };
        assert_eq!(read(""), Ok(DEFAULT_LIMIT));
        assert_eq!(read("5"), Ok(5));
        assert_eq!(read("few"), Err(EnvironmentError::BadLimit("few".into())));
    }

    #[test]
    fn the_emulators_endpoint_takes_precedence_over_the_fallback() {
        let with = |own: &str, fallback: Option<&str>| {
            emulator_endpoint(|key| match key {
                "AWS_ENDPOINT_URL" => Some(own.to_owned()),
                "CURFEW_FALLBACK_ENDPOINT" => fallback.map(str::to_owned),
                _ => None,
            })
        };
        assert_eq!(with("", None), None);
        let fallback = Some("http://localhost.localstack.cloud:4566");
        assert_eq!(with("", fallback).as_deref(), fallback);
        assert_eq!(
            with("http://127.0.0.1:1", fallback).as_deref(),
            Some("http://127.0.0.1:1")
        );
    }
}
