//! Who may ask over HTTP, and who is asking.

use std::net::IpAddr;

use curfew_core::state_tags::Actor;
use curfew_core::token::Tokens;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::http::Request;
use crate::refusal::{Code, Refusal, quoted};
use crate::route::{Effect, Route};

/// Who may ask over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anybody who reaches the endpoint: only where that is this machine.
    None,
    /// Whoever has one of these tokens.
    Token(Tokens),
    /// Whoever signed the request and was let in by API Gateway or the function URL.
    Iam,
}

impl Auth {
    /// Lets the request in and says whose it is, or refuses it.
    pub(crate) fn admit(
        &self,
        request: &Request,
        route: Route,
        cors_origin: Option<&str>,
    ) -> Result<Actor, Refusal> {
        if !route.is_guarded() {
            return Ok(who(request, "anybody"));
        }
        if *self == Self::None {
            refuse_rebound_host(request)?;
        }
        if route.effect() == Effect::Changes {
            refuse_what_nobody_asked_for(request, cors_origin)?;
        }
        let refuse =
            |message: &str, hint: &str| Err(Refusal::new(Code::Unauthorized, message, hint));
        match self {
            Self::None => Ok(who(request, "http")),
            Self::Iam if request.caller.is_some() => Ok(who(request, "http")),
            Self::Iam => refuse(
                "the request is not signed by an IAM identity",
                "sign it with AWS Signature Version 4, for example with `curl --aws-sigv4`",
            ),
            Self::Token(tokens) => {
                let hint = "send it as `Authorization: Bearer TOKEN`; `curfew token new` makes one";
                let Some(token) = request.header("authorization").and_then(bearer) else {
                    return refuse("the request has no token", hint);
                };
                match holder(tokens, token) {
                    Some(name) => Ok(Actor::new(name)),
                    None => refuse("the token is not one that was deployed", hint),
                }
            }
        }
    }

    /// What a 401 must say it wants.
    pub(crate) fn challenge(&self) -> &'static str {
        match self {
            Self::None | Self::Token(_) => r#"Bearer realm="curfew""#,
            Self::Iam => "AWS4-HMAC-SHA256",
        }
    }
}

/// Who holds `token`. It is compared with every one, whole, so that the time this takes tells nothing.
fn holder<'a>(tokens: &'a Tokens, token: &str) -> Option<&'a str> {
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

/// A start or stop by GET is a link, and browsers follow links by themselves: for other sites, and ahead of a click. Programs send
/// none of these headers.
fn refuse_what_nobody_asked_for(
    request: &Request,
    cors_origin: Option<&str>,
) -> Result<(), Refusal> {
    let says = |header: &str, what: &str| {
        request
            .header(header)
            .is_some_and(|value| value.to_ascii_lowercase().contains(what))
    };
    let ahead =
        says("sec-purpose", "prefetch") || says("purpose", "prefetch") || says("x-moz", "prefetch");
    let welcome = cors_origin.is_some() && request.header("origin") == cors_origin;
    if is_of_another_origin(request) && !welcome {
        Err(Refusal::new(
            Code::Forbidden,
            "a page of another site sent this request",
            "open the address itself, or call it from a program",
        ))
    } else if ahead {
        Err(Refusal::new(
            Code::Forbidden,
            "the browser loads this address ahead of being asked to",
            "open it for real",
        ))
    } else {
        Ok(())
    }
}

/// Whether a browser says that a page of another origin sent the request. `Sec-Fetch-Site` decides where it is there: a proxy may
/// have changed `Host`. Browsers leave it out where the address is plain HTTP and not this machine's; `Origin` has to do then.
///
/// <https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header>
fn is_of_another_origin(request: &Request) -> bool {
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

/// Without credentials, the address alone keeps other sites out. A site whose name was made to lead to this machine (DNS rebinding)
/// is the same origin to a browser, so that its pages could read and change everything: a browser is only served under a name that
/// no other site can have.
fn refuse_rebound_host(request: &Request) -> Result<(), Refusal> {
    let Some(host) = request.header("host") else {
        return Ok(());
    };
    if !is_from_browser(request) || is_local_name(without_port(host)) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::Forbidden,
        format!("{} is not a name of this machine", quoted(host)),
        "open it as `localhost` or by its IP address, or set `[api] auth`",
    ))
}

