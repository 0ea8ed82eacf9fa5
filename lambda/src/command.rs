//! Parses a route and its parameters, from a query, a body or a direct command, into a valid API command.

use curfew_core::configuration::duration;
use curfew_core::request::{RequestDuration, RequestKind};
use curfew_core::schedule::ScheduleName;
use curfew_core::select::{
    InstanceSelector, InstanceTarget, Selection, SelectionScope, SeveralTimeZones, TagFilter,
};
use curfew_core::time_expression::TimeExpression;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::api_error::{ApiError, quoted};
use crate::http::HttpRequest;
use crate::parameters::RequestParameters;
use crate::route::Route;

/// A valid request to the API.
#[derive(Clone, Debug, PartialEq)]
pub enum ApiCommand {
    /// Returns the state of these instances.
    Status(InstanceSelector),
    /// Starts, stops or overrides instances.
    Change {
        /// The requested change.
        ask: RequestedChange,
        /// The instances to change.
        targets: InstanceSelector,
        /// Whether the change is made or only planned.
        mode: ChangeMode,
    },
    /// Returns the schedules, with their timelines if a number of days is given.
    Schedules(Option<TimelineDays>),
    /// Checks that the function works.
    Healthz,
}

/// A change before the instances are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedChange {
    /// Starts the instances.
    Start(RequestedDuration),
    /// Stops the instances.
    Stop(RequestedDuration),
    /// Ends overrides and earlier requests.
    Resume,
}

/// How long a requested start or stop lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedDuration {
    /// A duration that depends on no time zone.
    Known(RequestDuration),
    /// An override until a wall time, whose zone depends on the selected instances.
    UntilWallTime(TimeExpression),
}

/// The number of days in a timeline, including today (`days=7`): 1 to 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineDays(i8);

impl TimelineDays {
    /// The maximum. A month fits on a screen, and even a schedule with a run every quarter of an hour fits into a response.
    pub(crate) const MAX: i8 = 31;

    /// Returns the number, from 1 to 31.
    pub fn get(self) -> i8 {
        self.0
    }
}

/// Whether a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeMode {
    /// Makes the change.
    Act,
    /// Only plans the change (`dry_run=true`). EC2's `DryRun` is not used: most emulators ignore it and act.
    DryRun,
}

impl ApiCommand {
    /// Parses an HTTP request with a known route. `for` counts from `now`. Fails on an unknown or invalid parameter.
    pub fn of_request(
        route: Route,
        request: &HttpRequest,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        Self::read(route, RequestParameters::of(request, route)?, now)
    }

    /// Parses a direct command. Fails on an unknown or invalid parameter.
    pub fn of_fields(
        route: Route,
        fields: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        Self::read(route, RequestParameters::of_fields(fields, route)?, now)
    }

    fn read(
        route: Route,
        mut parameters: RequestParameters,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let command = match route {
            Route::Page | Route::OpenApi => {
                return Err(ApiError::bad_parameter(
                    format!("`{}` is a document, not a command", route.path()),
                    "request it over HTTP",
                ));
            }
            Route::Schedules => Self::Schedules(parameters.one("days", days)?),
            Route::Healthz => Self::Healthz,
            Route::Status => Self::Status(targets(&mut parameters)?),
            Route::Start => {
                let lasting = lasting(&mut parameters, now)?;
                change(RequestedChange::Start(lasting), &mut parameters)?
            }
            Route::Stop => {
                let lasting = lasting(&mut parameters, now)?;
                change(RequestedChange::Stop(lasting), &mut parameters)?
            }
            Route::Resume => change(RequestedChange::Resume, &mut parameters)?,
        };
        parameters.expect_empty(route)?;
        Ok(command)
    }
}

fn days(text: &str) -> Result<TimelineDays, ApiError> {
    match text.parse() {
        Ok(days @ 1..=TimelineDays::MAX) => Ok(TimelineDays(days)),
        _ => Err(ApiError::bad_parameter(
            format!("`days` is {}", quoted(text)),
            format!("use a whole number from 1 to {}", TimelineDays::MAX),
        )),
    }
}

fn change(
    ask: RequestedChange,
    parameters: &mut RequestParameters,
) -> Result<ApiCommand, ApiError> {
    let mode = if parameters.flag("dry_run")? {
        ChangeMode::DryRun
    } else {
        ChangeMode::Act
    };
    let targets = targets(parameters)?;
    Ok(ApiCommand::Change { ask, targets, mode })
}

