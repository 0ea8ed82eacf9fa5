//! The calls that are made without their SDKs, beside the same calls of the SDKs: on the wire there is no difference.

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
use curfew_aws::parameter::ParameterStore;
use curfew_aws::queue::{FifoMessage, Queue};
use curfew_core::account_regions::Account;
use curfew_core::instance::AccountId;

/// What a service was sent: where, the headers that are no accident, and the body.
#[derive(Debug, PartialEq)]
struct Sent {
    url: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Keeps what it is sent, and always gives the same answer.
#[derive(Clone, Debug)]
struct Service {
    answer: (u16, &'static str),
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Service {
    fn answering(status: u16, body: &'static str) -> Self {
        Self {
            answer: (status, body),
            sent: Arc::default(),
        }
    }

    /// The first that it was sent.
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
                // Who asks differs in the version; an invocation's id is drawn, and with it the signature.
                "user-agent" | "x-amz-user-agent" | "amz-sdk-invocation-id" => "",
                "authorization" => value.split(", Signature=").next().unwrap(),
                _ => value,
            };
            (name.to_owned(), value.to_owned())
        });
        self.sent.lock().unwrap().push(Sent {
            url: request.uri().to_owned(),
            headers: headers.collect(),
            body: String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap(),
        });
        let (status, body) = self.answer;
        let answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
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
const ROLE: &str = "arn:aws:iam::111122223333:role/curfew+member";

/// The three calls by our own hands, and by the SDKs'.
#[derive(Clone, Copy, Debug)]
enum Call {
    GetParameter,
    SendMessageBatch,
    AssumeRole,
}

const CALLS: [Call; 3] = [Call::GetParameter, Call::SendMessageBatch, Call::AssumeRole];

/// In one group, and the same only as itself.
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
            Self::SendMessageBatch => {
                let messages = ["{\"a\": 1}", "\"é\n"].map(message);
                drop(Queue::new(connection, QUEUE).send(&messages).await);
            }
            Self::AssumeRole => {
                let account = Account {
                    id: AccountId::new("111122223333"),
                    name: None,
                    role: ROLE.parse().unwrap(),
                    external_id: Some("a secret of two".to_owned()),
                    regions: Vec::new(),
                };
                let fleet = Fleet::new(&connection.into_account(&account));
                drop(fleet.observe(&Scope::All).await);
            }
        }
    }

    async fn the_sdks(self, sdk: SdkConfig) {
        match self {
            Self::GetParameter => {
                let call = aws_sdk_ssm::Client::new(&sdk).get_parameter();
                drop(call.name("/curfew/a b").send().await);
            }
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
        }
    }
}

#[tokio::test]
async fn each_call_counts_by_how_it_went() {
    for call in CALLS {
        let service = Service::answering(503, "");
        let connection = connection(service.connection("eu-west-3")).await;
        call.by(&connection).await;
        let counted: Vec<String> = connection
            .calls
            .so_far()
            .iter()
            .map(|(call, count)| {
                let outcome = call.outcome.as_str();
                format!("{} {} {outcome} {count}", call.service, call.action)
            })
            .collect();
        let expected = match call {
            Call::GetParameter => vec!["SSM GetParameter failed 1"],
            Call::SendMessageBatch => vec!["SQS SendMessageBatch failed 1"],
            Call::AssumeRole => vec![
                // For want of credentials, it was never sent.
                "EC2 DescribeInstances unanswered 1",
                "STS AssumeRole failed 1",
            ],
        };
        assert_eq!(counted, expected);
    }
}

/// JSON and forms say the same in any order.
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
        call.the_sdks(sdk).await;
        let theirs = service.first().unwrap();
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

/// One region of each partition, those with exceptions in some SDK, and some that nobody has heard of yet.
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
async fn a_service_is_where_its_sdk_finds_it() {
    for region in REGIONS {
        for (fips, dual_stack) in [(false, false), (true, false), (false, true), (true, true)] {
            for call in CALLS {
                let service = Service::answering(500, "");
                let sdk = service.connection(region).into_builder();
                let sdk = sdk.use_fips(fips).use_dual_stack(dual_stack).build();
                call.ours(sdk.clone()).await;
                let ours = service.first().map(|sent| sent.url);
                service.sent.lock().unwrap().clear();
                call.the_sdks(sdk).await;
                let theirs = service.first().map(|sent| sent.url);
                assert_eq!(ours, theirs, "{call:?} in {region}, {fips}, {dual_stack}");
            }
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_is_set_is_where_everything_goes() {
    for call in CALLS {
        let service = Service::answering(500, "");
        let sdk = service.connection("eu-west-3").into_builder();
        call.ours(sdk.endpoint_url("http://ec2.localhost:4566/below").build())
            .await;
        let url = service.first().unwrap().url;
        assert_eq!(url, "http://ec2.localhost:4566/below/", "{call:?}");
    }
}

/// What becomes of a parameter's answer.
async fn told(service: &Service) -> Result<String, CloudError> {
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let sdk = service.connection("eu-west-3").into_builder();
    let connection = connection(sdk.retry_config(retries).build()).await;
    ParameterStore::new(&connection)
        .value("/curfew/configuration")
        .await
}

#[tokio::test]
async fn a_value_comes_as_it_is() {
    let service = Service::answering(
        200,
        r#"{"Parameter": {"Name": "x", "Value": "{\"a\": 1}\n"}}"#,
    );
    assert_eq!(told(&service).await.unwrap(), "{\"a\": 1}\n");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_sorted_as_any_other() {
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
async fn a_queue_that_takes_only_a_part_is_a_failure() {
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
