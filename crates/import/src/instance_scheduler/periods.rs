//! Translates the periods of Instance Scheduler into running windows, or into starts and stops.
//!
//! Periods with both times, or neither, become windows. A period with one time also has hours without a desired state,
//! which a window can't express: such schedules become crons, if one week or one period describes them completely.

use curfew_core::problem::Problem;
use curfew_core::timetable::{Action, OneOrMany};

use crate::properties::Properties;
use crate::recurrence::{DayField, FieldKind, Recurrence};
use crate::toml_writer::{ALWAYS, Draft, NEVER};
use crate::week::{self, Week, WeeklyPeriod};

const DAY: u16 = 24 * 60;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Period {
    name: String,
    description: Option<String>,
    /// Minutes after midnight.
    begin: Option<u16>,
    end: Option<u16>,
    /// Whether it is written 00:00–23:59, the longest day that Instance Scheduler accepts; both times are then omitted.
    to_last_minute: bool,
    on: Recurrence,
}

impl Period {
    pub(super) fn read(name: &str, mut from: Properties<'_>) -> Result<Self, Vec<Problem>> {
        from.ignore(&["type", "configured_in_stack"]);
        let mut given = false;
        let mut time = |key: &str| {
            let text = from.text(key)?;
            given = true;
            let minutes = minutes(&text);
            if minutes.is_none() {
                from.refuse(
                    key,
                    format!("`{text}` is not a time of day, `00:00`–`23:59`"),
                );
            }
            minutes
        };
        let (begin, end) = (time("begintime"), time("endtime"));
        let mut field = |key: &str, kind: FieldKind| {
            let items = from.list(key)?;
            given = true;
            DayField::parse(&items, kind).unwrap_or_else(|why| {
                from.refuse(key, why);
                None
            })
        };
        let on = Recurrence {
            weekdays: field("weekdays", FieldKind::Weekdays),
            dates: field("monthdays", FieldKind::Dates),
            months: field("months", FieldKind::Months),
        };
        let description = from.text("description");
        if begin.is_some() && begin == end {
            from.refuse(
                "endtime",
                "equals `begintime`, so the period is empty; omit both for a whole day",
            );
        }
        if !given {
            from.refuse(
                "begintime",
                "is missing, and so are `endtime` and all day fields",
            );
        }
        let problems = from.finish();
        let to_last_minute = begin == Some(0) && end == Some(DAY - 1);
        let (begin, end) = if to_last_minute {
            (None, None)
        } else {
            (begin, end)
        };
        if problems.is_empty() {
            Ok(Self {
                name: name.to_owned(),
                description,
                begin,
                end,
                to_last_minute,
                on,
            })
        } else {
            Err(problems)
        }
    }

    fn is_one_sided(&self) -> bool {
        self.begin.is_some() != self.end.is_some()
    }

    fn is_overnight(&self) -> bool {
        matches!((self.begin, self.end), (Some(begin), Some(end)) if end < begin)
    }

    /// The comment at the end of a line.
    fn origin(&self) -> String {
        match &self.description {
            Some(description) => format!("period {}: {description}", self.name),
            None => format!("period {}", self.name),
        }
    }
}

/// Adds the periods to the draft, or returns why they can't be translated.
pub(super) fn translate(draft: &mut Draft, periods: &[Period]) -> Result<(), String> {
    for period in periods.iter().filter(|period| period.is_overnight()) {
        draft.note(format!(
            "Period `{}` ends on the next day. Instance Scheduler refuses such a period; here it is one window.",
            period.name
        ));
    }
    for period in periods.iter().filter(|period| period.to_last_minute) {
        draft.note(format!(
            "Period `{}` ends at 23:59, the latest end that Instance Scheduler accepts: here it is the whole day, 00:00-24:00, so \
             that nothing stops for the minute before midnight.",
            period.name
        ));
    }
    if periods.iter().any(Period::is_one_sided) {
        return one_sided(draft, periods);
    }
    windows(draft, periods);
    Ok(())
}

