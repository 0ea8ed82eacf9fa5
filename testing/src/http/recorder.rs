//! Which calls an SDK makes, wherever they go: for tests against emulators, which don't tell.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// The calls that went through a client, as `ec2:DescribeInstances`.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    /// A client that does what `inner` does and notes each call, retries included.
    pub fn around(&self, inner: SharedHttpClient) -> SharedHttpClient {
        SharedHttpClient::new(Recording {
            inner,
            recorder: self.clone(),
        })
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<String> {
        self.noted().clone()
    }

    /// The permissions that these calls take.
    pub fn permissions(&self) -> BTreeSet<String> {
        let calls = self.noted();
        calls.iter().map(|call| permission(call)).collect()
    }

    /// Those of the calls that may change something: all but what only describes, lists or gets.
    pub fn writing(&self) -> Vec<String> {
        let reading = ["Describe", "List", "Get", "Simulate"];
        let mut calls = self.calls();
        calls.retain(|call| {
            let (_, name) = call.split_once(':').expect("a call is SERVICE:Name");
            !reading.iter().any(|verb| name.starts_with(verb))
        });
        calls
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permission behind a call, where its name differs (*Actions, resources, and condition keys for Amazon S3*, *… Amazon SQS*).
fn permission(call: &str) -> String {
    match call {
        "s3:ListObjectsV2" => "s3:ListBucket",
        "s3:DeleteObjects" => "s3:DeleteObject",
        "sqs:SendMessageBatch" => "sqs:SendMessage",
        "sqs:DeleteMessageBatch" => "sqs:DeleteMessage",
        other => other,
    }
    .to_owned()
}

#[derive(Debug)]
struct Recording {
    inner: SharedHttpClient,
    recorder: Recorder,
}

impl HttpClient for Recording {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(RecordingConnector {
            inner: self.inner.http_connector(settings, components),
            recorder: self.recorder.clone(),
        })
    }
}

#[derive(Debug)]
struct RecordingConnector {
    inner: SharedHttpConnector,
    recorder: Recorder,
}

impl HttpConnector for RecordingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.recorder.noted().push(name_of(&request));
        self.inner.call(request)
    }
}

/// By the signature's scope (`KEY/DATE/REGION/SERVICE/aws4_request`) and the protocol: a header (SSM, EventBridge, SQS), a form
/// (CloudFormation, STS, EC2, IAM), or method and path (S3).
fn name_of(request: &HttpRequest) -> String {
    let scope = request.headers().get("authorization").unwrap_or_default();
    let service = scope.split('/').nth(3).unwrap_or("unsigned");
    if let Some(target) = request.headers().get("x-amz-target") {
        return format!("{service}:{}", target.rsplit('.').next().unwrap_or(target));
    }
    let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
    if let Some(rest) = body.strip_prefix("Action=") {
        return format!("{service}:{}", rest.split('&').next().unwrap_or_default());
    }
    let (path, query) = request.uri().split_once('?').unwrap_or((request.uri(), ""));
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    // The host, the bucket, and perhaps a key: the path style, as emulators are spoken to.
    let of_bucket = path.trim_end_matches('/').split('/').count() <= 2;
    let operation = match (request.method(), of_bucket) {
        ("GET", true) => "ListObjectsV2",
        ("GET", false) => "GetObject",
        ("PUT", true) => "CreateBucket",
        ("PUT", false) => "PutObject",
        ("POST", true) if query.contains("delete") => "DeleteObjects",
        ("DELETE", true) => "DeleteBucket",
        (method, _) => panic!("what is {method} {}?", request.uri()),
    };
    format!("{service}:{operation}")
}
