//! Deployment without `curfew deploy`, as described in docs/how-to/other-tools.md: with the output of `curfew template`,
//! `document` and `rules`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use crate::support::{Place, Sandbox};
use curfew_aws::configuration_document::ParameterContents;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const GUIDE: &str = include_str!("../../../docs/how-to/other-tools.md");

#[test]
fn rules_are_printed_for_other_tools() {
    let sandbox = Sandbox::new();
    sandbox.configuration(
        r#"
        [stack]
        name = "team-a"
        heartbeat = "rate(10 minutes)"
        [schedules.office]
        timezone = "Asia/Kolkata"
        start = "30 8 * * 1-5"
        stop = ["0 20 * * 1-5", "30 8 * * 1-5"]
        "#,
    );
    let printed = sandbox.json(&["rules"]);
    let rule = |name: &str, expression: &str, input: &str, schedules: &[&str]| {
        json!({
            "name": name,
            "expression": expression,
            "state": "ENABLED",
            "description": "Wakes the Curfew stack team-a; made and removed by curfew",
            "target": { "id": "curfew", "input": input },
            "schedules": schedules,
        })
    };
    // The start and the stop at the same instant share a rule.
    let expected = json!({
        "stack": "team-a",
        "function": "curfew-team-a",
        "rules": [
            rule(
                "curfew-team-a-edges-HASH",
                "cron(0 3 ? * MON-FRI *)",
                r#"{"command":"wake","cron":"cron(0 3 ? * MON-FRI *)"}"#,
                &["office"],
            ),
            rule(
                "curfew-team-a-edges-HASH",
                "cron(30 14 ? * MON-FRI *)",
                r#"{"command":"wake","cron":"cron(30 14 ? * MON-FRI *)"}"#,
                &["office"],
            ),
            rule(
                "curfew-team-a-heartbeat-HASH",
                "rate(10 minutes)",
                r#"{"command":"wake"}"#,
                &[],
            ),
        ],
    });
    let mut without_hashes = printed.clone();
    for rule in without_hashes["rules"].as_array_mut().unwrap() {
        let name = rule["name"].as_str().unwrap();
        let (name, hash) = name.rsplit_once('-').unwrap();
        assert_eq!(hash.len(), 6, "{name}-{hash}");
        rule["name"] = json!(format!("{name}-HASH"));
    }
    assert_eq!(without_hashes, expected);

    let (code, table) = sandbox.prints(&["rules"]);
    assert_eq!(code, 0, "{table}");
    for rule in printed["rules"].as_array().unwrap() {
        let (name, expression) = (&rule["name"], &rule["expression"]);
        let line = table
            .lines()
            .find(|line| line.starts_with(name.as_str().unwrap()));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {table}"));
        assert!(line.contains(expression.as_str().unwrap()), "{line}");
    }
    // No emulator runs at the endpoint, and none of these commands calls it.
    assert_eq!(sandbox.fails(&["outputs"]).0, 5);
}

#[test]
fn the_example_in_the_guide_matches_the_output() {
    let sandbox = Sandbox::new();
    sandbox.configuration(
        "[schedules.office]\ntimezone = 'Europe/Paris'\nrunning = 'Mon-Fri 08:00-20:00'",
    );
    let begin = "```json\n";
    let example = &GUIDE[GUIDE.find(begin).unwrap() + begin.len()..];
    let example: Value = serde_json::from_str(&example[..example.find("```").unwrap()]).unwrap();
    let printed = sandbox.json(&["rules"]);
    assert_eq!(printed["stack"], example["stack"]);
    assert_eq!(printed["function"], example["function"]);
    let [shown] = &example["rules"].as_array().unwrap()[..] else {
        panic!("the example has one rule")
    };
    let rules = printed["rules"].as_array().unwrap();
    assert!(rules.contains(shown), "{shown} is not in {printed}");
}

#[test]
fn a_large_document_is_printed_as_several_parameters() {
    let sandbox = Sandbox::new();
    sandbox.configuration("[schedules.office]\ntimezone = 'UTC'\nstop = '0 20 * * *'");
    let (code, text) = sandbox.prints(&["document"]);
    assert_eq!(code, 0);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schedules"]["office"]["stop"], "0 20 * * *");
    let parameter = json!({ "name": "/curfew/curfew/configuration", "value": text.trim_end() });
    assert_eq!(
        sandbox.json(&["document"]),
        json!({ "parameters": [parameter] })
    );

    // Instance ids differ from each other and compress badly.
    let ids: Vec<String> = (0..1500)
        .map(|_| format!("i-{:017x}", fastrand::u128(..(1 << 68))))
        .collect();
    sandbox.configuration(&format!(
        "[schedules.office]\ntimezone = 'UTC'\nstop = '0 20 * * *'\nmatch = {{ ids = {ids:?} }}"
    ));
    let printed = sandbox.json(&["document"]);
    let parameters = printed["parameters"].as_array().unwrap();
    let (last, parts) = parameters.split_last().unwrap();
    assert!(parts.len() > 1, "{printed}");
    let texts =
        |one: &Value| [&one["name"], &one["value"]].map(|it| it.as_str().unwrap().to_owned());
    let [name, value] = texts(last);
    assert_eq!(name, "/curfew/curfew/configuration");
    let ParameterContents::InParts(known) = ParameterContents::of(&value).unwrap() else {
        panic!("{value}")
    };
    let (names, values): (Vec<String>, Vec<String>) = parts
        .iter()
        .map(texts)
        .map(|[name, value]| (name, value))
        .unzip();
    assert_eq!(known.names(&name).collect::<Vec<_>>(), names);
    let joined = known.join(&values).unwrap();
    assert!(ids.iter().all(|id| joined.contains(id)));

    let (code, message) = sandbox.fails(&["document"]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("-o json"), "{message}");
}

