//! `curfew status`: the same view as the API's `/status`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use curfew_model::Launch;
use serde_json::{Value, json};

use crate::commands::cloud::{Cloud, due, idle, lines};
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
            &["state", "schedule", "desired", "pending_action", "reason"]
        ),
        [
            "batch | running | year | running | null | an override by alice keeps it running until 2199-01-01T00:00:00Z",
            "web | running | night | unmanaged | stop | a pass would stop it (schedule night)",
        ]
    );
    assert_eq!(status["unmanaged"], 1);
    assert_eq!(status["instances"][0]["instance_type"], "t3.micro");
    assert_eq!(status["instances"][0]["region"], "us-east-1");
    let all = cloud.json(&["status", "--all"]);
    assert_eq!(all["instances"].as_array().unwrap().len(), 3);
    assert_eq!(all["unmanaged"], json!(0));
    let output = cloud.run(&["status"]);
    assert!(
        output
            .stdout
            .contains("\n2 shown; 1 unmanaged (use --all to show them); next edge: "),
        "{output:?}"
    );
    // Rows are in the zones of their schedules; the summary names the zone.
    assert!(output.stdout.contains(" UTC (in "), "{output:?}");
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
        .until("more\r\n")
        .until("60 shown");
    terminal.kill();
}
