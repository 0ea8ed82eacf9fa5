//! `curfew doctor` against the model: what it says, how it ends, and that it changes nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread::JoinHandle;

use curfew_model::{ApiAction, CredentialFault, Denial, Launch};
use insta::assert_snapshot;

use crate::commands::cloud::{Cloud, Told};

/// No Lambda, so that the model, which knows no CloudFormation, is all that is needed.
const ALONE: [&str; 1] = ["doctor"];

fn cloud(launches: impl IntoIterator<Item = Launch>) -> Cloud {
    // Whoever listens at the usual port of this machine is none of ours.
    cloud_with(launches, "metrics = \"\"")
}

fn cloud_with(launches: impl IntoIterator<Item = Launch>, more: &str) -> Cloud {
    let cloud = Cloud::with(launches);
    let configuration = format!(
        "{}\n[daemon]\ndriver = \"daemon\"\n{more}\n",
        crate::commands::cloud::CONFIGURATION
    );
    std::fs::write(cloud.directory.path().join("curfew.toml"), configuration).unwrap();
    cloud
}

/// Without what differs in each run.
fn lines(told: &Told) -> String {
    let mut text = String::new();
    for line in told.stdout.lines() {
        let line = match line.split_once("http://127.0.0.1:") {
            Some((before, rest)) => format!(
                "{before}http://127.0.0.1:…{}",
                &rest[rest.find(',').unwrap()..]
            ),
            None => line.to_owned(),
        };
        text += &line;
        text.push('\n');
    }
    text
}

#[test]
fn a_healthy_fleet_without_a_daemon_is_told_in_a_dozen_lines() {
    let cloud = cloud([
        Launch::new("web").tag("Schedule", "strict"),
        Launch::new("stray"),
    ]);
    let told = cloud.run(&ALONE);
    assert_snapshot!(lines(&told), @"
    ok    configuration  `curfew.toml`: 3 schedules
    ok    endpoint       http://127.0.0.1:…, us-east-1
    ok    credentials    arn:aws:iam::000000000000:user/curfew, account 000000000000, from nowhere: an emulator takes any keys
    ok    clock          in sync with AWS
    ok    instances      2 found, 1 managed
    skip  permissions    not checked: emulators permit everything and may ignore dry runs
    skip  stack          not needed: `daemon.driver` is `daemon`
    fail  daemon         not running; without it no passes run, because `daemon.driver` is `daemon`
                         → run `systemctl enable --now curfew` or `curfew run`
    ");
    assert_eq!(told.stderr, "error: 1 of 8 checks failed\n");
    assert_eq!(told.code, 1);

    // A daemon holds this lock for as long as it runs.
    let lock = std::fs::File::create(cloud.directory.path().join("journal.lock")).unwrap();
    lock.lock().unwrap();
    let told = cloud.run(&ALONE);
    assert_eq!(told.code, 0, "{told:?}");
    let daemon = told.stdout.lines().last().unwrap();
    let process = format!("ok    daemon         process {}, ", std::process::id());
    assert!(daemon.starts_with(&process), "{daemon}");
    assert!(daemon.contains("readiness not checked"), "{daemon}");
    assert_reads_only(&cloud);
}

/// Answers whoever asks whether it is ready, once, and says what was asked.
fn answering(listener: TcpListener, answer: &'static str) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = String::new();
        BufReader::new(&stream).read_line(&mut asked).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        asked
    })
}

#[test]
fn a_daemon_that_runs_is_asked_whether_it_is_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let cloud = cloud_with([], &format!("metrics = \"{address}\""));
    let lock = std::fs::File::create(cloud.directory.path().join("journal.lock")).unwrap();
    lock.lock().unwrap();
    let daemon = |cloud: &Cloud| {
        let told = cloud.run(&ALONE);
        let lines = told.stdout.lines();
        let lines: Vec<&str> = lines
            .skip_while(|line| !line.contains("daemon  "))
            .collect();
        (told.code, lines.join("\n"))
    };

    let unready = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n\
                   no pass has been made yet\nthe journal can't be written\n";
    let asked = answering(listener.try_clone().unwrap(), unready);
    let (code, told) = daemon(&cloud);
    assert!(asked.join().unwrap().starts_with("GET /readyz "));
    assert_eq!(code, 1);
    assert!(told.starts_with("fail "), "{told}");
    let reasons = "; not ready: no pass has been made yet; the journal can't be written\n";
    assert!(told.contains(reasons), "{told}");
    assert!(told.ends_with("`journalctl -u curfew`"), "{told}");

    let ready = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nready\n";
    let asked = answering(listener, ready);
    let (code, told) = daemon(&cloud);
    asked.join().unwrap();
    assert_eq!(code, 0);
    assert!(
        told.starts_with("ok ") && told.ends_with("; ready"),
        "{told}"
    );

    let (code, told) = daemon(&cloud);
    assert_eq!(code, 0, "a warning: it may serve its metrics nowhere");
    let silent = format!("; did not respond to /readyz at {address}\n");
    assert!(
        told.starts_with("warn ") && told.contains(&silent),
        "{told}"
    );
}

