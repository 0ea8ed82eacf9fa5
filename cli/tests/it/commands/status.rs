//! `curfew status`: the same view as the API's `/status`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use curfew_model::Launch;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::commands::cloud::{Cloud, due, idle, lines, now};
use crate::support::terminal::Terminal;

#[test]
fn status_shows_managed_instances_and_counts_the_rest() {
    let cloud = Cloud::with([
        due("web"),
        idle("batch")
            .tag(
                "curfew:last",
                "2026-01-01T00:00:00Z start override by alice",
            )
            .tag(
                "curfew:override",
                "running since 2026-01-01T00:00:00Z until 2199-01-01T00:00:00Z by alice",
            ),
        Launch::new("stray"),
    ]);
    let status = cloud.json(&["status"]);
    assert_eq!(
        lines(
            &status["instances"],
            &["state", "schedule", "desired", "pending_action", "verdict"]
        ),
        [
            "batch | running | year | running | null | an override by alice keeps it running until 2199-01-01T00:00:00Z",
            "web | running | night | unmanaged | stop | a pass would stop it (schedule night)",
        ]
    );
    assert_eq!(status["unmanaged_count"], 1);
    assert_eq!(status["instances"][0]["instance_type"], "t3.micro");
    assert_eq!(status["instances"][0]["region"], "us-east-1");
    let all = cloud.json(&["status", "--all"]);
    assert_eq!(all["instances"].as_array().unwrap().len(), 3);
    assert_eq!(all["unmanaged_count"], json!(0));
    let output = cloud.run(&["status"]);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(
        status["instances"][0]["problem"]["code"],
        "endless_override"
    );
    // The stop of `web` is overdue ten minutes after each half hour.
    let attention = match status["instances"][1]["problem"]["code"].as_str() {
        None => "1 needs attention",
        Some(code) => {
            assert_eq!(code, "overdue");
            "2 need attention"
        }
    };
    assert_eq!(lines[0], format!("2 instances: 2 running; {attention}"));
    // Times are in the zones of their schedules.
    assert!(lines[1].starts_with("Next: web stops "), "{output:?}");
    assert!(lines[1].contains(" CE"), "{output:?}");
    assert!(lines[1].contains(" (in "), "{output:?}");
    assert_eq!(
        lines.last(),
        Some(&"1 unmanaged instance not shown; --all shows it"),
        "{output:?}"
    );
}

#[test]
fn status_can_be_filtered() {
    let cloud = Cloud::with([due("web"), idle("batch").tag("Team", "shop")]);
    let shown = |arguments: &[&str]| {
        let arguments = [&["status"], arguments].concat();
        lines(&cloud.json(&arguments)["instances"], &[]).join(", ")
    };
    assert_eq!(shown(&["--schedule", "night"]), "web");
    assert_eq!(shown(&["--tag", "Team:s*"]), "batch");
    assert_eq!(shown(&[cloud.id("web").as_str()]), "web");
    assert_eq!(cloud.run(&["status", "i-0abc1234def567890"]).code, 3);
}

