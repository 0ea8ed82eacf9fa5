//! A measured program: started as Lambda starts it, invoked, and stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::runtime_api::{Moment, RuntimeApi};

/// The token of the deployed stack.
const TOKEN: &str = "correct horse battery staple";
const TOKEN_SHA256: &str = "c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a";

/// A program and its environment.
#[derive(Clone)]
pub struct Subject {
    /// The name in the table.
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<PathBuf>,
    /// The value of `AWS_CA_BUNDLE`.
    pub bundle: Option<PathBuf>,
}

/// The measurements of one run.
pub struct Run {
    /// From start to the first request for an event.
    pub ready: Duration,
    /// From start to the first response.
    pub answered: Duration,
    /// CPU time until then.
    pub busy: Duration,
    /// From event to response, for each later event.
    pub warm: Vec<Duration>,
    /// The peak memory in bytes.
    pub peak: u64,
}

impl Subject {
    /// Runs the program under callgrind, which counts its instructions into `account`.
    pub fn counted(&self, account: &Path) -> Self {
        let mut option = std::ffi::OsString::from("--callgrind-out-file=");
        option.push(account);
        Self {
            program: "valgrind".into(),
            arguments: vec![
                "--quiet".into(),
                "--tool=callgrind".into(),
                option.into(),
                self.program.clone(),
            ],
            ..self.clone()
        }
    }

    /// Starts it, invokes it once, and then `warm` times.
    pub async fn run(&self, cloud: &Cloud, fleet: usize, warm: usize) -> Run {
        let mut api = RuntimeApi::serve().await;
        let event = event();
        let described = cloud.described();
        api.send(&event);
        let began = Instant::now();
        let program = Running(self.start(cloud, &api));
        let Moment::Requested(requested) = api.next().await else {
            panic!("{} responded without an event", self.name);
        };
        let ready = requested - began;
        let answered = self.answer(&mut api, fleet).await - began;
        let busy = program.busy();
        let mut run = Run {
            ready,
            answered,
            busy,
            warm: Vec::new(),
            peak: 0,
        };
        for _ in 0..warm {
            assert!(matches!(api.next().await, Moment::Requested(_)));
            let sent = Instant::now();
            api.send(&event);
            run.warm.push(self.answer(&mut api, fleet).await - sent);
        }
        run.peak = program.peak();
        assert_eq!(
            cloud.described() - described,
            1 + warm,
            "{} calls EC2 for every response",
            self.name
        );
        run
    }

    fn start(&self, cloud: &Cloud, api: &RuntimeApi) -> Child {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TZ", ":UTC")
            .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "curfew-curfew")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/curfew-curfew")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/23/[$LATEST]5bef4de7")
            .env("_HANDLER", "bootstrap")
            .env("AWS_REGION", "eu-west-3")
            .env("AWS_DEFAULT_REGION", "eu-west-3")
            .env("AWS_ACCESS_KEY_ID", "ASIAIOSFODNN7EXAMPLE")
            .env(
                "AWS_SECRET_ACCESS_KEY",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            )
            .env("AWS_SESSION_TOKEN", "IQoJb3JpZ2luX2VjE".repeat(50))
            .env("AWS_ENDPOINT_URL", &cloud.endpoint)
            .env("CURFEW_CONFIGURATION_PARAMETER", "/curfew/curfew/configuration")
            .env("CURFEW_AUTH", "token")
            .env("CURFEW_TOKENS", format!("token={TOKEN_SHA256}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(bundle) = &self.bundle {
            command.env("AWS_CA_BUNDLE", bundle);
        }
        command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()))
    }

    /// Waits for a response and checks it.
    async fn answer(&self, api: &mut RuntimeApi, fleet: usize) -> Instant {
        let (at, answer) = match api.next().await {
            Moment::Answered(at, answer) => (at, answer),
            Moment::Failed(why) => panic!("{}: {}", self.name, String::from_utf8_lossy(&why)),
            Moment::Requested(_) => panic!("{} requested an event before it responded", self.name),
        };
        let envelope: Value = serde_json::from_slice(&answer).expect("answers are JSON");
        assert_eq!(envelope["statusCode"], 200, "{}: {envelope}", self.name);
        let body = envelope["body"].as_str().expect("the body is text");
        let status: Value = serde_json::from_str(body).expect("it is JSON");
        let instances = status["instances"].as_array().expect("they are listed");
        assert_eq!(instances.len(), fleet, "{}", self.name);
        at
    }
}

/// A running program, which is stopped when dropped.
struct Running(Child);

impl Running {
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        1024 * kibibytes
            .and_then(|text| text.parse::<u64>().ok())
            .expect("Linux says so")
    }

    /// Returns the CPU time of its threads.
    fn busy(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("it runs");
        threads
            .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
            .filter_map(|line| line.split(' ').next()?.parse().ok())
            .map(Duration::from_nanos)
            .sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Terminated, not killed, since callgrind writes its profile at exit. It may have exited already.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// An event of `GET /status` from API Gateway's REST proxy.
fn event() -> Bytes {
    let headers = json!({
        "Accept": "application/json", "Accept-Encoding": "gzip", "Authorization": format!("Bearer {TOKEN}"),
        "Host": "a1b2c3d4e5.execute-api.eu-west-3.amazonaws.com", "User-Agent": "curl/8.5.0",
        "X-Amzn-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700", "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https",
    });
    let many: serde_json::Map<String, Value> = headers
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), json!([value])))
        .collect();
    let event = json!({
        "resource": "/{proxy+}", "path": "/status", "httpMethod": "GET",
        "headers": headers, "multiValueHeaders": many,
        "queryStringParameters": null, "multiValueQueryStringParameters": null,
        "pathParameters": {"proxy": "status"}, "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012", "apiId": "a1b2c3d4e5", "httpMethod": "GET", "path": "/prod/status",
            "domainName": "a1b2c3d4e5.execute-api.eu-west-3.amazonaws.com", "domainPrefix": "a1b2c3d4e5",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": "curl/8.5.0"}, "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "requestTimeEpoch": 1_795_407_075_221_u64,
            "resourceId": "1mvwmmxgb7", "resourcePath": "/{proxy+}", "stage": "prod",
        },
        "body": null, "isBase64Encoded": false,
    });
    event.to_string().into()
}
