//! Which path, with which method, is what.

use crate::http::Request;
use crate::parameter::Parameter;
use crate::refusal::{Code, Refusal, quoted};

/// What there is to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The page for people.
    Page,
    /// What there is to ask for, as an OpenAPI document.
    OpenApi,
    /// How the fleet is.
    Status,
    /// Start instances.
    Start,
    /// Stop instances.
    Stop,
    /// End overrides.
    Resume,
    /// What the schedules are.
    Schedules,
    /// Whether the function works.
    Healthz,
}

impl Route {
    pub(crate) const ALL: [Self; 8] = [
        Self::Page,
        Self::OpenApi,
        Self::Status,
        Self::Start,
        Self::Stop,
        Self::Resume,
        Self::Schedules,
        Self::Healthz,
    ];

    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::OpenApi => "openapi",
            Self::Status => "status",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Resume => "resume",
            Self::Schedules => "schedules",
            Self::Healthz => "healthz",
        }
    }

    /// Its path, without what is in front of it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Page => "/",
            Self::OpenApi => "/openapi.json",
            Self::Status => "/status",
            Self::Start => "/start",
            Self::Stop => "/stop",
            Self::Resume => "/resume",
            Self::Schedules => "/schedules",
            Self::Healthz => "/healthz",
        }
    }

    /// The route of a direct command: its path without the slash.
    pub fn commanded(command: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|route| route.path().strip_prefix('/') == Some(command))
    }

    /// Whether asking for it changes anything.
    pub fn effect(self) -> Effect {
        match self {
            Self::Page | Self::OpenApi | Self::Status | Self::Schedules | Self::Healthz => {
                Effect::Reads
            }
            Self::Start | Self::Stop | Self::Resume => Effect::Changes,
        }
    }

    /// The methods it takes. A start or stop by GET is for the browser's address bar; a resume has no such excuse, and nothing
    /// is ever changed by HEAD.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Page | Self::OpenApi | Self::Status | Self::Schedules | Self::Healthz => {
                &["GET", "HEAD", "OPTIONS"]
            }
            Self::Start | Self::Stop => &["GET", "POST", "OPTIONS"],
            Self::Resume => &["POST", "OPTIONS"],
        }
    }

    /// Whether only those who are let in get an answer. Documents are the same for everybody, and load balancers and monitors,
    /// which have no credentials, are told only that the function works.
    pub fn is_guarded(self) -> bool {
        !matches!(self, Self::Page | Self::OpenApi | Self::Healthz)
    }

    /// The parameters it takes. What a browser's address says beyond the path is the page's own business.
    pub(crate) fn parameters(self) -> &'static [Parameter] {
        use Parameter::{All, Days, DryRun, For, Instance, Schedule, Tag, Until};
        match self {
            Self::Page | Self::OpenApi | Self::Healthz => &[],
            Self::Status => &[Instance, Schedule, Tag, All],
            Self::Start | Self::Stop => &[Instance, Schedule, Tag, All, For, Until, DryRun],
            Self::Resume => &[Instance, Schedule, Tag, All, DryRun],
            Self::Schedules => &[Days],
        }
    }

    /// The route of a request, by its path and method.
    pub fn of(request: &Request) -> Result<Self, Refusal> {
        let route = Self::at(request)?;
        if route.methods().contains(&request.method.as_str()) {
            return Ok(route);
        }
        Err(Refusal::new(
            Code::MethodNotAllowed,
            format!(
                "`{}` does not take {}",
                route.path(),
                quoted(&request.method)
            ),
            format!("use {}", route.methods().join(", ")),
        ))
    }

    /// The route of a path. It may be preceded by the stage, or by the prefixes under which emulators serve a REST API;
    /// a custom domain's base path is only left out of what `{proxy+}` took.
    pub(crate) fn at(request: &Request) -> Result<Self, Refusal> {
        let path = without_emulator_prefix(&request.path);
        let without_stage = path
            .strip_prefix('/')
            .and_then(|path| path.strip_prefix(request.stage.as_str()))
            .filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let is_path = request.path.is_empty() || request.path.starts_with('/');
        let whole = is_path.then_some(path);
        let candidates = [whole, without_stage, request.proxy.as_deref()];
        let route = candidates.into_iter().flatten().find_map(|path| {
            let is_at = |route: &Self| route.path().trim_matches('/') == path.trim_matches('/');
            Self::ALL.into_iter().find(is_at)
        });
        route.ok_or_else(|| {
            let there_is: Vec<String> = Self::ALL
                .iter()
                .map(|route| format!("`{}`", route.path()))
                .collect();
            Refusal::new(
                Code::UnknownPath,
                format!("there is nothing at {}", quoted(path)),
                format!("there is {}", there_is.join(", ")),
            )
        })
    }
}

