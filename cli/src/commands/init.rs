//! `curfew init`: writes a commented configuration file. Asks on a terminal for what the flags do not say.

use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use curfew_config::LoadOptions;
use curfew_core::schedule::ScheduleName;
use curfew_core::timetable::Timetable;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::confirm::Prompt;
use crate::{CliError, Context, Exit};

const TEMPLATE: &str = include_str!("init/curfew.toml");

/// The options of `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// File to write; an existing one is never overwritten
    #[arg(default_value = "curfew.toml")]
    file: PathBuf,
    /// Name of the schedule [default: office]
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// Time zone of the schedule, such as Europe/Paris [default: that of this machine]
    #[arg(long, value_name = "ZONE", value_parser = time_zone)]
    timezone: Option<String>,
    /// When instances run, such as "Mon-Fri 08:00-20:00", which is the default
    #[arg(long, value_name = "HOURS", value_parser = hours)]
    running: Option<String>,
    /// Manage the instances with this tag, such as Environment=dev* [default: those whose tag Schedule names the schedule]
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    tag: Option<TagPattern>,
}

/// The key and the pattern of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TagPattern {
    key: String,
    value: String,
}

/// The answers from which the file is written.
struct Answers {
    schedule: ScheduleName,
    timezone: String,
    running: String,
    tag: Option<TagPattern>,
}

/// The file that was written.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct WrittenFile {
    /// The path of the configuration file.
    file: PathBuf,
    /// The names of its schedules.
    schedules: Vec<ScheduleName>,
}

pub(crate) fn init(context: &mut Context, args: InitArgs) -> Result<(), CliError> {
    if std::fs::symlink_metadata(&args.file).is_ok() {
        return Err(exists(&args.file));
    }
    let mut prompt = Prompt::stdio();
    let file = args.file.clone();
    let answers = Answers::ask(args, &mut prompt)?;
    write(&file, &answers.document())?;
    if let Err(error) = load(&file) {
        // Only this command knows the file.
        let _gone = std::fs::remove_file(&file);
        return Err(error);
    }
    let written = WrittenFile {
        file,
        schedules: vec![answers.schedule.clone()],
    };
    context.output.print(&written, |written| {
        next_steps(&written.file.display().to_string(), &answers)
    })
}

impl Answers {
    /// Takes the answers from the flags, and asks for the others on a terminal.
    fn ask(
        args: InitArgs,
        prompt: &mut Prompt<impl Read + IsTerminal, impl Write>,
    ) -> Result<Self, CliError> {
        let machine = TimeZone::system();
        let machine = machine.iana_name().unwrap_or("UTC").to_owned();
        let schedule = |text: &str| text.parse().map_err(|error| format!("{error}"));
        let any_tag = |text: &str| match text {
            "" => Ok(None),
            text => tag(text).map(Some),
        };
        Ok(Self {
            schedule: prompt.answer(args.schedule, "Name of the schedule", "office", schedule)?,
            timezone: prompt.answer(args.timezone, "Time zone", &machine, time_zone)?,
            running: prompt.answer(args.running, "Running", "Mon-Fri 08:00-20:00", hours)?,
            tag: prompt.answer(
                args.tag.map(Some),
                "Also manage the instances with this tag, such as Environment=dev*",
                "",
                any_tag,
            )?,
        })
    }

