//! The world that a test finds: a Monday evening in Paris, an hour before the office closes.

use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::cloud::Cloud;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_core::select::DEFAULT_LIMIT;
use curfew_lambda::account_regions::Members;
use curfew_lambda::app::App;
use curfew_lambda::auth::Auth;
use curfew_lambda::configuration::Configuration;
use curfew_lambda::handler::Failure;
use curfew_lambda::invocation_context::Call;
use curfew_model::{Ec2InstanceId, Launch, Model, Server, Template};
use serde_json::{Value, json};

use super::parameter_store::ParameterStore;

const STACK: &str = include_str!("../../../../crates/deploy/src/stack.yaml");

/// 19:00 in Paris.
pub(crate) const NOW: &str = "2026-11-23T18:00:00Z";

/// EC2, the parameter store, and the function between them.
pub(crate) struct World {
    pub(crate) ec2: Model,
    pub(crate) ssm: ParameterStore,
    pub(crate) app: App,
    _server: Server,
}

/// An HTTP answer, opened.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) headers: Value,
    pub(crate) text: String,
    pub(crate) body: Value,
}

/// `office` manages by tag; `lab` is enforced.
pub(crate) fn schedules() -> Value {
    json!({"schedules": {
        "office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"},
        "lab": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00", "enforce": true},
    }})
}

/// A running instance of the office, started this morning by its schedule.
pub(crate) fn at_work(name: &str) -> Launch {
    Launch::new(name)
        .tag("Schedule", "office")
        .tag("curfew:last", "2026-11-23T07:00:00Z start schedule office")
        .launched_at("2026-11-23T07:00:05Z".parse().unwrap())
}

impl World {
    /// With these instances, and the configuration of [`schedules`].
    pub(crate) async fn with(launches: impl IntoIterator<Item = Launch>) -> Self {
        let ec2 = Model::new(NOW.parse().unwrap());
        // What the function is not allowed on AWS, no test may see it do.
        let role = Template::read(STACK, "us-east-1").role("Role");
        ec2.grant_only(Template::ACCOUNT, &role.grants());
        for launch in launches {
            ec2.launch(launch);
        }
        let server = curfew_model::serve(ec2.clone()).await;
        let ssm = ParameterStore::default();
        ssm.put(Some(schedules().to_string()));
        let store = connection(ssm.serve().await).await;
        let time = ec2.clone();
        let app = App {
            account_regions: Members::new(&connection(server.endpoint.clone()).await),
            queue: None,
            configuration: Configuration::new(&store, ParameterStore::NAME),
            clock: Clock::telling(move || time.now()),
            auth: Auth::None,
            cors_origin: None,
            request_limit: DEFAULT_LIMIT,
            cloud: Cloud::Emulator,
        };
        Self {
            ec2,
            ssm,
            app,
            _server: server,
        }
    }

    /// The instance of this name.
    pub(crate) fn id(&self, name: &str) -> Ec2InstanceId {
        let instances = self.ec2.instances();
        let found = instances
            .iter()
            .find(|one| one.tags.get("Name").is_some_and(|tag| tag == name));
        found.expect("the test launched it").id.clone()
    }

    /// An instance's state.
    pub(crate) fn state(&self, name: &str) -> String {
        self.ec2.state(&self.id(name)).to_string()
    }

    /// An instance's tag.
    pub(crate) fn tag(&self, name: &str, key: &str) -> Option<String> {
        self.ec2.tag(&self.id(name), key)
    }

    /// How often instances or their tags were changed, or tried to be.
    pub(crate) fn changes(&self) -> usize {
        self.ec2.changes()
    }

    /// Invokes the function.
    pub(crate) async fn send(&self, event: &Value) -> Result<Value, Failure> {
        let call = Call::new("c0ffee", Duration::from_secs(10));
        self.app.handle(event, &call).await
    }

    /// `GET` through a REST API.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.http(&request("GET", path, "")).await
    }

    /// `POST` through a REST API.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.http(&request("POST", path, body)).await
    }

    /// An HTTP event.
    pub(crate) async fn http(&self, event: &Value) -> Answer {
        let envelope = self.send(event).await.expect("HTTP is always answered");
        let text = envelope["body"]
            .as_str()
            .expect("a body is text")
            .to_owned();
        Answer {
            status: envelope["statusCode"].as_u64().expect("a status"),
            headers: envelope["headers"].clone(),
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }
}

impl Answer {
    /// One line per instance, by name: these fields of it. Ids are the order of answers, and tests don't choose ids.
    pub(crate) fn of_instances(&self, fields: &[&str]) -> Vec<String> {
        let instances = self.body["instances"]
            .as_array()
            .unwrap_or_else(|| panic!("no instances in {}", self.text));
        let mut lines: Vec<String> = instances
            .iter()
            .map(|one| {
                let values = fields.iter().map(|field| match &one[*field] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                let name = one["name"].as_str().unwrap_or("-").to_owned();
                std::iter::once(name)
                    .chain(values)
                    .collect::<Vec<_>>()
                    .join(" | ")
            })
            .collect();
        lines.sort();
        lines
    }

    /// The status and the error's code.
    pub(crate) fn refusal(&self) -> (u64, &str) {
        (
            self.status,
            self.body["error"]["code"].as_str().unwrap_or("-"),
        )
    }

    /// The status, and the error's sentence and hint.
    pub(crate) fn told(&self) -> String {
        let error = &self.body["error"];
        format!(
            "{} {}: {}; {}",
            self.status,
            error["code"].as_str().unwrap_or("-"),
            error["message"].as_str().unwrap_or("-"),
            error["hint"].as_str().unwrap_or("-"),
        )
    }
}

/// A captured or documented event.
pub(crate) fn event(name: &str) -> Value {
    let path = format!("{}/tests/events/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A request as MiniStack's REST API hands it over.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Value {
    let mut event: Value =
        serde_json::from_str(include_str!("../../events/ministack-rest-GET.json")).unwrap();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut parameters = json!({});
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').expect("queries in tests are pairs");
        match parameters[key].as_array_mut() {
            Some(values) => values.push(value.into()),
            None => parameters[key] = json!([value]),
        }
    }
    event["httpMethod"] = method.into();
    event["path"] = path.into();
    event["multiValueQueryStringParameters"] = parameters;
    event["body"] = body.into();
    event
}

async fn connection(endpoint: String) -> Connection {
    let options = ConnectOptions {
        endpoint: Some(endpoint),
        region: Some("us-east-1".to_owned()),
        ..ConnectOptions::default()
    };
    Connection::open(options).await.unwrap()
}
