//! The embedded emulator and everything that is deployed into it, for real: each test runs an emulator of its own, on a port and
//! with a state of its own, and leaves no process behind.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_cloudformation::types::{StackStatus, Tag};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use curfew::deploy::{self, Auth, DeployError, Deployment, Reach, Removed};
use curfew::emulator::{Emulator, EmulatorError, cache_directory, demo};
use curfew::progress::Silent;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::rules::{StackName, WakeUpRule};
use curfew_core::timetable::{Action, WakeUp};
use tempfile::TempDir;

/// An emulator with a state of its own.
struct Lab {
    emulator: Emulator,
    state: TempDir,
    port: u16,
}

impl Lab {
    async fn open() -> Self {
        let state = tempfile::tempdir().unwrap();
        // Until the emulator has it, somebody else might take it; then the test says so.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let emulator = start(state.path(), port).await.unwrap();
        Self {
            emulator,
            state,
            port,
        }
    }

    async fn restarted(self) -> Self {
        self.emulator.stop().await.unwrap();
        let emulator = start(self.state.path(), self.port).await.unwrap();
        Self { emulator, ..self }
    }

    async fn close(self) {
        let group = processes_in(self.state.path());
        assert!(
            !group.is_empty(),
            "the emulator's processes are known by their directory"
        );
        self.emulator.stop().await.unwrap();
        assert_eq!(processes_in(self.state.path()), [0; 0]);
    }

    /// A connection, and the names of the calls made over it.
    async fn connect(&self) -> (Connection, Calls) {
        let mut conn = Connection::open(ConnectOptions {
            endpoint: Some(self.emulator.endpoint()),
            region: Some("eu-west-3".to_owned()),
            ..ConnectOptions::default()
        })
        .await
        .unwrap();
        let calls = Calls::default();
        let recording = Recording {
            inner: conn.sdk.http_client().unwrap(),
            calls: calls.clone(),
        };
        conn.sdk = conn
            .sdk
            .into_builder()
            .http_client(SharedHttpClient::new(recording))
            .build();
        (conn, calls)
    }
}

async fn start(state: &Path, port: u16) -> Result<Emulator, EmulatorError> {
    let cache = cache_directory().expect("tests have a home or a cache directory");
    let installed = Emulator::provision(&cache, "python3", &Silent).await?;
    Emulator::start(&installed, state, port, &Silent).await
}

/// The processes that work in this directory or below: the emulator and its functions.
fn processes_in(directory: &Path) -> Vec<u32> {
    let directory = directory.canonicalize().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            let works_in = fs::read_link(process.path().join("cwd"));
            works_in.is_ok_and(|path| path.starts_with(&directory))
        })
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

/// The calls made, and which will not be let through.
#[derive(Clone, Debug, Default)]
struct Calls(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    calls: Vec<String>,
    cut: Option<Cut>,
}

/// After so many calls none gets through any more, as if the program had been killed.
#[derive(Clone, Copy, Debug)]
enum Cut {
    AfterCalls(usize),
    AfterWriting(usize),
}

impl Calls {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    fn cut(&self, cut: Option<Cut>) {
        self.0.lock().unwrap().cut = cut;
    }

    fn note(&self, call: String) -> Result<(), ConnectorError> {
        let mut recorded = self.0.lock().unwrap();
        match &mut recorded.cut {
            Some(Cut::AfterCalls(0)) => return Err(ConnectorError::user("cut off".into())),
            Some(Cut::AfterCalls(left)) => *left -= 1,
            Some(Cut::AfterWriting(0)) if is_writing(&call) => {
                recorded.cut = Some(Cut::AfterCalls(0));
                return Err(ConnectorError::user("cut off".into()));
            }
            Some(Cut::AfterWriting(left)) => *left -= usize::from(is_writing(&call)),
            None => {}
        }
        recorded.calls.push(call);
        Ok(())
    }

    /// What was called that could change something.
    fn take_writing(&self) -> Vec<String> {
        let mut calls = self.take();
        assert!(!calls.is_empty(), "nothing was recorded");
        calls.retain(|call| is_writing(call));
        calls
    }
}