/// Sets one state, running or stopped, for all times.
pub(super) fn same_at_all_times(draft: &mut Draft, action: Action) {
    let (line, what) = match action {
        Action::Start => (ALWAYS, "always"),
        Action::Stop => (NEVER, "never: February has no 30th"),
    };
    draft.run(line, what);
}

/// The times of a window in minutes after midnight: `to` is at most 24:00, or on the next day when it is before `from`.
struct WindowTimes {
    from: u16,
    to: u16,
}

fn windows(draft: &mut Draft, periods: &[Period]) {
    let mut times: Vec<WindowTimes> = periods
        .iter()
        .map(|period| WindowTimes {
            from: period.begin.unwrap_or(0),
            to: period.end.unwrap_or(DAY),
        })
        .collect();
    // Instance Scheduler merges adjacent periods only when there are several.
    if periods.len() > 1 {
        bridge(draft, periods, &mut times);
    }
    for (period, time) in periods.iter().zip(&times) {
        let days = period.on.write();
        let line = match (time.from, time.to) {
            (0, DAY) if !days.is_empty() => days.trim_end().to_owned(),
            (from, to) => format!("{days}{}-{}", clock(from), clock(to)),
        };
        draft.run(line, period.origin());
    }
}

/// Instance Scheduler keeps instances running through one stopped minute between two periods, since 23:59 is the latest
/// end that it accepts. Here the window is a minute longer, so that the two touch.
fn bridge(draft: &mut Draft, periods: &[Period], times: &mut [WindowTimes]) {
    let whole_minutes: Vec<(u16, u16)> = times.iter().map(|time| (time.from, time.to)).collect();
    for (index, period) in periods.iter().enumerate() {
        for (other, next) in periods.iter().enumerate() {
            if period.is_overnight() || next.is_overnight() {
                continue;
            }
            let (to, from) = (whole_minutes[index].1, whole_minutes[other].0);
            let overnight = to + 1 >= DAY;
            if (to + 1) % DAY != from || !period.on.may_adjoin(&next.on, overnight) {
                continue;
            }
            let (certain, what) = if to == DAY {
                times[other].from = 0;
                (
                    next.on == Recurrence::default() && period.on == Recurrence::default(),
                    "begins a minute earlier",
                )
            } else {
                times[index].to = to + 1;
                (
                    period.on.always_adjoins(&next.on, overnight),
                    "ends a minute later",
                )
            };
            let changed = if to == DAY { next } else { period };
            let else_days = if certain {
                ""
            } else {
                ", also on days without the other period"
            };
            draft.note(format!(
                "Periods `{}` and `{}` are one minute apart, which Instance Scheduler bridges: here `{}` {what}{else_days}.",
                period.name, next.name, changed.name
            ));
        }
    }
}

fn one_sided(draft: &mut Draft, periods: &[Period]) -> Result<(), String> {
    let weekly: Option<Vec<WeeklyPeriod>> = periods
        .iter()
        .map(|period| {
            let days = period.on.plain_week()?;
            Some(WeeklyPeriod {
                days,
                begin: period.begin,
                end: period.end,
            })
        })
        .collect();
    let (starts, stops) = match (weekly, periods) {
        (Some(weekly), _) => match week::compute_week(&weekly) {
            Week::Always(action) => {
                draft.note("Its periods want the same state at all times.");
                same_at_all_times(draft, action);
                return Ok(());
            }
            Week::Crons { starts, stops } => (starts, stops),
        },
        (
            None,
            [
                Period {
                    begin: None,
                    end: Some(end),
                    on,
                    name,
                    ..
                },
            ],
        ) => (Vec::new(), dated_stops(*end, on, name)?),
        (None, _) => return Err(not_expressible(periods)),
    };
    describe(draft, periods, starts.is_empty() || stops.is_empty());
    draft.raw.start = OneOrMany::Many(starts);
    draft.raw.stop = OneOrMany::Many(stops);
    Ok(())
}

