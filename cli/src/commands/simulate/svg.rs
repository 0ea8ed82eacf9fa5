//! Renders a simulation as a self-contained SVG image with light and dark colours and a text description.

use std::fmt::Write as _;

use curfew_core::simulate::{Interval, SimulatedDay, Simulation, format_number, in_hours};
use jiff::Timestamp;

use super::facts::{facts, local, sentence};

/// Widths and heights in user units of the image.
const LABEL: f64 = 96.0;
const HOUR: f64 = 26.0;
const ROW: f64 = 20.0;
const BAR: f64 = 14.0;
const HEADER: f64 = 64.0;
const MARGIN: f64 = 16.0;
/// Space to the right of a day, for its length if it is not 24 hours.
const RIGHT: f64 = 48.0;

const STYLE: &str = "\
.curfew{--ink:#1b1b1a;--soft:#65645f;--paper:#fcfcfb;--track:#e6e5e0;--on:#2a78d6;--open:#b9b7ae;--start:#0f7b57;--stop:#b3422f}\
@media(prefers-color-scheme:dark){.curfew{--ink:#f2f1ec;--soft:#b3b1a9;--paper:#1a1a19;--track:#363532;--on:#4b93e8;--open:#6b6963;--start:#3fbf90;--stop:#ea7a66}}\
.curfew text{fill:var(--ink);font:12px system-ui,sans-serif}\
.curfew .name{font-weight:600;font-size:15px}.curfew .soft{fill:var(--soft);font-size:11px}\
.curfew .paper{fill:var(--paper)}.curfew .track{fill:var(--track)}.curfew .on{fill:var(--on)}.curfew .open{fill:var(--open)}\
.curfew .start{stroke:var(--start);stroke-width:2}.curfew .stop{stroke:var(--stop);stroke-width:2}";

/// The title of the image.
pub(super) const TITLE: &str = "When instances run";

/// Renders all simulations, one below the other.
pub(super) fn render(simulations: &[Simulation]) -> String {
    let hours = simulations
        .iter()
        .flat_map(|simulation| &simulation.days)
        .map(|day| in_hours(day.length()))
        .fold(24.0, f64::max);
    let width = 2.0 * MARGIN + LABEL + hours * HOUR + RIGHT;
    let mut body = String::new();
    let mut top = MARGIN;
    for simulation in simulations {
        top = block(&mut body, simulation, top) + MARGIN;
    }
    let described: Vec<String> = simulations
        .iter()
        .map(|simulation| {
            format!(
                "{} in {}: {}.",
                simulation.schedule,
                simulation.time_zone,
                facts(simulation)
            )
        })
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"curfew\" viewBox=\"0 0 {width} {top}\" width=\"{width}\" \
         height=\"{top}\" role=\"img\" aria-labelledby=\"curfew-title curfew-desc\">\
         <title id=\"curfew-title\">{TITLE}</title><desc id=\"curfew-desc\">{}</desc>\
         <style>{STYLE}</style><rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
        escape(&described.join(" ")),
    )
}

/// Renders one schedule below `top`. Returns the y coordinate of its end.
fn block(svg: &mut String, simulation: &Simulation, top: f64) -> f64 {
    let mut line = |class: &str, y: f64, text: &str| {
        let text = escape(text);
        let _ = writeln!(
            svg,
            "<text class=\"{class}\" x=\"{MARGIN}\" y=\"{y}\">{text}</text>"
        );
    };
    line("name", top + 14.0, simulation.schedule.as_str());
    let facts = format!("{}, {}", simulation.time_zone, facts(simulation));
    line("soft", top + 30.0, &facts);
    for hour in [0_u8, 3, 6, 9, 12, 15, 18, 21, 24] {
        let x = MARGIN + LABEL + f64::from(hour) * HOUR;
        let y = top + HEADER - 8.0;
        let _ = writeln!(
            svg,
            "<text class=\"soft\" text-anchor=\"middle\" x=\"{x}\" y=\"{y}\">{hour:02}</text>"
        );
    }
    let mut y = top + HEADER;
    for day in &simulation.days {
        row(svg, simulation, day, y);
        y += ROW;
    }
    let below = simulation.cost.iter().map(sentence);
    for text in below.chain(simulation.note.clone()) {
        y += ROW;
        let text = escape(&text);
        let _ = writeln!(
            svg,
            "<text class=\"soft\" x=\"{MARGIN}\" y=\"{}\">{text}</text>",
            y - 5.0
        );
    }
    y
}

fn row(svg: &mut String, simulation: &Simulation, day: &SimulatedDay, y: f64) {
    let base = y + 11.0;
    let date = day.date.strftime("%a %d %b");
    let _ = writeln!(svg, "<text x=\"{MARGIN}\" y=\"{base}\">{date}</text>");
    let bar = |svg: &mut String, class: &str, interval: Interval, title: &str| {
        let (x, width) = (
            place(day, interval.from),
            in_hours(interval.length()) * HOUR,
        );
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{BAR}\" rx=\"2\"><title>{}</title></rect>",
            escape(title)
        );
    };
    let title = |word: &str, interval: Interval| {
        format!(
            "{word} {} to {}",
            local(simulation, interval.from, "%a %H:%M"),
            local(simulation, interval.to, "%a %H:%M")
        )
    };
    let whole = Interval {
        from: day.from,
        to: day.to,
    };
    if let Some(asked) = whole.within(simulation.from, simulation.to) {
        bar(svg, "track", asked, &title("shown:", asked));
    }
    for open in &day.unmanaged {
        bar(svg, "open", *open, &title("unmanaged", *open));
    }
    for on in &day.running {
        bar(svg, "on", *on, &title("running", *on));
    }
    for edge in &day.edges {
        let (x, end) = (place(day, edge.at), y + BAR + 2.0);
        let (action, at) = (edge.action, local(simulation, edge.at, "%a %H:%M %Z"));
        let _ = writeln!(
            svg,
            "<line class=\"{action}\" x1=\"{x}\" x2=\"{x}\" y1=\"{y}\" y2=\"{end}\"><title>{action} {}</title></line>",
            escape(&at)
        );
    }
    if day.clocks_change() {
        let x = place(day, day.to) + 6.0;
        let hours = format_number(in_hours(day.length()));
        let _ = writeln!(
            svg,
            "<text class=\"soft\" x=\"{x}\" y=\"{base}\">{hours} h<title>the clocks change</title></text>"
        );
    }
}

/// Returns the x coordinate of an instant of `day`, proportional to elapsed time.
fn place(day: &SimulatedDay, at: Timestamp) -> f64 {
    MARGIN + LABEL + in_hours(at.duration_since(day.from)) * HOUR
}

/// Escapes text for an element or an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML permits no other control characters, not even escaped.
            other if other.is_control() && !"\t\n".contains(other) => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
