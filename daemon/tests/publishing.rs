//! The daemon that registers the wake-up rules: not ready before it has, and its calls are counted. In AWS's place is as much of
//! CloudFormation, SSM and EventBridge as it asks for.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use curfew::metrics::Metrics;
use curfew::run::{Ports, RuleKeeper, run};
use curfew::settings::{self, AwsSettings, Overrides, Settings};
use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::organisation::Organisation;
use curfew_core::membership::Membership;
use curfew_testing::{Model, TimeSource, serve_with, until};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The services, and whether the stack is there.
#[derive(Clone, Debug, Default)]
struct Services {
    deployed: Arc<AtomicBool>,
    parameter: Arc<Mutex<Option<Value>>>,
    rules: Arc<Mutex<Vec<String>>>,
}

impl Services {
    async fn serve(&self) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        endpoint
    }

    /// What SSM and EventBridge answer.
    fn json(&self, action: &str, asked: &Value) -> Value {
        match action {
            "AmazonSSM.PutParameter" => {
                *self.parameter.lock().unwrap() = Some(asked["Value"].clone());
                json!({"Version": 1})
            }
            "AmazonSSM.GetParameter" => match &*self.parameter.lock().unwrap() {
                Some(value) => json!({"Parameter": {"Name": asked["Name"], "Value": value}}),
                None => json!({"__type": "ParameterNotFound"}),
            },
            "AWSEvents.PutRule" => {
                let name = asked["Name"].as_str().unwrap().to_owned();
                self.rules.lock().unwrap().push(name);
                json!({"RuleArn": "arn:aws:events:us-east-1:000000000000:rule/curfew"})
            }
            "AWSEvents.PutTargets" => json!({"FailedEntryCount": 0, "FailedEntries": []}),
            "AWSEvents.ListRules" => json!({"Rules": []}),
            "AWSEvents.ListRuleNamesByTarget" => json!({"RuleNames": []}),
            _ => json!({}),
        }
    }
}

async fn answer(State(services): State<Services>, headers: HeaderMap, body: String) -> Response {
    if let Some(action) = headers.get("x-amz-target") {
        let asked = serde_json::from_str(&body).unwrap();
        let answer = services.json(action.to_str().unwrap(), &asked);
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
    let stack = format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>curfew</StackName>\
         <CreationTime>2026-11-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>{}</Outputs>\
         </member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
        outputs.concat()
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

fn settings(place: &tempfile::TempDir) -> Settings {
    let file = place.path().join("curfew.toml");
    let text = "[schedules.office]\ntimezone = 'UTC'\nrunning = 'Mon-Fri 08:00-20:00'\n[daemon]\nqueue = 'off'\n";
    std::fs::write(&file, text).unwrap();
    settings::load(&Overrides {
        file: Some(file),
        fallback: None,
        aws: AwsSettings::default(),
        environment: HashMap::new(),
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_is_not_ready_before_its_rules_are_registered_and_says_why() {
    let place = tempfile::tempdir().unwrap();
    let settings = settings(&place);
    let clock = Clock::system();
    let ec2 = Model::new(clock.now());
    let server = serve_with(ec2, TimeSource::Held).await;
    let services = Services::default();
    let cloud = connection(services.serve().await).await;
    let organisation = Organisation::open(
        &connection(server.endpoint.clone()).await,
        &Membership::default(),
    );
    let ports = Ports {
        rules: Some(RuleKeeper {
            connection: cloud.clone(),
            settings: settings.clone(),
        }),
        metrics: Metrics::new(cloud.calls.clone()),
        ..Ports::quiet(clock, organisation, place.path().to_owned())
    };
    let (health, metrics) = (ports.health.clone(), ports.metrics.clone());
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let governance = Arc::new(settings.governance.clone());
    let daemon = tokio::spawn(async move { run(&settings.daemon, governance, ports, token).await });

    let unready = [
        "the wake-up rules have not been registered yet",
        "the wake-up rules can't be registered: the stack `curfew` is not deployed here",
    ];
    until("it says why it is not ready", || {
        health.unready() == unready
    })
    .await;
    services.deployed.store(true, Ordering::Relaxed);
    until("it is ready", || health.unready().is_empty()).await;
    shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_mins(1), daemon).await;
    ended.unwrap().unwrap().unwrap();

    assert!(services.parameter.lock().unwrap().is_some());
    let rules = services.rules.lock().unwrap().len();
    assert!(rules >= 2, "an edge's and the heartbeat: {rules}");
    let text = metrics.text();
    let counts = |service: &str, action: &str, outcome: &str| {
        let labels = format!("action=\"{action}\",outcome=\"{outcome}\",service=\"{service}\"");
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
