//! Tables that fit the terminal. Each column says what may happen to it: an ID or a time is never broken, a name may be cut, some
//! columns are left out if there is no room, and remarks go on lines of their own. Without a width, as in a pipe, a row is one line.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};
use curfew_core::instance::InstanceState;

use crate::fit::{columns, cut, wrap};
use crate::printable;

/// A cell: printable text, and its style on a terminal with colours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// The text of a cell without a value.
    const NONE: &'static str = "-";

    /// Creates a cell with `-` if there is no value.
    pub(crate) fn or_none(value: Option<impl ToString>) -> Self {
        value.map_or_else(|| Self::from(Self::NONE), |value| value.to_string().into())
    }

    /// Creates a cell with an instance's state in its colour.
    pub(crate) fn state(state: InstanceState) -> Self {
        Self::from(state.to_string()).styled(state_style(state))
    }

    pub(crate) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    fn is_none(&self) -> bool {
        self.text == Self::NONE || self.text.is_empty()
    }

    /// Writes the text, cut and padded to `width`, with its style if there are colours.
    fn write(&self, to: &mut String, width: Option<usize>, align: Align, colour: bool) {
        let text = width.map_or(Cow::Borrowed(self.text.as_str()), |width| {
            cut(&self.text, width)
        });
        let padding = " ".repeat(width.unwrap_or(0).saturating_sub(columns(&text)));
        let text = painted(&text, self.style, colour);
        to.push_str(&match align {
            Align::Left => text + &padding,
            Align::Right => padding + &text,
        });
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self {
            text: printable::line(text).into_owned(),
            style: Style::new(),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// Returns the colour of a state: green costs money, yellow changes.
pub(crate) fn state_style(state: InstanceState) -> Style {
    match state {
        InstanceState::Running => AnsiColor::Green.on_default(),
        InstanceState::Stopped => AnsiColor::Cyan.on_default(),
        InstanceState::Pending | InstanceState::Stopping => AnsiColor::Yellow.on_default(),
        InstanceState::ShuttingDown | InstanceState::Terminated | InstanceState::Other => {
            AnsiColor::Red.on_default()
        }
    }
}

/// The style of what failed or needs a person.
pub(crate) const ATTENTION: Style = AnsiColor::Red.on_default();

const HEADER: Style = Style::new().bold();

pub(crate) fn painted(text: &str, style: Style, colour: bool) -> String {
    if colour && style != Style::new() {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// What happens to a column if the terminal is too narrow for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// Its cells are always complete.
    Whole,
    /// Its cells are cut.
    Cut,
    /// It is left out, the last one first.
    LeftOut,
    /// Its values move to lines below their rows.
    Below,
    /// Its cells take several lines. Only the last column.
    Wrapped,
}

/// A column of a [`Table`].
#[derive(Clone, Debug)]
pub(crate) struct Column {
    header: String,
    fit: Fit,
    align: Align,
    only_wide: bool,
}

impl Column {
    fn new(header: &str, fit: Fit) -> Self {
        Self {
            header: header.to_uppercase(),
            fit,
            align: Align::Left,
            only_wide: false,
        }
    }

    /// A column whose cells are always complete: IDs, states, times.
    pub(crate) fn whole(header: &str) -> Self {
        Self::new(header, Fit::Whole)
    }

    /// A column whose cells may be cut: names.
    pub(crate) fn text(header: &str) -> Self {
        Self::new(header, Fit::Cut)
    }

    /// A column that a narrow terminal does not show.
    pub(crate) fn optional(header: &str) -> Self {
        Self::new(header, Fit::LeftOut)
    }

    /// A column of remarks, which a narrow terminal shows below the rows.
    pub(crate) fn remark(header: &str) -> Self {
        Self::new(header, Fit::Below)
    }

    /// The last column of a table, whose cells are wrapped.
    pub(crate) fn wrapped(header: &str) -> Self {
        Self::new(header, Fit::Wrapped)
    }

    /// A column that only `-o wide` shows.
    pub(crate) fn wide(header: &str) -> Self {
        Self {
            only_wide: true,
            ..Self::new(header, Fit::Whole)
        }
    }

    /// A complete column that is aligned right.
    pub(crate) fn number(header: &str) -> Self {
        Self {
            align: Align::Right,
            ..Self::new(header, Fit::Whole)
        }
    }
}

/// The room that a table has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// The columns of the terminal; unlimited without.
    pub(crate) width: Option<usize>,
    /// Whether columns of `-o wide` are shown.
    pub(crate) wide: bool,
    pub(crate) colour: bool,
}

/// A table without borders: a header, and rows with a cell for each column.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// Lists the names of rows with a common remark; only if the first two columns are the IDs and the names of instances.
    examples: Option<Examples>,
}

/// Lists the first of some names.
type Examples = fn(std::vec::IntoIter<String>) -> String;

/// The columns that fit, with their widths, and those whose values are below the rows.
struct Arrangement {
    shown: Vec<(usize, usize)>,
    below: Vec<usize>,
    fits: bool,
}

impl Table {
    /// The space between two columns.
    const GAP: usize = 2;
    /// Enough of a name to be useful; less only if there is no optional column to leave out.
    const READABLE: usize = 16;
    /// A cell is not cut any shorter.
    const SHORTEST: usize = 8;

    pub(crate) fn new(
        columns: impl IntoIterator<Item = Column>,
        rows: impl IntoIterator<Item = Vec<Cell>>,
    ) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: rows.into_iter().collect(),
            examples: None,
        }
    }

    /// Writes a remark that several instances have only once, after the last row, with their names as `examples` lists them. The first two
    /// columns are the IDs and the names of instances.
    pub(crate) fn with_common_remarks(self, examples: Examples) -> Self {
        Self {
            examples: Some(examples),
            ..self
        }
    }

    /// A table of text: the first column is complete, and the last one is wrapped.
    pub(crate) fn of_text(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Self {
        let last = header.len() - 1;
        let columns = header.iter().enumerate().map(|(index, name)| match index {
            0 => Column::whole(name),
            index if index == last => Column::wrapped(name),
            _ => Column::text(name),
        });
        Self::new(columns, rows.into_iter().map(cells))
    }

    /// A table of numbers: only the first column is text.
    pub(crate) fn of_numbers(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Self {
        let columns = header.iter().enumerate().map(|(index, name)| match index {
            0 => Column::whole(name),
            _ => Column::number(name),
        });
        Self::new(columns, rows.into_iter().map(cells))
    }

    /// Renders the table: lines that end with a line break and without spaces.
    pub(crate) fn render(&self, room: Room) -> String {
        let arrangement = self.arrange(room);
        if !arrangement.fits {
            return self.blocks(room);
        }
        let mut text = String::new();
        let header: Vec<Cell> = self
            .columns
            .iter()
            .map(|column| Cell::from(column.header.as_str()).styled(HEADER))
            .collect();
        self.write_row(&mut text, &header, &arrangement, room);
        let common = self.common_remarks(&arrangement.below);
        for row in &self.rows {
            self.write_row(&mut text, row, &arrangement, room);
            let remarks = arrangement.below.iter().map(|index| &row[*index]);
            let own = remarks.filter(|remark| {
                !remark.is_none() && !common.iter().any(|(one, _)| one.text == remark.text)
            });
            for remark in own {
                write_indented(&mut text, remark, room);
            }
        }
        if !common.is_empty() {
            text.push('\n');
        }
        for (remark, which) in common {
            let line = Cell::from(format!("{which}: {}", remark.text)).styled(remark.style);
            for (number, line) in lines(&line, room).into_iter().enumerate() {
                text.push_str(if number == 0 { "" } else { "  " });
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }

    /// Returns the remarks of these columns that several instances have, and which these are.
    fn common_remarks(&self, below: &[usize]) -> Vec<(&Cell, String)> {
        let Some(examples) = self.examples else {
            return Vec::new();
        };
        let mut common: Vec<(&Cell, Vec<String>)> = Vec::new();
        for row in &self.rows {
            let name = row[usize::from(!row[1].is_none())].text.clone();
            for remark in below.iter().map(|index| &row[*index]) {
                match common.iter_mut().find(|(one, _)| one.text == remark.text) {
                    Some((_, names)) => names.push(name.clone()),
                    None => common.push((remark, vec![name.clone()])),
                }
            }
        }
        common.retain(|(remark, names)| !remark.is_none() && names.len() > 1);
        let named = common.into_iter().map(|(remark, names)| {
            let is_of_all = names.len() == self.rows.len();
            let which = if is_of_all {
                "Each".to_owned()
            } else {
                examples(names.into_iter())
            };
            (remark, which)
        });
        named.collect()
    }

    fn natural(&self, index: usize) -> usize {
        let cells = self.rows.iter().map(|row| columns(&row[index].text));
        let header = columns(&self.columns[index].header);
        cells.max().unwrap_or(0).max(header)
    }

    fn arrange(&self, room: Room) -> Arrangement {
        let all = 0..self.columns.len();
        let mut shown: Vec<(usize, usize)> = all
            .filter(|index| room.wide || !self.columns[*index].only_wide)
            .map(|index| (index, self.natural(index)))
            .collect();
        let fit = |index: usize| self.columns[index].fit;
        let arranged = |shown, below, fits| Arrangement { shown, below, fits };
        let Some(width) = room.width else {
            return arranged(shown, Vec::new(), true);
        };
        let total = |widths: &mut dyn Iterator<Item = usize>| {
            let (count, sum) = widths.fold((0, 0), |(count, sum), width| (count + 1, sum + width));
            sum + Self::GAP * usize::saturating_sub(count, 1)
        };
        // A terminal shows no column that has only remarks without text.
        shown.retain(|(index, _)| {
            fit(*index) != Fit::Below || !self.rows.iter().all(|row| row[*index].is_none())
        });
        if total(&mut shown.iter().map(|(_, width)| *width)) <= width {
            return arranged(shown, Vec::new(), true);
        }
        let (below, mut shown): (Vec<_>, Vec<_>) = shown
            .into_iter()
            .partition(|(index, _)| fit(*index) == Fit::Below);
        let below = below.into_iter().map(|(index, _)| index).collect();
        let least = |least: usize| {
            move |&(index, natural): &(usize, usize)| match fit(index) {
                Fit::Cut => natural.min(least.max(columns(&self.columns[index].header))),
                Fit::Wrapped => natural.min(3 * least),
                Fit::Whole | Fit::LeftOut | Fit::Below => natural,
            }
        };
        while total(&mut shown.iter().map(least(Self::READABLE))) > width {
            let optional = |(index, _): &(usize, usize)| fit(*index) == Fit::LeftOut;
            let Some(position) = shown.iter().rposition(optional) else {
                break;
            };
            shown.remove(position);
        }
        let smallest: Vec<usize> = shown.iter().map(least(Self::SHORTEST)).collect();
        // The widest column gives way first.
        while total(&mut shown.iter().map(|(_, width)| *width)) > width {
            let shrinkable = shown
                .iter_mut()
                .zip(&smallest)
                .filter(|((_, width), smallest)| *width > **smallest);
            let Some(((_, widest), _)) = shrinkable.max_by_key(|((_, width), _)| *width) else {
                return arranged(shown, below, false);
            };
            *widest -= 1;
        }
        arranged(shown, below, true)
    }

    fn write_row(&self, to: &mut String, row: &[Cell], arrangement: &Arrangement, room: Room) {
        let mut line = String::new();
        let mut before = 0;
        let last = arrangement.shown.len().saturating_sub(1);
        for (position, (index, width)) in arrangement.shown.iter().enumerate() {
            let (cell, column) = (&row[*index], &self.columns[*index]);
            if position == last && column.fit == Fit::Wrapped {
                let lines = wrap(&cell.text, *width);
                let separator = format!("\n{}", " ".repeat(before));
                let lines: Vec<String> = lines
                    .iter()
                    .map(|line| painted(line, cell.style, room.colour))
                    .collect();
                line += &lines.join(&separator);
            } else {
                cell.write(&mut line, Some(*width), column.align, room.colour);
            }
            if position < last {
                line += &" ".repeat(Self::GAP);
            }
            before += width + Self::GAP;
        }
        to.push_str(line.trim_end());
        to.push('\n');
    }

    /// Renders each row as lines of `HEADER value`, for terminals that are narrower than an ID and a time.
    fn blocks(&self, room: Room) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let cells = self.columns.iter().zip(row);
            let cells = cells.filter(|(column, cell)| !cell.is_none() && !column.only_wide);
            for (position, (column, cell)) in cells.enumerate() {
                if position == 0 {
                    cell.write(&mut text, None, Align::Left, room.colour);
                    text.push('\n');
                } else {
                    let labelled = format!("{} {}", column.header.to_lowercase(), cell.text);
                    write_indented(&mut text, &Cell::from(labelled).styled(cell.style), room);
                }
            }
        }
        text
    }
}

fn cells(row: Vec<String>) -> Vec<Cell> {
    row.into_iter().map(Cell::from).collect()
}

fn write_indented(to: &mut String, cell: &Cell, room: Room) {
    for line in lines(cell, room) {
        to.push_str("  ");
        to.push_str(&line);
        to.push('\n');
    }
}

/// Wraps the text of a cell, so that there is room for an indentation by two.
fn lines(cell: &Cell, room: Room) -> Vec<String> {
    let width = room
        .width
        .map_or(usize::MAX, |width| width.saturating_sub(2));
    let lines = wrap(&cell.text, width);
    let lines = lines.iter();
    let painted = lines.map(|line| painted(line, cell.style, room.colour));
    painted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(width: usize) -> Room {
        Room {
            width: Some(width),
            wide: false,
            colour: false,
        }
    }

    fn fleet() -> Table {
        let row = |name: &str, state, note: Option<&str>| {
            vec![
                Cell::from("i-0abc1234def567890"),
                Cell::from(name),
                Cell::state(state),
                Cell::from("stop Fri 27 Nov 20:00 CET"),
                Cell::from("in 3 h"),
                Cell::or_none(note),
                Cell::from("t3.micro"),
            ]
        };
        Table::new(
            [
                Column::whole("instance"),
                Column::text("name"),
                Column::whole("state"),
                Column::whole("next"),
                Column::optional("when"),
                Column::remark("note"),
                Column::wide("type"),
            ],
            [
                row(
                    "web\nserver of the shop in Paris",
                    InstanceState::Running,
                    None,
                ),
                row(
                    "db",
                    InstanceState::Stopped,
                    Some(
                        "its start failed 3 times (InsufficientInstanceCapacity); the next attempt is at Fri 27 Nov 17:00 CET",
                    ),
                ),
            ],
        )
    }

    #[test]
    fn a_table_fits_its_terminal_and_keeps_ids_and_times() {
        let table = fleet();
        insta::assert_snapshot!(table.render(room(80)), @r"
        INSTANCE             NAME                     STATE    NEXT
        i-0abc1234def567890  web\nserver of the sho…  running  stop Fri 27 Nov 20:00 CET
        i-0abc1234def567890  db                       stopped  stop Fri 27 Nov 20:00 CET
          its start failed 3 times (InsufficientInstanceCapacity); the next attempt is
          at Fri 27 Nov 17:00 CET
        ");
        for width in 1..200 {
            let text = table.render(room(width));
            let widest = text.lines().map(columns).max().unwrap();
            // Below the width of an ID, only IDs are wider.
            assert!(widest <= width.max(19), "{width}: {text}");
            assert_eq!(text.matches("i-0abc1234def567890").count(), 2, "{text}");
            if width >= 30 {
                let whole = "Fri 27 Nov 20:00 CET";
                assert_eq!(text.matches(whole).count(), 2, "{width}: {text}");
            }
        }
    }

    #[test]
    fn without_a_width_a_row_is_one_complete_line() {
        let room = Room {
            width: None,
            wide: true,
            colour: false,
        };
        insta::assert_snapshot!(fleet().render(room), @r"
        INSTANCE             NAME                              STATE    NEXT                       WHEN    NOTE                                                                                                  TYPE
        i-0abc1234def567890  web\nserver of the shop in Paris  running  stop Fri 27 Nov 20:00 CET  in 3 h  -                                                                                                     t3.micro
        i-0abc1234def567890  db                                stopped  stop Fri 27 Nov 20:00 CET  in 3 h  its start failed 3 times (InsufficientInstanceCapacity); the next attempt is at Fri 27 Nov 17:00 CET  t3.micro
        ");
    }

    #[test]
    fn a_narrow_terminal_has_a_line_for_each_value() {
        insta::assert_snapshot!(fleet().render(room(40)), @r"
        i-0abc1234def567890
          name web\nserver of the shop in Paris
          state running
          next stop Fri 27 Nov 20:00 CET
          when in 3 h
        i-0abc1234def567890
          name db
          state stopped
          next stop Fri 27 Nov 20:00 CET
          when in 3 h
          note its start failed 3 times
          (InsufficientInstanceCapacity); the
          next attempt is at
          Fri 27 Nov 17:00 CET
        ");
    }

    #[test]
    fn a_remark_of_several_instances_is_written_once() {
        let row = |id: &str, name: &str, note: Option<&str>| {
            vec![id.into(), name.into(), Cell::or_none(note)]
        };
        let columns = || {
            ["instance", "name"]
                .map(Column::whole)
                .into_iter()
                .chain([Column::remark("note")])
        };
        let left = Some("no edge of its schedule since it was first observed");
        let some = [
            row("i-0abc1234def567890", "web-1", left),
            row("i-0abc1234def567891", "-", left),
            row(
                "i-0abc1234def567892",
                "web-3",
                Some("its start failed 3 times"),
            ),
            row("i-0abc1234def567893", "web-4", None),
        ];
        let names = |names: std::vec::IntoIter<String>| names.collect::<Vec<_>>().join(", ");
        let table = Table::new(columns(), some.clone()).with_common_remarks(names);
        insta::assert_snapshot!(table.render(room(50)), @r"
        INSTANCE             NAME
        i-0abc1234def567890  web-1
        i-0abc1234def567891  -
        i-0abc1234def567892  web-3
          its start failed 3 times
        i-0abc1234def567893  web-4

        web-1, i-0abc1234def567891: no edge of its
          schedule since it was first observed
        ");
        // A row whose remark fits beside it has it there.
        assert_eq!(table.render(room(120)).matches("no edge").count(), 2);
        let all = Table::new(columns(), some[..2].to_vec()).with_common_remarks(names);
        insta::assert_snapshot!(all.render(room(50)), @r"
        INSTANCE             NAME
        i-0abc1234def567890  web-1
        i-0abc1234def567891  -

        Each: no edge of its schedule since it was first
          observed
        ");
    }

    #[test]
    fn colours_do_not_change_the_alignment() {
        let coloured = Room {
            colour: true,
            ..room(80)
        };
        let text = fleet().render(coloured);
        assert!(
            text.contains("\u{1b}[32mrunning\u{1b}[0m  stop"),
            "{text:?}"
        );
        let plain = fleet().render(room(80));
        let mut stripped = String::new();
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            if c == '\u{1b}' {
                characters.find(|c| *c == 'm');
            } else {
                stripped.push(c);
            }
        }
        assert_eq!(stripped, plain);
    }

    #[test]
    fn the_last_column_can_be_wrapped_and_numbers_are_aligned_right() {
        let columns = [Column::number("n"), Column::wrapped("because")];
        let rows = [
            vec![
                Cell::from("1,200"),
                Cell::from("it is running, as it should be"),
            ],
            vec![Cell::from("5"), Cell::from("no schedule manages it")],
        ];
        insta::assert_snapshot!(Table::new(columns, rows).render(room(32)), @r"
            N  BECAUSE
        1,200  it is running, as it
               should be
            5  no schedule manages it
        ");
    }
}
