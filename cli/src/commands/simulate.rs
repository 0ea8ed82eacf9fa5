//! `curfew simulate`: when schedules run, on the terminal or as a picture.

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
use curfew_config::Configuration;
use curfew_core::schedule::{Schedule, ScheduleName};
use curfew_core::simulate::{Bound, Price, Simulation, Span};
use jiff::Timestamp;
use serde::Serialize;

use self::text::Glyphs;
use super::next::named;
use crate::{CliError, Context, Exit};

/// What to simulate.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Only this schedule [default: all]
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// From this date in the schedule's zone, or this instant, on [default: Monday of this week]
    #[arg(long, value_name = "DATE|INSTANT")]
    from: Option<Bound>,
    /// Through this date, or up to this instant [default: a week]
    #[arg(long, value_name = "DATE|INSTANT")]
    to: Option<Bound>,
    /// Write a picture (.svg) or a page (.html) instead
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The instance type to tell money for [default: all that have a price]
    #[arg(long = "type", value_name = "TYPE")]
    instance_type: Option<String>,
    /// How many instances to tell money for
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Draw with ASCII only [default: when standard output is no terminal]
    #[arg(long)]
    ascii: bool,
}

#[derive(Serialize)]
struct Simulated {
    schedules: Vec<Simulation>,
}

pub(crate) fn simulate(context: &mut Context, args: &SimulateArgs) -> Result<(), CliError> {
    let picture = args.out.as_deref().map(Picture::at).transpose()?;
    let configuration = context.configuration()?;
    let schedules: Vec<&Schedule> = match &args.schedule {
        Some(name) => vec![named(&configuration, name)?],
        None => configuration.schedule_set.schedules.values().collect(),
    };
    if schedules.is_empty() {
        let error = CliError::new(Exit::NothingMatched, "the configuration has no schedules");
        return Err(error.hint("name a file that has some: `--config FILE`"));
    }
    let prices = prices(&configuration, args)?;
    let now = context.clock.now();
    let schedules = schedules
        .into_iter()
        .map(|schedule| {
            Ok(Simulation::of(
                schedule,
                span(schedule, args, now)?,
                &prices,
            ))
        })
        .collect::<Result<_, CliError>>()?;
    let simulated = Simulated { schedules };
    if let Some(picture) = &picture {
        picture.write(&simulated.schedules)?;
    }
    context.output.print(&simulated, |it| match &picture {
        Some(picture) => format!("wrote `{}`", picture.file.display()),
        None => text::render(&it.schedules, glyphs(args)),
    })
}

fn span(schedule: &Schedule, args: &SimulateArgs, now: Timestamp) -> Result<Span, CliError> {
    let zone = schedule.timetable.time_zone();
    Span::between(args.from, args.to, zone, now)
        .map_err(|error| CliError::new(Exit::Usage, error.to_string()))
}

fn prices(configuration: &Configuration, args: &SimulateArgs) -> Result<Vec<Price>, CliError> {
    let wanted = |instance_type: &str| {
        args.instance_type
            .as_deref()
            .is_none_or(|wanted| wanted == instance_type)
    };
    let prices: Vec<Price> = configuration
        .prices
        .iter()
        .filter(|(instance_type, _)| wanted(instance_type))
        .map(|(instance_type, per_hour)| Price {
            instance_type: instance_type.clone(),
            per_hour: *per_hour,
            count: args.count,
        })
        .collect();
    match &args.instance_type {
        Some(wanted) if prices.is_empty() => {
            let error = CliError::new(Exit::Usage, format!("there is no price for `{wanted}`"));
            Err(error.hint(format!(
                "the configuration's [prices] say what an hour costs: `\"{wanted}\" = 0.0118`"
            )))
        }
        _ => Ok(prices),
    }
}

fn glyphs(args: &SimulateArgs) -> Glyphs {
    if args.ascii || !io::stdout().is_terminal() {
        Glyphs::Ascii
    } else {
        Glyphs::Blocks
    }
}

/// A file to draw into.
#[derive(Debug)]
struct Picture {
    file: PathBuf,
    render: fn(&[Simulation]) -> String,
}

impl Picture {
    fn at(file: &Path) -> Result<Self, CliError> {
        let extension = file.extension().map(OsStr::to_ascii_lowercase);
        let render: fn(&[Simulation]) -> String =
            match extension.as_ref().and_then(|text| text.to_str()) {
                Some("svg") => svg::render,
                Some("html" | "htm") => html::render,
                _ => {
                    let message = format!(
                        "`--out {}` is neither a picture (`.svg`) nor a page (`.html`)",
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

    /// Writes beside the file and renames: whoever looks sees the old picture or the new one, never half of it.
    fn write(&self, simulations: &[Simulation]) -> Result<(), CliError> {
        let mut beside = OsString::from(&self.file);
        beside.push(format!(".{}.part", std::process::id()));
        let drawn = (self.render)(simulations);
        let written = fs::write(&beside, drawn).and_then(|()| fs::rename(&beside, &self.file));
        written.map_err(|error| {
            // It may not be there: creating it may be what failed.
            let _ = fs::remove_file(&beside);
            let message = format!("`{}` can't be written: {error}", self.file.display());
            CliError::new(Exit::Failed, message)
        })
    }
}
