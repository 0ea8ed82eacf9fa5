//! Compares the calls made without their SDKs with the same calls of the SDKs, made or recorded: on the wire there is no
//! difference.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::time::StaticTimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::fleet::{Fleet, Scope};
use curfew_aws::parameter::{ParameterEditor, ParameterStore};
use curfew_aws::queue::{FifoMessage, Queue};
use curfew_aws::topic::{Topic, TopicMessage};
use curfew_core::account_regions::TargetAccount;
use curfew_core::instance::AccountId;

/// A request to a service: the URL, the deterministic headers, and the body.
#[derive(Debug, PartialEq)]
struct Sent {
    url: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Records requests, and returns the given responses in turn, the last one forever.
#[derive(Clone, Debug)]
struct Service {
    status: u16,
    answers: Vec<&'static str>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Service {
    fn answering(status: u16, body: &'static str) -> Self {
        Self {
            status,
            answers: vec![body],
            sent: Arc::default(),
        }
    }

    fn answering_in_turn(bodies: &[&'static str]) -> Self {
        Self {
            status: 200,
            answers: bodies.to_vec(),
            sent: Arc::default(),
        }
    }

    /// The first request.
    fn first(&self) -> Option<Sent> {
        let mut sent = self.sent.lock().unwrap();
        (!sent.is_empty()).then(|| sent.remove(0))
    }

    fn connection(&self, region: &'static str) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        let keys = Credentials::new("AKIDEXAMPLE", "secret", Some("token".into()), None, "test");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_456_830);
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(region))
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .retry_config(RetryConfig::disabled())
            .time_source(StaticTimeSource::new(time))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build()
    }
}

impl HttpConnector for Service {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers = request.headers().iter().map(|(name, value)| {
            let value = match name {
                // The user agent differs by version; the invocation id is random, and so is the signature.
                "user-agent" | "x-amz-user-agent" | "amz-sdk-invocation-id" => "",
                "authorization" => value.split(", Signature=").next().unwrap(),
                _ => value,
            };
            (name.to_owned(), value.to_owned())
        });
        let mut sent = self.sent.lock().unwrap();
        let body = self.answers[sent.len().min(self.answers.len() - 1)];
        sent.push(Sent {
            url: request.uri().to_owned(),
            headers: headers.collect(),
            body: String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap(),
        });
        let answer = HttpResponse::new(self.status.try_into().unwrap(), SdkBody::from(body));
        HttpConnectorFuture::ready(Ok(answer))
    }
}

/// A connection with this configuration.
async fn connection(sdk: SdkConfig) -> Connection {
    let options = ConnectOptions {
        // No roots are read for it; the configuration has none.
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        region: sdk.region().map(ToString::to_string),
        ..ConnectOptions::default()
    };
    let mut connection = Connection::open(options).await.unwrap();
    connection.sdk = sdk;
    connection
}

const QUEUE: &str = "https://sqs.eu-west-3.amazonaws.com/123456789012/work";
const VALUE: &str = "{\"a\": \"é\"}\n";
const TOPIC: &str = "arn:aws:sns:eu-west-3:111122223333:curfew.fifo";
const ROLE: &str = "arn:aws:iam::111122223333:role/curfew+member";

/// The calls that both Curfew and the SDKs can make.
#[derive(Clone, Copy, Debug)]
enum Call {
    GetParameter,
    PutParameter,
    DeleteParameter,
    GetParametersByPath,
    SendMessageBatch,
    AssumeRole,
    Publish,
}

const CALLS: [Call; 7] = [
    Call::GetParameter,
    Call::PutParameter,
    Call::DeleteParameter,
    Call::GetParametersByPath,
    Call::SendMessageBatch,
    Call::AssumeRole,
    Call::Publish,
];

/// A message in its own group, with its own deduplication id.
fn message(body: &str) -> FifoMessage {
    FifoMessage {
        body: body.to_owned(),
        group: "own/eu-west-3".to_owned(),
        deduplication: format!("{}", body.len()),
    }
}

