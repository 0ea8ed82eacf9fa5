//! The complete product on a real LocalStack: the `curfew` program, HTTP, and a rule that EventBridge fires. `server` finds
//! the LocalStack; without one these tests are skipped with a message.

mod server;
mod stack_resources;

use std::thread;
use std::time::{Duration, Instant};

use crate::support::minute::NextMinute;
use crate::support::{Place, Sandbox};
use curfew_core::state_tags::LastApplied;
use curfew_core::timetable::Action;
use serde_json::Value;
use server::{Missing, Source};

/// A zone other than UTC, with an offset of half an hour.
const ZONE: &str = "Asia/Kolkata";
/// Number of consecutive minutes in which the instance is to be stopped. Once a minute LocalStack checks which rules are due
/// in the next 60 s, and late on a busy machine: it may miss one minute, but not eight.
const EDGES: u64 = 8;

/// Prints only when a dependency is missing; `.config/nextest.toml` shows its output.
#[expect(clippy::print_stderr, reason = "whoever runs the tests has to know")]
#[test]
fn the_localstack_tests_can_run() {
    if let Err(Missing(what)) = Source::find() {
        eprintln!(
            "SKIPPED: the tests on LocalStack, because {what}.\n\
             CURFEW_TEST_ENDPOINT=http://localhost:4566 runs them on the one that is there."
        );
    }
}

