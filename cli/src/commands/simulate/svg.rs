//! Renders a simulation as a self-contained SVG image with light and dark colours and a text description. Its width is that of a
//! phone.

use std::fmt::Write as _;

use curfew_core::simulate::{Interval, SimulatedDay, Simulation, in_hours};
use jiff::Timestamp;
use jiff::civil::Weekday;

use super::SimulateDocument;
use super::facts::{clock_change, facts, instances, local, notes, span};
use crate::fit::wrap;
use crate::money;

/// Widths and heights in user units of the image.
const WIDTH: f64 = 368.0;
const MARGIN: f64 = 10.0;
const LABEL: f64 = 76.0;
const HOUR: f64 = 9.75;
const ROW: f64 = 18.0;
const BAR: f64 = 13.0;
/// Space between two schedules.
const GAP: f64 = 22.0;
/// The width of a bar that has room for its times, such as `08:00–20:00`.
const ROOM: f64 = 64.0;
/// The number of characters of small text in a line. The widest usual font, `DejaVu` Sans, has 6.5 units a character.
const LINE: usize = 53;

pub(super) const STYLE: &str = "\
.curfew{--ink:#1b1b1a;--soft:#65645f;--paper:#fcfcfb;--track:#e6e5e0;--on:#2a78d6;--open:#b9b7ae;--start:#0f7b57;--stop:#b3422f;--clock:#8a4fc4}\
@media(prefers-color-scheme:dark){.curfew{--ink:#f2f1ec;--soft:#b3b1a9;--paper:#1a1a19;--track:#363532;--on:#2f6db8;--open:#6b6963;--start:#3fbf90;--stop:#ea7a66;--clock:#c39bf0}}\
.curfew text{fill:var(--ink);font:12px system-ui,sans-serif}\
.curfew .name{font-weight:600;font-size:15px}.curfew .soft{fill:var(--soft);font-size:11px}\
.curfew .time{fill:#fff;font-size:9.5px}\
.curfew .paper{fill:var(--paper)}.curfew .track{fill:var(--track)}.curfew .on{fill:var(--on)}.curfew .open{fill:var(--open)}\
.curfew .start{stroke:var(--start);stroke-width:2}.curfew .stop{stroke:var(--stop);stroke-width:2}\
.curfew .clock{stroke:var(--clock);stroke-width:2;stroke-dasharray:2 2}.curfew text.clock{fill:var(--clock);stroke:none;font-size:11px}\
.curfew .week{stroke:var(--track);stroke-width:1}";

/// The title of the image.
pub(super) const TITLE: &str = "When instances run";

/// Renders all simulations, one below the other, and the legend.
pub(super) fn render(document: &SimulateDocument) -> String {
    let mut body = String::new();
    let mut top = MARGIN;
    for simulation in &document.schedules {
        top = block(&mut body, simulation, &document.currency, top) + GAP;
    }
    if let Some(total) = &document.total {
        let sentence = format!(
            "In total {} instead of {}, saves {}",
            money::amount(total.cost),
            money::amount(total.cost_always),
            money::money(total.saved, &document.currency)
        );
        top = lines(&mut body, "", &sentence, top) + 4.0;
        for note in notes(document) {
            top = lines(&mut body, "soft", &note, top);
        }
        top += 6.0;
    }
    top = legend_items(&mut body, &document.schedules, top) + MARGIN;
    let style =
        format!("<style>{STYLE}</style><rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n");
    element(&document.schedules, "curfew", top, &(style + &body))
}

/// Renders one schedule without a background, for a page that has the style.
pub(super) fn picture(simulation: &Simulation, currency: &str, id: &str) -> String {
    let mut body = String::new();
    let bottom = block(&mut body, simulation, currency, MARGIN);
    element(std::slice::from_ref(simulation), id, bottom, &body)
}

/// Renders the legend alone, for a page that has the style.
pub(super) fn legend(simulations: &[Simulation]) -> String {
    let mut body = String::new();
    let bottom = legend_items(&mut body, simulations, 2.0);
    format!(
        "<svg class=\"curfew legend\" viewBox=\"0 0 {WIDTH} {bottom}\" width=\"{WIDTH}\" height=\"{bottom}\" role=\"img\" \
         aria-label=\"Legend\">\n{body}</svg>\n"
    )
}

