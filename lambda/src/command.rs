//! What is asked for: a route and its parameters, from a query, a body or a direct command, as valid types.

use curfew_core::configuration::duration;
use curfew_core::instance::InstanceId;
use curfew_core::request::{RequestDuration, RequestKind};
use curfew_core::schedule::ScheduleName;
use curfew_core::select::{InstanceSelector, SelectionScope, TagFilter};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::http::Request;
use crate::parameters::Parameters;
use crate::refusal::{Refusal, quoted};
use crate::route::Route;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// How instances are.
    Status(InstanceSelector),
    /// A change to instances.
    Change {
        /// Which.
        ask: RequestKind,
        /// Of what.
        targets: InstanceSelector,
        /// In earnest or not.
        mode: Mode,
    },
    /// What the schedules are, and what they want in the days to come.
    Schedules(Option<Days>),
    /// Whether the function works.
    Healthz,
}

/// Over how many days, today included (`days=7`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(i8);

impl Days {
    /// A month fits on a screen, and a schedule of one run each quarter of an hour then still fits into an answer.
    pub(crate) const MOST: i8 = 31;

    /// At least one, at most 31.
    pub fn get(self) -> i8 {
        self.0
    }
}

/// Whether a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is made.
    Act,
    /// It is only planned (`dry_run=true`). EC2's own `DryRun` is not used: most emulators act on it.
    DryRun,
}

impl Command {
    /// What an HTTP request asks for, whose route is known. `now` is what `for` counts from.
    pub fn of_request(route: Route, request: &Request, now: Timestamp) -> Result<Self, Refusal> {
        Self::read(route, Parameters::of(request, route)?, now)
    }

    /// What a direct command asks for.
    pub fn of_fields(
        route: Route,
        fields: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        Self::read(route, Parameters::of_fields(fields, route)?, now)
    }

    fn read(route: Route, mut parameters: Parameters, now: Timestamp) -> Result<Self, Refusal> {
        let command = match route {
            Route::Page | Route::OpenApi => {
                return Err(Refusal::parameter(
                    format!("`{}` is a document, not a command", route.path()),
                    "ask for it over HTTP",
                ));
            }
            Route::Schedules => Self::Schedules(parameters.one("days", days)?),
            Route::Healthz => Self::Healthz,
            Route::Status => Self::Status(targets(&mut parameters)?),
            Route::Start => {
                let lasting = lasting(&mut parameters, now)?;
                change(RequestKind::Start(lasting), &mut parameters)?
            }
            Route::Stop => {
                let lasting = lasting(&mut parameters, now)?;
                change(RequestKind::Stop(lasting), &mut parameters)?
            }
            Route::Resume => change(RequestKind::Resume, &mut parameters)?,
        };
        parameters.nothing_else(route)?;
        Ok(command)
    }
}

fn days(text: &str) -> Result<Days, Refusal> {
    match text.parse() {
        Ok(days @ 1..=Days::MOST) => Ok(Days(days)),
        _ => Err(Refusal::parameter(
            format!("`days` is {}", quoted(text)),
            format!("it is a whole number from 1 to {}", Days::MOST),
        )),
    }
}

fn change(ask: RequestKind, parameters: &mut Parameters) -> Result<Command, Refusal> {
    let mode = if parameters.flag("dry_run")? {
        Mode::DryRun
    } else {
        Mode::Act
    };
    let targets = targets(parameters)?;
    Ok(Command::Change { ask, targets, mode })
}

fn targets(parameters: &mut Parameters) -> Result<InstanceSelector, Refusal> {
    let ids = parameters.all("instance", |text| {
        text.parse::<InstanceId>().map_err(|error| {
            Refusal::parameter(format!("`instance`: {error}"), "`/status` lists the ids")
        })
    })?;
    let schedules = parameters.all("schedule", |text| {
        text.parse::<ScheduleName>().map_err(|error| {
            Refusal::parameter(
                format!("`schedule`: {error}"),
                "`/schedules` lists the names",
            )
        })
    })?;
    let targets = InstanceSelector {
        ids: ids.into_iter().collect(),
        schedules: schedules.into_iter().collect(),
        tags: parameters.all("tag", tag)?,
        scope: if parameters.flag("all")? {
            SelectionScope::All
        } else {
            SelectionScope::Named
        },
    };
    // `all` with ids means all of these: it lifts the limit, and widens nothing.
    let fitted = !targets.schedules.is_empty() || !targets.tags.is_empty();
    if !targets.ids.is_empty() && fitted {
        return Err(Refusal::parameter(
            "`instance` can't be combined with `schedule` or `tag`",
            "name instances by their ids, or by schedule and tags",
        ));
    }
    Ok(targets)
}

fn tag(text: &str) -> Result<TagFilter, Refusal> {
    text.parse().map_err(|_| {
        Refusal::parameter(
            format!("`tag` is {}", quoted(text)),
            "it is a key and a value, such as `tag=Environment:dev*`",
        )
    })
}

/// How long a start or stop lasts: `for` a while or `until` an instant makes it an override.
fn lasting(parameters: &mut Parameters, now: Timestamp) -> Result<RequestDuration, Refusal> {
    let length = parameters.one("for", |text| {
        duration(text)
            .map_err(|message| Refusal::parameter(format!("`for`: {message}"), "such as `for=2h`"))
    })?;
    let until = parameters.one("until", |text| until(text, now))?;
    match (length, until) {
        (None, None) => Ok(RequestDuration::NextEdge),
        (Some(length), None) => Ok(RequestDuration::length(length, now)),
        (None, Some(until)) => Ok(until),
        (Some(_), Some(_)) => Err(Refusal::parameter(
            "`for` and `until` both say how long",
            "use one of them",
        )),
    }
}

fn until(text: &str, now: Timestamp) -> Result<RequestDuration, Refusal> {
    let refuse = |why: &dyn std::fmt::Display, hint: String| {
        Refusal::parameter(format!("`until` is {}, which is {why}", quoted(text)), hint)
    };
    let until: Timestamp = text.parse().map_err(|_| {
        let hint =
            "such as `until=2026-11-23T22:00:00Z`; in a URL the `+` of an offset is written `%2B`";
        refuse(&"not an instant in RFC 3339", hint.to_owned())
    })?;
    RequestDuration::until(until, now).map_err(|bad| refuse(&bad, bad.hint()))
}
