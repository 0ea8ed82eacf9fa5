//! CSV output for spreadsheets and other programs.

use std::io;

use crate::printable;

/// Returns a CSV document (RFC 4180) with a header. Cells come from tags and are untrusted: a cell that a spreadsheet would evaluate as a
/// formula gets a leading apostrophe, and control characters are escaped.
/// <https://owasp.org/www-community/attacks/CSV_Injection>
pub(crate) fn document<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = (|| -> Result<Vec<u8>, csv::Error> {
        writer.write_record(header)?;
        for row in rows {
            writer.write_record(row.map(sanitized))?;
        }
        writer.flush()?;
        writer
            .into_inner()
            .map_err(|error| csv::Error::from(io::Error::other(error.to_string())))
    })();
    written.expect("writing to memory does not fail")
}

fn sanitized(cell: String) -> String {
    let is_number = cell.parse::<f64>().is_ok();
    if is_number {
        return cell;
    }
    // An escaped cell begins with a backslash, which does not start a formula.
    let shown = printable::line(&cell);
    if shown.starts_with(['=', '+', '-', '@']) {
        format!("'{shown}")
    } else {
        shown.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_neutralised_and_special_characters_are_quoted() {
        let rows = [
            ["=HYPERLINK(\"http://evil\")", "-1.5"],
            ["@SUM(A1)", "+cmd|' /C calc'!A0"],
            ["web, the \"first\"", "two\nlines"],
            ["-web", "plain"],
            ["\t=1+1", "\u{202e}gpj"],
        ];
        let document = document(["name", "other"], rows.map(|row| row.map(str::to_owned)));
        assert_eq!(
            String::from_utf8(document).unwrap(),
            "name,other\n\"'=HYPERLINK(\"\"http://evil\"\")\",-1.5\n'@SUM(A1),'+cmd|' /C calc'!A0\n\
             \"web, the \"\"first\"\"\",two\\nlines\n'-web,plain\n\\t=1+1,\\u{202e}gpj\n"
        );
    }
}