impl Call {
    async fn ours(self, sdk: SdkConfig) {
        self.by(&connection(sdk).await).await;
    }

    async fn by(self, connection: &Connection) {
        match self {
            Self::GetParameter => drop(ParameterStore::new(connection).value("/curfew/a b").await),
            Self::PutParameter => {
                let editor = ParameterEditor::new(connection);
                drop(editor.put("/curfew/a b", "schedules, é", VALUE).await);
            }
            Self::DeleteParameter => {
                drop(ParameterEditor::new(connection).delete("/curfew/a b").await);
            }
            Self::GetParametersByPath => {
                let editor = ParameterEditor::new(connection);
                drop(editor.names_below("/curfew/a b").await);
            }
            Self::SendMessageBatch => {
                let messages = ["{\"a\": 1}", "\"é\n"].map(message);
                drop(Queue::new(connection, QUEUE).send(&messages).await);
            }
            Self::AssumeRole => {
                let account = TargetAccount {
                    id: AccountId::new("111122223333"),
                    name: None,
                    role: ROLE.parse().unwrap(),
                    external_id: Some("a secret of two".to_owned()),
                    regions: Vec::new(),
                };
                let fleet = Fleet::new(&connection.into_account(&account));
                drop(fleet.observe(&Scope::All).await);
            }
            Self::Publish => {
                let message = TopicMessage {
                    subject: "Failure: é & b".to_owned(),
                    bodies: VALUE.to_owned(),
                    deduplication: Some("a1".to_owned()),
                };
                drop(Topic::new(connection, TOPIC).publish(&message).await);
            }
        }
    }

    /// The first request of the service's SDK, if it sends any. SSM's are recorded.
    async fn the_sdks(self, service: &Service, sdk: SdkConfig) -> Option<Sent> {
        match self {
            Self::GetParameter
            | Self::PutParameter
            | Self::DeleteParameter
            | Self::GetParametersByPath => return recorded::request(self, &sdk),
            Self::SendMessageBatch => {
                let entry = |id: &str, body: &str| {
                    let entry = aws_sdk_sqs::types::SendMessageBatchRequestEntry::builder();
                    let entry = entry.id(id).message_body(body);
                    let entry = entry.message_group_id("own/eu-west-3");
                    let entry = entry.message_deduplication_id(body.len().to_string());
                    entry.build().unwrap()
                };
                let call = aws_sdk_sqs::Client::new(&sdk).send_message_batch();
                let call = call.queue_url(QUEUE).entries(entry("0", "{\"a\": 1}"));
                drop(call.entries(entry("1", "\"é\n")).send().await);
            }
            Self::AssumeRole => {
                let call = aws_sdk_sts::Client::new(&sdk).assume_role();
                let call = call.role_arn(ROLE).role_session_name("curfew");
                drop(call.external_id("a secret of two").send().await);
            }
            Self::Publish => {
                let call = aws_sdk_sns::Client::new(&sdk).publish().topic_arn(TOPIC);
                let call = call.subject("Failure: é & b").message(VALUE);
                let call = call.message_structure("json").message_group_id("curfew");
                drop(call.message_deduplication_id("a1").send().await);
            }
        }
        service.first()
    }
}

#[tokio::test]
async fn each_call_is_counted_by_its_outcome() {
    for call in CALLS {
        let service = Service::answering(503, "");
        let connection = connection(service.connection("eu-west-3")).await;
        call.by(&connection).await;
        let counted: Vec<String> = connection
            .calls
            .counts()
            .iter()
            .map(|(call, count)| {
                let outcome = call.outcome.as_str();
                format!("{} {} {outcome} {count}", call.service, call.action)
            })
            .collect();
        let expected = match call {
            Call::GetParameter => vec!["SSM GetParameter failed 1"],
            Call::PutParameter => vec!["SSM PutParameter failed 1"],
            Call::DeleteParameter => vec!["SSM DeleteParameter failed 1"],
            Call::GetParametersByPath => vec!["SSM GetParametersByPath failed 1"],
            Call::SendMessageBatch => vec!["SQS SendMessageBatch failed 1"],
            Call::AssumeRole => vec![
                // For lack of credentials, it was never sent.
                "EC2 DescribeInstances unanswered 1",
                "STS AssumeRole failed 1",
            ],
            Call::Publish => vec!["SNS Publish failed 1"],
        };
        assert_eq!(counted, expected);
    }
}