fn element(simulations: &[Simulation], id: &str, height: f64, body: &str) -> String {
    let described: Vec<String> = simulations
        .iter()
        .map(|simulation| {
            format!(
                "{} in {}, {}: {}.",
                simulation.schedule,
                simulation.time_zone,
                span(simulation),
                facts(simulation)
            )
        })
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"curfew\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\
         <title id=\"{id}-title\">{TITLE}</title><desc id=\"{id}-desc\">{}</desc>\n{body}</svg>\n",
        escape(&described.join(" ")),
    )
}

/// Writes text below `top`, wrapped. Returns the y coordinate of its end.
fn lines(svg: &mut String, class: &str, text: &str, top: f64) -> f64 {
    let mut y = top;
    for line in wrap(text, LINE) {
        y += 15.0;
        let text = escape(&line);
        let base = y - 4.0;
        let _ = writeln!(
            svg,
            "<text class=\"{class}\" x=\"{MARGIN}\" y=\"{base}\">{text}</text>"
        );
    }
    y
}

/// Renders one schedule below `top`. Returns the y coordinate of its end.
fn block(svg: &mut String, simulation: &Simulation, currency: &str, top: f64) -> f64 {
    let _ = writeln!(
        svg,
        "<text class=\"name\" x=\"{MARGIN}\" y=\"{}\">{}</text>",
        top + 14.0,
        escape(simulation.schedule.as_str())
    );
    let mut y = top + 20.0;
    let place_and_span = format!("{}, {}", simulation.time_zone, span(simulation));
    for text in [place_and_span, facts(simulation)] {
        y = lines(svg, "soft", &text, y);
    }
    y += 16.0;
    for hour in [0_u8, 6, 12, 18, 24] {
        let x = MARGIN + LABEL + f64::from(hour) * HOUR;
        let _ = writeln!(
            svg,
            "<text class=\"soft\" text-anchor=\"middle\" x=\"{x}\" y=\"{}\">{hour:02}</text>",
            y - 4.0
        );
    }
    for day in &simulation.days {
        row(svg, simulation, day, y);
        y += ROW;
    }
    let costs = simulation.costs.iter().map(|cost| {
        let fleet = instances(cost);
        let amounts = (cost.cost, cost.cost_always, cost.saved);
        let (Some(cost), Some(always), Some(saved)) = amounts else {
            return format!("{fleet}: cost not known");
        };
        format!(
            "{fleet}: {} instead of {}, saves {}",
            money::amount(cost),
            money::amount(always),
            money::money(saved, currency)
        )
    });
    let changes = simulation.days.iter().filter_map(|day| {
        let sentence = clock_change(day, day.clock_change?);
        Some(format!("{} has {sentence}", day.date.strftime("%a %-d %b")))
    });
    for text in changes.chain(costs).chain(simulation.note.clone()) {
        y = lines(svg, "soft", &text, y);
    }
    y
}

