//! Authenticates HTTP requests, and refuses requests that a browser sends without the user's intent.

use std::net::IpAddr;

use curfew_core::error_code::ErrorCode;
use curfew_core::state_tags::Actor;
use curfew_core::token::Tokens;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::api_error::{ApiError, quoted};
use crate::http::HttpRequest;
use crate::route::{Effect, Route};

/// How HTTP requests are authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authenticator {
    /// No authentication. Only for an endpoint on this machine.
    None,
    /// A bearer token with one of these digests.
    Token(Tokens),
    /// An IAM signature that API Gateway or the function URL has verified.
    Iam,
}

impl Authenticator {
    /// Returns the actor of an authenticated request. Fails without valid credentials, and for a change that a browser sends for
    /// another site or as a prefetch.
    pub(crate) fn authenticate(
        &self,
        request: &HttpRequest,
        route: Route,
        cors_origin: Option<&str>,
    ) -> Result<Actor, ApiError> {
        if !route.requires_authentication() {
            return Ok(actor(request, "anonymous"));
        }
        if *self == Self::None {
            refuse_rebound_host(request)?;
        }
        if route.effect() == Effect::Changes {
            refuse_unintended_change(request, cors_origin)?;
        }
        let refuse =
            |message: &str, hint: &str| Err(ApiError::new(ErrorCode::Unauthorized, message, hint));
        match self {
            Self::None => Ok(actor(request, "http")),
            Self::Iam if request.caller.is_some() => Ok(actor(request, "http")),
            Self::Iam => refuse(
                "the request is not signed by an IAM identity",
                "sign it with AWS Signature Version 4, for example with `curl --aws-sigv4`",
            ),
            Self::Token(tokens) => {
                let hint = "send it as `Authorization: Bearer TOKEN`; `curfew token new` makes one";
                let Some(token) = request.header("authorization").and_then(bearer) else {
                    return refuse("the request has no token", hint);
                };
                match token_name(tokens, token) {
                    Some(name) => Ok(Actor::new(name)),
                    None => refuse("invalid token", hint),
                }
            }
        }
    }

    /// The value of `WWW-Authenticate` in a 401 response.
    pub(crate) fn challenge(&self) -> &'static str {
        match self {
            Self::None | Self::Token(_) => r#"Bearer realm="curfew""#,
            Self::Iam => "AWS4-HMAC-SHA256",
        }
    }
}

/// Returns the name of `token`, or `None` if its digest is unknown. Every digest is compared in constant time, so that the duration
/// reveals nothing.
fn token_name<'a>(tokens: &'a Tokens, token: &str) -> Option<&'a str> {
    let digest = Sha256::digest(token.as_bytes());
    let mut found = None;
    for (name, known) in tokens.iter() {
        if digest.as_slice().ct_eq(known.as_bytes()).into() {
            found = Some(name);
        }
    }
    found
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}

/// Refuses requests from other origins, except the configured one, and prefetches: a start or stop by GET is a link, which browsers
/// follow without a click. Programs send none of these headers.
fn refuse_unintended_change(
    request: &HttpRequest,
    cors_origin: Option<&str>,
) -> Result<(), ApiError> {
    let header_contains = |header: &str, what: &str| {
        request
            .header(header)
            .is_some_and(|value| value.to_ascii_lowercase().contains(what))
    };
    let is_prefetch = header_contains("sec-purpose", "prefetch")
        || header_contains("purpose", "prefetch")
        || header_contains("x-moz", "prefetch");
    let is_allowed_origin = cors_origin.is_some() && request.header("origin") == cors_origin;
    if is_of_another_origin(request) && !is_allowed_origin {
        Err(ApiError::new(
            ErrorCode::Forbidden,
            "the request comes from a page of another site",
            "open the URL in the address bar, or call it from a program",
        ))
    } else if is_prefetch {
        Err(ApiError::new(
            ErrorCode::Forbidden,
            "the browser prefetched this URL",
            "open the URL",
        ))
    } else {
        Ok(())
    }
}