/// What aws-sdk-ssm 1.133 sent for these calls, in `minimal_client/ssm.json`. The crate takes most of a minute to compile,
/// for four actions.
mod recorded {
    use std::collections::BTreeMap;

    use aws_config::SdkConfig;
    use serde::Deserialize;
    use serde_json::Value;

    use super::{Call, Sent};

    #[derive(Deserialize)]
    struct Recording {
        /// By action, in eu-west-3, as `Sent` has them; the body is JSON.
        requests: BTreeMap<String, Request>,
        /// By region: without FIPS and dual stack, with FIPS, with dual stack, with both. None where the SDK finds no
        /// endpoint.
        urls: BTreeMap<String, [Option<String>; 4]>,
    }

    #[derive(Deserialize)]
    struct Request {
        url: String,
        headers: BTreeMap<String, String>,
        body: Value,
    }

    pub(super) fn request(call: Call, sdk: &SdkConfig) -> Option<Sent> {
        let recording = include_str!("minimal_client/ssm.json");
        let mut recording: Recording = serde_json::from_str(recording).unwrap();
        let request = recording.requests.remove(&format!("{call:?}")).unwrap();
        let region = sdk.region().unwrap().to_string();
        let fips = sdk.use_fips().unwrap_or_default();
        let dual_stack = sdk.use_dual_stack().unwrap_or_default();
        let urls = &recording.urls[&region];
        if region == "eu-west-3" {
            assert_eq!(urls[0].as_ref(), Some(&request.url));
        }
        let url = urls[usize::from(fips) + 2 * usize::from(dual_stack)].clone()?;
        let body = request.body.to_string();
        let mut headers = request.headers;
        headers.insert("content-length".to_owned(), body.len().to_string());
        Some(Sent { url, headers, body })
    }
}

/// The meaning of JSON or a form, in any order.
fn meaning(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap_or_else(|_| {
        let pairs = body.split('&').map(|pair| pair.replace('+', "%20"));
        pairs
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect()
    })
}

#[tokio::test]
async fn a_call_is_the_same_as_the_sdks() {
    for call in CALLS {
        let service = Service::answering(500, "");
        let sdk = service.connection("eu-west-3");
        call.ours(sdk.clone()).await;
        let ours = service.first().unwrap();
        service.sent.lock().unwrap().clear();
        let theirs = call.the_sdks(&service, sdk).await.unwrap();
        assert_eq!(ours.url, theirs.url, "{call:?}");
        assert_eq!(meaning(&ours.body), meaning(&theirs.body), "{call:?}");
        let without_length = |sent: Sent| {
            let mut headers = sent.headers;
            let length: usize = headers.remove("content-length").unwrap().parse().unwrap();
            assert_eq!(length, sent.body.len());
            headers
        };
        assert_eq!(without_length(ours), without_length(theirs), "{call:?}");
    }
}

/// One region of each partition, those with exceptions in some SDK, and some that no SDK knows.
const REGIONS: [&str; 12] = [
    "us-east-1",
    "us-west-2",
    "eu-west-3",
    "ca-west-1",
    "eu-north-9",
    "cn-north-1",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "eu-isoe-west-1",
    "eusc-de-east-1",
    "moon-base-1",
];

