//! An emulator for one test, a connection to it that records its calls and can be cut off, and a deployment.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::progress::Silent;
use curfew_aws::rules::TriggerRule;
use curfew_core::stack_name::StackName;
use curfew_deploy::{
    Auth, DeployError, Deployment, InstanceTags, LambdaRolePolicy, Outputs, OverlapPolicy,
    StackResources,
};
use curfew_emulator::{Emulator, EmulatorError, cache_directory};
use curfew_model::SdkCallRecorder;
use tempfile::TempDir;

/// An emulator with a separate state directory.
pub(crate) struct Lab {
    pub(crate) emulator: Emulator,
    pub(crate) state: TempDir,
    pub(crate) port: u16,
}

impl Lab {
    pub(crate) async fn open() -> Self {
        let state = tempfile::tempdir().unwrap();
        let port = free_port();
        let emulator = start(state.path(), port).await.unwrap();
        Self {
            emulator,
            state,
            port,
        }
    }

    pub(crate) async fn restarted(self) -> Self {
        self.emulator.stop().await.unwrap();
        let emulator = start(self.state.path(), self.port).await.unwrap();
        Self { emulator, ..self }
    }

    pub(crate) async fn close(self) {
        let group = processes_in(self.state.path());
        assert!(
            !group.is_empty(),
            "the emulator's processes are known by their directory"
        );
        self.emulator.stop().await.unwrap();
        assert_eq!(processes_in(self.state.path()), [0; 0]);
    }

    /// Restarts the emulator with the same state at another port.
    pub(crate) async fn moved(self) -> Self {
        self.emulator.stop().await.unwrap();
        let port = free_port();
        assert_ne!(port, self.port);
        let emulator = start(self.state.path(), port).await.unwrap();
        Self {
            emulator,
            port,
            ..self
        }
    }

    /// Opens a connection that records its calls.
    pub(crate) async fn connect(&self) -> (Connection, SdkCallRecorder) {
        self.connect_to("eu-west-3").await
    }

    /// Opens a connection to this region that records its calls.
    pub(crate) async fn connect_to(&self, region: &str) -> (Connection, SdkCallRecorder) {
        let mut conn = Connection::open(ConnectOptions {
            endpoint: Some(self.emulator.endpoint()),
            region: Some(region.to_owned()),
            ..ConnectOptions::default()
        })
        .await
        .unwrap();
        let calls = SdkCallRecorder::default();
        let http = calls.around(conn.sdk.http_client().unwrap());
        conn.sdk = conn.sdk.into_builder().http_client(http).build();
        (conn, calls)
    }
}

