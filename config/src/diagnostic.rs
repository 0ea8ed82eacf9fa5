//! An error or warning about the configuration, with its place in the file, and how it is shown.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The width of a shown line of the file, with its number: that of a usual terminal.
const WIDTH: usize = 80;

/// The width of the text that is kept before the marked part of a line that is too long.
const BEFORE: usize = 20;

/// An error or warning about the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The layer in which it was found, and the position there.
    pub place: Place,
    /// The key, such as `schedules.office.except[1]`; `None` if the file can't be parsed.
    pub key: Option<String>,
    /// What was found, and what is allowed.
    pub message: String,
}

/// The layer of the configuration in which an error was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The configuration file.
    File {
        /// The path of the file, or the name of a configuration without a file, such as the demo's.
        name: PathBuf,
        /// The position in the file; `None` if the key is in no line of it.
        position: Option<Position>,
    },
    /// An environment variable.
    Variable {
        /// The name of the variable.
        name: String,
    },
    /// The compiled-in defaults.
    Defaults,
}

/// A position in a file, with the line for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line; the first is 1.
    pub line: usize,
    /// The column in characters; the first is 1.
    pub column: usize,
    /// The length of the marked part in characters, within the line.
    pub length: usize,
    /// The content of the line, without secrets.
    text: String,
}

impl Position {
    /// Returns the position of a byte range in `text`. A range of several lines ends at the end of its first line.
    pub(super) fn of(text: &str, range: std::ops::Range<usize>) -> Self {
        let start = floor(text, range.start.min(text.len()));
        let end = floor(text, range.end.clamp(start, text.len()));
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let line_end = line_start + line.len();
        let marked = &text[start.min(line_end)..end.clamp(start, line_end.max(start))];
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start.min(line_end)].chars().count() + 1,
            length: marked.trim_end_matches(['\r', '\n']).chars().count().max(1),
            text: without_secrets(line),
        }
    }

    /// Returns the line with carets under the marked part. A long line is cut off at both ends.
    fn snippet(&self) -> String {
        let number = self.line.to_string();
        let gutter = number.len();
        let room = WIDTH - gutter - 3;
        let shown = |text: &str| -> String {
            text.chars()
                .map(|character| {
                    if character.is_control() {
                        ' '
                    } else {
                        character
                    }
                })
                .collect()
        };
        let characters: Vec<char> = self.text.chars().collect();
        let (start, end) = (self.column - 1, self.column - 1 + self.length);
        let part = |from: usize, to: usize| -> String {
            let to = to.min(characters.len());
            shown(&characters[from.min(to)..to].iter().collect::<String>())
        };
        let mut before = part(0, start);
        let mut marked = part(start, end);
        let mut after = part(end, characters.len());
        if before.width() + marked.width() + after.width() > room {
            if before.width() > BEFORE {
                before = format!("…{}", last_columns(&before, BEFORE - 1));
            }
            let left = room - before.width();
            if marked.width() > left {
                marked = first_columns(&marked, left - 1) + "…";
            }
            let left = left.saturating_sub(marked.width());
            if after.width() > left {
                after = match left {
                    0 => String::new(),
                    _ => first_columns(&after, left - 1) + "…",
                };
            }
        }
        let indent = " ".repeat(before.width());
        let carets = "^".repeat(marked.width().max(1));
        format!(
            "{:gutter$} |\n{number} | {before}{marked}{after}\n{:gutter$} | {indent}{carets}\n",
            "", ""
        )
    }
}

/// Keys whose values are URLs that are not secret.
const PUBLIC_URLS: [&str; 3] = ["queue", "endpoint", "cors_origin"];

/// Replaces what may be a secret by asterisks, one for each character. The URL of a webhook is a secret, also under a misspelt key,
/// in a line that is not TOML, and without its scheme.
fn without_secrets(line: &str) -> String {
    let key = line.split('=').next().unwrap_or_default();
    let key = key.trim().trim_matches(['"', '\'']);
    if PUBLIC_URLS.contains(&key) {
        return line.to_owned();
    }
    let lower = line.to_ascii_lowercase();
    let after_key = lower.match_indices("url").find_map(|(index, url)| {
        let rest = &lower[index + url.len()..];
        let value = rest.trim_start_matches(['"', '\'', ' ', '\t']);
        let equals = index + url.len() + (rest.len() - value.len());
        value.starts_with('=').then_some(equals + 1)
    });
    let after_scheme = lower.find("://").map(|index| {
        let host = index + 3;
        let path = lower[host..].find(['/', '"', '\'']).unwrap_or(0);
        host + path
    });
    let Some(secret) = after_key.into_iter().chain(after_scheme).min() else {
        return line.to_owned();
    };
    let masked = line[secret..].chars().map(|character| {
        let is_punctuation = character.is_whitespace() || "\"'[]{},=".contains(character);
        if is_punctuation { character } else { '*' }
    });
    line[..secret].chars().chain(masked).collect()
}

