//! Registration of the trigger rules by the daemon: it is not ready before, and the calls are counted. A stub implements the
//! parts of CloudFormation, SSM and EventBridge that it uses.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::organisation::Organisation;
use curfew_config::{AwsConfiguration, Configuration, LoadOptions};
use curfew_core::account_regions::Targets;
use curfew_daemon::metrics::Metrics;
use curfew_daemon::run::{Dependencies, Reload, RulePublication, run};
use curfew_deploy::publish_schedules;
use curfew_deploy::trigger_rules;
use curfew_model::{Model, TimeSource, serve_with, wait_until};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The state of the stubs: the stack, the parameter and the rules.
#[derive(Clone, Debug, Default)]
struct Services {
    deployed: Arc<AtomicBool>,
    parameter: Arc<Mutex<Option<Value>>>,
    rules: Arc<Mutex<Vec<Value>>>,
    /// The document version that the deployed function reads, from the stack's outputs; none for a release without document
    /// versions.
    reads: Arc<Mutex<Option<&'static str>>>,
    /// Whether the function has been deleted.
    without_function: Arc<AtomicBool>,
}

impl Services {
    async fn serve(&self) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        endpoint
    }

    /// Returns the responses of SSM and EventBridge.
    fn json(&self, action: &str, request: &Value) -> Value {
        match action {
            "AmazonSSM.PutParameter" => {
                *self.parameter.lock().unwrap() = Some(request["Value"].clone());
                json!({"Version": 1})
            }
            "AmazonSSM.GetParameter" => match &*self.parameter.lock().unwrap() {
                Some(value) => json!({"Parameter": {"Name": request["Name"], "Value": value}}),
                None => json!({"__type": "ParameterNotFound"}),
            },
            "AWSEvents.PutRule" => {
                self.rules.lock().unwrap().push(request.clone());
                json!({"RuleArn": "arn:aws:events:us-east-1:000000000000:rule/curfew"})
            }
            "AWSEvents.PutTargets" => json!({"FailedEntryCount": 0, "FailedEntries": []}),
            "AWSEvents.ListRules" => {
                let rules = self.rules.lock().unwrap();
                let rules = rules.iter().map(|rule| {
                    json!({"Name": rule["Name"], "ScheduleExpression": rule["ScheduleExpression"]})
                });
                json!({"Rules": rules.collect::<Vec<_>>()})
            }
            "AWSEvents.ListRuleNamesByTarget" => {
                let rules = self.rules.lock().unwrap();
                let names = rules.iter().map(|rule| &rule["Name"]);
                json!({"RuleNames": names.collect::<Vec<_>>()})
            }
            _ => json!({}),
        }
    }
}

async fn answer(
    State(services): State<Services>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    if uri.path() == "/2015-03-31/functions/a:FunctionName/configuration" {
        if services.without_function.load(Ordering::Relaxed) {
            let kind = [("x-amzn-errortype", "ResourceNotFoundException")];
            return (StatusCode::NOT_FOUND, kind, "{}").into_response();
        }
        return r#"{"FunctionName":"a:FunctionName"}"#.into_response();
    }
    if let Some(action) = headers.get("x-amz-target") {
        let request = serde_json::from_str(&body).unwrap();
        let answer = services.json(action.to_str().unwrap(), &request);
        let status = match answer.get("__type") {
            Some(_) => StatusCode::BAD_REQUEST,
            None => StatusCode::OK,
        };
        let kind = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
        return (status, kind, answer.to_string()).into_response();
    }
    assert!(body.contains("Action=DescribeStacks"), "{body}");
    let kind = [(header::CONTENT_TYPE, "text/xml")];
    if !services.deployed.load(Ordering::Relaxed) {
        let error = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                     <Message>Stack with id curfew does not exist</Message></Error></ErrorResponse>";
        return (StatusCode::BAD_REQUEST, kind, error).into_response();
    }
    let outputs = [
        "ApiId",
        "ApiUrl",
        "Stage",
        "FunctionName",
        "FunctionArn",
        "QueueUrl",
    ];
    let outputs = outputs.map(|key| {
        format!("<member><OutputKey>{key}</OutputKey><OutputValue>a:{key}</OutputValue></member>")
    });
    let reads = services.reads.lock().unwrap().map(|version| {
        format!("<member><OutputKey>DocumentVersion</OutputKey><OutputValue>{version}</OutputValue></member>")
    });
    let stack = format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>curfew</StackName>\
         <CreationTime>2026-11-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>{}</Outputs>\
         </member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
        outputs.concat() + &reads.unwrap_or_default()
    );
    (kind, stack).into_response()
}