/// Returns a port that is free now. If another process takes it before the emulator, the test fails.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Returns a command for the executable with an empty environment, in a folder with a configuration of `demo`: a schedule with two edges.
pub(crate) fn curfew(folder: &Path, arguments: &[&str]) -> Command {
    const CONFIGURATION: &str = "[stack]\nname = \"demo\"\n[schedules.office]\ntimezone = \"UTC\"\nrunning = \"Mon-Fri 08:00-20:00\"\n";
    fs::write(folder.join("curfew.toml"), CONFIGURATION).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
    command
        .args(["--config", "curfew.toml"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("CURFEW__DAEMON__STATE_DIR", folder);
    command
}

pub(crate) async fn start(state: &Path, port: u16) -> Result<Emulator, EmulatorError> {
    let cache = cache_directory().expect("tests have a home or a cache directory");
    let installed = Emulator::provision(&cache, "python3", &Silent).await?;
    Emulator::start(&installed, state, port, &Silent).await
}

/// Returns the processes with a working directory in `directory`: the emulator and its functions.
pub(crate) fn processes_in(directory: &Path) -> Vec<u32> {
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

pub(crate) fn rule(stack: &StackName, expression: &str) -> TriggerRule {
    TriggerRule::for_edges(stack, expression, vec!["office".parse().unwrap()])
}

pub(crate) fn deployment(stack: &str) -> Deployment {
    let stack: StackName = stack.parse().unwrap();
    Deployment {
        auth: Auth::None,
        cors_origin: None,
        request_limit: 100,
        configuration_document: r#"{"schedules":{}}"#.to_owned(),
        rules: vec![
            rule(&stack, "cron(0 6 ? * MON-FRI *)"),
            rule(&stack, "cron(0 18 ? * MON-FRI *)"),
            TriggerRule::heartbeat(&stack, "rate(5 minutes)"),
        ],
        lambda_role_policy: LambdaRolePolicy {
            tag: "Schedule".to_owned(),
            ..LambdaRolePolicy::default()
        },
        permissions_boundary: None,
        // Any small executable of this machine can be deployed; other tests run the Lambda.
        lambda_zip: Some("/bin/sh".into()),
        overlap: OverlapPolicy::Refuse,
        stack,
    }
}

/// Writes an executable of this machine, with another content for each version, and returns its path.
pub(crate) fn executable(folder: &Path, version: u8) -> PathBuf {
    let mut content = fs::read("/bin/sh").unwrap();
    content.push(version);
    let path = folder.join(format!("bootstrap-{version}"));
    fs::write(&path, content).unwrap();
    path
}

/// Returns a deployment that accepts others in the same region.
pub(crate) fn overlapping(stack: &str) -> Deployment {
    Deployment {
        overlap: OverlapPolicy::Allow,
        ..deployment(stack)
    }
}

/// Returns an S3 client for the deployments' buckets.
pub(crate) fn s3(conn: &Connection) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(&conn.sdk).force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

/// Returns the keys in the bucket of the stack `demo`; none if there is no bucket.
pub(crate) async fn keys(conn: &Connection) -> Option<Vec<String>> {
    let objects = s3(conn).list_objects_v2().bucket(BUCKET).send().await;
    let objects = objects.ok()?.contents.unwrap_or_default();
    Some(objects.into_iter().filter_map(|one| one.key).collect())
}

/// The bucket of the stack `demo`.
pub(crate) const BUCKET: &str = "curfew-demo-000000000000-eu-west-3";

/// Deploys, which must succeed.
pub(crate) async fn deploy(conn: &Connection, wanted: &Deployment) -> Outputs {
    curfew_deploy::deploy(conn, wanted, &Silent).await.unwrap()
}

/// Removes a deployment, and keeps the state tags.
pub(crate) async fn destroy(
    conn: &Connection,
    stack: &StackName,
) -> Result<StackResources, DeployError> {
    curfew_deploy::destroy(conn, stack, InstanceTags::Keep, &Silent).await
}

/// Returns the resources of a deployment, without its instances.
pub(crate) async fn stack_resources(conn: &Connection, stack: &StackName) -> StackResources {
    curfew_deploy::stack_resources(conn, stack, InstanceTags::Keep)
        .await
        .unwrap()
}

/// Returns the state and the tag keys of every instance.
pub(crate) async fn fleet(conn: &Connection) -> BTreeMap<String, (String, Vec<String>)> {
    let ec2 = aws_sdk_ec2::Client::new(&conn.sdk);
    let answer = ec2.describe_instances().send().await.unwrap();
    let instances = answer.reservations.unwrap_or_default().into_iter();
    let instances = instances.flat_map(|one| one.instances.unwrap_or_default());
    instances
        .map(|instance| {
            let tags = instance.tags().iter().filter_map(|tag| tag.key());
            let mut keys: Vec<_> = tags.map(str::to_owned).collect();
            keys.sort_unstable();
            let state = instance.state().and_then(|state| state.name()).unwrap();
            let id = instance.instance_id().unwrap().to_owned();
            (id, (state.as_str().to_owned(), keys))
        })
        .collect()
}

/// Writes state tags to every instance.
pub(crate) async fn write_state_tags(conn: &Connection) {
    let ids = fleet(conn).await.into_keys().collect();
    let ec2 = aws_sdk_ec2::Client::new(&conn.sdk);
    let tag = |key: &str, value: &str| {
        aws_sdk_ec2::types::Tag::builder()
            .key(key)
            .value(value)
            .build()
    };
    ec2.create_tags()
        .set_resources(Some(ids))
        .tags(tag(
            "curfew:last",
            "2026-11-23T19:00:00Z stop schedule office",
        ))
        .tags(tag(
            "curfew:override",
            "running since 2026-11-23T12:00:00Z until 2026-11-24T19:00:00Z by alice",
        ))
        .send()
        .await
        .unwrap();
}
