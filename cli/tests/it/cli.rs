//! Commands that make no AWS call: standard output, standard error and exit code, in a cleared environment.

mod completion;
mod edges;
mod init;
mod lookup;
mod place;
mod private;
mod record;

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use self::place::Place;

const OFFICE: &str = "[schedules.office]\ntimezone = 'Europe/Paris'\nrunning = 'Mon-Fri 08:00-20:00'\nexcept = ['12-25']\n";

#[test]
fn next_lists_the_coming_edges() {
    let place = Place::with(OFFICE);
    let from = "2026-12-24T12:00:00Z";
    let edges = place.json(&[
        "next",
        "--schedule",
        "office",
        "--from",
        from,
        "--count",
        "3",
    ]);
    // The 25th is excepted: no start on that day, but the stop still applies to instances that were started by hand.
    let edge = |action: &str, at: &str, local: &str| {
        let local = format!("{local}+01:00[Europe/Paris]");
        json!({"schedule": "office", "action": action, "at": at, "local": local})
    };
    let expected = [
        edge("stop", "2026-12-24T19:00:00Z", "2026-12-24T20:00:00"),
        edge("stop", "2026-12-25T19:00:00Z", "2026-12-25T20:00:00"),
        edge("start", "2026-12-28T07:00:00Z", "2026-12-28T08:00:00"),
    ];
    assert_eq!(edges, json!({"edges": expected}));
}

#[test]
fn times_are_in_the_zone_of_the_schedule() {
    let place = Place::with(
        "[schedules.nyc]\ntimezone = 'America/New_York'\nrunning = 'Mon-Fri 08:00-20:00'\n\
         [schedules.office]\ntimezone = 'Europe/Paris'\nrunning = 'Mon-Fri 08:00-20:00'\n",
    );
    let explained = |schedule: &str| {
        let when = "2026-11-27 08:00";
        place.json(&["explain", "--schedule", schedule, "--at", when])["at"].clone()
    };
    assert_eq!(explained("nyc"), "2026-11-27T13:00:00Z");
    assert_eq!(explained("office"), "2026-11-27T07:00:00Z");
    // Every form is accepted, and another one is refused with all of them.
    for when in [
        "22:00",
        "friday",
        "fri 18:00",
        "tomorrow",
        "2h30m",
        "2026-11-27",
    ] {
        place.json(&["next", "--from", when]);
        place.json(&["explain", "--schedule", "nyc", "--at", when]);
        assert_eq!(
            place.fails(&["history", "--since", when]).0,
            3,
            "no journal"
        );
    }
    for command in [
        ["next", "--from"].as_slice(),
        &["explain", "--schedule", "nyc", "--at"],
        &["history", "--since"],
        &["savings", "--until"],
        &["start", "web", "--until"],
        &["stop", "web", "--for"],
    ] {
        let (code, stderr) = place.fails(&[command, &["soon"]].concat());
        assert_eq!(code, 2, "{stderr}");
        let forms =
            "`soon` is not a time; use `22:00`, `friday`, `friday 18:00`, `tomorrow 08:00`, ";
        assert!(stderr.contains(forms), "{command:?}: {stderr}");
    }
}

