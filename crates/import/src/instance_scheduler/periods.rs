//! Periods of Instance Scheduler as running time, or as starts and stops.
//!
//! Periods with both times, or none, are windows. One with only one of them also has times of no opinion, which a window
//! has not: those schedules become crons, if one week or one period says it all.

use curfew_core::problem::Problem;
use curfew_core::timetable::{Action, OneOrMany};

use crate::properties::Properties;
use crate::recurrence::{Field, Kind, Recurrence};
use crate::sheet::{ALWAYS, Draft, NEVER};
use crate::week::{self, Span, Week};

const DAY: u16 = 24 * 60;

/// A period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Period {
    name: String,
    description: Option<String>,
    /// Minutes after midnight.
    begin: Option<u16>,
    end: Option<u16>,
    /// It is written 00:00–23:59, which is as much of a day as Instance Scheduler can say; then both times are left out.
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
        let mut field = |key: &str, kind: Kind| {
            let items = from.list(key)?;
            given = true;
            Field::parse(&items, kind).unwrap_or_else(|why| {
                from.refuse(key, why);
                None
            })
        };
        let on = Recurrence {
            weekdays: field("weekdays", Kind::Weekdays),
            dates: field("monthdays", Kind::Dates),
            months: field("months", Kind::Months),
        };
        let description = from.text("description");
        if begin.is_some() && begin == end {
            from.refuse(
                "endtime",
                "is the same as `begintime`, so that it never runs; for a whole day leave both out",
            );
        }
        if !given {
            from.refuse("begintime", "is missing, as are `endtime` and all days");
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

    /// For the end of a line.
    fn origin(&self) -> String {
        match &self.description {
            Some(description) => format!("period {}: {description}", self.name),
            None => format!("period {}", self.name),
        }
    }
}

/// Adds the periods, or says why they can't be translated.
pub(super) fn translate(draft: &mut Draft, periods: &[Period]) -> Result<(), String> {
    for period in periods.iter().filter(|period| period.is_overnight()) {
        draft.note(format!(
            "Period `{}` ends on the next day. Instance Scheduler refuses such a period; here it is one window.",
            period.name
        ));
    }
    for period in periods.iter().filter(|period| period.to_last_minute) {
        draft.note(format!(
            "Period `{}` ends at 23:59, the latest end that Instance Scheduler takes: here it is the whole day, 00:00-24:00, so \
             that nothing is stopped for the minute before midnight.",
            period.name
        ));
    }
    if periods.iter().any(Period::is_one_sided) {
        return one_sided(draft, periods);
    }
    windows(draft, periods);
    Ok(())
}

/// Running, or stopped, whatever the time.
pub(super) fn same_at_all_times(draft: &mut Draft, action: Action) {
    let (line, what) = match action {
        Action::Start => (ALWAYS, "always"),
        Action::Stop => (NEVER, "never: February has no 30th"),
    };
    draft.run(line, what);
}

/// A window in the making: minutes after midnight, `to` up to 24:00, or on the next day when it is before `from`.
struct Draught {
    from: u16,
    to: u16,
}

fn windows(draft: &mut Draft, periods: &[Period]) {
    let mut times: Vec<Draught> = periods
        .iter()
        .map(|period| Draught {
            from: period.begin.unwrap_or(0),
            to: period.end.unwrap_or(DAY),
        })
        .collect();
    // With a single period Instance Scheduler does not look for a neighbour.
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

/// Instance Scheduler keeps instances up through one stopped minute between two periods, since 23:59 is the latest end that
/// it takes. Here the window is a minute longer, which makes the two touch.
fn bridge(draft: &mut Draft, periods: &[Period], times: &mut [Draught]) {
    let whole_minutes: Vec<(u16, u16)> = times.iter().map(|time| (time.from, time.to)).collect();
    for (index, period) in periods.iter().enumerate() {
        for (other, next) in periods.iter().enumerate() {
            if period.is_overnight() || next.is_overnight() {
                continue;
            }
            let (to, from) = (whole_minutes[index].1, whole_minutes[other].0);
            let overnight = to + 1 >= DAY;
            if (to + 1) % DAY != from || !period.on.may_meet(&next.on, overnight) {
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
                    period.on.always_meets(&next.on, overnight),
                    "ends a minute later",
                )
            };
            let changed = if to == DAY { next } else { period };
            let else_days = if certain {
                ""
            } else {
                ", also on days on which the other is not there"
            };
            draft.note(format!(
                "Periods `{}` and `{}` are a minute apart, which Instance Scheduler bridges: here `{}` {what}{else_days}.",
                period.name, next.name, changed.name
            ));
        }
    }
}

