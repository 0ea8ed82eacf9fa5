//! `curfew simulate`: the running hours of schedules, as text, SVG or HTML.

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

/// The options of `simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Simulate only this schedule [default: all]
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// First date in the zone of the schedule, or an instant [default: Monday of this week]
    #[arg(long, value_name = "DATE|INSTANT")]
    from: Option<Bound>,
    /// Last date, or an instant [default: a week after the first]
    #[arg(long, value_name = "DATE|INSTANT")]
    to: Option<Bound>,
    /// Write an SVG image (.svg) or an HTML page (.html)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Instance type to price [default: all types with a price]
    #[arg(long = "type", value_name = "TYPE")]
    instance_type: Option<String>,
    /// Number of instances to price
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Use ASCII characters only [default: if standard output is not a terminal]
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
        return Err(error.hint("pass a file with schedules: `--config FILE`"));
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
                "add the hourly price to [prices]: `\"{wanted}\" = 0.0118`"
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

/// An output file and its renderer.
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
    fn write(&self, simulations: &[Simulation]) -> Result<(), CliError> {
        let mut temporary = OsString::from(&self.file);
        temporary.push(format!(".{}.part", std::process::id()));
        let drawn = (self.render)(simulations);
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
