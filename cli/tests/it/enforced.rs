//! The deployed function where the emulator enforces IAM (`AUTH=true`): keys, signatures, and from the function's role the
//! rights to the parameter, the queue, describing, starting and stopping. The emulator evaluates no conditions on tags or
//! tag keys and denies such calls: that shows that it enforces policies, and how a function without the right to write state
//! tags behaves. The Lambda's tests check those conditions with a policy evaluator.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Sandbox, test_fleet};
use aws_sdk_cloudformation::types::{Capability, Parameter, Stack, StackStatus};
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, Target};
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::progress::Silent;
use curfew_emulator::{Emulator, cache_directory, demo};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Long enough for a machine that is busy building.
const LIMIT: Duration = Duration::from_mins(1);

/// An emulator that enforces IAM, unlike the one of `curfew up`.
struct Enforcing {
    child: Child,
    endpoint: String,
    directory: TempDir,
}

impl Enforcing {
    async fn start() -> Self {
        let cache = cache_directory().expect("tests have a home or a cache directory");
        Emulator::provision(&cache, "python3", &Silent)
            .await
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let endpoint = format!("http://127.0.0.1:{port}");
        let child = Command::new(cache.join("emulator/bin/python"))
            .args(["-m", "ministack"])
            .current_dir(directory.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", directory.path())
            .env("TMPDIR", directory.path())
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("AWS_ENDPOINT_URL", &endpoint)
            .env("AUTH", "true")
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let emulator = Self {
            child,
            endpoint,
            directory,
        };
        let health = format!("{}/_ministack/health", emulator.endpoint);
        let since = Instant::now();
        while Sandbox::fetch("GET", &health, "", "").0 != 200 {
            assert!(since.elapsed() < LIMIT, "the emulator does not come up");
            sleep(Duration::from_millis(100)).await;
        }
        emulator
    }

    fn curfew(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_curfew"))
            .env_clear()
            .env("HOME", self.directory.path())
            .current_dir(self.directory.path())
            .args(["--endpoint-url", &self.endpoint, "--region", "eu-west-3"])
            .args(arguments)
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {message}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Enforcing {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
        // Warm functions are child processes of the emulator and outlive it.
        for process in crate::support::processes_in(self.directory.path()) {
            let _ended = Command::new("kill").args(["-KILL", &process]).status();
        }
    }
}

/// Returns the status of a response, and the code and message of its error.
fn request(method: &str, api: &str, what: &str) -> (u16, String) {
    let (status, body) = Sandbox::fetch(method, &format!("{api}/{what}"), "", "");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let text = |key: &str| answer["error"][key].as_str().unwrap_or_default();
    (
        status,
        [text("code"), text("message")].join(" ").trim().to_owned(),
    )
}

async fn deployed(cloudformation: &aws_sdk_cloudformation::Client) -> Stack {
    let described = cloudformation.describe_stacks().stack_name("curfew");
    let described = described.send().await.unwrap();
    described.stacks.unwrap().remove(0)
}

/// Adds a rule by which events of this test trigger the function.
async fn connect_trigger(events: &aws_sdk_eventbridge::Client, function: &str) {
    let rule = events.put_rule().name("bell");
    let rule = rule.event_pattern(r#"{"source":["bell"]}"#);
    rule.send().await.unwrap();
    let target = Target::builder()
        .id("function")
        .arn(function)
        .input(r#"{"command":"wake"}"#)
        .build()
        .unwrap();
    let targets = events.put_targets().rule("bell").targets(target);
    targets.send().await.unwrap();
}

async fn trigger(events: &aws_sdk_eventbridge::Client) {
    let event = PutEventsRequestEntry::builder()
        .source("bell")
        .detail_type("ring")
        .detail("{}")
        .build();
    let rung = events.put_events().entries(event).send().await.unwrap();
    assert_eq!(rung.failed_entry_count(), 0, "{rung:?}");
}

/// Two schedules that want a stop at all times except one minute a year. One of them is enforced, and manages the demo's
/// `batch-1`.
const CONFIGURATION: &str = "
[schedules.office]
timezone = 'UTC'
start = '0 0 1 1 *'
stop = '1 0 1 1 *'
[schedules.night-stop]
timezone = 'UTC'
start = '0 0 1 1 *'
stop = '1 0 1 1 *'
enforce = true
[stack]
heartbeat = 'off'
[api]
auth = 'none'
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emulator_enforces_the_role_of_the_function() {
    let emulator = Enforcing::start().await;
    let conn = Connection::open(ConnectOptions {
        endpoint: Some(emulator.endpoint.clone()),
        region: Some("eu-west-3".to_owned()),
        ..ConnectOptions::default()
    })
    .await
    .unwrap();
    demo::launch(&conn, &test_fleet()).await.unwrap();
    std::fs::write(emulator.directory.path().join("curfew.toml"), CONFIGURATION).unwrap();
    let outputs = emulator.curfew(&["--config", "curfew.toml", "deploy", "-o", "json"]);
    let outputs: serde_json::Value = serde_json::from_str(&outputs).unwrap();
    let api = outputs["api_url"].as_str().unwrap();

    let good = (200, String::new());
    assert_eq!(request("GET", api, "status"), good);
    let instance = |schedule: &str| {
        let url = format!("{api}/status?schedule={schedule}");
        let (_, body) = Sandbox::fetch("GET", &url, "", "");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        let text = |key: &str| answer["instances"][0][key].as_str().unwrap().to_owned();
        (text("id"), text("state"))
    };
    let state = |schedule: &str| instance(schedule).1;
    let denied = |action: &str, (status, message): (u16, String)| {
        let wanted = format!("`ec2:{action}` was denied");
        assert!(
            status == 403 && message.contains(&wanted),
            "{status} {message}"
        );
    };
    // A request is written to a tag before it is executed: if the write fails, nothing is executed.
    for schedule in ["office", "night-stop"] {
        let stop = format!("stop?schedule={schedule}");
        denied("CreateTags", request("POST", api, &stop));
        assert_eq!(state(schedule), "running");
    }

    // A pass through the queue: an enforced schedule acts without state tags, any other does not.
    let events = aws_sdk_eventbridge::Client::new(&conn.sdk);
    let cloudformation = aws_sdk_cloudformation::Client::new(&conn.sdk);
    let stack = deployed(&cloudformation).await;
    let mut outputs = stack.outputs().iter();
    let function = outputs.find(|output| output.output_key() == Some("FunctionArn"));
    let function = function.and_then(|output| output.output_value()).unwrap();
    connect_trigger(&events, function).await;
    let since = Instant::now();
    trigger(&events).await;
    while state("night-stop") != "stopped" {
        assert!(since.elapsed() < LIMIT, "stopping is not granted");
        sleep(Duration::from_millis(100)).await;
    }
    let usual = since.elapsed();
    assert_eq!(state("office"), "running");

    // With the policy for AWS, whose conditions on tags never match in this emulator.
    let parameters = stack.parameters().iter().map(|parameter| {
        let key = parameter.parameter_key().unwrap();
        let value = match key {
            "FleetPolicy" => "",
            _ => parameter.parameter_value().unwrap(),
        };
        Parameter::builder()
            .parameter_key(key)
            .parameter_value(value)
            .build()
    });
    cloudformation
        .update_stack()
        .stack_name("curfew")
        .template_body(include_str!("../../../crates/deploy/src/stack.yaml"))
        .set_parameters(Some(parameters.collect()))
        .capabilities(Capability::CapabilityIam)
        .send()
        .await
        .unwrap();
    let since = Instant::now();
    loop {
        let stack = deployed(&cloudformation).await;
        if stack.stack_status() == Some(&StackStatus::UpdateComplete) {
            break;
        }
        assert!(since.elapsed() < LIMIT, "{:?}", stack.stack_status());
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        request("GET", api, "status"),
        good,
        "describing has no condition"
    );
    let ec2 = aws_sdk_ec2::Client::new(&conn.sdk);
    let (batch, _) = instance("night-stop");
    let start = ec2.start_instances().instance_ids(batch);
    start.send().await.unwrap();
    assert_eq!(state("night-stop"), "running");
    trigger(&events).await;
    // A pass without the right to stop the instance has no visible effect.
    sleep(usual * 3 + Duration::from_secs(3)).await;
    assert_eq!(state("night-stop"), "running");
}