fn one_sided(draft: &mut Draft, periods: &[Period]) -> Result<(), String> {
    let spans: Option<Vec<Span>> = periods
        .iter()
        .map(|period| {
            let days = period.on.plain_week()?;
            Some(Span {
                days,
                begin: period.begin,
                end: period.end,
            })
        })
        .collect();
    let (starts, stops) = match (spans, periods) {
        (Some(spans), _) => match week::work_out(&spans) {
            Week::Always(action) => {
                draft.note("Its periods come to the same at all times.");
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
        (None, _) => return Err(too_much(periods)),
    };
    describe(draft, periods, starts.is_empty() || stops.is_empty());
    draft.raw.start = OneOrMany::Many(starts);
    draft.raw.stop = OneOrMany::Many(stops);
    Ok(())
}

/// What crons can't say: a period without `endtime` ends with the last of its days, wherever that is in the month.
fn too_much(periods: &[Period]) -> String {
    let named = |wanted: &dyn Fn(&Period) -> bool| {
        let names: Vec<_> = periods
            .iter()
            .filter(|it| wanted(it))
            .map(|it| format!("`{}`", it.name))
            .collect();
        names.join(", ")
    };
    format!(
        "{} with one time only, and {} with days of the month, months or weekdays such as `Mon#1`: crons can't say where that \
         has no opinion; give every period both times",
        named(&Period::is_one_sided),
        named(&|period| period.on.plain_week().is_none()),
    )
}

/// The stops of a single period without `begintime`: before its end it has no opinion, so that the end is always an edge.
fn dated_stops(end: u16, on: &Recurrence, name: &str) -> Result<Vec<String>, String> {
    if end == 0 {
        return Err(format!(
            "period `{name}` ends at 00:00 without a `begintime`: there is no edge, only stopped days"
        ));
    }
    let time = format!("{} {}", end % 60, end / 60);
    let months = on.months.as_ref().map_or("*".to_owned(), |months| {
        months.write(Kind::Months).to_uppercase()
    });
    match (&on.dates, &on.weekdays) {
        (Some(_), Some(_)) => Err(format!(
            "period `{name}` has an `endtime` without `begintime`, and both `monthdays` and `weekdays`: crons take either; \
             give it a `begintime`"
        )),
        (Some(dates), None) => Ok(vec![format!(
            "cron({time} {} {months} ? *)",
            dates.write(Kind::Dates)
        )]),
        (None, None) => Ok(vec![format!("cron({time} * {months} ? *)")]),
        (None, Some(days)) => {
            // AWS takes `#` alone, not in a list.
            let days = days.write(Kind::Weekdays);
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

/// The comments of a schedule of crons.
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
        "A period with one time only: where Instance Scheduler would start and stop for these is worked out below. A period \
         without `endtime` ends at 00:00 after the last of its days.",
    );
    if only_one_kind {
        draft.note(
            "A schedule with starts only, or stops only, wants nothing between them: `enforce` adds nothing to it, and a new \
             instance waits for its first edge. Instance Scheduler would hold the state for the rest of the day.",
        );
    } else {
        draft.note(
            "Between these edges Curfew wants what the last one said; Instance Scheduler has no opinion for some of that time, \
             which matters for enforced schedules and new instances only.",
        );
    }
}

/// `9:00`, `17:30`: minutes after midnight.
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
