//! The days of an Instance Scheduler period: weekdays, days of the month, months, in that tool's notation.
//!
//! Follows its `cron/parser.py` and `cron/validator.py`: Monday is 0, a step runs to the field's end, weekdays and
//! months wrap around and days of the month do not, all three fields must match, and `L` as a weekday is Sunday.

use std::collections::BTreeSet;

/// The days of a period. A field that allows every day is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recurrence {
    pub(super) weekdays: Option<DayField>,
    pub(super) dates: Option<DayField>,
    pub(super) months: Option<DayField>,
}

/// One field: numbers as bits, and everything else in Curfew's notation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DayField {
    /// Weekdays from bit 0, Monday; days and months from bit 1.
    pub(super) bits: u32,
    /// `Mon#1`, `FriL`, `L`, `15W`.
    pub(super) special: BTreeSet<String>,
}

/// The weekdays as Curfew writes them, Monday first as Instance Scheduler counts.
pub(super) const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// Full English names, which are accepted too: those of [`WEEKDAYS`], then those of [`MONTHS`].
const LONG_NAMES: [&str; 19] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldKind {
    Weekdays,
    Dates,
    Months,
}

impl FieldKind {
    fn range(self) -> (u32, u32) {
        match self {
            Self::Weekdays => (0, 6),
            Self::Dates => (1, 31),
            Self::Months => (1, 12),
        }
    }

    fn names(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Weekdays => (&WEEKDAYS, &LONG_NAMES[..7]),
            Self::Dates => (&[], &[]),
            Self::Months => (&MONTHS, &LONG_NAMES[7..]),
        }
    }

    /// Parses a number or a name.
    fn value(self, text: &str) -> Option<u32> {
        let text = text.trim();
        let (first, last) = self.range();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text
                .parse()
                .ok()
                .filter(|value| (first..=last).contains(value));
        }
        let (short, long) = self.names();
        (first..)
            .zip(short.iter().zip(long))
            .find(|(_, (short, long))| {
                text.eq_ignore_ascii_case(short) || text.eq_ignore_ascii_case(long)
            })
            .map(|(value, _)| value)
    }
}

impl DayField {
    /// Parses a list; `None` if it allows every day.
    pub(super) fn parse(items: &[String], kind: FieldKind) -> Result<Option<Self>, String> {
        let mut field = Self::default();
        let mut every = false;
        for item in items.iter().flat_map(|item| item.split(',')) {
            let item = item.trim();
            if matches!(item, "*" | "?") {
                every = true;
            } else {
                field
                    .add(item, kind)
                    .map_err(|why| format!("`{item}` {why}"))?;
            }
        }
        let (first, last) = kind.range();
        let all = (first..=last).fold(0, |bits, value| bits | 1 << value);
        Ok((!every && field.bits != all).then_some(field))
    }

    fn add(&mut self, item: &str, kind: FieldKind) -> Result<(), String> {
        let (first, last) = kind.range();
        if let Some(value) = kind.value(item) {
            self.bits |= 1 << value;
            return Ok(());
        }
        let upper = item.to_ascii_uppercase();
        match (kind, upper.strip_suffix('L'), upper.strip_suffix('W')) {
            (FieldKind::Weekdays, Some(""), _) => {
                self.bits |= 1 << last;
                return Ok(());
            }
            (FieldKind::Weekdays, Some(day), _) if kind.value(day).is_some() => {
                self.special
                    .extend(kind.value(day).map(|day| format!("{}L", weekday(day))));
                return Ok(());
            }
            (FieldKind::Dates, Some(""), _) => {
                self.special.insert("L".into());
                return Ok(());
            }
            (FieldKind::Dates, _, Some(day)) if kind.value(day).is_some() => {
                self.special
                    .extend(kind.value(day).map(|day| format!("{day}W")));
                return Ok(());
            }
            _ => {}
        }
        if let Some((day, nth)) = item.split_once('#').filter(|_| kind == FieldKind::Weekdays) {
            let nth: u32 = nth
                .parse()
                .ok()
                .filter(|nth| (1..=5).contains(nth))
                .ok_or("needs 1–5 after the `#`")?;
            let day = kind.value(day).ok_or("needs a weekday before the `#`")?;
            self.special.insert(format!("{}#{nth}", weekday(day)));
            return Ok(());
        }
        let (range, step) = match item.split_once('/') {
            None => (item, 1),
            Some((range, step)) => (range, read_step(step)?),
        };
        let unknown = || "is not accepted by Instance Scheduler here".to_owned();
        let (from, to) = match range.split_once('-') {
            Some((from, to)) if kind == FieldKind::Dates && to.trim().eq_ignore_ascii_case("L") => {
                (from, last)
            }
            Some((from, to)) => (from, kind.value(to).ok_or_else(unknown)?),
            None if !item.contains('/') => return Err(unknown()),
            None => (range, last),
        };
        let from = kind.value(from).ok_or_else(unknown)?;
        if from > to && kind == FieldKind::Dates {
            return Err("runs backward, and days of the month do not wrap around".into());
        }
        let size = last - first + 1;
        let length = if from > to {
            to + size - from
        } else {
            to - from
        };
        for distance in (0..=length).step_by(step) {
            self.bits |= 1 << ((from - first + distance) % size + first);
        }
        Ok(())
    }