/// Whether a browser sent the request, by what browsers always send in some combination and programs seldom do.
fn is_from_browser(request: &Request) -> bool {
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

/// The name that reaches the override, the log and the journal: the identity that signed, or how and from where it came.
fn who(request: &Request, otherwise: &str) -> Actor {
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

    /// What `printf '%s' 'correct horse' | sha256sum` prints.
    const HASH: &str = "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631";

    fn request(headers: &[(&str, &str)], caller: Option<&str>) -> Request {
        Request {
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

    fn admit(auth: &Auth, headers: &[(&str, &str)], caller: Option<&str>) -> Result<String, Code> {
        auth.admit(&request(headers, caller), Route::Stop, None)
            .map(|who| who.to_string())
            .map_err(|refusal| refusal.code)
    }

    fn token() -> Auth {
        Auth::Token(
            format!("alice={HASH},ci={}", "00".repeat(32))
                .parse()
                .unwrap(),
        )
    }

    #[test]
    fn only_a_deployed_token_is_let_in_and_names_its_holder() {
        let with = |value: &str| admit(&token(), &[("authorization", value)], None);
        assert_eq!(with("Bearer correct horse"), Ok("alice".into()));
        assert_eq!(with("bearer  correct horse "), Ok("alice".into()));
        for wrong in [
            "Bearer correct hors",
            "Bearer ",
            "Basic correct horse",
            "correct horse",
            "",
        ] {
            assert_eq!(with(wrong), Err(Code::Unauthorized), "{wrong}");
        }
        assert_eq!(admit(&token(), &[], None), Err(Code::Unauthorized));
    }

    #[test]
    fn a_signature_is_worth_its_identitys_last_name() {
        for (arn, name) in [
            ("arn:aws:iam::123456789012:user/team/alice", "alice"),
            (
                "arn:aws:sts::123456789012:assumed-role/Ops/bob@example.com",
                "bob@example.com",
            ),
            ("arn:aws:iam::123456789012:root", "root"),
        ] {
            assert_eq!(admit(&Auth::Iam, &[], Some(arn)), Ok(name.into()));
        }
        assert_eq!(admit(&Auth::Iam, &[], None), Err(Code::Unauthorized));
        assert_eq!(admit(&Auth::None, &[], None), Ok("http 192.0.2.7".into()));
    }

    #[test]
    fn a_browser_does_not_change_anything_by_itself() {
        let browser = |header, value| admit(&Auth::None, &[(header, value)], None);
        assert!(browser("sec-fetch-site", "none").is_ok());
        assert!(browser("sec-fetch-site", "same-origin").is_ok());
        for site in ["cross-site", "same-site"] {
            assert_eq!(browser("sec-fetch-site", site), Err(Code::Forbidden));
        }
        assert_eq!(
            browser("sec-purpose", "prefetch;prerender"),
            Err(Code::Forbidden)
        );
    }

    #[test]
    fn an_origin_that_is_not_the_address_itself_changes_nothing() {
        let from = |origin: &str, more: &[(&str, &str)]| {
            let headers = [&[("host", "127.0.0.1:4566"), ("origin", origin)], more].concat();
            admit(&Auth::None, &headers, None)
        };
        assert!(from("http://127.0.0.1:4566", &[]).is_ok());
        for other in [
            "http://127.0.0.1:8000",
            "https://evil.example",
            "http://127.0.0.1:4566.evil.example",
            "null",
        ] {
            assert_eq!(from(other, &[]), Err(Code::Forbidden), "{other}");
        }
        let forwarded = "https://octo-4566.app.github.dev";
        assert_eq!(from(forwarded, &[]), Err(Code::Forbidden));
        assert!(from(forwarded, &[("sec-fetch-site", "same-origin")]).is_ok());
        let proxy = [("x-forwarded-host", "octo-4566.app.github.dev")];
        assert!(from(forwarded, &proxy).is_ok());
    }

    #[test]
    fn without_auth_a_browser_is_served_under_names_of_this_machine_alone() {
        let browser = |host: &str, auth: &Auth, route| {
            let headers = [("host", host), ("accept-language", "en")];
            let admitted = auth.admit(&request(&headers, Some("arn:x")), route, None);
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
            assert!(browser(own, &Auth::None, Route::Stop).is_ok(), "{own}");
        }
        for rebound in [
            "evil.example:4566",
            "127.0.0.1.evil.example",
            "notlocalhost.example",
            "evillocalhost.localstack.cloud",
            "1.2.3.4.5",
        ] {
            for route in [Route::Stop, Route::Status] {
                let refused = browser(rebound, &Auth::None, route);
                assert_eq!(refused, Err(Code::Forbidden), "{rebound}");
            }
            assert!(browser(rebound, &Auth::Iam, Route::Stop).is_ok());
        }
        let program = [
            ("host", "curfew.internal.example"),
            ("user-agent", "curl/8"),
        ];
        assert!(admit(&Auth::None, &program, None).is_ok());
    }
}