fn is_writing(call: &str) -> bool {
    let reading = ["Describe", "List", "Get", "GET "];
    !reading.iter().any(|verb| call.starts_with(verb))
}

/// The SDK's own client, and a note of each call.
#[derive(Clone, Debug)]
struct Recording {
    inner: SharedHttpClient,
    calls: Calls,
}

impl HttpClient for Recording {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(RecordingConnector {
            inner: self.inner.http_connector(settings, components),
            calls: self.calls.clone(),
        })
    }
}

#[derive(Debug)]
struct RecordingConnector {
    inner: SharedHttpConnector,
    calls: Calls,
}

impl HttpConnector for RecordingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match self.calls.note(name_of(&request)) {
            Ok(()) => self.inner.call(request),
            Err(cut) => HttpConnectorFuture::ready(Err(cut)),
        }
    }
}

/// By the protocol: a header (SSM, EventBridge), a form (CloudFormation, STS, EC2), or method and path (S3).
fn name_of(request: &HttpRequest) -> String {
    if let Some(target) = request.headers().get("x-amz-target") {
        return target.rsplit('.').next().unwrap_or(target).to_owned();
    }
    let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
    match body.strip_prefix("Action=") {
        Some(rest) => rest.split('&').next().unwrap_or_default().to_owned(),
        None => format!("{} {}", request.method(), request.uri()),
    }
}

fn rule(stack: &StackName, action: Action, expression: &str) -> WakeUpRule {
    let wake_up = WakeUp {
        action,
        expression: expression.to_owned(),
    };
    WakeUpRule::for_schedule(stack, &"office".parse().unwrap(), &wake_up)
}

fn deployment(stack: &str) -> Deployment {
    let stack: StackName = stack.parse().unwrap();
    Deployment {
        auth: Auth::None,
        cors_origin: None,
        request_limit: 100,
        settings_document: r#"{"schedules":{}}"#.to_owned(),
        rules: vec![
            rule(&stack, Action::Start, "cron(0 6 ? * MON-FRI *)"),
            rule(&stack, Action::Stop, "cron(0 18 ? * MON-FRI *)"),
            WakeUpRule::heartbeat(&stack, "rate(5 minutes)"),
        ],
        reach: Reach {
            tag: "Schedule".to_owned(),
            ..Reach::default()
        },
        // Any executable of this machine can be deployed; what the Lambda does is tested elsewhere. This one is small.
        permissions_boundary: None,
        lambda_zip: Some("/bin/sh".into()),
        stack,
    }
}

#[tokio::test]
async fn deploying_twice_changes_nothing_and_destroying_leaves_nothing() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let mut wanted = deployment("demo");
    let stack = wanted.stack.clone();

    let first = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let api = format!("{}/restapis/{}/prod", lab.emulator.endpoint(), first.api_id);
    assert_eq!(first.api_url, format!("{api}/_user_request_"));
    assert_eq!(first.function, "curfew-demo");
    assert!(first.queue_url.ends_with("/curfew-demo-state-changes"));
    assert_eq!(first.rules.len(), 3, "{:?}", first.rules);
    assert!(
        calls
            .take_writing()
            .contains(&"ExecuteChangeSet".to_owned())
    );

    assert_eq!(deploy::outputs(&conn, &stack).await.unwrap(), first);
    let second = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(second, first);
    assert_eq!(calls.take_writing(), [""; 0]);

    // What is kept over a stop is the same to the last id.
    let lab = lab.restarted().await;
    let third = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(third, first);
    assert_eq!(calls.take_writing(), [""; 0]);

    // A changed schedule replaces its rule and touches nothing else.
    wanted.rules[1] = rule(&stack, Action::Stop, "cron(0 19 ? * MON-FRI *)");
    let changed = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(
        calls.take_writing(),
        ["PutRule", "PutTargets", "RemoveTargets", "DeleteRule"]
    );
    assert!(changed.rules.contains(&wanted.rules[1].name));
    assert_ne!(changed.rules, first.rules);
    assert_eq!(changed.api_url, first.api_url);

    // Other access is another stack, with the same ids.
    wanted.auth = Auth::Token(format!("alice={}", "0f".repeat(32)).parse().unwrap());
    let preview = deploy::preview(&conn, &wanted, &Silent).await.unwrap();
    let function = |change: &&deploy::change_set::ResourceChange| change.resource == "Function";
    assert_eq!(
        preview
            .resources
            .iter()
            .find(function)
            .map(|c| c.action.as_str()),
        Some("Modify"),
        "{preview:?}"
    );
    assert!(!preview.code && !preview.settings && preview.rules.is_empty());
    let secured = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(secured, changed);

    let removed = deploy::destroy(&conn, &stack, &Silent).await.unwrap();
    assert_eq!(removed.rules, changed.rules);
    assert_eq!(removed.stack, Some(stack.clone()));
    assert_eq!(
        removed.bucket.as_deref(),
        Some("curfew-demo-000000000000-eu-west-3")
    );
    assert_eq!(removed.parameters, ["/curfew/demo/settings"]);
    assert!(matches!(
        deploy::outputs(&conn, &stack).await,
        Err(DeployError::NotDeployed { .. })
    ));
    let again = deploy::destroy(&conn, &stack, &Silent).await.unwrap();
    assert_eq!(again, Removed::default());
    lab.close().await;
}

