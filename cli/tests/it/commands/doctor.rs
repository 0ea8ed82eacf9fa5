//! `curfew doctor` against the model: its output, its exit code, and that it changes nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread::JoinHandle;

use curfew_model::{ApiAction, CredentialFault, Denial, Launch};
use insta::assert_snapshot;

use crate::commands::cloud::{Cloud, CommandResult};

/// Without a Lambda: the model has no CloudFormation.
const ALONE: [&str; 1] = ["doctor"];

fn cloud(launches: impl IntoIterator<Item = Launch>) -> Cloud {
    // The daemon's default port may be in use on this machine.
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

/// The output without the folder, the port and the latency, which differ from run to run.
fn lines(cloud: &Cloud, output: &CommandResult) -> String {
    let folder = cloud.directory.path().to_str().unwrap().to_owned();
    let mut text = String::new();
    for line in output.stdout.lines() {
        let line = line.replace(&folder, "…");
        let line = match line.split_once("http://127.0.0.1:") {
            Some((before, rest)) => format!(
                "{before}http://127.0.0.1:…{}",
                &rest[rest.find(',').unwrap()..]
            ),
            None => line,
        };
        text += &line;
        text.push('\n');
    }
    text
}

#[test]
fn a_healthy_fleet_without_a_daemon_has_a_short_report() {
    let cloud = cloud([
        Launch::new("web").tag("Schedule", "strict"),
        Launch::new("stray"),
    ]);
    let output = cloud.run(&ALONE);
    assert_snapshot!(lines(&cloud, &output), @"
    1 check failed

    ok    configuration  `…/curfew.toml`: 3 schedules
    ok    endpoint       http://127.0.0.1:…, us-east-1
    ok    credentials    arn:aws:iam::000000000000:user/curfew, account 000000000000, from nowhere: an emulator takes any keys
    ok    clock          in sync with AWS
    ok    instances      2 found, 1 managed
    ok    tags           every tag `Schedule` has a schedule
    skip  permissions    not checked: emulators permit everything and may ignore dry runs
    skip  stack          not needed: `daemon.driver` is `daemon`
    fail  daemon         not running; without it no passes run, because `daemon.driver` is `daemon`
                         → run `systemctl enable --now curfew` or `curfew run`
    ");
    assert_eq!(output.stderr, "error: 1 of 9 checks failed\n");
    assert_eq!(output.code, 1);

    // A daemon holds this lock for as long as it runs.
    let lock = std::fs::File::create(cloud.directory.path().join("journal.lock")).unwrap();
    lock.lock().unwrap();
    let output = cloud.run(&ALONE);
    assert_eq!(output.code, 0, "{output:?}");
    let daemon = output.stdout.lines().last().unwrap();
    let process = format!("ok    daemon         process {}, ", std::process::id());
    assert!(daemon.starts_with(&process), "{daemon}");
    assert!(daemon.contains("readiness not checked"), "{daemon}");
    assert_reads_only(&cloud);
}

/// Responds to one request in a thread, and returns the request line.
fn answering(listener: TcpListener, answer: &'static str) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        request
    })
}

#[test]
fn the_readiness_of_a_running_daemon_is_checked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let cloud = cloud_with([], &format!("metrics = \"{address}\""));
    let lock = std::fs::File::create(cloud.directory.path().join("journal.lock")).unwrap();
    lock.lock().unwrap();
    let daemon = |cloud: &Cloud| {
        let output = cloud.run(&ALONE);
        let lines = output.stdout.lines();
        let lines: Vec<&str> = lines
            .skip_while(|line| !line.contains("daemon  "))
            .collect();
        (output.code, lines.join("\n"))
    };

    let unready = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n\
                   no pass has run yet\nthe journal can't be written\n";
    let request = answering(listener.try_clone().unwrap(), unready);
    let (code, output) = daemon(&cloud);
    assert!(request.join().unwrap().starts_with("GET /readyz "));
    assert_eq!(code, 1);
    assert!(output.starts_with("fail "), "{output}");
    let reasons = "; not ready: no pass has run yet; the journal can't be written\n";
    assert!(output.contains(reasons), "{output}");
    assert!(output.ends_with("`journalctl -u curfew`"), "{output}");

    let ready = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nready\n";
    let request = answering(listener, ready);
    let (code, output) = daemon(&cloud);
    request.join().unwrap();
    assert_eq!(code, 0);
    assert!(
        output.starts_with("ok ") && output.ends_with("; ready"),
        "{output}"
    );

    let (code, output) = daemon(&cloud);
    assert_eq!(code, 0, "a warning: it may serve its metrics nowhere");
    let silent = format!("; did not respond to /readyz at {address}\n");
    assert!(
        output.starts_with("warn ") && output.contains(&silent),
        "{output}"
    );
}

#[test]
fn the_json_report_lists_every_check() {
    let cloud = cloud([Launch::new("web").tag("Schedule", "strict")]);
    let output = cloud.run(&["doctor", "-o", "json"]);
    assert_eq!(output.code, 1);
    let document = output.json();
    let checks = document["checks"].as_array().unwrap();
    let verdicts: Vec<String> = checks
        .iter()
        .map(|check| {
            let text = |key: &str| check[key].as_str().unwrap();
            format!("{} {}", text("check"), text("result"))
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
            "tags ok",
            "permissions skip",
            "stack skip",
            "daemon fail"
        ]
    );
    assert!(checks[8]["hint"].as_str().unwrap().contains("systemctl"));
}

