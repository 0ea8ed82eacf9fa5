//! Computes where Instance Scheduler starts and stops in one week of one-sided periods, minute by minute.
//!
//! A period without `endtime` wants instances running from its `begintime` to the end of the day, and has no desired
//! state before; one without `begintime` wants them stopped from its `endtime` on, and has no desired state before. On
//! other days both want them stopped. Of several periods, *running* takes precedence over *any*, and *any* over
//! *stopped*. An action happens where *running* or *stopped* begins, whatever came before. (Its `running_period.py`,
//! `instance_schedule.py` and `scheduling_decision.py`.)

use std::collections::BTreeMap;

use curfew_core::timetable::Action;

use crate::recurrence::{DayField, FieldKind};

const DAY: usize = 24 * 60;
const WEEK: usize = 7 * DAY;

/// The desired state of a minute; of several periods the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MinuteState {
    Stopped,
    Any,
    Running,
}

/// A period on some weekdays (bit 0 is Monday), with its times in minutes after midnight.
#[derive(Clone, Copy, Debug)]
pub(super) struct WeeklyPeriod {
    pub(super) days: u32,
    pub(super) begin: Option<u16>,
    pub(super) end: Option<u16>,
}

/// The edges of a week.
#[derive(Debug)]
pub(super) enum Week {
    /// Crons in five fields.
    Crons {
        starts: Vec<String>,
        stops: Vec<String>,
    },
    /// The same state at all times.
    Always(Action),
}

/// Computes the edges of a week.
pub(super) fn compute_week(periods: &[WeeklyPeriod]) -> Week {
    let mut states = vec![MinuteState::Stopped; WEEK];
    for period in periods {
        period.apply(&mut states);
    }
    let at = |minute: usize, states: &[MinuteState]| states[minute % WEEK];
    // Of several periods, a single stopped minute between running ones does not count.
    let bridged: Vec<MinuteState> = (0..WEEK)
        .map(|minute| {
            let around = [at(minute + WEEK - 1, &states), at(minute + 1, &states)];
            if periods.len() > 1
                && states[minute] == MinuteState::Stopped
                && around == [MinuteState::Running; 2]
            {
                MinuteState::Running
            } else {
                states[minute]
            }
        })
        .collect();
    let mut edges: BTreeMap<(Action, usize), u32> = BTreeMap::new();
    for (minute, &state) in bridged.iter().enumerate() {
        let action = match state {
            MinuteState::Running => Action::Start,
            MinuteState::Stopped => Action::Stop,
            MinuteState::Any => continue,
        };
        if at(minute + WEEK - 1, &bridged) != state {
            *edges.entry((action, minute % DAY)).or_default() |= 1 << (minute / DAY);
        }
    }
    if edges.is_empty() {
        // It is never `Any` all week: every period decides the last minute of each day.
        let running = bridged[0] == MinuteState::Running;
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

impl WeeklyPeriod {
    fn apply(&self, week: &mut [MinuteState]) {
        for day in (0..7).filter(|day| self.days & (1 << day) != 0) {
            let (begin, end) = (self.begin.map(usize::from), self.end.map(usize::from));
            let mut fill = |from: usize, to: usize, state: MinuteState| {
                for minute in from..to {
                    let slot = &mut week[(day * DAY + minute) % WEEK];
                    *slot = (*slot).max(state);
                }
            };
            match (begin, end) {
                (None, None) => fill(0, DAY, MinuteState::Running),
                (Some(begin), None) => {
                    fill(0, begin, MinuteState::Any);
                    fill(begin, DAY, MinuteState::Running);
                }
                (None, Some(end)) => fill(0, end, MinuteState::Any),
                (Some(begin), Some(end)) if end > begin => fill(begin, end, MinuteState::Running),
                (Some(begin), Some(end)) => fill(begin, DAY + end, MinuteState::Running),
            }
        }
    }
}

/// Formats a cron in five fields: a time of day on weekdays, of which bit 0 is Monday.
pub(super) fn cron(minute: usize, days: u32) -> String {
    let days = if days == 0b111_1111 {
        "*".to_owned()
    } else {
        let days = DayField {
            bits: days,
            ..DayField::default()
        };
        days.write(FieldKind::Weekdays).to_uppercase()
    };
    format!("{} {} * * {days}", minute % 60, minute / 60)
}