#[test]
fn errors_are_one_line_of_json_with_o_json() {
    let place = Place::with(OFFICE);
    for (arguments, code, name) in [
        (
            ["next", "--schedule", "ofice"].as_slice(),
            3,
            "unknown_schedule",
        ),
        (&["history"], 3, "no_journal"),
        (&["status"], 2, "bad_parameter"),
        (&["check", "missing.toml"], 2, "invalid_configuration"),
        (
            &["apply", "--endpoint-url", "http://127.0.0.1:1"],
            2,
            "confirmation_required",
        ),
        (
            &[
                "plan",
                "--endpoint-url",
                "http://127.0.0.1:1",
                "--region",
                "eu-west-3",
            ],
            5,
            "unreachable",
        ),
        // Errors of the arguments themselves.
        (&["next", "--from", "soon"], 2, "bad_time"),
        (&["stop", "--tag", "Team"], 2, "bad_parameter"),
        (&["frobnicate"], 2, "bad_parameter"),
    ] {
        for format in [["-o", "json"].as_slice(), &["--output=json"], &["-ojson"]] {
            let (found, stderr) = place.fails(&[arguments, format].concat());
            assert_eq!(found, code, "{arguments:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            let document: serde_json::Value = serde_json::from_str(&stderr).unwrap();
            let error = document["error"].as_object().unwrap();
            assert_eq!(error["code"], name, "{stderr}");
            assert!(!error["message"].as_str().unwrap().is_empty());
            assert!(error.contains_key("hint"), "{stderr}");
        }
    }
    // Help is no error.
    place
        .curfew(&["stop", "--help", "-o", "json"])
        .assert()
        .success();
}

#[test]
fn explain_prints_the_desired_state_and_reason_of_a_schedule() {
    let place = Place::with(OFFICE);
    let explained = place.json(&[
        "explain",
        "--schedule",
        "office",
        "--at",
        "2026-11-23T12:00:00Z",
    ]);
    assert_eq!(explained["desired"], "running");
    assert_eq!(
        explained["reason"],
        "inside the window `Mon-Fri 08:00-20:00` in Europe/Paris"
    );
    assert_eq!(
        explained["last_edge"],
        json!({"at": "2026-11-23T07:00:00Z", "action": "start"})
    );
    assert_eq!(
        explained["next"],
        json!({"at": "2026-11-23T19:00:00Z", "action": "stop"})
    );
}

#[test]
fn check_succeeds_or_reports_every_error_and_exits_with_2() {
    let good = Place::with(OFFICE);
    assert_eq!(good.json(&["check"])["schedules"], json!(["office"]));
    assert_eq!(
        good.prints(&["check"]),
        "`curfew.toml` is valid: 1 schedule (office)\n"
    );
    let bad = Place::with(
        "[schedules.office]\ntimezone = 'Mars'\nrunning = 'Mon-Fry 08:00-20:00'\nenforced = true\n",
    );
    let (code, stderr) = bad.fails(&["check"]);
    assert_eq!(code, 2, "{stderr}");
    for key in [
        "schedules.office.timezone",
        "schedules.office.running",
        "schedules.office.enforced",
    ] {
        assert!(
            stderr.contains(&format!("error: `{key}`: ")),
            "{key}: {stderr}"
        );
    }
    insta::assert_snapshot!(stderr, @r"
    error: 3 errors in the configuration

    curfew.toml:2:13: error: `schedules.office.timezone`: `Mars` is not an IANA time zone; did you mean `Pacific/Marquesas`?
      |
    2 | timezone = 'Mars'
      |             ^^^^

    curfew.toml:3:12: error: `schedules.office.running`: `Mon-Fry 08:00-20:00`: `Mon-Fry` is not a day of the week; write `Mon`–`Sun`, as in `Mon-Fri`, `Sat,Sun`, `Mon#1` or `FriL`
      |
    3 | running = 'Mon-Fry 08:00-20:00'
      |            ^^^^^^^

    curfew.toml:4:1: error: `schedules.office.enforced`: `enforced` is not a key here; did you mean `enforce`?
      |
    4 | enforced = true
      | ^^^^^^^^

      hint: docs/reference/configuration.md lists every key
    ");
    // Every command that reads the configuration prints the same.
    for command in ["run", "next", "deploy"] {
        assert_eq!(bad.fails(&[command]), (2, stderr.clone()), "{command}");
    }
}

#[test]
fn check_reports_places_as_json_for_ci() {
    let place = Place::with(
        "[schedules.office]\ntimezone = 'EST'\nrunning = 'Mon-Fri 08:00-20:00'\n[daemon]\npoll = 10\n",
    );
    let (code, stdout, stderr) = place.runs(&["check", "-o", "json"]);
    assert_eq!(code, 2, "{stderr}");
    let warning = json!({
        "line": 2, "column": 13, "length": 3, "key": "schedules.office.timezone",
        "message": "`EST` has no daylight saving time; write `America/New_York` for a place that has it",
    });
    let found: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&found["errors"], &found["warnings"], &found["schedules"]),
        (
            &json!([{
                "line": 5, "column": 8, "length": 2, "key": "daemon.poll",
                "message": "found the number `10`; allowed is a string, in quotes",
            }]),
            &json!([warning]),
            &json!([]),
        )
    );
}

