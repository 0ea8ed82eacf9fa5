//! Fits text into a width in columns of the terminal: cuts cells and wraps sentences. Times are not broken at a line's end.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Returns the number of columns that the text takes on a terminal.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// Cuts text that is wider than `width`, and ends it with `…`.
pub(crate) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if columns(text) <= width {
        return Cow::Borrowed(text);
    }
    let mut used = 1;
    let mut shown = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        shown.push(c);
    }
    Cow::Owned(shown.trim_end().to_owned() + "…")
}

/// Breaks a sentence into lines of at most `width` columns, between words. Only a word that is wider than a line is broken.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    for mut word in unbroken(text) {
        let line = lines.last_mut().expect("there is a first line");
        let used = columns(line);
        if line.is_empty() {
            line.push_str(&word);
        } else if used + 1 + columns(&word) <= width {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(std::mem::take(&mut word));
        }
        while let Some(line) = lines.pop_if(|line| columns(line) > width) {
            let mut room = width;
            let fitting = line.char_indices().find(|(_, c)| {
                let needed = c.width().unwrap_or(0);
                let fits = needed <= room;
                room = room.saturating_sub(needed);
                !fits
            });
            // At least one character, so that a wide character in a narrow line ends.
            let first = line.chars().next().map_or(0, char::len_utf8);
            let at = fitting.map_or(line.len(), |(at, _)| at).max(first);
            let (line, rest) = line.split_at(at);
            lines.push(line.to_owned());
            if rest.is_empty() {
                break;
            }
            lines.push(rest.to_owned());
        }
    }
    lines
}

/// Splits text into words, and keeps the words of a time, such as `Fri 27 Nov 20:00 CET`, together.
fn unbroken(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split(' ').collect();
    let mut rest = words.as_slice();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (whole, after) = rest.split_at(words_of_time(rest).unwrap_or(1));
        all.push(whole.join(" "));
        rest = after;
    }
    all
}

/// Returns the number of words of the time at the beginning: the day, the month and perhaps the year, the wall time and the zone. A date
/// without a time is not kept together.
fn words_of_time(words: &[&str]) -> Option<usize> {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let is_day = DAYS.contains(&words.first()?.trim_start_matches('('));
    let is_date = is_day && words.get(1)?.parse::<u8>().is_ok_and(|day| day <= 31);
    let is_wall_time = |word: &&str| {
        let hour = word.split_once(':').map(|(hour, _)| hour.parse::<u8>());
        hour.is_some_and(|hour| hour.is_ok())
    };
    let wall_time = [3, 4]
        .into_iter()
        .find(|index| words.get(*index).is_some_and(is_wall_time))?;
    is_date.then(|| (wall_time + 2).min(words.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_to_its_width_in_columns() {
        assert_eq!(cut("web-1", 5), "web-1");
        assert_eq!(cut("web-server", 5), "web-…");
        assert_eq!(cut("web server", 5), "web…");
        assert_eq!(cut("数据库服务器", 7), "数据库…");
        assert_eq!(columns(&cut("数据库服务器", 6)), 5);
    }

    #[test]
    fn sentences_are_wrapped_between_words_and_times_are_whole() {
        let text = "an override by alice keeps it running until Fri 27 Nov 2026 20:00 CET (in 3 h)";
        assert_eq!(
            wrap(text, 50),
            [
                "an override by alice keeps it running until",
                "Fri 27 Nov 2026 20:00 CET (in 3 h)"
            ]
        );
        let text = "Fri 25 Dec is excepted (`12-25`): nothing starts on that day";
        assert_eq!(
            wrap(text, 30),
            [
                "Fri 25 Dec is excepted",
                "(`12-25`): nothing starts on",
                "that day"
            ]
        );
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("Fri, or Sat", 5), ["Fri,", "or", "Sat"]);
        assert_eq!(wrap("a 0123456789 b", 4), ["a", "0123", "4567", "89 b"]);
        assert_eq!(wrap("数据", 1), ["数", "据"]);
    }
}