fn row(svg: &mut String, simulation: &Simulation, day: &SimulatedDay, y: f64) {
    let base = y + 10.5;
    let date = day.date.strftime("%a %-d %b");
    if day.date.weekday() == Weekday::Monday {
        let (line, end) = (y - 2.5, MARGIN + LABEL + 24.0 * HOUR);
        let _ = writeln!(
            svg,
            "<line class=\"week\" x1=\"{MARGIN}\" x2=\"{end}\" y1=\"{line}\" y2=\"{line}\"/>"
        );
    }
    let is_weekend = matches!(day.date.weekday(), Weekday::Saturday | Weekday::Sunday);
    let class = if is_weekend { "soft" } else { "" };
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{MARGIN}\" y=\"{base}\">{date}</text>"
    );
    let bar = |svg: &mut String, class: &str, interval: Interval, title: &str| {
        let (x, width) = (place(day, interval.from), length(interval));
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{BAR}\" rx=\"2\"><title>{}</title></rect>",
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
    if let Some(simulated) = whole.within(simulation.from, simulation.to) {
        bar(svg, "track", simulated, &title("shown:", simulated));
    }
    for open in &day.unmanaged {
        bar(svg, "open", *open, &title("unmanaged", *open));
    }
    for on in &day.running {
        bar(svg, "on", *on, &title("running", *on));
        times(svg, simulation, day, *on, y);
    }
    for edge in &day.edges {
        let (x, end) = (place(day, edge.at), y + BAR + 2.0);
        let (action, at) = (edge.action, local(simulation, edge.at, "%a %H:%M %Z"));
        let _ = writeln!(
            svg,
            "<line class=\"{action}\" x1=\"{x:.2}\" x2=\"{x:.2}\" y1=\"{y}\" y2=\"{end}\"><title>{action} {}</title></line>",
            escape(&at)
        );
    }
    if let Some(change) = day.clock_change {
        let (x, (above, below)) = (place(day, change.at), (y - 2.0, y + BAR + 2.0));
        let sentence = escape(&clock_change(day, change));
        let after = place(day, day.to) + 4.0;
        let hours = money::hours(in_hours(day.length()));
        let _ = writeln!(
            svg,
            "<line class=\"clock\" x1=\"{x:.2}\" x2=\"{x:.2}\" y1=\"{above}\" y2=\"{below}\"><title>{sentence}</title></line>\
             <text class=\"clock\" x=\"{after:.2}\" y=\"{base}\">{hours}</text>"
        );
    }
}

/// Writes the times of a run into its bar, if they fit.
fn times(svg: &mut String, simulation: &Simulation, day: &SimulatedDay, on: Interval, y: f64) {
    if length(on) < ROOM {
        return;
    }
    let middle = place(day, on.from) + length(on) / 2.0;
    let until = if on.to == day.to {
        "24:00".to_owned()
    } else {
        local(simulation, on.to, "%H:%M")
    };
    let from = local(simulation, on.from, "%H:%M");
    let base = y + 9.8;
    let _ = writeln!(
        svg,
        "<text class=\"time\" text-anchor=\"middle\" x=\"{middle:.2}\" y=\"{base}\">{from}–{until}</text>"
    );
}

/// Explains the colours and marks that occur, below `top`. Returns the y coordinate of its end.
fn legend_items(svg: &mut String, simulations: &[Simulation], top: f64) -> f64 {
    let days = || simulations.iter().flat_map(|simulation| &simulation.days);
    let mut items = vec![("on", "running"), ("track", "stopped")];
    if days().any(|day| !day.unmanaged.is_empty()) {
        items.push(("open", "unmanaged"));
    }
    items.extend([("start", "start"), ("stop", "stop")]);
    if days().any(|day| day.clock_change.is_some()) {
        items.push(("clock", "clocks change"));
    }
    let (mut x, mut y) = (MARGIN, top);
    for (class, word) in items {
        let letters = u16::try_from(word.len()).unwrap_or(u16::MAX);
        let is_mark = matches!(class, "start" | "stop" | "clock");
        let sign = if is_mark { 8.0 } else { 18.0 };
        let width = sign + f64::from(letters) * 6.6 + 14.0;
        if x + width > WIDTH {
            (x, y) = (MARGIN, y + ROW);
        }
        let drawn = if is_mark {
            let x = x + 2.0;
            format!(
                "<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"{y}\" y2=\"{}\"/>",
                y + BAR + 2.0
            )
        } else {
            format!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"14\" height=\"{BAR}\" rx=\"2\"/>"
            )
        };
        let _ = writeln!(
            svg,
            "{drawn}<text class=\"soft\" x=\"{}\" y=\"{}\">{word}</text>",
            x + sign,
            y + 10.5
        );
        x += width;
    }
    y + ROW
}

/// Returns the x coordinate of an instant of `day`, proportional to elapsed time.
fn place(day: &SimulatedDay, at: Timestamp) -> f64 {
    MARGIN + LABEL + in_hours(at.duration_since(day.from)) * HOUR
}

fn length(interval: Interval) -> f64 {
    in_hours(interval.length()) * HOUR
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
