//! Who may ask over HTTP, and who is asking.

use curfew_core::memory::Who;
use curfew_core::token::Tokens;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::http::Request;
use crate::refusal::{Code, Refusal};
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
    ) -> Result<Who, Refusal> {
        if !route.is_guarded() {
            return Ok(who(request, "anybody"));
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
                    Some(name) => Ok(Who::new(name)),
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

/// A start or stop by GET is a link, and browsers follow links by themselves: for other sites, and ahead of a click.
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
    if says("sec-fetch-site", "cross-site") && !welcome {
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

/// The name that reaches the hold, the log and the journal: the identity that signed, or how and from where it came.
fn who(request: &Request, otherwise: &str) -> Who {
    let name = request
        .caller
        .as_deref()
        .and_then(|arn| arn.rsplit(['/', ':']).next())
        .filter(|name| !name.is_empty());
    match (name, otherwise, request.source_ip.as_deref()) {
        (Some(name), ..) => Who::new(name),
        (None, "http", Some(address)) => Who::new(&format!("http {address}")),
        (None, otherwise, _) => Who::new(otherwise),
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
        assert_eq!(
            browser("sec-fetch-site", "cross-site"),
            Err(Code::Forbidden)
        );
        assert_eq!(
            browser("sec-purpose", "prefetch;prerender"),
            Err(Code::Forbidden)
        );
    }
}