/// Settings that one parameter does not hold, even compressed.
fn large_settings(first: u64) -> String {
    let mut noise = first;
    let accounts = (0..500).map(|_| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let id = (noise >> 20) % 1_000_000_000_000;
        format!(r#"{{"id":"{id:012}","role_arn":"arn:aws:iam::{id:012}:role/x","regions":["eu-west-3"]}}"#)
    });
    let accounts: Vec<_> = accounts.collect();
    format!(r#"{{"schedules":{{}},"account":[{}]}}"#, accounts.join(","))
}

#[tokio::test]
async fn large_settings_are_switched_at_once_and_leave_no_parts_behind() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let mut wanted = deployment("demo");
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let ssm = aws_sdk_ssm::Client::new(&conn.sdk);
    let parameters = async || {
        let answer = ssm.get_parameters_by_path().path("/curfew").recursive(true);
        let answer = answer.send().await.unwrap();
        let parameters = answer.parameters.unwrap_or_default();
        parameters
            .into_iter()
            .map(|one| (one.name.unwrap(), one.value.unwrap()))
            .collect::<BTreeMap<_, _>>()
    };
    let small = parameters().await;
    assert_eq!(small.len(), 1);

    wanted.settings_document = large_settings(1);
    calls.take();
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let large = parameters().await;
    let parts = large.len() - 1;
    assert!(parts > 1, "{:?}", large.keys());
    assert_eq!(calls.take_writing(), vec!["PutParameter"; parts + 1]);
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(calls.take_writing(), [""; 0]);

    // Cut off before the last call, the Lambda still reads what it read before.
    wanted.settings_document = large_settings(2);
    calls.cut(Some(Cut::AfterWriting(parts)));
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap_err();
    calls.cut(None);
    let between = parameters().await;
    assert!(
        large
            .iter()
            .all(|(name, value)| between.get(name) == Some(value))
    );
    assert_eq!(between.len(), 1 + 2 * parts);

    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let after = parameters().await;
    assert_eq!(after.len(), 1 + parts);
    assert_ne!(
        after["/curfew/demo/settings"],
        large["/curfew/demo/settings"]
    );
    let removed = deploy::destroy(&conn, &wanted.stack, &Silent)
        .await
        .unwrap();
    assert_eq!(removed.parameters, after.into_keys().collect::<Vec<_>>());
    assert_eq!(parameters().await.len(), 0);
    lab.close().await;
}

