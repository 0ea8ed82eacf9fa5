//! `curfew simulate` without credentials and environment.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

fn curfew(arguments: &[&str]) -> Command {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples/two-offices.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
    command
        .env_clear()
        .arg("--config")
        .arg(config)
        .arg("simulate")
        .args(arguments);
    command
}

const TWO_DAYS: [&str; 4] = ["--from", "2026-11-21", "--to", "2026-11-23"];

#[test]
fn json_output_is_one_document() {
    let mut command = curfew(&TWO_DAYS);
    let output = command.args(["-o", "json"]).assert().success();
    let found: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let schedules = found["schedules"].as_array().unwrap();
    let facts: Vec<_> = schedules
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["on_hours"].as_f64()))
        .collect();
    let expected = [
        ("bangalore", Some(10.5)),
        ("paris", Some(11.0)),
        ("staging", Some(14.5)),
    ];
    assert_eq!(facts, expected);
    // In another zone the same dates are another span.
    assert_eq!(schedules[0]["since"], "2026-11-20T18:30:00Z");
    assert_eq!(schedules[1]["since"], "2026-11-20T23:00:00Z");
}

#[test]
fn piped_output_is_one_ascii_line_a_day() {
    let mut command = curfew(&TWO_DAYS);
    let output = command.args(["--schedule", "paris"]).assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(text.is_ascii(), "{text}");
    let monday = "Mon 23 Nov  ................######################..........  +08:00 -19:00\n";
    assert!(text.contains(monday), "{text}");
    assert!(
        text.contains("paris: runs 11 h of 72 h, 84.7% off (Europe/Paris)\n"),
        "{text}"
    );
}

#[test]
fn costs_need_a_price_and_charts_need_an_extension() {
    let failing = |arguments: &[&str], code: i32, message: &str| {
        let output = curfew(arguments).assert().code(code);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.starts_with(&format!("error: {message}\n")), "{text}");
        assert_eq!(output.get_output().stdout, b"");
    };
    failing(
        &["--count", "paris=3:t3.nano"],
        2,
        "there is no price for `t3.nano`",
    );
    failing(&["--count", "lunch=3"], 3, "there is no schedule `lunch`");
    failing(
        &["--out", "week.png"],
        2,
        "`--out week.png` is neither an SVG image (`.svg`) nor an HTML page (`.html`)",
    );
    failing(
        &["--from", "2025-11-24", "--to", "2025-11-23"],
        2,
        "a span from Mon 24 Nov 2025 00:00 IST to Mon 24 Nov 2025 00:00 IST is empty",
    );
    failing(&["--schedule", "lunch"], 3, "there is no schedule `lunch`");
}

#[test]
fn an_html_page_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("week.html");
    let mut command = curfew(&TWO_DAYS);
    let output = command.arg("--out").arg(&file).assert().success();
    let stdout = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert_eq!(stdout, format!("wrote `{}`\n", file.display()));
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(
        page.contains("<summary>staging: 2 edges</summary>"),
        "{page}"
    );
}