    /// Whether the field has only numbers.
    pub(super) fn is_plain(&self) -> bool {
        self.special.is_empty()
    }

    /// Formats the field in Curfew's notation.
    pub(super) fn write(&self, kind: FieldKind) -> String {
        let (first, last) = kind.range();
        let (names, _) = kind.names();
        let name = |value: u32| {
            let place = usize::try_from(value - first).unwrap_or(usize::MAX);
            names
                .get(place)
                .map_or_else(|| value.to_string(), |&name| name.to_owned())
        };
        let mut items = Vec::new();
        let mut value = first;
        while value <= last {
            let run = (value..=last)
                .take_while(|day| self.bits & (1 << day) != 0)
                .count();
            let run = u32::try_from(run).unwrap_or(0);
            match run {
                0 => {}
                1 => items.push(name(value)),
                2 => items.extend([name(value), name(value + 1)]),
                _ => items.push(format!("{}-{}", name(value), name(value + run - 1))),
            }
            value += run.max(1);
        }
        items.extend(self.special.iter().cloned());
        items.join(",")
    }
}

/// Parses a step. Instance Scheduler reads only its last digit, so that `1/15` is every fifth day there, and a step of
/// 0 never ends; both are refused.
fn read_step(step: &str) -> Result<usize, String> {
    match step.trim().parse() {
        Ok(step @ 1..=9) => Ok(step),
        _ => Err(
            "has a step that is not 1–9; Instance Scheduler reads only the last digit of others"
                .into(),
        ),
    }
}

fn weekday(day: u32) -> &'static str {
    WEEKDAYS[day as usize % 7]
}

impl Recurrence {
    /// Returns the weekdays as bits if the period depends on nothing else, so that one week describes it.
    pub(super) fn plain_week(&self) -> Option<u32> {
        match self {
            Self {
                weekdays: None,
                dates: None,
                months: None,
            } => Some(0b111_1111),
            Self {
                weekdays: Some(days),
                dates: None,
                months: None,
            } if days.is_plain() => Some(days.bits),
            _ => None,
        }
    }

    /// Formats the days of a window's line, with a trailing space unless every day is allowed.
    pub(super) fn write(&self) -> String {
        let fields = [
            ("", FieldKind::Weekdays, &self.weekdays),
            ("dates=", FieldKind::Dates, &self.dates),
            ("months=", FieldKind::Months, &self.months),
        ];
        fields
            .into_iter()
            .filter_map(|(key, kind, field)| Some(format!("{key}{} ", field.as_ref()?.write(kind))))
            .collect()
    }

    /// Whether `next` may allow the day after (without `overnight`, the same day as) one of these days.
    pub(super) fn may_adjoin(&self, next: &Self, overnight: bool) -> bool {
        let weekdays = match (&self.weekdays, &next.weekdays) {
            (Some(own), Some(other)) if own.is_plain() && other.is_plain() => {
                own.bits & shifted(other.bits, overnight) != 0
            }
            _ => true,
        };
        let months = match (&self.months, &next.months) {
            (Some(own), Some(other)) if !overnight => own.bits & other.bits != 0,
            _ => true,
        };
        weekdays && months
    }