/// The message for periods that crons can't express: a period without `endtime` ends with the last of its days, which
/// depends on the month.
fn not_expressible(periods: &[Period]) -> String {
    let named = |wanted: &dyn Fn(&Period) -> bool| {
        let names: Vec<_> = periods
            .iter()
            .filter(|it| wanted(it))
            .map(|it| format!("`{}`", it.name))
            .collect();
        names.join(", ")
    };
    format!(
        "{} with one time only, and {} with days of the month, months or weekdays such as `Mon#1`: crons can't express \
         this combination; give every period both times",
        named(&Period::is_one_sided),
        named(&|period| period.on.plain_week().is_none()),
    )
}

/// The stops of a single period without `begintime`: it has no desired state before its end, so the end is always an
/// edge.
fn dated_stops(end: u16, on: &Recurrence, name: &str) -> Result<Vec<String>, String> {
    if end == 0 {
        return Err(format!(
            "period `{name}` ends at 00:00 without a `begintime`: it has no edge, only stopped days"
        ));
    }
    let time = format!("{} {}", end % 60, end / 60);
    let months = on.months.as_ref().map_or("*".to_owned(), |months| {
        months.write(FieldKind::Months).to_uppercase()
    });
    match (&on.dates, &on.weekdays) {
        (Some(_), Some(_)) => Err(format!(
            "period `{name}` has an `endtime` without `begintime`, and both `monthdays` and `weekdays`: a cron accepts one of \
             them; give it a `begintime`"
        )),
        (Some(dates), None) => Ok(vec![format!(
            "cron({time} {} {months} ? *)",
            dates.write(FieldKind::Dates)
        )]),
        (None, None) => Ok(vec![format!("cron({time} * {months} ? *)")]),
        (None, Some(days)) => {
            // AWS accepts `#` only alone, not in a list.
            let days = days.write(FieldKind::Weekdays);
            let (nth, others): (Vec<_>, Vec<_>) =
                days.split(',').partition(|day| day.contains('#'));
            let others = (!others.is_empty()).then(|| others.join(","));
            let lists = nth.into_iter().map(str::to_owned).chain(others);
            Ok(lists
                .map(|list| format!("cron({time} ? {months} {} *)", list.to_uppercase()))
                .collect())
        }
    }
}

/// Adds the comments of a schedule made of crons.
fn describe(draft: &mut Draft, periods: &[Period], only_one_kind: bool) {
    for period in periods {
        let days = period.on.write();
        let days = if days.is_empty() { "every day " } else { &days };
        let times = match (period.begin, period.end) {
            (None, None) => "all day".to_owned(),
            (begin, end) => format!(
                "{}-{}",
                begin.map(clock).unwrap_or_default(),
                end.map(clock).unwrap_or_default()
            ),
        };
        draft.note(format!("{}: {days}{times}", period.origin()));
    }
    draft.note(
        "Periods with one time only: the edges below are those of Instance Scheduler. A period without `endtime` ends at \
         00:00 after the last of its days.",
    );
    if only_one_kind {
        draft.note(
            "A schedule with only starts or only stops has no desired state between them: `enforce` has no effect, and a new \
             instance waits for its first edge. Instance Scheduler would keep the state for the rest of the day.",
        );
    } else {
        draft.note(
            "Between these edges the last one decides here; Instance Scheduler has no desired state for some of that time, \
             which matters only for enforced schedules and new instances.",
        );
    }
}

/// Parses `9:00` or `17:30` into minutes after midnight.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, longest: usize, limit: u16| {
        let digits =
            (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>()
            .ok()
            .filter(|number| digits && *number < limit)
    };
    let whole = minute.len() == 2;
    Some(number(hour, 2, 24)? * 60 + number(minute, 2, 60).filter(|_| whole)?)
}

fn clock(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}