#[tokio::test]
async fn endpoints_are_those_of_the_sdks() {
    for region in REGIONS {
        for (fips, dual_stack) in [(false, false), (true, false), (false, true), (true, true)] {
            for call in CALLS {
                let service = Service::answering(500, "");
                let sdk = service.connection(region).into_builder();
                let sdk = sdk.use_fips(fips).use_dual_stack(dual_stack).build();
                call.ours(sdk.clone()).await;
                let ours = service.first().map(|sent| sent.url);
                service.sent.lock().unwrap().clear();
                let theirs = call.the_sdks(&service, sdk).await;
                let theirs = theirs.map(|sent| sent.url);
                assert_eq!(ours, theirs, "{call:?} in {region}, {fips}, {dual_stack}");
            }
        }
    }
}

#[tokio::test]
async fn a_configured_endpoint_receives_all_calls() {
    for call in CALLS {
        let service = Service::answering(500, "");
        let sdk = service.connection("eu-west-3").into_builder();
        call.ours(sdk.endpoint_url("http://ec2.localhost:4566/below").build())
            .await;
        let url = service.first().unwrap().url;
        assert_eq!(url, "http://ec2.localhost:4566/below/", "{call:?}");
    }
}

/// The result of reading a parameter.
async fn told(service: &Service) -> Result<String, CloudError> {
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let sdk = service.connection("eu-west-3").into_builder();
    let connection = connection(sdk.retry_config(retries).build()).await;
    ParameterStore::new(&connection)
        .value("/curfew/configuration")
        .await
}

#[tokio::test]
async fn a_parameter_value_is_returned_unchanged() {
    let service = Service::answering(
        200,
        r#"{"Parameter": {"Name": "x", "Value": "{\"a\": 1}\n"}}"#,
    );
    assert_eq!(told(&service).await.unwrap(), "{\"a\": 1}\n");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_classified() {
    use CloudErrorKind as Kind;
    for (status, body, kind, code, calls) in [
        (
            400,
            r#"{"__type": "ParameterNotFound"}"#,
            Kind::NotFound,
            Some("ParameterNotFound"),
            1,
        ),
        (
            400,
            r#"{"__type": "com.amazon.coral.service#AccessDeniedException", "Message": "not authorized"}"#,
            Kind::Denied,
            Some("AccessDeniedException"),
            1,
        ),
        (
            400,
            r#"{"__type": "ExpiredTokenException"}"#,
            Kind::Expired,
            Some("ExpiredTokenException"),
            1,
        ),
        (
            400,
            r#"{"__type": "ThrottlingException"}"#,
            Kind::Throttled,
            Some("ThrottlingException"),
            3,
        ),
        (
            500,
            r#"{"__type": "InternalServerError"}"#,
            Kind::Service,
            Some("InternalServerError"),
            3,
        ),
        (502, "<html>Bad Gateway</html>", Kind::Service, None, 3),
        (403, "", Kind::Refused, None, 1),
        (
            200,
            r#"{"Parameter": {"Value": "{"#,
            Kind::Unreachable,
            None,
            3,
        ),
    ] {
        let service = Service::answering(status, body);
        let error = told(&service).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (kind, code), "{body}");
        assert_eq!(service.sent.lock().unwrap().len(), calls, "{body}");
        assert!(!error.message.is_empty(), "{body}");
    }
}