/// Whether a browser sent the request for a page of another origin. `Sec-Fetch-Site` takes precedence, because a proxy may have
/// changed `Host`. Browsers omit it for plain HTTP to other machines; `Origin` is compared with `Host` then.
///
/// <https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header>
fn is_of_another_origin(request: &HttpRequest) -> bool {
    if let Some(site) = request.header("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = request.header("origin") else {
        return false;
    };
    let of_origin = origin.split_once("://").map(|(_, host)| host);
    let hosts = ["host", "x-forwarded-host"].map(|header| request.header(header));
    !hosts
        .into_iter()
        .flatten()
        .any(|host| of_origin == Some(host))
}

/// Refuses a browser's request under a host name that another site can own. Without authentication, a site whose name resolves to
/// this machine (DNS rebinding) is the same origin to the browser, and its pages could read and change everything.
fn refuse_rebound_host(request: &HttpRequest) -> Result<(), ApiError> {
    let Some(host) = request.header("host") else {
        return Ok(());
    };
    if !is_from_browser(request) || is_local_name(without_port(host)) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::Forbidden,
        format!("{} is not a local host name", quoted(host)),
        "use `localhost` or an IP address, or set `[api] auth`",
    ))
}

/// Whether a browser sent the request, judged by headers that browsers send and programs seldom do.
fn is_from_browser(request: &HttpRequest) -> bool {
    const HEADERS: [&str; 5] = [
        "sec-fetch-site",
        "sec-fetch-mode",
        "origin",
        "referer",
        "accept-language",
    ];
    let agent = request.header("user-agent");
    HEADERS.iter().any(|name| request.header(name).is_some())
        || agent.is_some_and(|agent| agent.starts_with("Mozilla/"))
}