    /// Returns the text of the configuration file.
    fn document(&self) -> String {
        let name = self.schedule.as_str();
        let (instances, matcher) = match &self.tag {
            None => (
                format!("# Manages the instances with the tag Schedule={name}."),
                "# match = { tags = { Environment = \"dev*\" } }   # instances without the tag Schedule".to_owned(),
            ),
            Some(TagPattern { key, value }) => (
                format!("# Manages the instances with the tag {key}={value}, and those with the tag Schedule={name}."),
                format!("match = {{ tags = {{ {} = {} }} }}", quoted(key), quoted(value)),
            ),
        };
        TEMPLATE
            .replace("@INSTANCES@", &instances)
            .replace("@NAME@", name)
            .replace("@TIMEZONE@", &quoted(&self.timezone))
            .replace("@RUNNING@", &quoted(&self.running))
            .replace("@MATCH@", &matcher)
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|character| match character {
            '"' | '\\' => format!("\\{character}"),
            control if control.is_control() => format!("\\u{:04X}", u32::from(control)),
            other => other.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Fails if Curfew would refuse the file.
fn load(file: &Path) -> Result<(), CliError> {
    let options = LoadOptions {
        file: Some(file.to_owned()),
        ..LoadOptions::default()
    };
    curfew_config::load(&options)?;
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), CliError> {
    let created = OpenOptions::new().write(true).create_new(true).open(file);
    let written = created.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(file),
        _ => {
            let message = format!("`{}` can't be written: {error}", file.display());
            CliError::new(Exit::Failed, message)
        }
    })
}

fn exists(file: &Path) -> CliError {
    let message = format!(
        "`{}` is there already, and is not overwritten",
        file.display()
    );
    CliError::new(Exit::Usage, message).hint("edit it, or name another file: `curfew init FILE`")
}

fn time_zone(text: &str) -> Result<String, String> {
    let text = text.trim();
    let found = TimeZone::get(text).ok();
    let name = found.and_then(|zone| zone.iana_name().map(str::to_owned));
    name.ok_or_else(|| {
        format!(
            "`{}` is not a time zone, such as `Europe/Paris` or `UTC`",
            text.escape_debug()
        )
    })
}

fn hours(text: &str) -> Result<String, String> {
    let text = text.trim();
    let found = Timetable::parse_inline(&format!("{text} UTC"));
    found.map(|_| text.to_owned()).map_err(|problems| {
        let reasons: Vec<String> = problems.into_iter().map(|one| one.message).collect();
        format!(
            "`{}` is not of the form `Mon-Fri 08:00-20:00`: {}",
            text.escape_debug(),
            reasons.join("; ")
        )
    })
}

fn tag(text: &str) -> Result<TagPattern, String> {
    let split = text.trim().split_once('=');
    let split = split.filter(|(key, value)| !key.is_empty() && !value.is_empty());
    let (key, value) = split.ok_or("a tag is a key and a value, such as `Environment=dev*`")?;
    Ok(TagPattern {
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

fn next_steps(file: &str, answers: &Answers) -> String {
    let option = if file == "curfew.toml" {
        String::new()
    } else {
        format!(" --config {file}")
    };
    let instances = match &answers.tag {
        None => format!("with the tag Schedule={}", answers.schedule),
        Some(TagPattern { key, value }) => format!("with the tag {key}={value}"),
    };
    format!(
        "Wrote {file}: instances {instances}
run {} in {}, and are stopped otherwise.

Next:
  curfew check{option}      validate it, also after changes
  curfew simulate{option}   see when instances run
  curfew up{option}         try it on this machine, without an AWS account
  curfew deploy{option}     deploy it to AWS
",
        answers.running, answers.timezone
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(tag: Option<TagPattern>) -> Answers {
        Answers {
            schedule: "office".parse().unwrap(),
            timezone: "Europe/Paris".to_owned(),
            running: "Mon-Fri 08:00-20:00".to_owned(),
            tag,
        }
    }

    #[test]
    fn the_file_is_commented_and_valid() {
        for tag in [
            None,
            Some(tag("Environment=dev*").unwrap()),
            Some(tag(r#"a "key"=a \value"#).unwrap()),
        ] {
            let text = answers(tag).document();
            assert!(!text.contains('@'), "{text}");
            for line in text.lines() {
                assert!(line.chars().count() <= 130, "{line}");
            }
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("curfew.toml");
            write(&file, &text).unwrap();
            load(&file).unwrap();
            assert_eq!(write(&file, &text).unwrap_err().exit(), Exit::Usage);
        }
    }

    #[test]
    fn invalid_answers_are_refused() {
        assert!(time_zone("Mars").unwrap_err().contains("`Europe/Paris`"));
        assert!(hours("Mon-Fry 08:00-20:00").is_err());
        assert!(hours("").is_err());
        assert!(tag("Environment").is_err());
        assert_eq!(time_zone("europe/paris").unwrap(), "Europe/Paris");
    }
}