fn targets(parameters: &mut RequestParameters) -> Result<InstanceSelector, ApiError> {
    let instances = parameters.all("instance", |text| {
        text.parse::<InstanceTarget>().map_err(|error| {
            ApiError::bad_parameter(
                format!("`instance`: {error}"),
                "`/status` lists the ids and names",
            )
        })
    })?;
    let schedules = parameters.all("schedule", |text| {
        text.parse::<ScheduleName>().map_err(|error| {
            ApiError::bad_parameter(
                format!("`schedule`: {error}"),
                "`/schedules` lists the names",
            )
        })
    })?;
    let mut targets = InstanceSelector {
        schedules: schedules.into_iter().collect(),
        tags: parameters.all("tag", tag)?,
        scope: if parameters.flag("all")? {
            SelectionScope::All
        } else {
            SelectionScope::Named
        },
        ..InstanceSelector::default()
    };
    targets.extend(instances);
    // `all` with instances only lifts the limit on their number.
    let filtered = !targets.schedules.is_empty() || !targets.tags.is_empty();
    if targets.is_by_instance() && filtered {
        return Err(ApiError::bad_parameter(
            "`instance` can't be combined with `schedule` or `tag`",
            "use instances alone, or schedule and tags",
        ));
    }
    Ok(targets)
}

fn tag(text: &str) -> Result<TagFilter, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad_parameter(
            format!("`tag` is {}", quoted(text)),
            "use a key and a value, such as `tag=Environment:dev*`",
        )
    })
}

/// Reads how long a start or stop lasts. `for` or `until` makes it an override; without them it lasts until the next edge.
fn lasting(
    parameters: &mut RequestParameters,
    now: Timestamp,
) -> Result<RequestedDuration, ApiError> {
    let length = parameters.one("for", |text| {
        duration(text)
            .map_err(|message| ApiError::bad_time(format!("`for`: {message}"), "such as `for=2h`"))
    })?;
    let until = parameters.one("until", |text| {
        text.parse::<TimeExpression>().map_err(|error| {
            ApiError::bad_time(
                format!("`until`: {error}"),
                "in a URL the `+` of an offset is written `%2B`",
            )
        })
    })?;
    match (length, until) {
        (None, None) => Ok(RequestedDuration::Known(RequestDuration::NextEdge)),
        (Some(length), None) => {
            let length = RequestDuration::length(length, now);
            Ok(RequestedDuration::Known(length))
        }
        (None, Some(until)) if until.needs_zone() => Ok(RequestedDuration::UntilWallTime(until)),
        (None, Some(until)) => {
            let until = ending(until, &TimeZone::UTC, now)?;
            Ok(RequestedDuration::Known(until))
        }
        (Some(_), Some(_)) => Err(ApiError::bad_parameter(
            "`for` and `until` can't be combined",
            "use one of them",
        )),
    }
}

fn ending(
    until: TimeExpression,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<RequestDuration, ApiError> {
    RequestDuration::ending(until, zone, now)
        .map_err(|bad| ApiError::bad_time(format!("`until` is {bad}"), bad.hint()))
}

impl RequestedDuration {
    fn resolve(
        self,
        selection: &Selection<'_, '_>,
        now: Timestamp,
    ) -> Result<RequestDuration, ApiError> {
        match self {
            Self::Known(duration) => Ok(duration),
            Self::UntilWallTime(until) => {
                let zone = selection.time_zone().map_err(|several| {
                    let message = format!("`until` is {several}");
                    ApiError::bad_time(message, SeveralTimeZones::HINT)
                })?;
                ending(until, &zone.unwrap_or(TimeZone::UTC), now)
            }
        }
    }
}

impl RequestedChange {
    /// Resolves a wall time in the zone of the schedules that manage the instances, otherwise in UTC. Fails if the schedules have several
    /// zones, and if the time is not in the next 31 days.
    pub(crate) fn resolve(
        self,
        selection: &Selection<'_, '_>,
        now: Timestamp,
    ) -> Result<RequestKind, ApiError> {
        Ok(match self {
            Self::Start(lasting) => RequestKind::Start(lasting.resolve(selection, now)?),
            Self::Stop(lasting) => RequestKind::Stop(lasting.resolve(selection, now)?),
            Self::Resume => RequestKind::Resume,
        })
    }
}