#[test]
fn check_warns_of_crons_that_never_fire() {
    let place = Place::with(include_str!(
        "../../../crates/core/tests/cases/never-fires.toml"
    ));
    let warning = "the stop cron `0 18 31 2,4 *` never fires";
    assert_eq!(
        place.prints(&["check"]),
        format!(
            "`curfew.toml` is valid: 1 schedule (x), 1 warning\n\n\
             curfew.toml:3:8: warning: `schedules.x.stop`: {warning}\n  |\n\
             3 | stop = \"0 18 31 2,4 *\"\n  |        ^^^^^^^^^^^^^^^\n"
        )
    );
    assert_eq!(place.json(&["check"])["warnings"][0]["message"], warning);
    let (code, stdout, stderr) = place.runs(&["check", "--deny-warnings"]);
    assert_eq!((code, stdout), (2, place.prints(&["check"])));
    assert!(
        stderr.contains("error: 1 warning, and `--deny-warnings`"),
        "{stderr}"
    );
    let weekend = Place::with(include_str!(
        "../../../crates/core/tests/cases/weekend-window.toml"
    ));
    assert_eq!(weekend.json(&["check"])["warnings"], json!([]));
}

#[test]
fn a_missing_schedule_or_journal_exits_with_3() {
    let place = Place::with(OFFICE);
    let (code, stderr) = place.fails(&["next", "--schedule", "ofice"]);
    assert_eq!(code, 3);
    assert_eq!(
        stderr,
        "error: there is no schedule `ofice`\n  hint: there is `office`\n"
    );
    assert_eq!(place.fails(&["history"]).0, 3);
}

#[test]
fn an_unreachable_endpoint_exits_with_5() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let place = Place::with(OFFICE);
    let (code, stderr) = place.fails(&[
        "status",
        "--endpoint-url",
        &format!("http://127.0.0.1:{port}"),
    ]);
    assert_eq!(code, 5);
    assert!(
        stderr.starts_with("error: `ec2:DescribeInstances` got no answer"),
        "{stderr}"
    );
}

#[test]
fn a_missing_region_is_reported_with_its_flag() {
    let (code, stderr) = Place::with(OFFICE).fails(&["status"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("--region"), "{stderr}");
}

#[test]
fn an_imported_schedule_is_valid_configuration() {
    let place = Place::with("");
    let output = place
        .curfew(&["import", "custodian", "off=(M-F,19);on=(M-F,7);tz=pt"])
        .assert()
        .success();
    std::fs::write(place.file(), &output.get_output().stdout).unwrap();
    assert_eq!(place.json(&["check"])["schedules"], json!(["offhours"]));
    assert_eq!(place.fails(&["import", "custodian", "nonsense"]).0, 2);
}

#[test]
fn the_configuration_receives_the_digest_of_a_token() {
    let made = Place::with("").json(&["token", "new"]);
    let token = made["token"].as_str().unwrap();
    let digest = Sha256::digest(token.as_bytes());
    let digest = digest
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    assert_eq!(made["token_sha256"], digest);
    assert_eq!(token.len(), 64);
}

#[test]
fn a_named_token_is_shown_once_with_its_configuration() {
    let place = Place::with("");
    let output = place
        .curfew(&["token", "new", "alice@example.com"])
        .assert()
        .success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let after = |line: &str| -> Vec<&str> {
        let lines = text.lines().map(str::trim);
        lines.skip_while(|found| *found != line).collect()
    };
    let configuration = after("[api]");
    std::fs::write(place.file(), configuration.join("\n")).unwrap();
    place.json(&["check"]);
    let digest = configuration.last().unwrap().rsplit('"').nth(1).unwrap();
    let token = after("Token (shown only once; store it like a password):")[1];
    let of_token = Sha256::digest(token.as_bytes());
    let of_token = of_token
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    assert_eq!(of_token, digest, "{text}");
    let (code, stderr) = place.fails(&["token", "new", "alice and bob"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("`alice and bob` can't name a token's holder"),
        "{stderr}"
    );
}

#[test]
fn the_schema_is_the_one_in_the_repository() {
    let output = Place::with("")
        .curfew(&["schema"])
        .assert()
        .success()
        .get_output()
        .clone();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/curfew.schema.json");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        std::fs::read_to_string(file).unwrap()
    );
}

#[test]
fn every_command_has_help_with_the_exit_codes() {
    let place = Place::with("");
    let output = place
        .curfew(&["--help"])
        .assert()
        .success()
        .get_output()
        .clone();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("4 not authorised"), "{help}");
    let commands = help
        .lines()
        .skip_while(|line| !line.starts_with("Try"))
        .take_while(|line| *line != "Global options:");
    let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = names
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() > 25, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        place.curfew(&[name, "--help"]).assert().success();
    }
}