#[tokio::test]
async fn a_deployment_or_removal_cut_off_anywhere_is_completed_by_the_next() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    let count = async |whole: bool| {
        calls.take();
        if whole {
            deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
        } else {
            deploy::destroy(&conn, &wanted.stack, &Silent)
                .await
                .unwrap();
        }
        calls.take().len()
    };
    let (to_deploy, to_destroy) = (count(true).await, count(false).await);

    for cut in 0..to_deploy {
        calls.cut(Some(Cut::AfterCalls(cut)));
        let cut_off = deploy::deploy(&conn, &wanted, &Silent).await;
        calls.cut(None);
        // Watching the stack takes more calls at one time than at another.
        if cut < to_deploy / 2 {
            cut_off.unwrap_err();
        }
        let whole = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
        assert_eq!(whole.rules.len(), 3, "cut after {cut} calls");
        calls.take();
        deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
        assert_eq!(calls.take_writing(), [""; 0], "cut after {cut} calls");

        calls.cut(Some(Cut::AfterCalls(cut % to_destroy)));
        let _cut_off = deploy::destroy(&conn, &wanted.stack, &Silent).await;
        calls.cut(None);
        deploy::destroy(&conn, &wanted.stack, &Silent)
            .await
            .unwrap();
        let again = deploy::destroy(&conn, &wanted.stack, &Silent).await;
        assert_eq!(again.unwrap(), Removed::default(), "cut after {cut} calls");
    }
    lab.close().await;
}

#[tokio::test]
async fn what_a_failed_deployment_left_is_replaced() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let wanted = deployment("demo");
    let cloudformation = aws_sdk_cloudformation::Client::new(&conn.sdk);
    let leave = async |template: &str| {
        let mark = Tag::builder().key("curfew:stack").value("demo").build();
        let stack = cloudformation.create_stack().stack_name("demo");
        let stack = stack.template_body(template).tags(mark);
        stack.send().await.unwrap();
        loop {
            let answer = cloudformation.describe_stacks().stack_name("demo").send();
            let status = answer.await.unwrap().stacks()[0].stack_status().cloned();
            match status {
                Some(StackStatus::CreateInProgress | StackStatus::RollbackInProgress) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                status => break status.unwrap(),
            }
        }
    };

    // Two buckets can't have one name.
    let bucket = r#"{"Type":"AWS::S3::Bucket","Properties":{"BucketName":"taken"}}"#;
    let template = format!(r#"{{"Resources":{{"A":{bucket},"B":{bucket}}}}}"#);
    let status = leave(&template).await;
    assert_eq!(status, StackStatus::RollbackComplete);
    let outputs = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(
        deploy::outputs(&conn, &wanted.stack).await.unwrap(),
        outputs
    );
    deploy::destroy(&conn, &wanted.stack, &Silent)
        .await
        .unwrap();

    // Complete, it says, and is not.
    let status = leave(r#"{"Resources":{"Q":{"Type":"AWS::SQS::Queue"}}}"#).await;
    assert_eq!(status, StackStatus::CreateComplete);
    let error = deploy::outputs(&conn, &wanted.stack).await.unwrap_err();
    assert!(matches!(error, DeployError::Incomplete { .. }), "{error}");
    let outputs = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(
        deploy::outputs(&conn, &wanted.stack).await.unwrap(),
        outputs
    );
    lab.close().await;
}

#[tokio::test]
async fn two_stacks_with_names_that_begin_alike_leave_each_other_alone() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let (short, long) = (deployment("a"), deployment("a-b"));
    deploy::deploy(&conn, &long, &Silent).await.unwrap();
    deploy::deploy(&conn, &short, &Silent).await.unwrap();
    let before = deploy::outputs(&conn, &long.stack).await.unwrap();
    deploy::destroy(&conn, &short.stack, &Silent).await.unwrap();
    assert_eq!(deploy::outputs(&conn, &long.stack).await.unwrap(), before);
    lab.close().await;
}

#[tokio::test]
async fn a_stack_of_somebody_else_is_not_touched() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let template = r#"{"Resources":{"Q":{"Type":"AWS::SQS::Queue"}}}"#;
    aws_sdk_cloudformation::Client::new(&conn.sdk)
        .create_stack()
        .stack_name("shop")
        .template_body(template)
        .send()
        .await
        .unwrap();
    let wanted = deployment("shop");
    calls.take();
    let refused = deploy::deploy(&conn, &wanted, &Silent).await.unwrap_err();
    assert!(
        matches!(refused, DeployError::ForeignStack { .. }),
        "{refused}"
    );
    let refused = deploy::destroy(&conn, &wanted.stack, &Silent)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, DeployError::ForeignStack { .. }),
        "{refused}"
    );
    assert_eq!(calls.take_writing(), [""; 0]);
    lab.close().await;
}

