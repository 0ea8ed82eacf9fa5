//! `curfew simulate`: when schedules run, on the terminal or as a picture.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Args;
use curfew_core::schedule::{Schedule, ScheduleName};
use curfew_core::simulate::text::Glyphs;
use curfew_core::simulate::{Bound, Price, Simulation, Span, html, svg, text};
use jiff::Timestamp;
use serde::Serialize;

use super::next::named;
use crate::{CliError, Context, Exit};
use curfew_config::Settings;

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
    let settings = context.settings()?;
    let schedules: Vec<&Schedule> = match &args.schedule {
        Some(name) => vec![named(&settings, name)?],
        None => settings.governance.schedules.values().collect(),
    };
    if schedules.is_empty() {
        let error = CliError::new(Exit::NothingMatched, "the settings have no schedules");
        return Err(error.hint("name a file that has some: `--config FILE`"));
    }
    let prices = prices(&settings, args)?;
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

fn prices(settings: &Settings, args: &SimulateArgs) -> Result<Vec<Price>, CliError> {
    let wanted = |instance_type: &str| {
        args.instance_type
            .as_deref()
            .is_none_or(|wanted| wanted == instance_type)
    };
    let prices: Vec<Price> = settings
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
                "the settings' [prices] say what an hour costs: `\"{wanted}\" = 0.0118`"
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

#[cfg(test)]
mod tests {
    use super::*;
    use curfew_core::timetable::Timetable;

    fn simulations() -> Vec<Simulation> {
        let timetable = Timetable::parse_inline("Mon-Fri 08:00-20:00 Europe/Paris").unwrap();
        let office = Schedule::new("office".parse().unwrap(), timetable);
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let week = Span::week_of(now, office.timetable.time_zone()).unwrap();
        vec![Simulation::of(&office, week, &[])]
    }

    #[test]
    fn the_extension_says_what_is_written_and_an_older_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        for (name, beginning) in [
            ("week.svg", "<svg "),
            ("week.HTML", "<!doctype html>"),
            ("week.htm", "<!doctype html>"),
        ] {
            let file = directory.path().join(name);
            fs::write(&file, "stale").unwrap();
            Picture::at(&file).unwrap().write(&simulations()).unwrap();
            assert!(fs::read_to_string(&file).unwrap().starts_with(beginning));
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[test]
    fn an_unknown_extension_is_refused_in_one_sentence() {
        for name in ["week.png", "week", ".svg", "/dev/stdout"] {
            let error = Picture::at(Path::new(name)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`--out {name}` is neither a picture (`.svg`) nor a page (`.html`)")
            );
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let taken = directory.path().join("week.svg");
        fs::create_dir(&taken).unwrap();
        let error = Picture::at(&taken).unwrap().write(&simulations());
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains("week.svg` can't be written: "),
            "{message}"
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
