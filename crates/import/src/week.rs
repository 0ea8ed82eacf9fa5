//! One week of one-sided periods, minute by minute: where Instance Scheduler starts and stops.
//!
//! A period without `endtime` wants instances running from its `begintime` to the end of the day, and has no opinion before;
//! one without `begintime` wants them stopped from its `endtime` on, and has no opinion before. On other days either wants
//! them stopped. Of several periods *running* beats *no opinion*, which beats *stopped*. An action happens where
//! *running* or *stopped* begins, whatever was before. (Its `running_period.py`, `instance_schedule.py` and
//! `scheduling_decision.py`.)

use std::collections::BTreeMap;

use curfew_core::timetable::Action;

use crate::recurrence::{Field, Kind};

const DAY: usize = 24 * 60;
const WEEK: usize = 7 * DAY;

/// What periods want at a minute; of several the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Stopped,
    Any,
    Running,
}

/// A period on some weekdays (bit 0 is Monday), with its times in minutes after midnight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) days: u32,
    pub(super) begin: Option<u16>,
    pub(super) end: Option<u16>,
}

/// What a week comes to.
#[derive(Debug)]
pub(super) enum Week {
    /// Crons, in five fields.
    Crons {
        starts: Vec<String>,
        stops: Vec<String>,
    },
    /// The same at all times.
    Always(Action),
}

/// Works a week out.
pub(super) fn work_out(spans: &[Span]) -> Week {
    let mut wishes = vec![Wish::Stopped; WEEK];
    for span in spans {
        span.apply(&mut wishes);
    }
    let at = |minute: usize, wishes: &[Wish]| wishes[minute % WEEK];
    // Of several periods, a single stopped minute between running ones does not count.
    let bridged: Vec<Wish> = (0..WEEK)
        .map(|minute| {
            let around = [at(minute + WEEK - 1, &wishes), at(minute + 1, &wishes)];
            if spans.len() > 1 && wishes[minute] == Wish::Stopped && around == [Wish::Running; 2] {
                Wish::Running
            } else {
                wishes[minute]
            }
        })
        .collect();
    let mut edges: BTreeMap<(Action, usize), u32> = BTreeMap::new();
    for (minute, &wish) in bridged.iter().enumerate() {
        let action = match wish {
            Wish::Running => Action::Start,
            Wish::Stopped => Action::Stop,
            Wish::Any => continue,
        };
        if at(minute + WEEK - 1, &bridged) != wish {
            *edges.entry((action, minute % DAY)).or_default() |= 1 << (minute / DAY);
        }
    }
    if edges.is_empty() {
        // It is never "no opinion" all week: every period has one in the last minute of each day.
        let running = bridged[0] == Wish::Running;
        return Week::Always(if running { Action::Start } else { Action::Stop });
    }
    let crons = |wanted: Action| {
        edges
            .iter()
            .filter(|((action, _), _)| *action == wanted)
            .map(|((_, minute), days)| cron(*minute, *days))
            .collect()
    };
    Week::Crons {
        starts: crons(Action::Start),
        stops: crons(Action::Stop),
    }
}

impl Span {
    fn apply(&self, week: &mut [Wish]) {
        for day in (0..7).filter(|day| self.days & (1 << day) != 0) {
            let (begin, end) = (self.begin.map(usize::from), self.end.map(usize::from));
            let mut want = |from: usize, to: usize, wish: Wish| {
                for minute in from..to {
                    let wished = &mut week[(day * DAY + minute) % WEEK];
                    *wished = (*wished).max(wish);
                }
            };
            match (begin, end) {
                (None, None) => want(0, DAY, Wish::Running),
                (Some(begin), None) => {
                    want(0, begin, Wish::Any);
                    want(begin, DAY, Wish::Running);
                }
                (None, Some(end)) => want(0, end, Wish::Any),
                (Some(begin), Some(end)) if end > begin => want(begin, end, Wish::Running),
                (Some(begin), Some(end)) => want(begin, DAY + end, Wish::Running),
            }
        }
    }
}

/// Five fields: a time of day on weekdays, of which bit 0 is Monday.
pub(super) fn cron(minute: usize, days: u32) -> String {
    let days = if days == 0b111_1111 {
        "*".to_owned()
    } else {
        let days = Field {
            bits: days,
            ..Field::default()
        };
        days.write(Kind::Weekdays).to_uppercase()
    };
    format!("{} {} * * {days}", minute % 60, minute / 60)
}