fn floor(text: &str, mut index: usize) -> usize {
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

fn first_columns(text: &str, columns: usize) -> String {
    let mut width = 0;
    let fits = |character: &char| {
        width += character.width().unwrap_or(0);
        width <= columns
    };
    text.chars().take_while(fits).collect()
}

fn last_columns(text: &str, columns: usize) -> String {
    let backward: String = text.chars().rev().collect();
    first_columns(&backward, columns).chars().rev().collect()
}

/// `curfew.toml:3:12`, the name of a variable, or `the built-in defaults`.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, position } => {
                write!(formatter, "{}", name.display())?;
                match position {
                    Some(position) => write!(formatter, ":{}:{}", position.line, position.column),
                    None => Ok(()),
                }
            }
            Self::Variable { name } => formatter.write_str(name),
            Self::Defaults => formatter.write_str("the built-in defaults"),
        }
    }
}

impl Diagnostic {
    /// Returns the position, if the diagnostic is about a line of the file.
    pub fn position(&self) -> Option<&Position> {
        match &self.place {
            Place::File { position, .. } => position.as_ref(),
            Place::Variable { .. } | Place::Defaults => None,
        }
    }

    /// Returns the diagnostic in one line, as `PLACE: LABEL: MESSAGE`, followed by the line of the file with carets under the part
    /// that it is about. Ends with a line break.
    pub fn report(&self, label: &str) -> String {
        let mut text = format!("{}: {label}: {}\n", self.place, self.sentence());
        if let Some(position) = self.position() {
            text.push_str(&position.snippet());
        }
        text
    }

    fn sentence(&self) -> String {
        match &self.key {
            Some(key) => format!("`{key}`: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// Returns the sort key: the lines of the file in order, then the other layers.
    pub(super) fn order(&self) -> (bool, usize, usize, Option<&str>) {
        let position = self.position();
        (
            position.is_none(),
            position.map_or(0, |position| position.line),
            position.map_or(0, |position| position.column),
            self.key.as_deref(),
        )
    }
}

/// `PLACE: MESSAGE`, without the line of the file.
impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.sentence())
    }
}

/// Returns `1 error` or `3 errors`.
pub(super) fn errors(count: usize) -> String {
    match count {
        1 => "1 error".to_owned(),
        several => format!("{several} errors"),
    }
}

/// Returns every error in a line.
pub(super) fn list(diagnostics: &[Diagnostic]) -> String {
    let mut text = format!("{} in the configuration:", errors(diagnostics.len()));
    for diagnostic in diagnostics {
        let _ = write!(text, "\n  {diagnostic}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_off_on_both_sides_of_the_marked_part() {
        let line = format!("a = \"{}\" # {}", "x".repeat(60), "y".repeat(90));
        let text = format!("# first\n{line}\n");
        let start = text.find('#').unwrap() + 8 + 70;
        let position = Position::of(&text, start..start + 5);
        assert_eq!((position.line, position.column), (2, 71));
        let snippet = position.snippet();
        let widths: Vec<usize> = snippet.lines().map(str::width).collect();
        assert_eq!(widths[1], WIDTH, "{snippet}");
        let carets = snippet.lines().nth(2).unwrap();
        let marked = carets.find('^').unwrap();
        let shown: String = snippet
            .lines()
            .nth(1)
            .unwrap()
            .chars()
            .skip(marked)
            .take(5)
            .collect();
        assert_eq!(shown, "yyyyy", "{snippet}");
    }

    #[test]
    fn the_url_of_a_webhook_is_masked() {
        for (line, shown) in [
            (
                "url = \"https://h.example/s3cr3t\"",
                "url = \"************************\"",
            ),
            ("'url'=['h.example/s3cr3t']", "'url'=['****************']"),
            (
                "ulr = \"https://h.example/s3cr3t\"",
                "ulr = \"https://h.example*******\"",
            ),
            (
                "{ type = 'webhook', url = 's3cr3t' }",
                "{ type = 'webhook', url = '******' }",
            ),
            ("url_file = 'webhook'", "url_file = 'webhook'"),
            (
                "queue = \"https://sqs.example/1/q\"",
                "queue = \"https://sqs.example/1/q\"",
            ),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
    }

    #[test]
    fn carets_stand_under_wide_characters_and_columns_count_characters() {
        let text = "name = \"日本\" # 本";
        let start = text.find("日").unwrap();
        let position = Position::of(text, start..start + "日本".len());
        assert_eq!((position.column, position.length), (9, 2));
        insta::assert_snapshot!(position.snippet(), @r#"
          |
        1 | name = "日本" # 本
          |         ^^^^
        "#);
    }

    #[test]
    fn a_range_of_several_lines_ends_with_its_first_line() {
        let text = "only = [\r\n  1,\r\n]\r\n";
        let position = Position::of(text, 7..text.len());
        assert_eq!((position.line, position.column, position.length), (1, 8, 1));
        // The end of the file, behind the last line.
        let position = Position::of(text, text.len()..text.len());
        assert_eq!((position.line, position.column, position.length), (4, 1, 1));
    }
}
