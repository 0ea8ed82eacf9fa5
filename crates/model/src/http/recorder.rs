//! Records the calls of an SDK, to any endpoint, and can block them: for tests against emulators, which offer neither.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// The recorded calls of a client, such as `ec2:DescribeInstances`.
#[derive(Clone, Debug, Default)]
pub struct SdkCallRecorder(Arc<Mutex<RecorderState>>);

#[derive(Debug, Default)]
struct RecorderState {
    calls: Vec<String>,
    cut: Option<Cut>,
    refusing: Option<Refusing>,
}

/// After this many calls, every further call fails, as if the program had been killed.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Counts all calls.
    AfterCalls(usize),
    /// Counts calls that may change something. Reads succeed until the next of these.
    AfterWriting(usize),
}

/// Returns the response to a refused call, or `None` to let it through.
pub type Refusing = fn(&HttpRequest) -> Option<HttpResponse>;

impl SdkCallRecorder {
    /// Wraps a client and records each call, retries included.
    pub fn around(&self, inner: SharedHttpClient) -> SharedHttpClient {
        SharedHttpClient::new(Recording {
            inner,
            recorder: self.clone(),
        })
    }

    /// Returns the calls so far.
    pub fn calls(&self) -> Vec<String> {
        self.recorded().calls.clone()
    }

    /// Returns the calls so far and clears them.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.recorded().calls)
    }

    /// Returns the permissions that the calls need.
    pub fn permissions(&self) -> BTreeSet<String> {
        let recorded = self.recorded();
        recorded.calls.iter().map(|call| permission(call)).collect()
    }

    /// Returns the calls that may change something: all but those that describe, list or get.
    pub fn writing(&self) -> Vec<String> {
        let mut calls = self.calls();
        calls.retain(|call| is_writing(call));
        calls
    }

    /// Returns the calls that may change something, and clears all calls.
    ///
    /// # Panics
    ///
    /// If no call was recorded.
    pub fn take_writing(&self) -> Vec<String> {
        let mut calls = self.take();
        assert!(!calls.is_empty(), "nothing was recorded");
        calls.retain(|call| is_writing(call));
        calls
    }

    /// Blocks the client from now on, or unblocks it. Blocked calls are not recorded.
    pub fn cut(&self, cut: Option<Cut>) {
        self.recorded().cut = cut;
    }

    /// Refuses calls from now on. They are recorded as `ec2:DescribeInstances (refused)`.
    pub fn refuse(&self, refusing: Refusing) {
        self.recorded().refusing = Some(refusing);
    }

    /// Records a call, and returns a response if it is blocked or refused.
    fn record_reason(&self, request: &HttpRequest) -> Option<Result<HttpResponse, ConnectorError>> {
        let mut recorded = self.recorded();
        let mut call = name_of(request);
        let cut_off = || Some(Err(ConnectorError::user("cut off".into())));
        match &mut recorded.cut {
            Some(Cut::AfterCalls(0)) => return cut_off(),
            Some(Cut::AfterCalls(left)) => *left -= 1,
            Some(Cut::AfterWriting(0)) if is_writing(&call) => {
                recorded.cut = Some(Cut::AfterCalls(0));
                return cut_off();
            }
            Some(Cut::AfterWriting(left)) => *left -= usize::from(is_writing(&call)),
            None => {}
        }
        let refusal = recorded.refusing.and_then(|refusing| refusing(request));
        if refusal.is_some() {
            call += " (refused)";
        }
        recorded.calls.push(call);
        refusal.map(Ok)
    }

    fn recorded(&self) -> MutexGuard<'_, RecorderState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a call may change something.
pub fn is_writing(call: &str) -> bool {
    let reading = ["Describe", "List", "Get", "Simulate"];
    let (_, name) = call.split_once(':').expect("a call is SERVICE:Name");
    !reading.iter().any(|verb| name.starts_with(verb))
}

/// Returns the permission of a call, where its name differs (*Actions, resources, and condition keys for Amazon S3*, *…
/// Amazon SQS*).
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
    recorder: SdkCallRecorder,
}

impl HttpClient for Recording {
    fn http_connector(
        &self,
        configuration: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(RecordingConnector {
            inner: self.inner.http_connector(configuration, components),
            recorder: self.recorder.clone(),
        })
    }
}

#[derive(Debug)]
struct RecordingConnector {
    inner: SharedHttpConnector,
    recorder: SdkCallRecorder,
}

impl HttpConnector for RecordingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match self.recorder.record_reason(&request) {
            Some(answer) => HttpConnectorFuture::ready(answer),
            None => self.inner.call(request),
        }
    }
}

/// Names a call by the scope of its signature (`KEY/DATE/REGION/SERVICE/aws4_request`) and its protocol: a header (SSM,
/// EventBridge, SQS), a form (CloudFormation, STS, EC2, IAM), or method and path (S3).
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
    // The host, the bucket, and possibly a key: path style, which emulators use.
    let of_bucket = path.trim_end_matches('/').split('/').count() <= 2;
    let of_tags = query.split('&').any(|pair| pair.starts_with("tagging"));
    let operation = match (request.method(), of_bucket) {
        ("GET", true) if of_tags => "GetBucketTagging",
        ("PUT", true) if of_tags => "PutBucketTagging",
        ("DELETE", true) if of_tags => "DeleteBucketTagging",
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
