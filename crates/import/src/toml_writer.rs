//! Writes the TOML: schedules with their comments, validated by Curfew's own rules first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use curfew_core::configuration::{RawSchedule, RawScheduleSet};
use curfew_core::problem::Problem;
use curfew_core::schedule::{Adopt, ScheduleName};
use curfew_core::timetable::OneOrMany;

use crate::Imported;

/// The column at which comments wrap: the width of rustfmt's default.
const WIDTH: usize = 100;

/// A translated schedule.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// The name in the other tool.
    pub(super) name: String,
    /// The comments above the schedule, one paragraph each.
    pub(super) notes: Vec<String>,
    /// The schedule. All fields but `match`, `window`, `any_of`, `only` and `catch_up` are written; the other tools
    /// have no equivalent of those.
    pub(super) raw: RawSchedule,
    /// The origin of each line of `running`.
    pub(super) origins: Vec<String>,
}

/// A window that matches no day. A schedule without windows and crons is refused; this one is stopped at all times and
/// has no edge.
pub(super) const NEVER: &str = "dates=30 months=Feb";
/// A window without an end, since it touches itself.
pub(super) const ALWAYS: &str = "00:00-24:00";

impl Draft {
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Adds a line to `running`, with its origin.
    pub(super) fn run(&mut self, line: impl Into<String>, origin: impl Into<String>) {
        let mut lines = self.raw.running.as_slice().to_vec();
        lines.push(line.into());
        self.raw.running = OneOrMany::Many(lines);
        self.origins.push(origin.into());
    }
}

/// Assembles the schedules. Schedules that Curfew would refuse become refusals; if none is left, the refusals are
/// returned as the error.
pub(super) fn finish(
    header: &[String],
    drafts: Vec<Draft>,
    mut refused: Vec<Problem>,
) -> Result<Imported, Vec<Problem>> {
    let mut good = BTreeMap::new();
    for mut draft in drafts {
        let name = free_name(&draft.name, &good);
        match check(&name, &draft.raw) {
            Err(problems) => {
                let inside = format!("schedules.{name}.");
                refused.extend(problems.into_iter().map(|problem| {
                    let key = problem.key.strip_prefix(&inside).unwrap_or_default();
                    Problem::new(format!("{}.{key}", draft.name), problem.message)
                }));
            }
            Ok(()) => {
                if name != draft.name {
                    let note = format!(
                        "Renamed from `{}`, which is not a valid schedule name here: change the instances' tags too.",
                        draft.name
                    );
                    draft.notes.insert(0, note);
                }
                good.insert(name, draft);
            }
        }
    }
    if good.is_empty() && !refused.is_empty() {
        return Err(refused);
    }
    let mut toml = String::new();
    for paragraph in header {
        comment(&mut toml, paragraph);
    }
    if !refused.is_empty() {
        toml.push_str("#\n");
        comment(&mut toml, "NOT TRANSLATED:");
        for problem in &refused {
            comment(&mut toml, &format!("- {problem}"));
        }
    }
    for (name, draft) in &good {
        write_draft(&mut toml, name, draft);
    }
    Ok(Imported { toml, refused })
}

fn check(name: &str, raw: &RawSchedule) -> Result<(), Vec<Problem>> {
    let alone = RawScheduleSet {
        schedules: BTreeMap::from([(name.to_owned(), raw.clone())]),
        ..RawScheduleSet::default()
    };
    alone.resolve().map(drop)
}

/// Returns `wanted`, or the closest name that is valid for a schedule and not taken.
fn free_name(wanted: &str, taken: &BTreeMap<String, Draft>) -> String {
    let allowed = |name: &str| {
        name.parse::<ScheduleName>().is_ok()
            && name != ScheduleName::inline().as_str()
            && !taken.contains_key(name)
    };
    if allowed(wanted) {
        return wanted.to_owned();
    }
    let plain: String = wanted
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let plain = plain.trim_matches(['-', '_']);
    let base = if plain.is_empty() { "schedule" } else { plain };
    let numbered = (2..).map(|number| {
        let suffix = format!("-{number}");
        let length = base.len().min(32 - suffix.len());
        format!("{}{suffix}", &base[..length])
    });
    std::iter::once(base[..base.len().min(32)].to_owned())
        .chain(numbered)
        .find(|name| allowed(name))
        .expect("there are more numbers than schedules")
}

fn write_draft(toml: &mut String, name: &str, draft: &Draft) {
    let raw = &draft.raw;
    toml.push('\n');
    for note in &draft.notes {
        comment(toml, note);
    }
    let _ = writeln!(toml, "[schedules.{name}]");
    if let Some(zone) = &raw.timezone {
        let _ = writeln!(toml, "timezone = {}", quoted(zone));
    }
    if let [line] = raw.running.as_slice() {
        let _ = writeln!(toml, "running = {}{}", quoted(line), origin(draft, 0));
    } else if !raw.running.is_empty() {
        toml.push_str("running = [\n");
        for (index, line) in raw.running.as_slice().iter().enumerate() {
            let _ = writeln!(toml, "    {},{}", quoted(line), origin(draft, index));
        }
        toml.push_str("]\n");
    }
    write_list(toml, "start", raw.start.as_slice());
    write_list(toml, "stop", raw.stop.as_slice());
    if let [date] = raw.except.as_slice() {
        let _ = writeln!(toml, "except = [{}]", quoted(date));
    } else {
        write_list(toml, "except", &raw.except);
    }
    if raw.enforce {
        toml.push_str("enforce = true\n");
    }
    if raw.adopt == Adopt::Converge {
        toml.push_str("adopt = \"converge\"\n");
    }
    if raw.hibernate {
        toml.push_str("hibernate = true\n");
    }
}

fn origin(draft: &Draft, line: usize) -> String {
    match draft.origins.get(line).map(|origin| printable(origin)) {
        Some(origin) if !origin.is_empty() => format!(" # {origin}"),
        _ => String::new(),
    }
}

fn write_list(toml: &mut String, key: &str, values: &[String]) {
    let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    let _ = match values.as_slice() {
        [] => Ok(()),
        [value] => writeln!(toml, "{key} = {value}"),
        several => writeln!(toml, "{key} = [{}]", several.join(", ")),
    };
}

/// Formats a basic string. [`check`] has accepted the text, so it has only letters, digits and punctuation; TOML gives
/// a meaning to two of these, which are escaped.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Replaces control characters: a line break would end a comment, and TOML allows no others in one.
fn printable(text: &str) -> String {
    let spaced = text.replace(char::is_control, " ");
    spaced.trim().to_owned()
}

/// Writes a paragraph as comment lines. Text in backticks is not wrapped, so that it can be copied.
fn comment(toml: &mut String, paragraph: &str) {
    let paragraph = printable(paragraph);
    let mut line = String::from("#");
    let mut quoting = false;
    for word in paragraph.split_whitespace() {
        let fits = line.chars().count() + 1 + word.chars().count() <= WIDTH;
        if !fits && !quoting && line.len() > 1 {
            let _ = writeln!(toml, "{line}");
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
        quoting ^= word.matches('`').count() % 2 == 1;
    }
    let _ = writeln!(toml, "{line}");
}
