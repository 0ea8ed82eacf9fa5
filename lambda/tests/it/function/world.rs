//! The environment of a test: a Monday evening in Paris, an hour before the office's stop edge.

use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_core::select::DEFAULT_LIMIT;
use curfew_lambda::app::App;
use curfew_lambda::auth::Authenticator;
use curfew_lambda::configuration_cache::ConfigurationCache;
use curfew_lambda::handler::InvocationFailure;
use curfew_lambda::invocation_context::InvocationContext;
use curfew_lambda::organisation_cache::OrganisationCache;
use curfew_model::{Ec2InstanceId, Launch, Model, Server, Template};
use serde_json::{Value, json};

use super::parameter_store::ParameterStore;

const STACK: &str = include_str!("../../../../crates/deploy/src/stack.yaml");

/// 19:00 in Paris.
pub(crate) const NOW: &str = "2026-11-23T18:00:00Z";

/// The models of EC2 and the parameter store, and the function that uses them.
pub(crate) struct World {
    pub(crate) ec2: Model,
    pub(crate) ssm: ParameterStore,
    pub(crate) app: App,
    server: Server,
}

/// A parsed HTTP response.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) status: u64,
    pub(crate) headers: Value,
    pub(crate) text: String,
    pub(crate) body: Value,
}

/// Two schedules: `office`, and `lab`, which is enforced.
pub(crate) fn schedules() -> Value {
    json!({"schedules": {
        "office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"},
        "lab": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00", "enforce": true},
    }})
}

/// A running instance of the schedule `office`, which started it this morning.
pub(crate) fn at_work(name: &str) -> Launch {
    Launch::new(name)
        .tag("Schedule", "office")
        .tag("curfew:last", "2026-11-23T07:00:00Z start schedule office")
        .launched_at("2026-11-23T07:00:05Z".parse().unwrap())
}

impl World {
    /// Creates a world with these instances and the configuration of [`schedules`].
    pub(crate) async fn with(launches: impl IntoIterator<Item = Launch>) -> Self {
        let ec2 = Model::new(NOW.parse().unwrap());
        // Grants only what the stack's role grants on AWS.
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
            organisations: OrganisationCache::new(&connection(server.endpoint.clone()).await),
            queue: None,
            configuration: ConfigurationCache::new(&store, ParameterStore::NAME),
            clock: Clock::telling(move || time.now()),
            auth: Authenticator::None,
            cors_origin: None,
            request_limit: DEFAULT_LIMIT,
            cloud: EndpointKind::Emulator,
        };
        Self {
            ec2,
            ssm,
            app,
            server,
        }
    }

    /// Continues in another execution environment. The limits on calls are kept in real time, which the model's does not advance.
    pub(crate) async fn in_another_environment(&mut self) {
        let connection = connection(self.server.endpoint.clone()).await;
        self.app.organisations = OrganisationCache::new(&connection);
    }

    /// Returns the id of the instance with this name.
    pub(crate) fn id(&self, name: &str) -> Ec2InstanceId {
        let instances = self.ec2.instances();
        let found = instances
            .iter()
            .find(|one| one.tags.get("Name").is_some_and(|tag| tag == name));
        found.expect("the test launched it").id.clone()
    }

    /// Returns the state of an instance.
    pub(crate) fn state(&self, name: &str) -> String {
        self.ec2.state(&self.id(name)).to_string()
    }

    /// Returns the value of an instance's tag.
    pub(crate) fn tag(&self, name: &str, key: &str) -> Option<String> {
        self.ec2.tag(&self.id(name), key)
    }

    /// The number of calls that change instances or tags, including failed ones.
    pub(crate) fn changes(&self) -> usize {
        self.ec2.changes()
    }

    /// Invokes the function with an event.
    pub(crate) async fn send(&self, event: &Value) -> Result<Value, InvocationFailure> {
        let context = InvocationContext::new("c0ffee", Duration::from_secs(10));
        self.app.handle(event, &context).await
    }

    /// Sends a GET request through a REST API.
    pub(crate) async fn get(&self, path: &str) -> TestResponse {
        self.http(&request("GET", path, "")).await
    }

    /// Sends a POST request through a REST API.
    pub(crate) async fn post(&self, path: &str, body: &str) -> TestResponse {
        self.http(&request("POST", path, body)).await
    }

    /// Sends an HTTP event and parses the response.
    pub(crate) async fn http(&self, event: &Value) -> TestResponse {
        let envelope = self.send(event).await.expect("HTTP always gets a response");
        let text = envelope["body"]
            .as_str()
            .expect("a body is text")
            .to_owned();
        TestResponse {
            status: envelope["statusCode"].as_u64().expect("a status"),
            headers: envelope["headers"].clone(),
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }
}

impl TestResponse {
    /// Returns one line for each instance with these fields, sorted by name, because ids are random.
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

    /// Returns the status and the error code.
    pub(crate) fn error_code(&self) -> (u64, &str) {
        (
            self.status,
            self.body["error"]["code"].as_str().unwrap_or("-"),
        )
    }

    /// Returns the status, and the error's code, message and hint.
    pub(crate) fn error_text(&self) -> String {
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

/// Loads a captured or documented event.
pub(crate) fn event(name: &str) -> Value {
    let path = format!("{}/tests/events/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Creates a request event in the form of MiniStack's REST API.
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