#[test]
fn failed_checks_have_hints() {
    let cloud = cloud([]);
    cloud.ec2.deny(Denial::of(ApiAction::DescribeInstances));
    let output = cloud.run(&ALONE);
    assert_eq!(output.code, 1);
    assert_snapshot!(line(&output, "instances"), @"
    fail  instances      0 found, 0 managed; 1 of 1 accounts and regions failed: `ec2:DescribeInstances` was denied: You are not authorized to perform this operation. User: arn:aws:iam::000000000000:user/curfew is not authorized to perform: ec2:DescribeInstances on resource: * because no identity-based policy allows the ec2:DescribeInstances action
                         → grant this action to the role or user; docs/reference/iam.md lists what Curfew needs and why
    ");

    cloud
        .ec2
        .reject_credentials("000000000000", CredentialFault::ExpiredToken);
    let output = cloud.run(&ALONE);
    assert_eq!(output.code, 1);
    assert_snapshot!(line(&output, "credentials"), @"
    fail  credentials    `sts:GetCallerIdentity` found its credentials expired: The security token included in the request is expired
                         → renew the credentials, for example with `aws sso login`
    ");
    assert_eq!(
        line(&output, "instances"),
        "skip  instances      not checked: no valid credentials\n"
    );
    assert_reads_only(&cloud);

    std::fs::write(
        cloud.directory.path().join("curfew.toml"),
        "[stack]\nnam = 1",
    )
    .unwrap();
    let output = cloud.run(&ALONE);
    assert_eq!(output.code, 2);
    let text = &output.stdout;
    assert!(
        text.starts_with("1 check failed\n\nfail  configuration  1 error in the configuration\n"),
        "{text}"
    );
    assert!(
        text.contains("\n\ncurfew.toml:2:1: error: `stack.nam`: "),
        "{text}"
    );
    assert_eq!(text.lines().count(), 10, "{text}");
}

#[test]
fn an_unreachable_endpoint_fails_its_check() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("curfew.toml");
    std::fs::write(&file, "[daemon]\ndriver = \"daemon\"\n").unwrap();
    command.env_clear().env("CURFEW_CONFIG", &file);
    // No process listens at port 1.
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

#[test]
fn mistagged_instances_come_first_with_the_command_that_corrects_them() {
    let cloud = cloud([
        Launch::new("web-1").tag("Schedule", "Strict"),
        Launch::new("web-2").tag("Schedule", "Strict"),
        Launch::new("db").tag("schedule", "night"),
        Launch::new("batch").tag("Schedule", "weekend"),
        Launch::new("fine").tag("Schedule", "strict"),
        Launch::new("backup").tag("schedule", "daily-snapshot"),
    ]);
    let output = cloud.run(&ALONE);
    let mut text = output
        .stdout
        .replace(&cloud.endpoint(), "http://127.0.0.1:…");
    for name in ["web-1", "web-2", "db", "batch"] {
        text = text.replace(&cloud.id(name).to_string(), &format!("i-{name}"));
    }
    let tags: Vec<&str> = text
        .lines()
        .take_while(|line| !line.contains("configuration"))
        .collect();
    assert_snapshot!(tags.join("\n"), @"
    1 check failed, 1 warning

    warn  tags           4 instances have no schedule because of a mistake in the tags
          web-1 (i-web-1), web-2 (i-web-2) in us-east-1 of 000000000000:
          the tag `Schedule` names the schedule `Strict`, which does not exist: upper and lower case matter, it is `strict`
          $ aws ec2 create-tags --endpoint-url http://127.0.0.1:… --region us-east-1 --resources i-web-1 i-web-2 --tags Key=Schedule,Value=strict
          batch (i-batch) in us-east-1 of 000000000000:
          the tag `Schedule` names the schedule `weekend`, which does not exist: there is `night`, `strict`, `year`
          $ aws ec2 create-tags --endpoint-url http://127.0.0.1:… --region us-east-1 --resources i-batch --tags Key=Schedule,Value=NAME
          db (i-db) in us-east-1 of 000000000000:
          the tag `schedule` has the value `night`, but only the tag `Schedule` counts
          $ aws ec2 create-tags --endpoint-url http://127.0.0.1:… --region us-east-1 --resources i-db --tags Key=Schedule,Value=night
                         → run the commands, or correct the tags in the tool that sets them
    ");

    let output = cloud.run(&["doctor", "-o", "json"]);
    let document = output.json();
    let check = &document["checks"][0];
    assert_eq!(
        (&check["check"], &check["result"]),
        (&"tags".into(), &"warn".into())
    );
    let groups = check["mistagged"].as_array().unwrap();
    let codes: Vec<_> = groups
        .iter()
        .map(|group| group["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["unknown_schedule", "unknown_schedule", "wrong_key"]);
    assert_eq!(groups[0]["instances"].as_array().unwrap().len(), 2);
    assert_reads_only(&cloud);
}

/// The line of a check and its hint.
fn line(output: &CommandResult, check: &str) -> String {
    let lines: Vec<&str> = output.stdout.lines().collect();
    let at = lines.iter().position(|line| {
        line.get(4..)
            .is_some_and(|rest| rest.trim_start().starts_with(check))
    });
    let at = at.unwrap_or_else(|| panic!("no {check} in {output:?}"));
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
