//! Escapes untrusted text, such as instance names and AWS error messages, before it reaches a terminal. Characters that move the cursor,
//! change the colour or the text direction, or are invisible become escape sequences. All other characters are unchanged, in any script.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes text for a single line or cell: `two\nlines`, `\u{202e}moc.elpmaxe`.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unprintable)
}

/// Escapes text but keeps its line breaks.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_unprintable(c))
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' if is_escaped(c) => shown.push_str("\\n"),
            '\t' if is_escaped(c) => shown.push_str("\\t"),
            '\r' if is_escaped(c) => shown.push_str("\\r"),
            c if is_escaped(c) => {
                let _always = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Returns whether `c` is a control character, or a format character that hides or reorders others.
/// <https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing>, <https://www.unicode.org/reports/tr36/#visual_spoofing>
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, Arabic letter mark, zero-width space, left-to-right and right-to-left marks.
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            // Line and paragraph separators, embeddings and overrides; invisible operators, isolates, and deprecated ones.
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // Byte order mark, annotations, and tag characters, which encode invisible text.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_printable_text_is_unchanged() {
        for plain in [
            "web-1",
            "Serveur d’accès",
            "数据库 🦀",
            "שרת",
            "e\u{301}\u{200d}",
            "C:\\x \"y\" 'z'",
        ] {
            assert!(matches!(line(plain), Cow::Borrowed(same) if same == plain));
        }
        for (hostile, shown) in [
            ("red \u{1b}[31m", "red \\u{1b}[31m"),
            ("a\nb\r\tc\0", "a\\nb\\r\\tc\\u{0}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            ("a\u{2067}b\u{2069}", "a\\u{2067}b\\u{2069}"),
            (
                "db\u{200b}\u{feff}\u{e0041}",
                "db\\u{200b}\\u{feff}\\u{e0041}",
            ),
            ("a\u{2028}b", "a\\u{2028}b"),
        ] {
            assert_eq!(line(hostile), shown);
        }
        assert_eq!(lines("one\ntwo\u{7}"), "one\ntwo\\u{7}");
    }
}
