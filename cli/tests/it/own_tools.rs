//! Deploying without `curfew deploy`, as docs/cloudformation.md says: from what `curfew template`, `document` and `rules` print.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use crate::support::{House, Place};
use curfew_aws::configuration_document::ParameterContents;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const GUIDE: &str = include_str!("../../../docs/cloudformation.md");

#[test]
fn rules_are_printed_for_other_tools() {
    let house = House::new();
    house.configuration(
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
    let printed = house.json(&["rules"]);
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
    // The start and the stop at the same instants are one rule.
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

    let (code, table) = house.prints(&["rules"]);
    assert_eq!(code, 0, "{table}");
    for rule in printed["rules"].as_array().unwrap() {
        let (name, expression) = (&rule["name"], &rule["expression"]);
        let line = table
            .lines()
            .find(|line| line.starts_with(name.as_str().unwrap()));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {table}"));
        assert!(line.contains(expression.as_str().unwrap()), "{line}");
    }
    // Nothing is reached at this house's endpoint, and none of them asked.
    assert_eq!(house.fails(&["outputs"]).0, 5);
}

#[test]
fn the_guides_example_is_what_is_printed() {
    let house = House::new();
    house.configuration(
        "[schedules.office]\ntimezone = 'Europe/Paris'\nrunning = 'Mon-Fri 08:00-20:00'",
    );
    let begin = "```json\n";
    let example = &GUIDE[GUIDE.find(begin).unwrap() + begin.len()..];
    let example: Value = serde_json::from_str(&example[..example.find("```").unwrap()]).unwrap();
    let printed = house.json(&["rules"]);
    assert_eq!(printed["stack"], example["stack"]);
    assert_eq!(printed["function"], example["function"]);
    let [shown] = &example["rules"].as_array().unwrap()[..] else {
        panic!("the example has one rule")
    };
    let rules = printed["rules"].as_array().unwrap();
    assert!(rules.contains(shown), "{shown} is not in {printed}");
}

#[test]
fn the_document_is_printed_in_as_many_parameters_as_it_takes() {
    let house = House::new();
    house.configuration("[schedules.office]\ntimezone = 'UTC'\nstop = '0 20 * * *'");
    let (code, text) = house.prints(&["document"]);
    assert_eq!(code, 0);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schedules"]["office"]["stop"], "0 20 * * *");
    let parameter = json!({ "name": "/curfew/curfew/configuration", "value": text.trim_end() });
    assert_eq!(
        house.json(&["document"]),
        json!({ "parameters": [parameter] })
    );

    // Instances by id are all different, and shrink little.
    let ids: Vec<String> = (0..1500)
        .map(|_| format!("i-{:017x}", fastrand::u128(..(1 << 68))))
        .collect();
    house.configuration(&format!(
        "[schedules.office]\ntimezone = 'UTC'\nstop = '0 20 * * *'\nmatch = {{ ids = {ids:?} }}"
    ));
    let printed = house.json(&["document"]);
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

    let (code, message) = house.fails(&["document"]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("-o json"), "{message}");
}

/// From the zip to a rule that stops an instance, with nothing but what is printed and the parameters that the guide names.
#[test]
fn the_template_the_document_and_the_rules_are_enough() {
    let house = House::new();
    let endpoint = house.emulator();
    let place = Place::new(&endpoint, None, "us-east-1");
    house.configuration(
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
    let document = house.prints(&["document"]).1;
    place.put_parameter("/curfew/curfew/configuration", document.trim_end());
    let template = house.prints(&["template"]).1;
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

    let printed = house.json(&["rules"]);
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
    let outputs = house.json(&["outputs"]);
    let names: BTreeSet<&str> = rules
        .iter()
        .filter_map(|rule| rule["name"].as_str())
        .collect();
    let waking = outputs["rules"].as_array().unwrap().iter();
    let waking: BTreeSet<&str> = waking.filter_map(Value::as_str).collect();
    assert_eq!(waking, names);
    assert_eq!(outputs["function"], printed["function"]);
    // In a Codespace, also as its browser reaches it.
    let codespace = [
        ("CODESPACE_NAME", "fuzzy-disco"),
        ("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN", "app.github.dev"),
    ];
    let id = outputs["api_id"].as_str().unwrap();
    let forwarded = house.json_with(&codespace, &["outputs"])["forwarded_url"].clone();
    let host = format!("fuzzy-disco-{}.app.github.dev", house.port());
    assert_eq!(
        forwarded,
        format!("https://{host}/restapis/{id}/prod/_user_request_")
    );
    assert_eq!(outputs["forwarded_url"], Value::Null);
    // Nothing is wrong with it because another tool made it.
    let (_, report) = house.prints(&["doctor", "-o", "json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    for name in ["stack", "rules", "schedules", "queues"] {
        let mut checks = report["checks"].as_array().unwrap().iter();
        let check = checks.find(|check| check["check"] == name).unwrap();
        assert_eq!(check["verdict"], "ok", "{check}");
    }
    let status = format!("{}/status", outputs["api_url"].as_str().unwrap());
    let (code, body) = House::get(&status);
    assert_eq!(code, 200, "{body}");
    house.eventually("the instance is stopped", || {
        place.look(&instance).0 == "stopped"
    });

    // It is somebody else's.
    let (code, message) = house.fails(&["destroy", "--yes"]);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("not Curfew's"), "{message}");
    house.stop_emulator();
    assert_eq!(house.processes(), Vec::<String>::new());
}

/// The executable that was built with these tests, packed as `make dist` packs it.
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
