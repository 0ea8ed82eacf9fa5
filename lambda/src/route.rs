//! Maps a request's path and method to a route.

use curfew_core::error_code::ErrorCode;

use crate::api_error::{ApiError, quoted};
use crate::http::HttpRequest;
use crate::parameter::ApiParameter;

/// An endpoint of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The web page.
    Page,
    /// The OpenAPI document.
    OpenApi,
    /// The state of the instances.
    Status,
    /// `/start`, which starts the selected instances.
    Start,
    /// `/stop`, which stops the selected instances.
    Stop,
    /// Ends overrides and applies the schedules.
    Resume,
    /// The configured schedules.
    Schedules,
    /// The health check.
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

    /// The route's name in the log.
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

    /// The route's path, without a stage or another prefix.
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

    /// The route of a direct command, which is the path without its slash.
    pub fn of_command(command: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|route| route.path().strip_prefix('/') == Some(command))
    }

    /// Whether requests to the route change instances.
    pub fn effect(self) -> Effect {
        match self {
            Self::Page | Self::OpenApi | Self::Status | Self::Schedules | Self::Healthz => {
                Effect::Reads
            }
            Self::Start | Self::Stop | Self::Resume => Effect::Changes,
        }
    }

    /// The methods that the route accepts. Start and stop accept GET so that they work from a browser's address bar; resume does not.
    /// HEAD never changes an instance.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Page | Self::OpenApi | Self::Status | Self::Schedules | Self::Healthz => {
                &["GET", "HEAD", "OPTIONS"]
            }
            Self::Start | Self::Stop => &["GET", "POST", "OPTIONS"],
            Self::Resume => &["POST", "OPTIONS"],
        }
    }

    /// Whether the route requires authentication. The documents contain nothing of the fleet, and load balancers and monitors have no
    /// credentials for the health check.
    pub fn requires_authentication(self) -> bool {
        !matches!(self, Self::Page | Self::OpenApi | Self::Healthz)
    }

    /// The parameters that the route accepts. The page and the document ignore theirs.
    pub(crate) fn parameters(self) -> &'static [ApiParameter] {
        use ApiParameter::{All, Days, DryRun, For, Instance, Schedule, Tag, Until};
        match self {
            Self::Page | Self::OpenApi | Self::Healthz => &[],
            Self::Status => &[Instance, Schedule, Tag, All],
            Self::Start | Self::Stop => &[Instance, Schedule, Tag, All, For, Until, DryRun],
            Self::Resume => &[Instance, Schedule, Tag, All, DryRun],
            Self::Schedules => &[Days],
        }
    }

    /// Finds the route of a request. Fails on an unknown path, or a method that the route does not accept.
    pub fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let route = Self::at(request)?;
        if route.methods().contains(&request.method.as_str()) {
            return Ok(route);
        }
        Err(ApiError::new(
            ErrorCode::MethodNotAllowed,
            format!(
                "`{}` does not support {}",
                route.path(),
                quoted(&request.method)
            ),
            format!("use {}", route.methods().join(", ")),
        ))
    }

    /// Finds the route of a path. The path may begin with the stage or with an emulator's prefix for REST APIs. A custom domain's
    /// base path is recognised only by the value of `{proxy+}`, which excludes it.
    pub(crate) fn at(request: &HttpRequest) -> Result<Self, ApiError> {
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
            let known: Vec<String> = Self::ALL
                .iter()
                .map(|route| format!("`{}`", route.path()))
                .collect();
            ApiError::new(
                ErrorCode::UnknownPath,
                format!("unknown path {}", quoted(path)),
                format!("known paths: {}", known.join(", ")),
            )
        })
    }
}

/// Whether a route changes instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The route changes no instance.
    Reads,
    /// The route may change instances.
    Changes,
}

/// Strips the prefixes of `/restapis/ID/STAGE/_user_request_/PATH` and `/_aws/execute-api/ID/STAGE/PATH`.
fn without_emulator_prefix(path: &str) -> &str {
    if path.starts_with("/restapis/")
        && let Some((_, rest)) = path.split_once("/_user_request_")
    {
        return rest;
    }
    let Some(rest) = path.strip_prefix("/_aws/execute-api/") else {
        return path;
    };
    // A path that ends with the stage is the API's root.
    rest.splitn(3, '/').nth(2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn route(method: &str, path: &str, stage: &str, proxy: Option<&str>) -> Result<Route, String> {
        Route::of(&HttpRequest {
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
    fn a_path_is_routed_behind_every_prefix() {
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
    fn the_root_is_the_page_behind_every_prefix() {
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
    fn an_unknown_path_or_method_is_reported_with_the_known_ones() {
        let errors = [
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
        insta::assert_snapshot!(errors.join("\n"), @r"
        unknown path `/reboot`; known paths: `/`, `/openapi.json`, `/status`, `/start`, `/stop`, `/resume`, `/schedules`, `/healthz`
        unknown path `/prod/prod/status`; known paths: `/`, `/openapi.json`, `/status`, `/start`, `/stop`, `/resume`, `/schedules`, `/healthz`
        unknown path `/prodstatus`; known paths: `/`, `/openapi.json`, `/status`, `/start`, `/stop`, `/resume`, `/schedules`, `/healthz`
        unknown path `stop`; known paths: `/`, `/openapi.json`, `/status`, `/start`, `/stop`, `/resume`, `/schedules`, `/healthz`
        `/` does not support `POST`; use GET, HEAD, OPTIONS
        unknown path `/Status`; known paths: `/`, `/openapi.json`, `/status`, `/start`, `/stop`, `/resume`, `/schedules`, `/healthz`
        `/stop` does not support `HEAD`; use GET, POST, OPTIONS
        `/resume` does not support `GET`; use POST, OPTIONS
        `/status` does not support `PURGE\n`; use GET, HEAD, OPTIONS
        ");
    }
}