async fn connection(endpoint: String) -> Connection {
    let options = ConnectOptions {
        endpoint: Some(endpoint),
        region: Some("us-east-1".to_owned()),
        ..ConnectOptions::default()
    };
    Connection::open(options).await.unwrap()
}

fn configuration(place: &tempfile::TempDir) -> Configuration {
    configuration_with(place, "office")
}

fn configuration_with(place: &tempfile::TempDir, schedule: &str) -> Configuration {
    let file = place.path().join("curfew.toml");
    let text = format!(
        "[schedules.{schedule}]\ntimezone = 'UTC'\nrunning = 'Mon-Fri 08:00-20:00'\n[daemon]\nqueue = 'off'\n"
    );
    std::fs::write(&file, text).unwrap();
    curfew_config::load(&LoadOptions {
        file: Some(file),
        fallback: None,
        aws: AwsConfiguration::default(),
        environment: HashMap::new(),
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_is_not_ready_before_its_rules_are_registered() {
    let place = tempfile::tempdir().unwrap();
    let configuration = configuration(&place);
    let clock = Clock::system();
    let ec2 = Model::new(clock.now());
    let server = serve_with(ec2, TimeSource::Held).await;
    let services = Services::default();
    let cloud = connection(services.serve().await).await;
    let organisation = Organisation::open(
        &connection(server.endpoint.clone()).await,
        &Targets::default(),
    );
    let ports = Dependencies {
        rules: Some(RulePublication {
            connection: cloud.clone(),
            configuration: configuration.clone(),
        }),
        metrics: Metrics::new(cloud.calls.clone()),
        ..Dependencies::quiet(clock, organisation, place.path().to_owned())
    };
    let (health, metrics) = (ports.health.clone(), ports.metrics.clone());
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let schedule_set = Arc::new(configuration.schedule_set.clone());
    let daemon =
        tokio::spawn(async move { run(&configuration.daemon, schedule_set, ports, token).await });

    let unready = [
        "the trigger rules have not been registered yet",
        "the trigger rules can't be registered: the stack `curfew` is not deployed here",
    ];
    wait_until("the reasons are reported", || health.unready() == unready).await;
    services.deployed.store(true, Ordering::Relaxed);
    *services.reads.lock().unwrap() = Some("1.0");
    wait_until("it is ready", || health.unready().is_empty()).await;
    shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_mins(1), daemon).await;
    ended.unwrap().unwrap().unwrap();

    assert!(services.parameter.lock().unwrap().is_some());
    let rules = services.rules.lock().unwrap().len();
    assert!(rules >= 2, "an edge's and the heartbeat: {rules}");
    let text = metrics.text();
    let counts = |service: &str, action: &str, outcome: &str| {
        let labels = format!("service=\"{service}\",action=\"{action}\",outcome=\"{outcome}\"");
        let line = format!("curfew_api_calls_total{{{labels}}} ");
        let found = text.lines().find_map(|one| one.strip_prefix(&line));
        found.map_or(0, |count| count.parse::<usize>().unwrap())
    };
    assert!(
        counts("CloudFormation", "DescribeStacks", "refused") >= 1,
        "{text}"
    );
    assert_eq!(
        counts("CloudFormation", "DescribeStacks", "done"),
        1,
        "{text}"
    );
    assert_eq!(counts("SSM", "GetParameter", "refused"), 1, "{text}");
    assert_eq!(counts("SSM", "PutParameter", "done"), 1, "{text}");
    assert_eq!(counts("EventBridge", "PutRule", "done"), rules, "{text}");
    assert_eq!(counts("EventBridge", "PutTargets", "done"), rules, "{text}");
}

/// A running daemon with this configuration, and a deployed document.
struct Publishing {
    services: Services,
    health: curfew_daemon::health::Health,
    reload: Arc<tokio::sync::Notify>,
    shutdown: CancellationToken,
    daemon: tokio::task::JoinHandle<Result<(), curfew_daemon::run::RunError>>,
    _server: curfew_model::Server,
}

impl Publishing {
    async fn begin(
        place: &tempfile::TempDir,
        configuration: Configuration,
        deployed: Value,
    ) -> Self {
        let clock = Clock::system();
        let server = serve_with(Model::new(clock.now()), TimeSource::Held).await;
        let services = Services::default();
        services.deployed.store(true, Ordering::Relaxed);
        *services.reads.lock().unwrap() = Some("1.0");
        *services.parameter.lock().unwrap() = Some(Value::String(deployed.to_string()));
        let cloud = connection(services.serve().await).await;
        let fleet = connection(server.endpoint.clone()).await;
        let reload = Arc::new(tokio::sync::Notify::new());
        let ports = Dependencies {
            rules: Some(RulePublication {
                connection: cloud.clone(),
                configuration: configuration.clone(),
            }),
            reload: Some(Reload {
                overrides: LoadOptions {
                    file: configuration.file.clone(),
                    ..LoadOptions::default()
                },
                configuration: configuration.clone(),
                connection: fleet.clone(),
                requested: Arc::clone(&reload),
            }),
            ..Dependencies::quiet(
                clock,
                Organisation::open(&fleet, &Targets::default()),
                place.path().to_owned(),
            )
        };
        let health = ports.health.clone();
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let schedule_set = Arc::new(configuration.schedule_set.clone());
        let daemon =
            tokio::spawn(
                async move { run(&configuration.daemon, schedule_set, ports, token).await },
            );
        Self {
            services,
            health,
            reload,
            shutdown,
            daemon,
            _server: server,
        }
    }

    /// The names of the deployed schedules.
    fn schedules(&self) -> Vec<String> {
        let parameter = self.services.parameter.lock().unwrap().clone();
        let parameter = parameter.unwrap();
        let document: Value = serde_json::from_str(parameter.as_str().unwrap()).unwrap();
        let schedules = document["schedules"].as_object().unwrap();
        schedules.keys().cloned().collect()
    }

    fn rules(&self) -> usize {
        self.services.rules.lock().unwrap().len()
    }

    async fn is_ready(&self) {
        wait_until("it is ready", || self.health.unready().is_empty()).await;
    }

    async fn is_not_ready(&self, why: &str) {
        wait_until(why, || {
            let unready = self.health.unready();
            unready.iter().any(|reason| reason.contains(why))
        })
        .await;
    }

    async fn end(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_mins(1), self.daemon).await;
        ended.unwrap().unwrap().unwrap();
    }
}

fn document(origin: &str, schedules: &[&str]) -> Value {
    let schedule = json!({"timezone": "UTC", "running": "Mon-Fri 08:00-20:00"});
    let schedules = schedules
        .iter()
        .map(|name| ((*name).to_owned(), schedule.clone()));
    let schedules: serde_json::Map<String, Value> = schedules.collect();
    json!({"origin": origin, "managing": {"tag": "Schedule"}, "schedules": schedules})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_another_file_published_is_not_dropped() {
    let place = tempfile::tempdir().unwrap();
    let configuration = configuration(&place);
    let other = document("laptop:/home/alice/curfew.toml", &["lab", "office"]);
    let publishing = Publishing::begin(&place, configuration, other.clone()).await;
    publishing
        .is_not_ready(
            "`curfew` keeps what is deployed: this configuration would drop the schedule `lab`, which \
             `laptop:/home/alice/curfew.toml` published",
        )
        .await;
    assert_eq!(publishing.schedules(), ["lab", "office"]);
    assert_eq!(publishing.rules(), 0, "no rule is changed, either");
    publishing.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_the_same_file_published_is_dropped() {
    let place = tempfile::tempdir().unwrap();
    let configuration = configuration(&place);
    let origin = configuration.origin.clone();
    let publishing =
        Publishing::begin(&place, configuration, document(&origin, &["lab", "office"])).await;
    publishing.is_ready().await;
    assert_eq!(publishing.schedules(), ["office"]);
    publishing.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identical_configuration_is_not_published_and_keeps_its_origin() {
    let place = tempfile::tempdir().unwrap();
    let configuration = configuration(&place);
    let mut same: Value = serde_json::from_str(&configuration.document.to_json()).unwrap();
    same["origin"] = json!("laptop:/home/alice/curfew.toml");
    let publishing = Publishing::begin(&place, configuration, same.clone()).await;
    publishing.is_ready().await;
    let parameter = publishing
        .services
        .parameter
        .lock()
        .unwrap()
        .clone()
        .unwrap();
    assert_eq!(parameter, Value::String(same.to_string()));

    // The daemon's file loses a schedule that the laptop's file published: the previous configuration stays active.
    let file = place.path().join("curfew.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, before.replace("office", "lab")).unwrap();
    publishing.reload.notify_one();
    publishing
        .is_not_ready("this configuration would drop the schedule `office`, which `laptop:")
        .await;
    assert!(
        publishing
            .health
            .status_line()
            .contains("configuration 1 stays in force")
    );
    assert_eq!(publishing.schedules(), ["office"]);
    // A full disk leaves an empty file.
    std::fs::write(&file, "").unwrap();
    publishing.reload.notify_one();
    wait_until("the empty file is refused", || {
        publishing
            .health
            .status_line()
            .contains("is empty: it has no key at all")
    })
    .await;
    assert_eq!(publishing.schedules(), ["office"]);
    std::fs::write(&file, &before).unwrap();
    publishing.reload.notify_one();
    publishing.is_ready().await;
    assert_eq!(publishing.schedules(), ["office"]);
    publishing.end().await;
}

async fn published(services: &Services, cloud: &Connection) -> Result<usize, String> {
    let place = tempfile::tempdir().unwrap();
    let configuration = configuration(&place);
    let clock = Clock::system();
    let wanted = trigger_rules(&configuration, &clock);
    let document = configuration.document.to_json();
    let publishing = publish_schedules(cloud, &configuration.stack.name, &document, &wanted);
    let report = publishing.await.map_err(|error| error.to_string())?;
    assert_eq!(services.rules.lock().unwrap().len(), wanted.len());
    Ok(report.changes.create.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_not_published_for_code_that_cannot_read_it() {
    let services = Services::default();
    services.deployed.store(true, Ordering::Relaxed);
    let cloud = connection(services.serve().await).await;
    let refused = published(&services, &cloud).await.unwrap_err();
    insta::assert_snapshot!(refused, @"the deployed code of `curfew` reads configuration of version 0.x, and this one is of version 1.0");
    assert!(services.parameter.lock().unwrap().is_none());
    assert_eq!(services.rules.lock().unwrap().len(), 0);
    // The version of this release, a newer minor version and a newer major version.
    for version in ["1.0", "1.4", "2.0"] {
        *services.reads.lock().unwrap() = Some(version);
        published(&services, &cloud).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rules_are_restored_and_a_missing_function_is_reported() {
    let services = Services::default();
    services.deployed.store(true, Ordering::Relaxed);
    *services.reads.lock().unwrap() = Some("1.0");
    let cloud = connection(services.serve().await).await;
    let all = published(&services, &cloud).await.unwrap();
    assert!(all >= 2);
    assert_eq!(published(&services, &cloud).await.unwrap(), 0);
    services.rules.lock().unwrap().pop();
    assert_eq!(published(&services, &cloud).await.unwrap(), 1);
    services.without_function.store(true, Ordering::Relaxed);
    let gone = published(&services, &cloud).await.unwrap_err();
    insta::assert_snapshot!(gone, @"the function `a:FunctionName` of the stack `curfew` is gone");
    services.deployed.store(false, Ordering::Relaxed);
    let gone = published(&services, &cloud).await.unwrap_err();
    insta::assert_snapshot!(gone, @"the stack `curfew` is not deployed here");
}