#[tokio::test]
async fn a_partially_accepted_batch_of_messages_is_a_failure() {
    for (status, body, expected) in [
        (200, r#"{"Successful": [{"Id": "0"}]}"#, None),
        (
            200,
            r#"{"Successful": [], "Failed": [{"Id": "0", "SenderFault": false, "Code": "InternalError", "Message": "try again"}]}"#,
            Some("`sqs:SendMessage` failed inside AWS: try again"),
        ),
        (
            200,
            r#"{"Failed": [{"Id": "0", "Code": "InternalError"}]}"#,
            Some("`sqs:SendMessage` failed inside AWS: InternalError"),
        ),
        (
            400,
            r#"{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such queue."}"#,
            Some("`sqs:SendMessage` was refused: no such queue"),
        ),
    ] {
        let service = Service::answering(status, body);
        let queue = Queue::new(&connection(service.connection("eu-west-3")).await, QUEUE);
        let told = queue.send(&[message("{}")]).await;
        assert_eq!(
            told.err().map(|error| error.to_string()).as_deref(),
            expected
        );
    }
}

/// An editor of parameters that retries.
async fn editor(service: &Service) -> ParameterEditor {
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let sdk = service.connection("eu-west-3").into_builder();
    ParameterEditor::new(&connection(sdk.retry_config(retries).build()).await)
}

#[tokio::test]
async fn a_parameter_that_is_absent_reads_as_none_and_is_deleted() {
    let service = Service::answering(400, r#"{"__type": "ParameterNotFound"}"#);
    let editor = editor(&service).await;
    assert_eq!(editor.value("/curfew/a").await.unwrap(), None);
    editor.delete("/curfew/a").await.unwrap();
    let error = editor.put("/curfew/a", "", "x").await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::NotFound);
    let error = editor.names_below("/curfew/a").await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn writing_and_deleting_are_classified_and_retried_like_reading() {
    use CloudErrorKind as Kind;
    for (status, body, kind, calls) in [
        (
            400,
            r#"{"__type": "AccessDeniedException"}"#,
            Kind::Denied,
            1,
        ),
        (
            400,
            r#"{"__type": "ParameterLimitExceeded", "message": "too many"}"#,
            Kind::Refused,
            1,
        ),
        (
            400,
            r#"{"__type": "ThrottlingException"}"#,
            Kind::Throttled,
            3,
        ),
        (
            500,
            r#"{"__type": "InternalServerError"}"#,
            Kind::Service,
            3,
        ),
        (200, r#"{"Version": "#, Kind::Unreachable, 3),
    ] {
        let service = Service::answering(status, body);
        let editor = editor(&service).await;
        let put = editor.put("/curfew/a", "", "x").await.unwrap_err();
        let put_calls = std::mem::take(&mut *service.sent.lock().unwrap()).len();
        assert_eq!((put.kind, put_calls), (kind, calls), "{body}");
        let delete = editor.delete("/curfew/a").await.unwrap_err();
        let delete_calls = std::mem::take(&mut *service.sent.lock().unwrap()).len();
        assert_eq!((delete.kind, delete_calls), (kind, calls), "{body}");
    }
}

#[tokio::test]
async fn a_call_without_a_result_accepts_an_empty_body() {
    for body in ["", "{}", r#"{"Tier": "Standard", "Version": 2}"#] {
        let service = Service::answering(200, body);
        let editor = editor(&service).await;
        editor.put("/curfew/a", "", "x").await.unwrap();
        editor.delete("/curfew/a").await.unwrap();
    }
}

#[tokio::test]
async fn the_names_below_a_path_are_read_to_the_last_page() {
    let pages = [
        r#"{"Parameters": [{"Name": "/curfew/a/0", "Value": "x"}], "NextToken": "one"}"#,
        r#"{"Parameters": [], "NextToken": "two"}"#,
        r#"{"Parameters": [{"Name": "/curfew/a/1", "Value": "y"}], "NextToken": ""}"#,
    ];
    let service = Service::answering_in_turn(&pages);
    let names = editor(&service).await.names_below("/curfew/a").await;
    assert_eq!(names.unwrap(), ["/curfew/a/0", "/curfew/a/1"]);
    let sent = service.sent.lock().unwrap();
    let tokens: Vec<_> = sent
        .iter()
        .map(|sent| {
            let question: serde_json::Value = serde_json::from_str(&sent.body).unwrap();
            question["NextToken"].as_str().map(str::to_owned)
        })
        .collect();
    assert_eq!(
        tokens,
        [None, Some("one".to_owned()), Some("two".to_owned())]
    );
}

#[tokio::test]
async fn a_cycle_of_parameter_pages_is_an_error() {
    let service = Service::answering(200, r#"{"Parameters": [], "NextToken": "again"}"#);
    let error = editor(&service).await.names_below("/curfew/a").await;
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("`ssm:GetParametersByPath`")
    );
    assert_eq!(service.sent.lock().unwrap().len(), 2);
}
