//! Parses any text as a rate, a cron, a window, a date and a whole schedule: no panic, parsed values round-trip through
//! their text, and edges are in order.
//!
//!     cargo +nightly fuzz run timetable -- -max_total_time=60 -dict=fuzz/timetable.dict

#![no_main]

use curfew_core::timetable::{Cron, DateRule, Rate, Timetable, Window};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (i64, &str)| {
    let (second, text) = input;
    if let Ok(rate) = text.parse::<Rate>() {
        assert_eq!(rate.to_string().parse(), Ok(rate));
    }
    if let Ok(cron) = text.parse::<Cron>() {
        assert_eq!(cron.to_string().parse(), Ok(cron));
    }
    if let Ok(window) = text.parse::<Window>() {
        assert_eq!(window.to_string().parse(), Ok(window));
    }
    if let Ok(rule) = text.parse::<DateRule>() {
        assert_eq!(rule.to_string().parse(), Ok(rule));
    }
    let zoned = format!("{text} Africa/Casablanca");
    for text in [text, &zoned] {
        let Ok(timetable) = Timetable::parse_inline(text) else {
            continue;
        };
        assert_eq!(Timetable::parse_inline(&timetable.to_string()).as_ref(), Ok(&timetable));
        let Ok(after) = jiff::Timestamp::from_second(second) else {
            continue;
        };
        let mut before = after;
        for edge in timetable.edges(after).take(5) {
            assert!(before < edge.at, "{timetable}: {before} is not before {}", edge.at);
            assert_eq!(timetable.last_edge(edge.at), Some(edge), "{timetable}");
            before = edge.at;
        }
        let _ = (timetable.desired(after), timetable.reason(after), curfew_core::timetable::triggers([&timetable], after));
    }
});
