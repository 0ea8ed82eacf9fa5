//! Renders a simulation as a self-contained HTML page with an image, tables and lists.

use std::fmt::Write as _;

use curfew_core::simulate::{Simulation, format_number};

use super::facts::local;
use super::svg::{self, TITLE, escape};

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:52rem;padding:0 1rem;\
color:#1b1b1a;background:#fcfcfb}svg{max-width:100%;height:auto}\
table{border-collapse:collapse;margin:1rem 0}th,td{text-align:left;padding:.25rem 1rem .25rem 0;border-bottom:1px solid #8885}\
td.number{text-align:right;font-variant-numeric:tabular-nums}caption{text-align:left;font-weight:600}\
@media(prefers-color-scheme:dark){body{color:#f2f1ec;background:#1a1a19}}";

/// Renders one page for all simulations.
pub(super) fn render(simulations: &[Simulation]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{TITLE}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{TITLE}</h1>\n{}",
        svg::render(simulations)
    );
    hours(&mut page, simulations);
    money(&mut page, simulations);
    for simulation in simulations {
        edges(&mut page, simulation);
    }
    page + "</main>\n</body>\n</html>\n"
}

fn hours(page: &mut String, simulations: &[Simulation]) {
    page.push_str(
        "<table>\n<caption>Hours</caption>\n<tr><th scope=\"col\">schedule</th><th scope=\"col\">zone</th>\
         <th scope=\"col\">running</th><th scope=\"col\">unmanaged</th><th scope=\"col\">24×7</th><th scope=\"col\">off</th></tr>\n",
    );
    for simulation in simulations {
        let percent = simulation.percent_off;
        let percent = percent.map_or("-".to_owned(), |percent| format_number(percent) + "%");
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"number\">{} h</td><td class=\"number\">{} h</td>\
             <td class=\"number\">{} h</td><td class=\"number\">{percent}</td></tr>",
            escape(simulation.schedule.as_str()),
            escape(&simulation.time_zone),
            format_number(simulation.hours),
            format_number(simulation.hours_unmanaged),
            format_number(simulation.hours_always),
        );
    }
    page.push_str("</table>\n");
}

fn money(page: &mut String, simulations: &[Simulation]) {
    if simulations
        .iter()
        .all(|simulation| simulation.cost.is_empty())
    {
        return;
    }
    page.push_str(
        "<table>\n<caption>Money</caption>\n<tr><th scope=\"col\">schedule</th><th scope=\"col\">instances</th>\
         <th scope=\"col\">by schedule</th><th scope=\"col\">24×7</th><th scope=\"col\">saved</th></tr>\n",
    );
    for simulation in simulations {
        for cost in &simulation.cost {
            let _ = writeln!(
                page,
                "<tr><th scope=\"row\">{}</th><td>{} × {}</td><td class=\"number\">{:.2}</td>\
                 <td class=\"number\">{:.2}</td><td class=\"number\">{:.2}</td></tr>",
                escape(simulation.schedule.as_str()),
                cost.count,
                escape(&cost.instance_type),
                cost.scheduled,
                cost.always,
                cost.saved,
            );
        }
    }
    page.push_str("</table>\n");
}

fn edges(page: &mut String, simulation: &Simulation) {
    let _ = writeln!(
        page,
        "<details>\n<summary>{}: {} edges</summary>\n<ol>",
        escape(simulation.schedule.as_str()),
        simulation.edges.len()
    );
    for edge in &simulation.edges {
        let _ = writeln!(
            page,
            "<li><time datetime=\"{}\">{}</time> {}</li>",
            edge.at,
            escape(&local(simulation, edge.at, "%a %d %b %Y %H:%M %Z")),
            edge.action
        );
    }
    page.push_str("</ol>\n</details>\n");
}