#[tokio::test]
async fn the_demo_fleet_is_launched_once() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    assert_eq!(
        demo::launch(&conn).await.unwrap(),
        ["web-1", "batch-1", "lab-1"]
    );
    assert_eq!(demo::launch(&conn).await.unwrap(), [""; 0]);
    let lab = lab.restarted().await;
    assert_eq!(demo::launch(&conn).await.unwrap(), [""; 0]);
    lab.close().await;
}

#[tokio::test]
async fn a_port_or_a_state_that_is_taken_is_said_to_be() {
    let lab = Lab::open().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let error = start(elsewhere.path(), port).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("port {port} is taken by another program")
    );
    assert!(error.hint().contains(&format!("--port {}", port + 1)));
    let error = start(lab.state.path(), lab.port).await.unwrap_err();
    assert!(
        matches!(error, EmulatorError::AlreadyRunning { .. }),
        "{error}"
    );
    lab.close().await;
}

#[tokio::test]
async fn nobodys_credentials_reach_the_emulator() {
    let lab = Lab::open().await;
    for process in processes_in(lab.state.path()) {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap();
        let names = environment
            .split(|byte| *byte == 0)
            .filter_map(|variable| variable.split(|byte| *byte == b'=').next())
            .map(String::from_utf8_lossy);
        let aws: Vec<_> = names.filter(|name| name.starts_with("AWS_")).collect();
        assert_eq!(aws, ["AWS_ENDPOINT_URL"]);
    }
    lab.close().await;
}

fn kill(process: u32) {
    let killed = Command::new("kill")
        .args(["-KILL", &process.to_string()])
        .status();
    assert!(killed.unwrap().success());
}

/// Not a test: the process that the next one kills.
#[tokio::test]
#[ignore = "waits to be killed; run by `an_emulator_does_not_outlive_a_curfew_that_is_killed`"]
async fn hold_an_emulator() {
    let state = std::env::var_os("CURFEW_TEST_STATE").unwrap();
    let port = std::env::var("CURFEW_TEST_PORT").unwrap().parse().unwrap();
    let mut emulator = start(Path::new(&state), port).await.unwrap();
    emulator.ended().await.unwrap();
}

#[tokio::test]
async fn an_emulator_does_not_outlive_a_curfew_that_is_killed() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let wanted = deployment("demo");
    let before = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let Lab {
        emulator,
        state,
        port,
    } = lab;
    emulator.stop().await.unwrap();

    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hold_an_emulator", "--ignored"])
        .env("CURFEW_TEST_STATE", state.path())
        .env("CURFEW_TEST_PORT", port.to_string())
        .spawn()
        .unwrap();
    wait_until("the emulator is up", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    })
    .await;
    kill(holder.id());
    holder.wait().unwrap();
    wait_until("the emulator has ended", || {
        processes_in(state.path()).is_empty()
    })
    .await;

    // It was asked to end and not killed, so what was deployed is there again.
    let emulator = start(state.path(), port).await.unwrap();
    let after = deploy::outputs(&conn, &wanted.stack).await.unwrap();
    assert_eq!(after, before);
    emulator.stop().await.unwrap();
}

async fn wait_until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..300 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited 30 s, and still not: {what}");
}

#[tokio::test]
async fn an_emulator_that_dies_is_noticed() {
    let mut lab = Lab::open().await;
    let [process] = processes_in(lab.state.path())[..] else {
        panic!("an idle emulator is one process")
    };
    kill(process);
    assert!(!lab.emulator.ended().await.unwrap().success());
    lab.emulator.stop().await.unwrap();
    assert_eq!(processes_in(lab.state.path()), [0; 0]);
}