/// From the zip file to a rule that stops an instance, with only the printed documents and the parameters in the guide.
#[test]
fn the_printed_template_document_and_rules_are_sufficient() {
    let sandbox = Sandbox::new();
    let endpoint = sandbox.emulator();
    let place = Place::new(&endpoint, None, "us-east-1");
    sandbox.configuration(
        r#"
        [stack]
        heartbeat = "off"
        [schedules.office]
        timezone = "Asia/Kolkata"
        stop = "* * * * *"
        "#,
    );
    let instance = place.launch("office");

    place.upload("my-artifacts", "curfew/1.zip", zipped_lambda());
    let document = sandbox.prints(&["document"]).1;
    place.put_parameter("/curfew/curfew/configuration", document.trim_end());
    let template = sandbox.prints(&["template"]).1;
    let mut parameters = vec![("CodeBucket", "my-artifacts"), ("CodeKey", "curfew/1.zip")];
    let for_emulators = [
        ("Auth", "none"),
        ("FleetPolicy", "account"),
        ("FallbackEndpoint", "http://localhost.localstack.cloud:4566"),
    ];
    for (key, value) in for_emulators {
        let unwrapped = GUIDE.replace('\n', " ");
        assert!(
            unwrapped.contains(&format!("{key}={value}")),
            "the guide does not name {key}={value}"
        );
        parameters.push((key, value));
    }
    let function = place.create_stack("curfew", &template, &parameters);

    let printed = sandbox.json(&["rules"]);
    let rules = printed["rules"].as_array().unwrap();
    for rule in rules {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        place.put_rule(
            &text(&rule["name"]),
            &text(&rule["expression"]),
            &text(&rule["description"]),
            (
                &text(&rule["target"]["id"]),
                &text(&rule["target"]["input"]),
            ),
            &function,
        );
    }
    let outputs = sandbox.json(&["outputs"]);
    let names: BTreeSet<&str> = rules
        .iter()
        .filter_map(|rule| rule["name"].as_str())
        .collect();
    let waking = outputs["rules"].as_array().unwrap().iter();
    let waking: BTreeSet<&str> = waking.filter_map(Value::as_str).collect();
    assert_eq!(waking, names);
    assert_eq!(outputs["function"], printed["function"]);
    // In a Codespace the forwarded address is printed, too.
    let codespace = [
        ("CODESPACE_NAME", "fuzzy-disco"),
        ("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN", "app.github.dev"),
    ];
    let id = outputs["api_id"].as_str().unwrap();
    let forwarded = sandbox.json_with(&codespace, &["outputs"])["forwarded_url"].clone();
    let host = format!("fuzzy-disco-{}.app.github.dev", sandbox.port());
    assert_eq!(
        forwarded,
        format!("https://{host}/restapis/{id}/prod/_user_request_")
    );
    assert_eq!(outputs["forwarded_url"], Value::Null);
    // The doctor accepts a stack that another tool created.
    let (_, report) = sandbox.prints(&["doctor", "-o", "json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    for name in ["stack", "rules", "schedules", "queues"] {
        let mut checks = report["checks"].as_array().unwrap().iter();
        let check = checks.find(|check| check["check"] == name).unwrap();
        assert_eq!(check["result"], "ok", "{check}");
    }
    let status = format!("{}/status", outputs["api_url"].as_str().unwrap());
    let (code, body) = Sandbox::get(&status);
    assert_eq!(code, 200, "{body}");
    sandbox.eventually("the instance is stopped", || {
        place.look(&instance).0 == "stopped"
    });

    // Another tool's stack is not destroyed.
    let (code, message) = sandbox.fails(&["destroy", "--yes"]);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("not Curfew's"), "{message}");
    sandbox.stop_emulator();
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}

/// Packs the executable of this build as `make dist` does.
fn zipped_lambda() -> Vec<u8> {
    let bootstrap = Path::new(env!("CARGO_BIN_EXE_curfew")).with_file_name("bootstrap");
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(1))
        .unix_permissions(0o755);
    zip.start_file("bootstrap", options).unwrap();
    zip.write_all(&fs::read(bootstrap).unwrap()).unwrap();
    zip.finish().unwrap().into_inner()
}