/// Only EventBridge can have stopped the instance: no daemon runs, and the stack has no heartbeat.
#[test]
fn a_stack_is_deployed_used_changed_and_removed() {
    let Ok(source) = Source::find() else { return };
    let server = source.open();
    let tenant = Tenant::new(&server.endpoint);

    tenant.schedule(r#"stop = "0 3 29 2 *""#);
    let deployed = tenant.sandbox.json(&["deploy"]);
    let api = answers_by_its_url(&tenant, &deployed);
    changes_nothing_when_deployed_again(&tenant, &deployed);
    stops_and_starts_by_url(&tenant, &api);
    let edges = replaces_the_rules_of_a_changed_schedule(&tenant, &deployed);
    is_triggered_by_a_rule(&tenant, &edges);
    is_removed_to_the_last_trace(&tenant, &api);

    drop(tenant);
    assert_eq!(server.close(), Vec::<String>::new());
}

fn answers_by_its_url(tenant: &Tenant, deployed: &Value) -> String {
    let (api, id) = (text(&deployed["api_url"]), text(&deployed["api_id"]));
    let endpoint = &tenant.endpoint;
    assert_eq!(api, format!("{endpoint}/restapis/{id}/prod/_user_request_"));
    assert_eq!(
        id,
        format!("{}-us-east-1", tenant.stack),
        "its URL survives"
    );
    assert_eq!(tenant.sandbox.json(&["outputs"]), *deployed);
    // For a function in a container, if LocalStack does not pass it the endpoint of EC2.
    assert_eq!(
        stack_resources::environment(endpoint, &tenant.stack)["CURFEW_FALLBACK_ENDPOINT"],
        "http://localhost.localstack.cloud:4566"
    );

    let (code, status) = Sandbox::get(&format!("{api}/status"));
    assert_eq!(code, 200, "{status}");
    let shown = |id: &str| {
        let mut instances = status["instances"].as_array().unwrap().iter();
        let found = instances.find(|one| one["id"] == id);
        let found = found.unwrap_or_else(|| panic!("{id} is not in {status}"));
        (text(&found["schedule"]), text(&found["state"]))
    };
    for id in [&tenant.web, &tenant.batch] {
        assert_eq!(shown(id), ("office".to_owned(), "running".to_owned()));
    }
    assert_eq!(status["instances"].as_array().unwrap().len(), 2);

    let (code, schedules) = Sandbox::get(&format!("{api}/schedules"));
    assert_eq!(code, 200, "{schedules}");
    assert_eq!(schedules["schedules"][0]["name"], "office", "{schedules}");

    let (code, page) = Sandbox::fetch("GET", &format!("{api}/"), "", "");
    assert_eq!(code, 200, "{page}");
    assert!(page.contains("<title>Curfew</title>"), "{page}");
    api
}

fn changes_nothing_when_deployed_again(tenant: &Tenant, deployed: &Value) {
    let (again, stderr) = tenant.sandbox.json_and_stderr(&["deploy"]);
    assert_eq!(again, *deployed, "the same API, queue and rules");
    assert!(stderr.contains("nothing changed"), "{stderr}");
}

fn stops_and_starts_by_url(tenant: &Tenant, api: &str) {
    // Two instances are managed: the error lists the choices, and nothing changes.
    let (code, body) = Sandbox::get(&format!("{api}/stop"));
    assert_eq!(
        (code, body["error"]["code"].as_str()),
        (400, Some("target_required")),
        "{body}"
    );
    assert_eq!(tenant.state(&tenant.web), "running");

    let (code, body) = Sandbox::get(&format!("{api}/stop?instance={}", tenant.web));
    assert_eq!(code, 200, "{body}");
    tenant.reaches(&tenant.web, "stopped");
    let (code, body) = Sandbox::get(&format!("{api}/start?instance={}", tenant.web));
    assert_eq!(code, 200, "{body}");
    tenant.reaches(&tenant.web, "running");
    // The override outlasts the schedule's edges.
    let (code, body) = Sandbox::get(&format!("{api}/start?instance={}&for=2h", tenant.batch));
    assert_eq!(code, 200, "{body}");
}

/// The schedule's new edges are the next full minutes.
fn replaces_the_rules_of_a_changed_schedule(tenant: &Tenant, deployed: &Value) -> Vec<NextMinute> {
    let before = tenant.rules();
    assert_eq!(names(&deployed["rules"]), before);
    let first = NextMinute::after(Duration::from_secs(20));
    let edges: Vec<NextMinute> = (0..EDGES).map(|minutes| first.later(minutes)).collect();
    let crons: Vec<String> = edges.iter().map(|edge| edge.unix_cron(ZONE)).collect();
    tenant.schedule(&format!("stop = {crons:?}"));
    let changed = tenant.sandbox.json(&["deploy"]);
    assert_eq!(changed["api_url"], deployed["api_url"]);
    let after = tenant.rules();
    assert_eq!(names(&changed["rules"]), after);
    assert_eq!(after.len(), edges.len(), "one for each minute: {after:?}");
    assert!(
        before.iter().all(|gone| !after.contains(gone)),
        "{before:?} should be gone from {after:?}"
    );
    edges
}

fn is_triggered_by_a_rule(tenant: &Tenant, edges: &[NextMinute]) {
    tenant.reaches(&tenant.web, "stopped");
    let applied = || -> LastApplied {
        let (_, tags) = tenant.place.look(&tenant.web);
        tags["curfew:last"].parse().unwrap()
    };
    // A pass records the stop after it. Pending or not: a later pass confirms it.
    let is_recorded = || applied().action == Action::Stop;
    tenant
        .sandbox
        .eventually("the stop is recorded", is_recorded);
    let applied = applied();
    assert_eq!(applied.cause.to_string(), "schedule office");
    assert!(edges.iter().any(|one| one.at() == applied.at), "{applied}");
    assert_eq!(
        tenant.state(&tenant.batch),
        "running",
        "an override keeps it running"
    );
}

fn is_removed_to_the_last_trace(tenant: &Tenant, api: &str) {
    let stack = tenant.stack.as_str();
    let there = stack_resources::of(&tenant.endpoint, stack);
    assert_eq!(there, stack_resources::all());
    let rules = tenant.rules();

    let removed = tenant.sandbox.json(&["destroy", "--yes"]);
    assert_eq!(removed["stack"], stack, "{removed}");
    assert_eq!(names(&removed["rules"]), rules);
    assert_eq!(
        stack_resources::of(&tenant.endpoint, stack),
        Vec::<&str>::new()
    );
    assert_ne!(
        Sandbox::fetch("GET", &format!("{api}/status"), "", "").0,
        200
    );
    assert_eq!(tenant.state(&tenant.web), "stopped", "instances stay");
    assert_eq!(tenant.state(&tenant.batch), "running", "instances stay");

    let again = tenant.sandbox.json(&["destroy", "--yes"]);
    assert_eq!(again["stack"], Value::Null, "{again}");
    assert_eq!(names(&again["rules"]), Vec::<String>::new());
    let (code, message) = tenant.sandbox.fails(&["outputs"]);
    assert_eq!(code, 3, "{message}");
}

/// A stack, a tag and two instances with unique names: the LocalStack may be in use by other people.
struct Tenant {
    endpoint: String,
    stack: String,
    tag: String,
    sandbox: Sandbox,
    place: Place,
    web: String,
    batch: String,
}

impl Tenant {
    fn new(endpoint: &str) -> Self {
        let mark = fastrand::u32(..);
        let tag = format!("CurfewTest{mark:08x}");
        let place = Place::new(endpoint, None, "us-east-1");
        Self {
            endpoint: endpoint.to_owned(),
            stack: format!("test-{mark:08x}"),
            sandbox: Sandbox::at(endpoint),
            web: place.launch_with(&tag, "office"),
            batch: place.launch_with(&tag, "office"),
            place,
            tag,
        }
    }

    /// Writes a configuration whose one schedule has these edges.
    fn schedule(&self, edges: &str) {
        let (stack, tag) = (&self.stack, &self.tag);
        self.sandbox.configuration(&format!(
            r#"
            [managing]
            tag = "{tag}"
            [stack]
            name = "{stack}"
            heartbeat = "off"
            [api]
            auth = "none"
            [schedules.office]
            timezone = "{ZONE}"
            {edges}
            "#
        ));
    }

    /// The names of the rules, from the service itself.
    fn rules(&self) -> Vec<String> {
        stack_resources::rules(&self.endpoint, &self.stack)
    }

    fn state(&self, id: &str) -> String {
        self.place.look(id).0
    }

    /// Waits for a state until after the last edge.
    fn reaches(&self, id: &str, state: &str) {
        let limit = Duration::from_mins(EDGES + 3);
        let begun = Instant::now();
        while self.state(id) != state {
            assert!(
                begun.elapsed() < limit,
                "{id} is not {state} within {limit:?}"
            );
            thread::sleep(Duration::from_millis(500));
        }
    }
}

impl Drop for Tenant {
    /// Cleans up after a test that failed, too.
    fn drop(&mut self) {
        self.sandbox.run_to_end(&["destroy", "--yes"]);
        self.place.terminate(&[&self.web, &self.batch]);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn names(values: &Value) -> Vec<String> {
    let mut names: Vec<String> = values.as_array().unwrap().iter().map(text).collect();
    names.sort_unstable();
    names
}
