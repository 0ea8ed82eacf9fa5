//! Any text as a holiday file: nothing panics, nothing takes long, and what is understood is dates that a schedule takes.
//!
//!     cargo +nightly fuzz run calendar -- -max_total_time=60 -dict=fuzz/calendar.dict

#![no_main]

// The configuration's own file, by its path rather than by its crate, of which it is a private part.
#[allow(dead_code)]
#[path = "../../config/src/calendar.rs"]
mod calendar;

use std::sync::LazyLock;

use curfew_core::timetable::DateRule;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

static PARIS: LazyLock<TimeZone> =
    LazyLock::new(|| TimeZone::get("Europe/Paris").expect("an IANA zone"));

fuzz_target!(|text: &str| {
    // As lines of one event, too: few mutations find the frame by themselves.
    let framed =
        format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\n{text}\nEND:VEVENT\nEND:VCALENDAR\n");
    for text in [text, &framed] {
        for timed in [None, Some(&*PARIS)] {
            let days = calendar::read(text.as_bytes(), timed).unwrap_or_default();
            for date in days.dates {
                assert!(date.parse::<DateRule>().is_ok(), "{date}");
            }
        }
    }
});