/// Whether a route changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only looks.
    Reads,
    /// It may change instances.
    Changes,
}

/// `/restapis/ID/STAGE/_user_request_/PATH` and `/_aws/execute-api/ID/STAGE/PATH`, without what is in front of `PATH`.
fn without_emulator_prefix(path: &str) -> &str {
    if path.starts_with("/restapis/")
        && let Some((_, rest)) = path.split_once("/_user_request_")
    {
        return rest;
    }
    let Some(rest) = path.strip_prefix("/_aws/execute-api/") else {
        return path;
    };
    // Without anything after the stage it is the API's root.
    rest.splitn(3, '/').nth(2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn route(method: &str, path: &str, stage: &str, proxy: Option<&str>) -> Result<Route, String> {
        Route::of(&Request {
            method: method.into(),
            path: path.into(),
            stage: stage.into(),
            proxy: proxy.map(str::to_owned),
            query: Vec::new(),
            headers: BTreeMap::new(),
            body: Ok(String::new()),
            caller: None,
            source_ip: None,
        })
        .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_path_is_found_behind_every_prefix() {
        for (path, stage, proxy) in [
            ("/status", "prod", None),
            ("/status/", "prod", None),
            ("/prod/status", "prod", None),
            ("/status", "status", None),
            ("/restapis/a1b2/prod/_user_request_/status", "prod", None),
            ("/_aws/execute-api/a1b2/prod/status", "prod", None),
            ("/curfew/v1/status", "prod", Some("status")),
            ("/status", "$default", None),
        ] {
            assert_eq!(
                route("GET", path, stage, proxy),
                Ok(Route::Status),
                "{path}"
            );
        }
    }

    #[test]
    fn the_page_is_at_the_root_behind_every_prefix() {
        for (path, stage, proxy) in [
            ("/", "prod", None),
            ("", "prod", None),
            ("/prod", "prod", None),
            ("/prod/", "prod", None),
            ("/restapis/a1b2/prod/_user_request_", "prod", None),
            ("/restapis/a1b2/prod/_user_request_/", "prod", None),
            ("/_aws/execute-api/a1b2/prod", "prod", None),
            ("/_aws/execute-api/a1b2/prod/", "prod", None),
            ("/curfew/v1", "prod", Some("")),
            ("/", "$default", None),
        ] {
            assert_eq!(route("GET", path, stage, proxy), Ok(Route::Page), "{path}");
        }
    }

    #[test]
    fn what_there_is_not_is_told_with_what_there_is() {
        let told = [
            route("GET", "/reboot", "prod", None),
            route("GET", "/prod/prod/status", "prod", None),
            route("GET", "/prodstatus", "prod", None),
            route("GET", "stop", "prod", None),
            route("POST", "/", "prod", None),
            route("GET", "/Status", "prod", None),
            route("HEAD", "/stop", "prod", None),
            route("GET", "/resume", "prod", None),
            route("PURGE\n", "/status", "prod", None),
        ]
        .map(Result::unwrap_err);
        insta::assert_snapshot!(told.join("\n"), @r"
        there is nothing at `/reboot`; there is `/`, `/openapi.json`, `/status`, `/start`, `/stop`, `/resume`, `/schedules`, `/healthz`
        there is nothing at `/prod/prod/status`; there is `/`, `/openapi.json`, `/status`, `/start`, `/stop`, `/resume`, `/schedules`, `/healthz`
        there is nothing at `/prodstatus`; there is `/`, `/openapi.json`, `/status`, `/start`, `/stop`, `/resume`, `/schedules`, `/healthz`
        there is nothing at `stop`; there is `/`, `/openapi.json`, `/status`, `/start`, `/stop`, `/resume`, `/schedules`, `/healthz`
        `/` does not take `POST`; use GET, HEAD, OPTIONS
        there is nothing at `/Status`; there is `/`, `/openapi.json`, `/status`, `/start`, `/stop`, `/resume`, `/schedules`, `/healthz`
        `/stop` does not take `HEAD`; use GET, POST, OPTIONS
        `/resume` does not take `GET`; use POST, OPTIONS
        `/status` does not take `PURGE\n`; use GET, HEAD, OPTIONS
        ");
    }
}
