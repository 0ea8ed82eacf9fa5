//! Regular expressions of windows and times for the configuration's JSON schema, so that editors mark mistakes while they are typed. They
//! accept everything that the parsers accept, and refuse what is malformed in form; an end before its beginning, for example, is left to
//! the parsers. They use only what ECMA 262 and other dialects have in common, which have no flag for upper and lower case.

use schemars::Schema;

use super::field::{MONTH, WEEKDAY_NAMES, long_name};

const TIME: &str = "(?:[01]?[0-9]|2[0-3]):[0-5][0-9]";
const TIME_OR_MIDNIGHT: &str = "(?:(?:[01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)";
const STEP: &str = "(?:/[0-9]+)?";
const DASH: &str = "(?: - |-)";
const COMMA: &str = " ?, ?";

/// Adds the pattern of `running`: a line of windows, or a list of lines.
pub(crate) fn running(schema: &mut Schema) {
    let line = format!("^{}$", line());
    schema.insert("items".to_owned(), serde_json::json!({"pattern": line}));
    schema.insert("pattern".to_owned(), line.into());
}

/// Adds the pattern of a window's `from`.
pub(crate) fn from(schema: &mut Schema) {
    schema.insert("pattern".to_owned(), format!("^\\s*{TIME}\\s*$").into());
}

/// Adds the pattern of a window's `to`, which may name a day.
pub(crate) fn to(schema: &mut Schema) {
    schema.insert("pattern".to_owned(), format!("^\\s*{}\\s*$", end()).into());
}

fn line() -> String {
    let weekday = weekday();
    let day =
        format!("(?:(?:\\*|{weekday}(?:{DASH}{weekday})?){STEP}|{weekday}#[1-5]|{weekday}[Ll])");
    let days = format!("(?:days=)?{}", list(&day));
    let date = format!("(?:(?:\\*|[0-9]+(?:{DASH}[0-9]+)?){STEP}|[0-9]+[Ww]|[Ll][Ww]?)");
    let dates = format!("dates={}", list(&date));
    let month = format!("(?:{}|[0-9]+)", any_of(MONTH.names));
    let month = format!("(?:\\*|{month}(?:{DASH}{month})?){STEP}");
    let months = format!("months={}", list(&month));
    let times = list(&format!("(?:{TIME}{DASH}(?:{end})?|-{end})", end = end()));
    let part = format!("(?:{days}|{dates}|{months}|{times})");
    let window = format!("\\s*{part}(?:\\s+{part})*\\s*");
    format!("{window}(?:;{window})*")
}

fn list(item: &str) -> String {
    format!("{item}(?:{COMMA}{item})*")
}

/// A time of day, or one on a named day.
fn end() -> String {
    format!("(?:{}\\s+)?{TIME_OR_MIDNIGHT}", weekday())
}

fn weekday() -> String {
    any_of(&WEEKDAY_NAMES)
}

/// One of the names, short or in full, in any case.
fn any_of(names: &[&str]) -> String {
    let any_case = |text: &str| -> String {
        let letters = text.chars();
        let letters = letters.map(|letter| format!("[{letter}{}]", letter.to_ascii_lowercase()));
        letters.collect()
    };
    let names = names.iter().map(|short| {
        let rest = long_name(short).strip_prefix(short).unwrap_or_default();
        match any_case(rest).as_str() {
            "" => any_case(short),
            rest => format!("{}(?:{rest})?", any_case(short)),
        }
    });
    format!("(?:{})", names.collect::<Vec<_>>().join("|"))
}
