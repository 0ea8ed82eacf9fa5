//! A simulation of AWS in virtual time: the model's EC2, STS and SQS, a parameter store, and Lambda's queue pollers.
//!
//! The function is the real one. Each call takes [`CALL`], and starting an execution environment takes [`COLD_START`]; Lambda adds
//! pollers as AWS documents.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::endpoint_kind::EndpointKind as Kind;
use curfew_core::select::DEFAULT_LIMIT;
use curfew_lambda::app::App;
use curfew_lambda::auth::Authenticator;
use curfew_lambda::configuration_cache::ConfigurationCache;
use curfew_lambda::invocation_context::InvocationContext;
use curfew_lambda::organisation_cache::OrganisationCache;
use curfew_lambda::work_queue::WorkQueue;
use curfew_model::{
    ApiAction, ApiCaller, ApiRequest, Ec2InstanceState, Fault, Home, Launch, Model,
    ModelQueueMessage, ModelResponse, QueueAttributes, QueueCall, QueueType, Redrive, Role,
    SdkCallRecorder, Symptom, TimeSource, direct,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

pub(crate) const HOME: &str = "000000000000";
pub(crate) const REGIONS: [&str; 2] = ["eu-west-3", "us-east-1"];

/// The latency of a call to AWS, in any region.
const CALL: Duration = Duration::from_millis(150);
/// The step in which the model's clock follows tokio's paused clock.
const TICK: Duration = Duration::from_millis(50);
/// The start-up time of an execution environment: several times the measured one.
const COLD_START: Duration = Duration::from_millis(300);
/// Lambda starts with this many concurrent batches, and adds 300 per minute.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>
const POLLERS: usize = 5;
const MORE_POLLERS_EACH: Duration = Duration::from_millis(200);
/// The template's maximum concurrency.
const MAXIMUM_CONCURRENCY: usize = 100;
const BATCH: i64 = 1;

/// An organisation, and the stack that manages it.
pub(crate) struct SimulatedLambda {
    pub(crate) ec2: Model,
    /// Records the function's calls.
    pub(crate) recorder: SdkCallRecorder,
    pub(crate) work: String,
    pub(crate) dead_letters: String,
    connection: Connection,
    store: Connection,
    configuration: StoredConfiguration,
    idle: Mutex<Vec<App>>,
    invocations: AtomicUsize,
}

impl SimulatedLambda {
    /// Creates an organisation of this many accounts with two regions each, and a running instance of the schedule `office` in every
    /// account-region. The stop edge has just passed.
    pub(crate) async fn of(accounts: usize) -> Arc<Self> {
        Self::where_some_calls_are_slow(accounts, []).await
    }

    /// Creates an organisation in which the given calls take longer.
    pub(crate) async fn where_some_calls_are_slow(
        accounts: usize,
        slow: impl IntoIterator<Item = (ApiAction, Duration)>,
    ) -> Arc<Self> {
        let configuration = json!({
            "managing": {"tag": "Schedule", "regions": []},
            "schedules": {"office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"}},
        });
        Self::with(accounts, slow, configuration).await
    }

    /// Creates an organisation with this configuration, to which the accounts are added.
    pub(crate) async fn with(
        accounts: usize,
        slow: impl IntoIterator<Item = (ApiAction, Duration)>,
        mut configuration_document: Value,
    ) -> Arc<Self> {
        // In the future, because the SDK compares the credentials' expiry with the machine's clock.
        let ec2 = Model::new("2035-11-26T19:00:30Z".parse().unwrap());
        let home = Home::new(HOME, REGIONS[0]);
        let fifo = QueueAttributes {
            order: QueueType::Fifo,
            ..QueueAttributes::default()
        };
        let dead_letters = ec2.create_queue(&home, "undone-work.fifo", fifo.clone());
        let redrive = Redrive {
            max_receives: 3,
            dead_letters: dead_letters.clone(),
        };
        let configuration = QueueAttributes {
            visibility: SignedDuration::from_secs(60),
            redrive: Some(redrive),
            ..fifo
        };
        let work = ec2.create_queue(&home, "work.fifo", configuration);
        let mut listed = Vec::new();
        for number in 1..=accounts {
            let id = format!("{number:012}");
            let role = Role::new(&id, "curfew-member").trusting(HOME);
            let role = ec2.add_role(role.external_id("curfew-7d1f4c"));
            for region in REGIONS {
                office(&ec2, &id, region);
            }
            listed.push(json!({
                "id": id, "role_arn": role, "external_id": "curfew-7d1f4c", "regions": REGIONS,
            }));
        }
        configuration_document["account"] = listed.into();
        for (action, latency) in slow {
            ec2.fault(Fault::on(action, Symptom::Latency(latency)));
        }
        ec2.fault(Fault::everywhere(Symptom::Latency(CALL)));
        let time = ec2.clone();
        tokio::spawn(async move {
            loop {
                sleep(TICK).await;
                time.advance(SignedDuration::try_from(TICK).unwrap());
            }
        });
        let recorder = SdkCallRecorder::default();
        let http = recorder.around(direct(ec2.clone(), TimeSource::Held));
        let connection = connection(http).await;
        let configuration =
            StoredConfiguration(Arc::new(std::sync::Mutex::new(configuration_document)));
        let http = recorder.around(parameter_store(configuration.clone()));
        let store = self::connection(http).await;
        Arc::new(Self {
            ec2,
            recorder,
            work,
            dead_letters,
            connection,
            store,
            configuration,
            idle: Mutex::default(),
            invocations: AtomicUsize::new(0),
        })
    }

    /// Adds a fault that takes precedence over the usual latency of every call.
    pub(crate) fn fault(&self, fault: Fault) {
        self.ec2.clear_faults();
        self.ec2.fault(fault);
        self.ec2.fault(Fault::everywhere(Symptom::Latency(CALL)));
    }

    /// Invokes the function in an idle environment, or in a new one.
    pub(crate) async fn invoke(&self, event: &Value) -> Value {
        self.invocations.fetch_add(1, Ordering::Relaxed);
        let idle = self.idle.lock().await.pop();
        let app = match idle {
            Some(app) => app,
            None => {
                sleep(COLD_START).await;
                self.environment()
            }
        };
        let context = InvocationContext::new("c0ffee", Duration::from_secs(10));
        let answer = app.handle(event, &context).await.unwrap();
        self.idle.lock().await.push(app);
        answer
    }

    fn environment(&self) -> App {
        let time = self.ec2.clone();
        App {
            organisations: OrganisationCache::new(&self.connection),
            queue: Some(WorkQueue::new(&self.connection, &self.work)),
            configuration: ConfigurationCache::new(&self.store, "/curfew/curfew/configuration"),
            clock: Clock::telling(move || time.now()),
            auth: Authenticator::Iam,
            cors_origin: None,
            cloud: Kind::Aws,
            request_limit: DEFAULT_LIMIT,
        }
    }

    /// Simulates Lambda's pollers until the queue is empty and no invocation is running.
    pub(crate) async fn drain(self: &Arc<Self>) {
        let begun = Instant::now();
        let running = Arc::new(AtomicUsize::new(0));
        while !self.ec2.messages(&self.work).is_empty() || running.load(Ordering::Relaxed) > 0 {
            let added = begun.elapsed().as_millis() / MORE_POLLERS_EACH.as_millis();
            let allowed = POLLERS + usize::try_from(added).unwrap();
            let allowed = allowed.min(MAXIMUM_CONCURRENCY);
            while running.load(Ordering::Relaxed) < allowed {
                let batch = self.receive();
                if batch.is_empty() {
                    break;
                }
                running.fetch_add(1, Ordering::Relaxed);
                let (cloud, running) = (Arc::clone(self), Arc::clone(&running));
                tokio::spawn(async move {
                    cloud.deliver(batch).await;
                    running.fetch_sub(1, Ordering::Relaxed);
                });
            }
            sleep(TICK).await;
        }
    }

    async fn deliver(&self, batch: Vec<ModelQueueMessage>) {
        let record = |message: &ModelQueueMessage| {
            json!({
                "messageId": message.id, "receiptHandle": message.receipt(), "body": message.body,
                "attributes": {"ApproximateReceiveCount": message.receives.to_string()},
                "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": REGIONS[0],
                "eventSourceARN": format!("arn:aws:sqs:{}:{HOME}:curfew-curfew-work.fifo", REGIONS[0]),
            })
        };
        let records: Vec<Value> = batch.iter().map(record).collect();
        self.invoke(&json!({ "Records": records })).await;
        for message in batch {
            self.queue(QueueCall::Delete {
                url: self.work.clone(),
                receipt: message.receipt(),
            });
        }
    }

    /// Receives a batch from the queue, as a poller does.
    pub(crate) fn receive(&self) -> Vec<ModelQueueMessage> {
        let received = self.queue(QueueCall::Receive {
            url: self.work.clone(),
            max: BATCH,
            visibility: None,
            wait: 0,
        });
        match received {
            ModelResponse::Received(messages) => messages,
            other => panic!("{other:?}"),
        }
    }

    fn queue(&self, call: QueueCall) -> ModelResponse {
        let lambda = ApiCaller::new(HOME, REGIONS[0]);
        self.ec2.call(&lambda, ApiRequest::Queue(call)).unwrap()
    }

    /// Removes an account from the configuration.
    pub(crate) fn remove_account(&self, id: &str) {
        let mut configuration = self.configuration.0.lock().unwrap();
        let accounts = configuration["account"].as_array_mut().unwrap();
        accounts.retain(|account| account["id"] != id);
    }

    /// The number of invocations.
    pub(crate) fn invocations(&self) -> usize {
        self.invocations.load(Ordering::Relaxed)
    }

    /// The number of environments.
    pub(crate) async fn environments(&self) -> usize {
        self.idle.lock().await.len()
    }

    /// The number of running instances.
    pub(crate) fn running(&self) -> usize {
        let instances = self.ec2.instances();
        let running = instances
            .iter()
            .filter(|one| one.state == Ec2InstanceState::Running);
        running.count()
    }
}