/// Names that public DNS can't give to another site: IP addresses, names without a dot, `localhost`, LocalStack's own, and those under
/// which GitHub forwards a Codespace's port to its owner.
fn is_local_name(host: &str) -> bool {
    const DOMAINS: [&str; 3] = ["localhost", "localhost.localstack.cloud", "app.github.dev"];
    let host = host.to_ascii_lowercase();
    let is_within = |domain: &&str| {
        let rest = host.strip_suffix(*domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    is_address || !host.contains('.') || DOMAINS.iter().any(is_within)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

/// Returns the actor for overrides, the log and the journal: the IAM identity's name, or the protocol and source address.
fn actor(request: &HttpRequest, otherwise: &str) -> Actor {
    let name = request
        .caller
        .as_deref()
        .and_then(|arn| arn.rsplit(['/', ':']).next())
        .filter(|name| !name.is_empty());
    match (name, otherwise, request.source_ip.as_deref()) {
        (Some(name), ..) => Actor::new(name),
        (None, "http", Some(address)) => Actor::new(&format!("http {address}")),
        (None, otherwise, _) => Actor::new(otherwise),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;

    /// The output of `printf '%s' 'correct horse' | sha256sum`.
    const HASH: &str = "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631";

    fn request(headers: &[(&str, &str)], caller: Option<&str>) -> HttpRequest {
        HttpRequest {
            method: "GET".into(),
            path: "/stop".into(),
            stage: "prod".into(),
            proxy: None,
            query: Vec::new(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            body: Ok(String::new()),
            caller: caller.map(str::to_owned),
            source_ip: Some("192.0.2.7".into()),
        }
    }

    fn authenticate(
        auth: &Authenticator,
        headers: &[(&str, &str)],
        caller: Option<&str>,
    ) -> Result<String, ErrorCode> {
        auth.authenticate(&request(headers, caller), Route::Stop, None)
            .map(|actor| actor.to_string())
            .map_err(|refusal| refusal.code)
    }

    fn token() -> Authenticator {
        Authenticator::Token(
            format!("alice={HASH},ci={}", "00".repeat(32))
                .parse()
                .unwrap(),
        )
    }

    #[test]
    fn a_deployed_token_authenticates_its_named_actor() {
        let with = |value: &str| authenticate(&token(), &[("authorization", value)], None);
        assert_eq!(with("Bearer correct horse"), Ok("alice".into()));
        assert_eq!(with("bearer  correct horse "), Ok("alice".into()));
        for wrong in [
            "Bearer correct hors",
            "Bearer ",
            "Basic correct horse",
            "correct horse",
            "",
        ] {
            assert_eq!(with(wrong), Err(ErrorCode::Unauthorized), "{wrong}");
        }
        assert_eq!(
            authenticate(&token(), &[], None),
            Err(ErrorCode::Unauthorized)
        );
    }

    #[test]
    fn an_iam_actor_is_the_last_part_of_the_arn() {
        for (arn, name) in [
            ("arn:aws:iam::123456789012:user/team/alice", "alice"),
            (
                "arn:aws:sts::123456789012:assumed-role/Ops/bob@example.com",
                "bob@example.com",
            ),
            ("arn:aws:iam::123456789012:root", "root"),
        ] {
            assert_eq!(
                authenticate(&Authenticator::Iam, &[], Some(arn)),
                Ok(name.into())
            );
        }
        assert_eq!(
            authenticate(&Authenticator::Iam, &[], None),
            Err(ErrorCode::Unauthorized)
        );
        assert_eq!(
            authenticate(&Authenticator::None, &[], None),
            Ok("http 192.0.2.7".into())
        );
    }

    #[test]
    fn cross_site_and_prefetch_requests_are_refused() {
        let browser = |header, value| authenticate(&Authenticator::None, &[(header, value)], None);
        assert!(browser("sec-fetch-site", "none").is_ok());
        assert!(browser("sec-fetch-site", "same-origin").is_ok());
        for site in ["cross-site", "same-site"] {
            assert_eq!(browser("sec-fetch-site", site), Err(ErrorCode::Forbidden));
        }
        assert_eq!(
            browser("sec-purpose", "prefetch;prerender"),
            Err(ErrorCode::Forbidden)
        );
    }

    #[test]
    fn a_request_from_another_origin_is_refused() {
        let from = |origin: &str, more: &[(&str, &str)]| {
            let headers = [&[("host", "127.0.0.1:4566"), ("origin", origin)], more].concat();
            authenticate(&Authenticator::None, &headers, None)
        };
        assert!(from("http://127.0.0.1:4566", &[]).is_ok());
        for other in [
            "http://127.0.0.1:8000",
            "https://evil.example",
            "http://127.0.0.1:4566.evil.example",
            "null",
        ] {
            assert_eq!(from(other, &[]), Err(ErrorCode::Forbidden), "{other}");
        }
        let forwarded = "https://octo-4566.app.github.dev";
        assert_eq!(from(forwarded, &[]), Err(ErrorCode::Forbidden));
        assert!(from(forwarded, &[("sec-fetch-site", "same-origin")]).is_ok());
        let proxy = [("x-forwarded-host", "octo-4566.app.github.dev")];
        assert!(from(forwarded, &proxy).is_ok());
    }

    #[test]
    fn without_auth_a_browser_must_use_a_local_host_name() {
        let browser = |host: &str, auth: &Authenticator, route| {
            let headers = [("host", host), ("accept-language", "en")];
            let admitted = auth.authenticate(&request(&headers, Some("arn:x")), route, None);
            admitted.map_err(|refusal| refusal.code)
        };
        for own in [
            "127.0.0.1:4566",
            "[::1]:4566",
            "[::1]",
            "192.168.1.7",
            "localhost:4566",
            "LOCALHOST",
            "a1b2.execute-api.localhost:4566",
            "localhost.localstack.cloud:4566",
            "localstack:4566",
            "octo-4566.app.github.dev",
        ] {
            assert!(
                browser(own, &Authenticator::None, Route::Stop).is_ok(),
                "{own}"
            );
        }
        for rebound in [
            "evil.example:4566",
            "127.0.0.1.evil.example",
            "notlocalhost.example",
            "evillocalhost.localstack.cloud",
            "1.2.3.4.5",
        ] {
            for route in [Route::Stop, Route::Status] {
                let refused = browser(rebound, &Authenticator::None, route);
                assert_eq!(refused, Err(ErrorCode::Forbidden), "{rebound}");
            }
            assert!(browser(rebound, &Authenticator::Iam, Route::Stop).is_ok());
        }
        let program = [
            ("host", "curfew.internal.example"),
            ("user-agent", "curl/8"),
        ];
        assert!(authenticate(&Authenticator::None, &program, None).is_ok());
    }
}