    /// Whether `next` certainly allows the day after (or the same day as) every one of these days.
    pub(super) fn always_adjoins(&self, next: &Self, overnight: bool) -> bool {
        let weekdays = match (&self.weekdays, &next.weekdays) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(other)) => {
                let plain = own.is_plain() && own.bits & !shifted(other.bits, overnight) == 0;
                plain || (!overnight && own == other)
            }
        };
        let same = |own: &Option<DayField>, other: &Option<DayField>| {
            other.is_none() || (!overnight && own == other)
        };
        weekdays && same(&self.dates, &next.dates) && same(&self.months, &next.months)
    }
}

/// Moves weekdays in bits one day back.
fn shifted(days: u32, overnight: bool) -> u32 {
    if overnight {
        (days >> 1) | (days << 6) & 0b111_1111
    } else {
        days
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, kind: FieldKind) -> String {
        match DayField::parse(&[text.to_owned()], kind) {
            Ok(Some(field)) => field.write(kind),
            Ok(None) => "every".to_owned(),
            Err(why) => why,
        }
    }

    #[test]
    fn weekdays_count_from_monday_and_wrap_around() {
        for (theirs, ours) in [
            ("mon-fri", "Mon-Fri"),
            ("0,2,4", "Mon,Wed,Fri"),
            ("Friday - monday", "Mon,Fri-Sun"),
            ("5-6", "Sat,Sun"),
            ("Mon/2", "Mon,Wed,Fri,Sun"),
            ("fri-tue/2", "Tue,Fri,Sun"),
            ("L", "Sun"),
            ("mon#1,4L", "FriL,Mon#1"),
            ("*", "every"),
            ("?", "every"),
            ("0-6", "every"),
        ] {
            assert_eq!(read(theirs, FieldKind::Weekdays), ours, "{theirs}");
        }
    }

    #[test]
    fn days_of_the_month_and_months_are_read() {
        for (theirs, ours) in [
            ("1-3,15W,L", "1-3,15W,L"),
            ("1/7", "1,8,15,22,29"),
            ("25-L", "25-31"),
            ("1-15/2", "1,3,5,7,9,11,13,15"),
        ] {
            assert_eq!(read(theirs, FieldKind::Dates), ours, "{theirs}");
        }
        for (theirs, ours) in [
            ("jan,APRIL", "Jan,Apr"),
            ("nov-feb", "Jan,Feb,Nov,Dec"),
            ("1/3", "Jan,Apr,Jul,Oct"),
            ("1-12", "every"),
        ] {
            assert_eq!(read(theirs, FieldKind::Months), ours, "{theirs}");
        }
    }

    #[test]
    fn values_that_instance_scheduler_refuses_or_misreads_are_refused() {
        for (kind, theirs, why) in [
            (FieldKind::Weekdays, "7", "is not accepted"),
            (FieldKind::Weekdays, "fri-L", "is not accepted"),
            (FieldKind::Weekdays, "mon#6", "needs 1–5"),
            (FieldKind::Weekdays, "15W", "is not accepted"),
            (FieldKind::Weekdays, "", "is not accepted"),
            (FieldKind::Dates, "0", "is not accepted"),
            (FieldKind::Dates, "20-5", "runs backward"),
            (FieldKind::Dates, "L-5", "is not accepted"),
            (FieldKind::Dates, "1/15", "last digit"),
            (FieldKind::Dates, "1/0", "last digit"),
            (FieldKind::Dates, "*/2", "is not accepted"),
            (FieldKind::Months, "L", "is not accepted"),
            (FieldKind::Months, "13", "is not accepted"),
        ] {
            let read = read(theirs, kind);
            assert!(read.contains(why), "{theirs}: {read}");
        }
    }

    #[test]
    fn a_day_meets_the_next_one_over_the_end_of_the_week() {
        let on = |days: &str| Recurrence {
            weekdays: DayField::parse(&[days.to_owned()], FieldKind::Weekdays).unwrap(),
            ..Recurrence::default()
        };
        assert!(on("sun").always_adjoins(&on("mon"), true));
        assert!(!on("sun").may_adjoin(&on("mon"), false));
        assert!(on("sat-sun").may_adjoin(&on("mon"), true));
        assert!(!on("sat-sun").always_adjoins(&on("mon"), true));
        assert!(on("mon-fri").always_adjoins(&on("*"), false));
    }
}
