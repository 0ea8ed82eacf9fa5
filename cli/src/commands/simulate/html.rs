//! Renders a simulation as a self-contained HTML page with images, tables and lists. It fits a phone.

use std::fmt::Write as _;

use curfew_core::simulate::Simulation;

use super::SimulateDocument;
use super::facts::{amount, common_span, instances, local, notes, number, on_hours};
use super::svg::{self, TITLE, escape};
use crate::money;
use crate::output::counted;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1b1a;--soft:#65645f;--paper:#f4f3ef;--card:#fcfcfb;--line:#dddcd6}\
@media(prefers-color-scheme:dark){:root{--ink:#f2f1ec;--soft:#b3b1a9;--paper:#111110;--card:#1a1a19;--line:#363532}}\
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:84rem;padding:1rem;\
color:var(--ink);background:var(--paper)}h1{font-size:1.4rem;margin:.5rem 0 0}p{margin:.25rem 0}.soft{color:var(--soft);font-size:.875rem}\
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,23rem),1fr));margin:1rem 0;align-items:start}\
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.25rem .5rem .75rem}.tables .card{padding:.75rem 1rem;overflow-x:auto}\
svg{display:block;width:100%;height:auto;max-width:34rem}svg.legend{width:23rem;max-width:100%}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .75rem .3rem 0;border-top:1px solid var(--line);vertical-align:top}\
th{font-weight:500}thead th{border:0;color:var(--soft);font-size:.8125rem;font-weight:400}tfoot th,tfoot td{font-weight:600}\
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}:is(th,td):last-child{padding-right:0}\
th[scope=row]{overflow-wrap:break-word}caption{text-align:left;font-weight:600;padding-bottom:.25rem}\
@media(max-width:30rem){th,td{font-size:.875rem;padding-right:.5rem}td .soft,th .soft{font-size:.8125rem}}details{margin:.5rem .75rem 0}summary{cursor:pointer;color:var(--soft);font-size:.875rem}ol{margin:.5rem 0;padding-left:2rem;font-size:.875rem}";

/// Renders one page for all simulations.
pub(super) fn render(document: &SimulateDocument) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{TITLE}</title>\n\
         <style>{STYLE}{}</style>\n</head>\n<body>\n<main>\n<h1>{TITLE}</h1>\n",
        svg::STYLE
    );
    headline(&mut page, document);
    page.push_str(&svg::legend(&document.schedules));
    page.push_str("<div class=\"grid tables\">\n");
    hours(&mut page, document);
    costs(&mut page, document);
    page.push_str("</div>\n<div class=\"grid\">\n");
    for (number, simulation) in document.schedules.iter().enumerate() {
        page.push_str("<section class=\"card\">\n");
        let id = format!("schedule-{number}");
        page.push_str(&svg::picture(simulation, &document.currency, &id));
        edges(&mut page, simulation);
        page.push_str("</section>\n");
    }
    page + "</div>\n</main>\n</body>\n</html>\n"
}

fn headline(page: &mut String, document: &SimulateDocument) {
    let mut facts = vec![counted(document.schedules.len(), "schedule")];
    facts.extend(common_span(document));
    let _ = writeln!(page, "<p>{}</p>", escape(&facts.join(", ")));
    if let Some(total) = &document.total {
        let _ = writeln!(
            page,
            "<p><strong>Saves {}</strong>: {} instead of {}</p>",
            escape(&money::money(total.saved, &document.currency)),
            money::amount(total.cost),
            money::amount(total.cost_always)
        );
    }
    for note in notes(document) {
        let _ = writeln!(page, "<p class=\"soft\">{}</p>", escape(&note));
    }
}

fn hours(page: &mut String, document: &SimulateDocument) {
    page.push_str(
        "<div class=\"card\"><table>\n<caption>Hours</caption>\n<thead><tr><th scope=\"col\">schedule</th>\
         <th scope=\"col\" class=\"number\">running</th><th scope=\"col\" class=\"number\">24×7</th>\
         <th scope=\"col\" class=\"number\">off</th></tr></thead>\n<tbody>\n",
    );
    for simulation in &document.schedules {
        let share = simulation.off_share.map(money::percent);
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}<br><span class=\"soft\">{}</span></th><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escape(simulation.schedule.as_str()),
            escape(&simulation.time_zone),
            on_hours(simulation),
            money::hours(simulation.hours),
            share.unwrap_or_else(|| "-".to_owned()),
        );
    }
    page.push_str("</tbody>\n</table></div>\n");
}

fn costs(page: &mut String, document: &SimulateDocument) {
    let Some(total) = &document.total else {
        return;
    };
    let _ = writeln!(
        page,
        "<div class=\"card\"><table>\n<caption>Cost in {}</caption>\n<thead><tr><th scope=\"col\">schedule</th>\
         <th scope=\"col\" class=\"number\">cost</th><th scope=\"col\" class=\"number\">24×7</th>\
         <th scope=\"col\" class=\"number\">saved</th></tr></thead>\n<tbody>",
        escape(&document.currency)
    );
    let mut row = |name: &str, detail: &str, amounts: [String; 3]| {
        let [cost, always, saved] = amounts;
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}<br><span class=\"soft\">{}</span></th><td class=\"number\">{cost}</td>\
             <td class=\"number\">{always}</td><td class=\"number\">{saved}</td></tr>",
            escape(name),
            escape(detail),
        );
    };
    for simulation in &document.schedules {
        for cost in &simulation.costs {
            let amounts = [cost.cost, cost.cost_always, cost.saved].map(amount);
            row(simulation.schedule.as_str(), &instances(cost), amounts);
        }
    }
    let number = counted(number(total.count), "instance");
    let _ = writeln!(
        page,
        "</tbody>\n<tfoot><tr><th scope=\"row\">total<br><span class=\"soft\">{number}</span></th><td class=\"number\">{}</td>\
         <td class=\"number\">{}</td><td class=\"number\">{}</td></tr></tfoot>\n</table></div>",
        money::amount(total.cost),
        money::amount(total.cost_always),
        money::amount(total.saved)
    );
}

fn edges(page: &mut String, simulation: &Simulation) {
    let _ = writeln!(
        page,
        "<details>\n<summary>{}: {}</summary>\n<ol>",
        escape(simulation.schedule.as_str()),
        counted(simulation.edges.len(), "edge")
    );
    for edge in &simulation.edges {
        let _ = writeln!(
            page,
            "<li>{} <time datetime=\"{}\">{}</time></li>",
            edge.action,
            edge.at,
            escape(&local(simulation, edge.at, "%a %-d %b %Y %H:%M %Z"))
        );
    }
    page.push_str("</ol>\n</details>\n");
}
