//! Formats amounts and hours for people: thousands separators, two decimals, and the currency.

use crate::output::count;

/// Formats an amount: `1,234.50`.
pub(crate) fn amount(value: f64) -> String {
    separated(value, 2)
}

/// Formats an amount with its currency: `1,234.50 USD`. The code follows the amount, because not every currency has a symbol that
/// a terminal can show.
pub(crate) fn money(value: f64, currency: &str) -> String {
    format!("{} {currency}", amount(value))
}

/// Formats hours in a column, with one decimal: `1,234.5`, `12.0`.
pub(crate) fn tenths(value: f64) -> String {
    separated(value, 1)
}

/// Formats hours with at most one decimal: `1,234.5 h`, `12 h`.
pub(crate) fn hours(value: f64) -> String {
    let text = tenths(value);
    format!("{} h", text.strip_suffix(".0").unwrap_or(&text))
}

/// Formats a share from 0 to 1 as a percentage with at most one decimal: `64.3%`, `50%`.
pub(crate) fn percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    format!("{}%", text.strip_suffix(".0").unwrap_or(&text))
}

fn separated(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    let sign = if value < 0.0 { "-" } else { "" };
    match whole.parse() {
        Ok(whole) => format!("{sign}{}.{fraction}", count(whole)),
        // Infinity, and amounts beyond the integers: printed as they are.
        Err(_) => format!("{sign}{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_separators_two_decimals_and_a_currency() {
        let texts = [0.0, 0.005, 999.999, 1234.5, -1_234_567.891].map(amount);
        assert_eq!(
            texts,
            ["0.00", "0.01", "1,000.00", "1,234.50", "-1,234,567.89"]
        );
        assert_eq!(money(3.9, "EUR"), "3.90 EUR");
        assert_eq!(amount(f64::INFINITY), "inf");
    }

    #[test]
    fn whole_hours_and_percentages_have_no_decimals() {
        let texts = [12.0, 10.25, 8760.5].map(hours);
        assert_eq!(texts, ["12 h", "10.2 h", "8,760.5 h"]);
        assert_eq!([0.5, 0.643].map(percent), ["50%", "64.3%"]);
    }
}