/// Launches a running instance of the schedule `office`, started this morning.
pub(crate) fn office(ec2: &Model, account: &str, region: &str) {
    ec2.launch(
        Launch::new("web")
            .account(account)
            .region(region)
            .tag("Schedule", "office")
            .tag("curfew:last", "2035-11-26T07:00:00Z start schedule office")
            .launched_at("2035-11-26T07:00:05Z".parse().unwrap()),
    );
}

async fn connection(client: SharedHttpClient) -> Connection {
    let options = ConnectOptions {
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        region: Some(REGIONS[0].to_owned()),
        ..ConnectOptions::default()
    };
    let mut connection = Connection::open(options).await.unwrap();
    connection.sdk = connection.sdk.into_builder().http_client(client).build();
    connection
}

/// Answers every request with the configuration parameter, as SSM's `GetParameter`.
#[derive(Clone, Debug)]
struct StoredConfiguration(Arc<std::sync::Mutex<Value>>);

impl HttpConnector for StoredConfiguration {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let answer =
            json!({ "Parameter": { "Value": self.0.lock().unwrap().to_string() } }).to_string();
        HttpConnectorFuture::new(async move {
            sleep(CALL).await;
            Ok(HttpResponse::new(
                200.try_into().unwrap(),
                SdkBody::from(answer),
            ))
        })
    }
}

fn parameter_store(parameter: StoredConfiguration) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(parameter);
    http_client_fn(move |_, _| connector.clone())
}