#[test]
fn watch_prints_one_json_document_a_line() {
    let cloud = Cloud::with([due("web")]);
    let mut command = cloud.curfew(&["status", "--watch=1s", "-o", "json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let looks: Vec<Value> = lines
        .take(2)
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(looks[1]["instances"][0]["name"], "web");
    assert_ne!(looks[0]["at"], looks[1]["at"]);
}

#[test]
fn watch_redraws_a_terminal() {
    let cloud = Cloud::with((0..60).map(|n| idle(&format!("web-{n}"))));
    let mut terminal = Terminal::run(cloud.curfew(&["status", "--watch=1s"]));
    terminal
        .until("\x1b[H\x1b[J")
        .until("60 instances: ")
        .until("web-0, web-1, web-2 and 57 more");
    terminal.kill();
}

/// 300 instances: two schedules, two states, and five with a tag that names no schedule.
fn three_hundred() -> Cloud {
    let web = (0..180).map(|n| idle(&format!("web-{n}")));
    let db = (0..115).map(|n| due(&format!("db-{n}")).stopped());
    let misspelt = (0..5).map(|n| Launch::new(format!("batch-{n}")).tag("Schedule", "nigth"));
    Cloud::with(web.chain(db).chain(misspelt))
}

fn at_80_columns(cloud: &Cloud, arguments: &[&str]) -> Command {
    let mut command = cloud.curfew(arguments);
    command.env("COLUMNS", "80");
    command
}

#[test]
fn three_hundred_instances_fit_a_terminal_of_24_lines_and_80_columns() {
    let cloud = three_hundred();
    let (code, screen) = Terminal::run(at_80_columns(&cloud, &["status"])).end();
    assert_eq!(code, 0, "{screen}");
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(
        lines[0],
        "300 instances: 185 running, 115 stopped; 5 need attention"
    );
    assert!(lines.len() < 24, "{screen}");
    let widest = lines.iter().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{screen}");
    let problem = "    5  batch-0, batch-1, batch-2 and 2 more: the tag `Schedule` names the";
    assert!(lines.contains(&problem), "{screen}");
    for group in [
        "180  year      running  start ",
        "115  night     stopped  stop ",
    ] {
        assert!(screen.contains(group), "{screen}");
    }
}

#[test]
fn wide_output_and_pipes_have_a_line_for_each_instance() {
    let cloud = three_hundred();
    let (_, screen) = Terminal::run(at_80_columns(&cloud, &["status", "-o", "wide"])).end();
    let piped = cloud.run(&["status"]).stdout;
    for text in [&screen, &piped] {
        let ids = text.lines().filter(|line| line.starts_with("i-")).count();
        assert_eq!(ids, 300, "{text}");
    }
    let header = |text: &str| {
        let header = text.lines().find(|line| line.starts_with("INSTANCE"));
        header.unwrap().to_owned()
    };
    assert!(header(&screen).contains("TYPE"), "{screen}");
    assert!(!header(&piped).contains("TYPE"), "{piped}");
    // `COLUMNS` applies to a pipe too; then a reason is below its instance.
    let output = at_80_columns(&cloud, &["status"]).output().unwrap();
    let narrow = String::from_utf8(output.stdout).unwrap();
    let widest = narrow.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{narrow}");
    let ids = narrow.lines().filter(|line| line.starts_with("i-"));
    let ids: Vec<&str> = ids.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(ids.len(), 300, "{narrow}");
    assert!(ids.iter().all(|id| id.len() == 19), "{narrow}");
}

#[test]
fn problems_are_listed_with_their_reasons() {
    let cloud = Cloud::with([
        idle("web"),
        Launch::new("misspelt").tag("Schedule", "nigth"),
        idle("failing")
            .stopped()
            .tag("curfew:retry", retry_of_this_year()),
        idle("forgotten").tag(
            "curfew:override",
            "running since 2026-01-01T00:00:00Z until 2199-01-01T00:00:00Z by alice",
        ),
    ]);
    let problems = cloud.json(&["status", "--problems"]);
    assert_eq!(
        lines(&problems["instances"], &[]),
        ["failing", "forgotten", "misspelt"]
    );
    let output = cloud.run(&["status", "--problems"]).stdout;
    assert!(
        output.starts_with("4 instances: 3 running, 1 stopped; 3 need attention\n"),
        "{output}"
    );
    assert!(!output.contains(" web "), "{output}");
    assert!(output.contains("`nigth`, which does not exist"), "{output}");
    let until = "override: running until Tue 1 Jan 2199 05:30 IST (in 17";
    assert!(output.contains(until), "{output}");
    let plain = Cloud::with([idle("web")]).run(&["status", "--problems"]);
    assert_eq!(plain.code, 0);
    assert!(plain.stdout.starts_with("1 instance: 1 running\n"));
}

/// The tag of a start that failed after the edge at the beginning of the year in Kolkata; the next attempt is in an hour.
fn retry_of_this_year() -> String {
    let edge = format!(
        "{}-12-31T18:30:00Z",
        now().to_zoned(TimeZone::UTC).year() - 1
    );
    let (first, next) = (
        now() - SignedDuration::from_mins(10),
        now() + SignedDuration::from_hours(1),
    );
    format!("{edge} start 3x InsufficientInstanceCapacity first {first:.0} next {next:.0}")
}

#[test]
fn states_have_colours_on_terminals_unless_no_color_is_set() {
    let cloud = Cloud::with([idle("web")]);
    let green = "\x1b[32mrunning\x1b[0m";
    let (_, screen) = Terminal::run(cloud.curfew(&["status"])).end_with_control_sequences();
    assert!(screen.contains(green), "{screen:?}");
    let mut plain = cloud.curfew(&["status"]);
    plain.env("NO_COLOR", "1");
    let (_, screen) = Terminal::run(plain).end_with_control_sequences();
    assert!(!screen.contains('\x1b'), "{screen:?}");
    let piped = cloud.run(&["status"]);
    assert!(!piped.stdout.contains('\x1b'), "{piped:?}");
}
