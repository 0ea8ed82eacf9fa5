//! `curfew simulate`: the running hours of schedules and their cost, as text, SVG or HTML.

mod counts;
mod facts;
mod html;
mod svg;
#[cfg(test)]
mod tests;
mod text;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Args;
use curfew_aws::organisation::AccountRegionError;
use curfew_config::Configuration;
use curfew_core::human_time;
use curfew_core::schedule::{Schedule, ScheduleName};
use curfew_core::simulate::{SimulatedTotal, Simulation, Span};
use curfew_core::time_expression::TimeExpression;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use self::counts::{CountArg, InstanceCounts};
use self::text::Glyphs;
use super::next::named;
use crate::error::all_answered;
use crate::fleet_view::{UnansweredRegionDocument, unanswered};
use crate::view::View;
use crate::{CliError, Context, Exit};

/// The options of `simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Simulate only this schedule [default: all]
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// Beginning, in the zone of the schedule, such as friday or 2026-12-24 [default: today]
    #[arg(long, value_name = "WHEN")]
    from: Option<TimeExpression>,
    /// End, such as 7d after the beginning; a day such as friday or 2026-12-31 is included [default: two weeks after the beginning]
    #[arg(long, value_name = "WHEN")]
    to: Option<TimeExpression>,
    /// Write an SVG image (.svg) or an HTML page (.html)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Add the cost of the instances that the schedules manage now (needs credentials)
    #[arg(long, conflicts_with = "counts")]
    fleet: bool,
    /// Add the cost of this number of instances in a schedule, of the type of --type or a type of their own (repeatable)
    #[arg(long = "count", value_name = "NAME=N[:TYPE]")]
    counts: Vec<CountArg>,
    /// Instance type of --count [default: the only type with a price]
    #[arg(long = "type", value_name = "TYPE", requires = "counts")]
    instance_type: Option<String>,
    /// Use ASCII characters only [default: if standard output is not a terminal]
    #[arg(long)]
    ascii: bool,
}

/// The simulated schedules.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SimulateDocument {
    /// The currency of all amounts, from the configuration's `currency`.
    currency: String,
    /// The simulated schedules, by name.
    schedules: Vec<Simulation>,
    /// The sums over all schedules; null unless instances are counted.
    total: Option<SimulatedTotal>,
    /// The number of counted instances that are left out, because their tag holds a schedule of their own.
    inline_count: usize,
    /// The accounts and regions that did not answer, only if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    unanswered: Vec<UnansweredRegionDocument>,
    /// Whether the configuration has any price.
    #[serde(skip)]
    has_prices: bool,
}

pub(crate) async fn simulate(context: &mut Context, args: &SimulateArgs) -> Result<(), CliError> {
    let picture = args.out.as_deref().map(Picture::at).transpose()?;
    let configuration = context.configuration()?;
    let schedules: Vec<&Schedule> = match &args.schedule {
        Some(name) => vec![named(&configuration, name)?],
        None => configuration.schedule_set.schedules.values().collect(),
    };
    if schedules.is_empty() {
        let error = CliError::new(Exit::NothingMatched, "the configuration has no schedules");
        return Err(error.hint("pass a file with schedules: `--config FILE`"));
    }
    let counts = instance_counts(context, &configuration, args).await?;
    let now = context.clock.now();
    let simulations = schedules
        .into_iter()
        .map(|schedule| {
            let span = span(schedule, args, now)?;
            let instances = counts.of(&schedule.name, &configuration.prices);
            Ok(Simulation::of(schedule, span, &instances))
        })
        .collect::<Result<_, CliError>>()?;
    let (simulated, failures) = document(simulations, &configuration, counts);
    if let Some(picture) = &picture {
        picture.write(&simulated)?;
    }
    context.output.print(&simulated, |it| match &picture {
        Some(picture) => View::from(format!("wrote `{}`", picture.file.display())),
        None => text::render(it, glyphs(args)),
    })?;
    all_answered(failures)
}

async fn instance_counts(
    context: &Context,
    configuration: &Configuration,
    args: &SimulateArgs,
) -> Result<InstanceCounts, CliError> {
    if args.fleet {
        InstanceCounts::of_fleet(context, configuration).await
    } else {
        let default_type = args.instance_type.as_deref();
        InstanceCounts::given(&args.counts, default_type, configuration)
    }
}

fn document(
    schedules: Vec<Simulation>,
    configuration: &Configuration,
    counts: InstanceCounts,
) -> (SimulateDocument, Vec<AccountRegionError>) {
    let document = SimulateDocument {
        currency: configuration.currency.clone(),
        total: SimulatedTotal::of(&schedules),
        schedules,
        inline_count: counts.inline,
        unanswered: unanswered(&counts.failures),
        has_prices: !configuration.prices.is_empty(),
    };
    (document, counts.failures)
}

fn span(schedule: &Schedule, args: &SimulateArgs, now: Timestamp) -> Result<Span, CliError> {
    let zone = schedule.timetable.time_zone();
    Span::between(args.from, args.to, zone, now).map_err(|error| {
        let message = error.to_string();
        CliError::new(Exit::Usage, human_time::in_sentence(&message, zone, now))
    })
}

fn glyphs(args: &SimulateArgs) -> Glyphs {
    if args.ascii || !io::stdout().is_terminal() {
        Glyphs::Ascii
    } else {
        Glyphs::Blocks
    }
}

/// An output file and its renderer.
#[derive(Debug)]
struct Picture {
    file: PathBuf,
    render: fn(&SimulateDocument) -> String,
}

impl Picture {
    fn at(file: &Path) -> Result<Self, CliError> {
        let extension = file.extension().map(OsStr::to_ascii_lowercase);
        let render: fn(&SimulateDocument) -> String =
            match extension.as_ref().and_then(|text| text.to_str()) {
                Some("svg") => svg::render,
                Some("html" | "htm") => html::render,
                _ => {
                    let message = format!(
                        "`--out {}` is neither an SVG image (`.svg`) nor an HTML page (`.html`)",
                        file.display()
                    );
                    return Err(CliError::new(Exit::Usage, message));
                }
            };
        Ok(Self {
            file: file.to_owned(),
            render,
        })
    }

    /// Writes a temporary file and renames it, so that readers never see a partial file.
    fn write(&self, document: &SimulateDocument) -> Result<(), CliError> {
        let mut temporary = OsString::from(&self.file);
        temporary.push(format!(".{}.part", std::process::id()));
        let drawn = (self.render)(document);
        let written =
            fs::write(&temporary, drawn).and_then(|()| fs::rename(&temporary, &self.file));
        written.map_err(|error| {
            // The temporary file may not exist if creating it failed.
            let _ = fs::remove_file(&temporary);
            let message = format!("`{}` can't be written: {error}", self.file.display());
            CliError::new(Exit::Failed, message)
        })
    }
}