#[test]
fn programs_get_a_document() {
    let cloud = cloud([Launch::new("web").tag("Schedule", "strict")]);
    let told = cloud.run(&["doctor", "-o", "json"]);
    assert_eq!(told.code, 1);
    let document = told.json();
    let checks = document["checks"].as_array().unwrap();
    let verdicts: Vec<String> = checks
        .iter()
        .map(|check| {
            let text = |key: &str| check[key].as_str().unwrap();
            format!("{} {}", text("check"), text("verdict"))
        })
        .collect();
    assert_eq!(
        verdicts,
        [
            "configuration ok",
            "endpoint ok",
            "credentials ok",
            "clock ok",
            "instances ok",
            "permissions skip",
            "stack skip",
            "daemon fail"
        ]
    );
    assert!(checks[7]["hint"].as_str().unwrap().contains("systemctl"));
}

#[test]
fn what_is_broken_is_named_with_what_to_do() {
    let cloud = cloud([]);
    cloud.ec2.deny(Denial::of(ApiAction::DescribeInstances));
    let told = cloud.run(&ALONE);
    assert_eq!(told.code, 1);
    assert_snapshot!(line(&told, "instances"), @"
    fail  instances      0 found, 0 managed; 1 of 1 accounts and regions failed: `ec2:DescribeInstances` was denied: You are not authorized to perform this operation. User: arn:aws:iam::000000000000:user/curfew is not authorized to perform: ec2:DescribeInstances on resource: * because no identity-based policy allows the ec2:DescribeInstances action
                         → grant this action to the role or user; docs/iam.md lists what Curfew needs and why
    ");

    cloud
        .ec2
        .reject_credentials("000000000000", CredentialFault::ExpiredToken);
    let told = cloud.run(&ALONE);
    assert_eq!(told.code, 1);
    assert_snapshot!(line(&told, "credentials"), @"
    fail  credentials    `sts:GetCallerIdentity` found its credentials expired: The security token included in the request is expired
                         → renew the credentials, for example with `aws sso login`
    ");
    assert_eq!(
        line(&told, "instances"),
        "skip  instances      not checked: no valid credentials\n"
    );
    assert_reads_only(&cloud);

    std::fs::write(
        cloud.directory.path().join("curfew.toml"),
        "[stack]\nnam = 1",
    )
    .unwrap();
    let told = cloud.run(&ALONE);
    assert_eq!(told.code, 2);
    let text = &told.stdout;
    assert!(
        text.starts_with("fail  configuration  1 problem in the configuration:\n"),
        "{text}"
    );
    assert!(
        text.contains("\n                       curfew.toml: `stack.nam`: "),
        "{text}"
    );
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn an_endpoint_that_is_not_there_is_said_to_be() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("curfew.toml");
    std::fs::write(&file, "[daemon]\ndriver = \"daemon\"\n").unwrap();
    command.env_clear().env("CURFEW_CONFIG", &file);
    // Nobody has this port.
    command.args(["--endpoint-url", "http://127.0.0.1:1", "doctor"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("fail  endpoint       http://127.0.0.1:1, us-east-1 does not respond:"),
        "{text}"
    );
    assert!(
        text.contains("skip  credentials    not checked: the endpoint does not respond"),
        "{text}"
    );
}

/// The line of a check, and what to do about it.
fn line(told: &Told, check: &str) -> String {
    let lines: Vec<&str> = told.stdout.lines().collect();
    let at = lines
        .iter()
        .position(|line| line[4..].trim_start().starts_with(check));
    let at = at.unwrap_or_else(|| panic!("no {check} in {told:?}"));
    let more = lines[at + 1..].iter();
    let more = more.take_while(|line| line.starts_with(' '));
    let all = std::iter::once(&lines[at]).chain(more);
    all.flat_map(|line| [*line, "\n"]).collect()
}

fn assert_reads_only(cloud: &Cloud) {
    let calls = cloud.ec2.calls();
    assert!(!calls.is_empty());
    for call in calls {
        let reads = call.name.starts_with("Describe") || call.name == "GetCallerIdentity";
        assert!(reads, "{}", call.name);
    }
}
