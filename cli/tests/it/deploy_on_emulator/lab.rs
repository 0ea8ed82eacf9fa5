//! An emulator for one test, a connection to it that notes its calls and can be cut off, and something to deploy.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::progress::Silent;
use curfew_aws::rules::TriggerRule;
use curfew_core::stack_name::StackName;
use curfew_deploy::{
    Auth, Belongings, DeployError, Deployment, InstanceTags, Outputs, Overlap, Reach,
};
use curfew_emulator::{Emulator, EmulatorError, cache_directory};
use curfew_model::SdkCallRecorder;
use tempfile::TempDir;

/// An emulator with a state of its own.
pub(crate) struct Lab {
    pub(crate) emulator: Emulator,
    pub(crate) state: TempDir,
    pub(crate) port: u16,
}

impl Lab {
    pub(crate) async fn open() -> Self {
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

    /// The same state at another port.
    pub(crate) async fn moved(self) -> Self {
        self.emulator.stop().await.unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        assert_ne!(port, self.port);
        let emulator = start(self.state.path(), port).await.unwrap();
        Self {
            emulator,
            port,
            ..self
        }
    }

    /// A connection, and the names of the calls made over it.
    pub(crate) async fn connect(&self) -> (Connection, SdkCallRecorder) {
        self.connect_to("eu-west-3").await
    }

    /// The same to another region.
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

/// The program itself, in a folder with configuration for `demo`: a schedule with two edges. Nothing of the environment reaches it.
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

/// The processes that work in this directory or below: the emulator and its functions.
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
        reach: Reach {
            tag: "Schedule".to_owned(),
            ..Reach::default()
        },
        permissions_boundary: None,
        // Any executable of this machine can be deployed; what the Lambda does is tested elsewhere. This one is small.
        lambda_zip: Some("/bin/sh".into()),
        overlap: Overlap::Refused,
        stack,
    }
}

/// One beside which there may be others in the same region.
pub(crate) fn beside_others(stack: &str) -> Deployment {
    Deployment {
        overlap: Overlap::Allowed,
        ..deployment(stack)
    }
}

/// A client of S3, for the deployments' buckets.
pub(crate) fn s3(conn: &Connection) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(&conn.sdk).force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

/// What is in the bucket of the stack `demo`; none if there is no bucket.
pub(crate) async fn keys(conn: &Connection) -> Option<Vec<String>> {
    let objects = s3(conn).list_objects_v2().bucket(BUCKET).send().await;
    let objects = objects.ok()?.contents.unwrap_or_default();
    Some(objects.into_iter().filter_map(|one| one.key).collect())
}

/// The bucket of the stack `demo`.
pub(crate) const BUCKET: &str = "curfew-demo-000000000000-eu-west-3";

/// Deploys it, which works.
pub(crate) async fn deploy(conn: &Connection, wanted: &Deployment) -> Outputs {
    curfew_deploy::deploy(conn, wanted, &Silent).await.unwrap()
}

/// Removes a deployment, and leaves instances as they are.
pub(crate) async fn destroy(
    conn: &Connection,
    stack: &StackName,
) -> Result<Belongings, DeployError> {
    curfew_deploy::destroy(conn, stack, InstanceTags::Keep, &Silent).await
}

/// What there is of a deployment, without its instances.
pub(crate) async fn belongings(conn: &Connection, stack: &StackName) -> Belongings {
    curfew_deploy::belongings(conn, stack, InstanceTags::Keep)
        .await
        .unwrap()
}

/// Every instance's state and tags' keys.
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

/// Writes Curfew's tags onto every instance.
pub(crate) async fn remember(conn: &Connection) {
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
