//! The output of a command for people: lines and tables. They are laid out when they are written, for the terminal or the pipe that they
//! are written to.

use anstyle::Style;

use crate::fit::{columns, wrap};
use crate::output_target::OutputTarget;
use crate::printable;
use crate::table::{Room, Table, painted};

/// Lines and tables, in the order in which they are written. All text is escaped.
#[derive(Clone, Debug, Default)]
pub(crate) struct View(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    /// Text with its own line breaks.
    Text(String),
    /// A sentence that is wrapped; all lines but the first begin below the end of `lead`.
    Line {
        lead: String,
        text: String,
        style: Style,
    },
    Table(Table),
}

impl View {
    /// Adds a sentence.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.styled(text, Style::new())
    }

    /// Adds a sentence in the style.
    pub(crate) fn styled(&mut self, text: impl AsRef<str>, style: Style) -> &mut Self {
        self.0.push(Part::Line {
            lead: String::new(),
            text: printable::line(text.as_ref()).into_owned(),
            style,
        });
        self
    }

    /// Adds a sentence after a label, number or indentation that is not wrapped.
    pub(crate) fn item(&mut self, lead: impl AsRef<str>, text: impl AsRef<str>) -> &mut Self {
        self.0.push(Part::Line {
            lead: printable::line(lead.as_ref()).into_owned(),
            text: printable::line(text.as_ref()).into_owned(),
            style: Style::new(),
        });
        self
    }

    /// Adds sentences, with lines of a file below them, which have a gutter of `12 |` and are not wrapped.
    pub(crate) fn with_source(&mut self, text: &str) -> &mut Self {
        for line in text.lines() {
            let gutter = line.split_once('|').map(|(gutter, _)| gutter);
            let is_number = |c: char| c.is_ascii_digit() || c == ' ';
            if gutter.is_some_and(|gutter| gutter.chars().all(is_number)) {
                self.append(Self::from(line.to_owned()));
            } else {
                self.line(line);
            }
        }
        self
    }

    /// Adds an empty line.
    pub(crate) fn gap(&mut self) -> &mut Self {
        self.line("")
    }

    pub(crate) fn table(&mut self, table: Table) -> &mut Self {
        self.0.push(Part::Table(table));
        self
    }

    /// Adds the lines and tables of another view.
    pub(crate) fn append(&mut self, mut other: Self) -> &mut Self {
        self.0.append(&mut other.0);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lays out the view for `target`.
    pub(crate) fn render(&self, target: OutputTarget) -> String {
        let room = Room {
            width: target.width(),
            wide: target.is_wide(),
            colour: target.has_colour(),
        };
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Table(table) => text.push_str(&table.render(room)),
                Part::Line {
                    lead,
                    text: sentence,
                    style,
                } => {
                    let indent = columns(lead);
                    let width = room.width.map_or(usize::MAX, |width| {
                        // On a very narrow terminal the text would be a word wide.
                        width.saturating_sub(indent).max(width / 2)
                    });
                    let lines = wrap(sentence, width);
                    for (number, line) in lines.iter().enumerate() {
                        let before = match number {
                            0 => lead.clone(),
                            _ => " ".repeat(indent),
                        };
                        let line = before + &painted(line, *style, room.colour);
                        text.push_str(line.trim_end());
                        text.push('\n');
                    }
                }
            }
        }
        text
    }
}

impl From<String> for View {
    fn from(text: String) -> Self {
        // The cells of tables are escaped already, but the text around a table may contain names too.
        let text = printable::lines(text.trim_end()).into_owned() + "\n";
        Self(vec![Part::Text(text)])
    }
}

impl From<Table> for View {
    fn from(table: Table) -> Self {
        Self(vec![Part::Table(table)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_in_table_cells_are_escaped() {
        let rows = [
            ["web\nstopped  prod", "\u{1b}[2J"],
            ["\u{202e}bew", "running"],
        ];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let table = Table::of_text(&["name", "state"], rows);
        insta::assert_snapshot!(View::from(table).render(OutputTarget::pipe(None)), @r"
        NAME                STATE
        web\nstopped  prod  \u{1b}[2J
        \u{202e}bew         running
        ");
    }

    #[test]
    fn lines_of_a_file_are_not_wrapped() {
        let mut view = View::default();
        view.with_source(
            "curfew.toml:3:11: error: `9-17` could be hours or days\n   |\n12 | running = \"Mon-Fri 9-17\" # the hours\n   |                    ^^^^",
        );
        insta::assert_snapshot!(view.render(OutputTarget::pipe(Some(36))), @r#"
        curfew.toml:3:11: error: `9-17`
        could be hours or days
           |
        12 | running = "Mon-Fri 9-17" # the hours
           |                    ^^^^
        "#);
    }

    #[test]
    fn sentences_are_wrapped_below_their_labels_and_escaped() {
        let mut view = View::default();
        view.line("3 instances\u{1b}[2J");
        view.gap();
        view.item(
            "  because  ",
            "its tag names the schedule `nigth`, which does not exist",
        );
        insta::assert_snapshot!(view.render(OutputTarget::pipe(Some(40))), @r"
        3 instances\u{1b}[2J

          because  its tag names the schedule
                   `nigth`, which does not exist
        ");
        assert_eq!(view.render(OutputTarget::pipe(None)).lines().count(), 3);
    }
}
