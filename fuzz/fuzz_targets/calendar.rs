//! Parses any text as a holiday file: no panic, bounded time, and every date found is valid in a schedule.
//!
//!     cargo +nightly fuzz run calendar -- -max_total_time=60 -dict=fuzz/calendar.dict

#![no_main]

// Included by path rather than by crate, since it is a private module of the configuration.
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
    // Also as the lines of one event: mutations rarely produce the frame.
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
