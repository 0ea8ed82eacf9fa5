//! What the stack tells the function, through its environment.

use curfew_aws::cloud::Cloud;
use curfew_core::select::DEFAULT_LIMIT;
use curfew_core::token::{BadToken, Tokens};

use crate::auth::Auth;

/// What the stack tells the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of the SSM parameter with the configuration.
    pub configuration_parameter: String,
    /// The address of the queue by which the function hands on work, if the stack has one.
    pub work_queue: Option<String>,
    /// Who may ask over HTTP.
    pub auth: Auth,
    /// The one other site whose pages may ask (`CURFEW_CORS_ORIGIN`), such as `https://status.example.com`.
    pub cors_origin: Option<String>,
    /// How many instances a request may change that does not say `all=true` (`CURFEW_REQUEST_LIMIT`).
    pub request_limit: usize,
}

/// An environment in which the function can't work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A variable is not set.
    #[error("the environment variable `{0}` is not set; `curfew deploy` sets it")]
    Missing(&'static str),
    /// `CURFEW_AUTH` is something else.
    #[error("`CURFEW_AUTH` is `{}`; it is `none`, `token` or `iam`", .0.escape_debug())]
    UnknownAuth(String),
    /// `CURFEW_TOKENS` is no list of tokens' digests.
    #[error("`CURFEW_TOKENS` can't be used: {0}")]
    BadTokens(BadToken),
    /// `CURFEW_REQUEST_LIMIT` is no number.
    #[error("`CURFEW_REQUEST_LIMIT` is `{}`; it is a number of instances", .0.escape_debug())]
    BadLimit(String),
    /// Nobody is asked for credentials on real AWS.
    #[error(
        "`CURFEW_AUTH` is `none` on AWS itself, where anybody could stop the fleet; use `token` or `iam`"
    )]
    OpenToTheWorld,
}

impl Config {
    /// Reads the environment through `get`.
    pub fn read(
        get: impl Fn(&'static str) -> Option<String>,
        cloud: Cloud,
    ) -> Result<Self, ConfigError> {
        let needed = |key| {
            get(key)
                .filter(|value| !value.is_empty())
                .ok_or(ConfigError::Missing(key))
        };
        let auth = match (get("CURFEW_AUTH").as_deref(), cloud) {
            (Some("none"), Cloud::Aws) => return Err(ConfigError::OpenToTheWorld),
            (Some("none"), Cloud::Emulator | Cloud::ThisMachine)
            | (None | Some(""), Cloud::ThisMachine) => Auth::None,
            (None | Some(""), _) => return Err(ConfigError::Missing("CURFEW_AUTH")),
            (Some("iam"), _) => Auth::Iam,
            (Some("token"), _) => {
                let tokens: Result<Tokens, BadToken> = needed("CURFEW_TOKENS")?.parse();
                Auth::Token(tokens.map_err(ConfigError::BadTokens)?)
            }
            (Some(other), _) => return Err(ConfigError::UnknownAuth(other.to_owned())),
        };
        let request_limit = match get("CURFEW_REQUEST_LIMIT").filter(|text| !text.is_empty()) {
            None => DEFAULT_LIMIT,
            Some(text) => text.parse().map_err(|_| ConfigError::BadLimit(text))?,
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

/// Another endpoint than AWS's own: what the emulator sets inside its functions, or else what the stack was deployed with for
/// emulators that set nothing. On AWS neither is there.
pub fn emulator_endpoint(get: impl Fn(&'static str) -> Option<String>) -> Option<String> {
    ["AWS_ENDPOINT_URL", "CURFEW_FALLBACK_ENDPOINT"]
        .into_iter()
        .filter_map(get)
        .find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(auth: Option<&str>, tokens: &str, cloud: Cloud) -> Result<Auth, ConfigError> {
        let get = |key: &str| match key {
            "CURFEW_AUTH" => auth.map(str::to_owned),
            "CURFEW_TOKENS" => Some(tokens.to_owned()),
            "CURFEW_REQUEST_LIMIT" => None,
            _ => Some("x".to_owned()),
        };
        Config::read(get, cloud).map(|config| config.auth)
    }

    #[test]
    fn nobody_is_let_in_on_aws_by_default_or_by_mistake() {
        assert_eq!(
            read(Some("none"), "", Cloud::Aws),
            Err(ConfigError::OpenToTheWorld)
        );
        assert_eq!(
            read(None, "", Cloud::Aws),
            Err(ConfigError::Missing("CURFEW_AUTH"))
        );
        assert_eq!(
            read(None, "", Cloud::Emulator),
            Err(ConfigError::Missing("CURFEW_AUTH"))
        );
        assert_eq!(read(Some("none"), "", Cloud::Emulator), Ok(Auth::None));
        assert_eq!(read(None, "", Cloud::ThisMachine), Ok(Auth::None));
        assert_eq!(read(Some("iam"), "", Cloud::Aws), Ok(Auth::Iam));
    }

    #[test]
    fn tokens_need_their_digests() {
        assert_eq!(
            read(Some("token"), "", Cloud::Emulator),
            Err(ConfigError::Missing("CURFEW_TOKENS"))
        );
        assert_eq!(
            read(Some("token"), "alice=abc", Cloud::Emulator),
            Err(ConfigError::BadTokens(BadToken::Digest))
        );
        assert!(matches!(
            read(
                Some("token"),
                &format!("alice={}", "ab".repeat(32)),
                Cloud::Aws
            ),
            Ok(Auth::Token(_))
        ));
        assert_eq!(
            read(Some("basic"), "", Cloud::Emulator),
            Err(ConfigError::UnknownAuth("basic".into()))
        );
    }

    #[test]
    fn the_limit_of_a_request_is_a_number() {
        let read = |limit: &'static str| {
            let get = |key: &str| match key {
                "CURFEW_AUTH" => Some("iam".to_owned()),
                "CURFEW_REQUEST_LIMIT" => Some(limit.to_owned()),
                _ => Some("x".to_owned()),
            };
            Config::read(get, Cloud::Aws).map(|config| config.request_limit)
        };
        assert_eq!(read(""), Ok(DEFAULT_LIMIT));
        assert_eq!(read("5"), Ok(5));
        assert_eq!(read("few"), Err(ConfigError::BadLimit("few".into())));
    }

    #[test]
    fn the_emulators_own_endpoint_goes_before_the_stacks() {
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
