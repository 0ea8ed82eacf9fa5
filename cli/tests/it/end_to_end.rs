//! The complete product: the `curfew` program, the embedded emulator, HTTP, and schedules that are due within a minute. Each
//! test has an emulator, a port and a state directory to itself, and leaves no process behind.

use std::time::Duration;

use crate::support::minute::NextMinute;
use crate::support::{Place, Sandbox};
use curfew_journal::Journal;
use serde_json::Value;

/// With the Lambda as the driver, EventBridge fires the rule and the Lambda runs the pass. The heartbeat is off and the
/// daemon's grace period is longer than the test, so that nothing else can act.
#[test]
fn eventbridge_triggers_the_lambda_which_stops_and_starts_on_time() {
    let sandbox = Sandbox::new();
    let due = NextMinute::after(Duration::from_mins(1));
    sandbox.configuration(&format!(
        r#"
        [stack]
        heartbeat = "off"
        [daemon]
        poll = "1s"
        grace = "1h"
        [schedules.office]
        timezone = "Asia/Kolkata"
        stop = "{stop}"
        [schedules.night-stop]
        timezone = "America/New_York"
        start = "{start}"
        "#,
        stop = due.unix_cron("Asia/Kolkata"),
        start = due.aws_cron("America/New_York"),
    ));
    let mut up = sandbox.up();
    let url = up.api_url();

    let (status, body) = Sandbox::get(&format!("{url}/status"));
    assert_eq!(status, 200, "{body}");
    let instances = body["instances"].as_array().unwrap().clone();
    let id = |name: &str| {
        instances.iter().find(|it| it["name"] == name).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (web, batch) = (id("office-1"), id("night-stop-1"));

    // Several instances are managed: the error lists the choices, and nothing changes.
    let (status, body) = Sandbox::get(&format!("{url}/stop"));
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (400, Some("target_required")),
        "{body}"
    );
    let (status, body) = Sandbox::get(&format!("{url}/stop?instance=i-00000000000000bad"));
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (404, Some("unknown_instance")),
        "{body}"
    );
    assert_eq!(sandbox.state(&web), "running");

    // A request through API Gateway and the Lambda to EC2.
    let (status, body) = Sandbox::get(&format!("{url}/stop?instance={batch}"));
    assert_eq!(status, 200, "{body}");
    assert_eq!(sandbox.state(&batch), "stopped");
    assert!(
        due.is_ahead(),
        "this machine is too slow for this test: it took a minute to get here"
    );

    // One rule stops web-1, another starts batch-1.
    sandbox.eventually("web-1 is stopped", || sandbox.state(&web) == "stopped");
    sandbox.eventually("batch-1 is started", || sandbox.state(&batch) == "running");
    sandbox.eventually("the journal has all three", || sandbox.history().len() >= 3);
    let history = sandbox.history();
    let cause = |to: &str, instance: &str| {
        let entry = history
            .iter()
            .find(|entry| entry["to"] == to && entry["id"] == instance);
        entry.unwrap_or_else(|| panic!("{instance} {to} is not in {history:?}"))["cause"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(cause("stopped", &web), "schedule office");
    assert_eq!(cause("running", &batch), "schedule night-stop");
    assert_eq!(cause("stopped", &batch), "request by http 127.0.0.1");
    assert!(
        !up.log().contains("the cloud did not apply an edge in time"),
        "{}",
        up.log()
    );
    assert_eq!(
        up.log().matches("instance changed state").count(),
        3,
        "{}",
        up.log()
    );

    up.end();
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}

/// An organisation: two accounts, three regions, and no daemon. The rule's trigger becomes one message for each
/// account-region, which the work queue delivers to the Lambda. The emulator issues a role's credentials without checking
/// the trust policy; `crates/aws/tests/it/organisation.rs` tests that.
#[test]
fn a_trigger_reaches_every_account_and_region_through_the_work_queue() {
    const PAYMENTS: &str = "111122223333";
    let sandbox = Sandbox::new();
    let endpoint = sandbox.emulator();
    let place = |account, region| Place::new(&endpoint, account, region);
    let home = place(None, "us-east-1");
    let role = place(Some(PAYMENTS), "us-east-1").make_member_role("000000000000", "between-us");
    assert_eq!(role, format!("arn:aws:iam::{PAYMENTS}:role/curfew-member"));
    // Each has one instance to stop and one to start.
    let with_instances = |account, region| {
        let place = place(account, region);
        let (office, batch) = (place.launch("office"), place.launch("night-stop"));
        place.stop(&batch);
        (place, office, batch)
    };
    let account_regions = [
        with_instances(None, "us-east-1"),
        with_instances(None, "eu-west-3"),
        with_instances(Some(PAYMENTS), "us-east-1"),
        with_instances(Some(PAYMENTS), "eu-central-1"),
    ];
    // Regions that the configuration names in other accounts only.
    let unmanaged = [
        with_instances(None, "eu-central-1"),
        with_instances(Some(PAYMENTS), "eu-west-3"),
    ];
    let due = NextMinute::after(Duration::from_secs(40));
    sandbox.configuration(&format!(
        r#"
        [managing]
        regions = ["us-east-1", "eu-west-3"]
        [[account]]
        id = "{PAYMENTS}"
        name = "payments"
        role_arn = "{role}"
        external_id = "between-us"
        regions = ["us-east-1", "eu-central-1"]
        [stack]
        heartbeat = "off"
        [schedules.office]
        timezone = "Asia/Kolkata"
        stop = "{stop}"
        [schedules.night-stop]
        timezone = "America/New_York"
        start = "{start}"
        "#,
        stop = due.unix_cron("Asia/Kolkata"),
        start = due.aws_cron("America/New_York"),
    ));
    sandbox.json(&["deploy"]);
    let untouched = |(place, office, batch): &(Place, String, String)| {
        let ((office, known), (batch, too)) = (place.look(office), place.look(batch));
        (office.as_str(), batch.as_str()) == ("running", "stopped")
            && !known.contains_key("curfew:last")
            && !too.contains_key("curfew:last")
    };
    assert!(account_regions.iter().all(untouched), "nothing is due yet");
    assert!(
        due.is_ahead(),
        "this machine is too slow for this test: it took a minute to get here"
    );

    for (number, (place, office, batch)) in account_regions.iter().enumerate() {
        sandbox.eventually(&format!("member {number} is reached"), || {
            let ((office, known), (batch, too)) = (place.look(office), place.look(batch));
            (office.as_str(), batch.as_str()) == ("stopped", "running")
                && known.contains_key("curfew:last")
                && too.contains_key("curfew:last")
        });
    }
    sandbox.eventually("all work is done", || {
        home.messages("curfew-curfew-work.fifo") == 0
    });
    assert_eq!(home.messages("curfew-curfew-undone-work.fifo"), 0);
    assert!(unmanaged.iter().all(untouched), "they are not managed");

    // Each of the two triggers enqueued four messages and did nothing else; every step was for a message.
    let log = sandbox.function_log();
    let lines_of = |what: &'static str| log.iter().filter(move |line| line["message"] == what);
    let enqueued: Vec<&Value> = lines_of("work enqueued")
        .map(|line| &line["account_regions"])
        .collect();
    assert_eq!(enqueued, [4, 4], "{log:#?}");
    // The two passes may overlap and both stop the same instance: so only the account-regions are counted.
    let mut places: Vec<&str> = lines_of("step done")
        .map(|line| line["spans"].as_array().unwrap())
        .map(|spans| {
            spans
                .iter()
                .find_map(|span| span["account_region"].as_str())
                .unwrap()
        })
        .collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(
        places,
        [
            "eu-central-1 of account 111122223333",
            "eu-west-3",
            "us-east-1",
            "us-east-1 of account 111122223333"
        ]
    );
    sandbox.stop_emulator();
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}

#[test]
fn the_account_of_the_connection_is_refused_as_another() {
    let sandbox = Sandbox::new();
    sandbox.emulator();
    sandbox.configuration(
        r#"
        [[account]]
        id = "000000000000"
        role_arn = "arn:aws:iam::000000000000:role/curfew-member"
        regions = ["us-east-1"]
        [schedules.office]
        timezone = "UTC"
        stop = "0 3 29 2 *"
        "#,
    );
    let (code, message) = sandbox.fails(&["deploy"]);
    assert_eq!(code, 1, "{message}");
    assert!(
        message.contains("`[[account]]` names 000000000000") && message.contains("regions"),
        "{message}"
    );
    assert_eq!(sandbox.fails(&["outputs"]).0, 3, "nothing was deployed");
    sandbox.stop_emulator();
}

/// With a token for each person, the actor is in the override and the journal, and the token is only with its holder.
#[test]
fn the_actor_of_a_token_is_journalled_and_the_token_is_not() {
    let sandbox = Sandbox::new();
    let made = sandbox.json(&["token", "new", "alice"]);
    let (token, digest) = (
        made["token"].as_str().unwrap(),
        made["token_sha256"].as_str().unwrap(),
    );
    sandbox.configuration(&format!(
        r#"
        [api]
        auth = "token"
        tokens = {{ alice = "{digest}" }}
        [stack]
        heartbeat = "off"
        [daemon]
        poll = "1s"
        grace = "1h"
        [schedules.office]
        timezone = "Europe/Paris"
        stop = "0 3 29 2 *"
        "#
    ));
    let mut up = sandbox.up();
    let (url, web) = (up.api_url(), sandbox.id("office-1"));
    let stop = format!("{url}/stop?instance={web}&for=2h");
    let (status, body) = Sandbox::get(&stop);
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (401, Some("unauthorized")),
        "{body}"
    );
    let (status, body) = Sandbox::get_by(&stop, token);
    assert_eq!(
        (status, body["instances"][0]["reason"].as_str()),
        (200, Some("override by alice")),
        "{body}"
    );
    sandbox.eventually("the journal names the actor", || {
        let history = sandbox.history();
        history
            .iter()
            .any(|one| one["cause"] == "override by alice")
    });
    let (status, body) = Sandbox::get_by(&format!("{url}/status?instance={web}"), token);
    assert_eq!(
        (status, body["instances"][0]["override"]["actor"].as_str()),
        (200, Some("alice")),
        "{body}"
    );
    assert!(!up.log().contains(token), "{}", up.log());
    assert!(
        !sandbox.files_with("override by alice").is_empty(),
        "the journal is among the files that are searched"
    );
    assert_eq!(sandbox.files_with(token), Vec::<std::path::PathBuf>::new());
    up.end();
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}

/// With the daemon as the driver, tokio-cron-scheduler triggers it, and nothing is deployed.
#[test]
fn the_daemon_stops_on_time_without_a_stack() {
    let sandbox = Sandbox::new();
    let endpoint = sandbox.emulator_with_the_demo_fleet();
    let due = NextMinute::after(Duration::from_secs(15));
    sandbox.configuration(&format!(
        r#"
        [aws]
        endpoint = "{endpoint}"
        region = "us-east-1"
        [daemon]
        driver = "daemon"
        poll = "1s"
        [schedules.office]
        timezone = "Asia/Kolkata"
        stop = "{stop}"
        "#,
        stop = due.unix_cron("Asia/Kolkata"),
    ));
    let mut daemon = sandbox.run();
    let web = sandbox.id("web-1");
    assert_eq!(sandbox.state(&web), "running");
    sandbox.eventually("web-1 is stopped", || sandbox.state(&web) == "stopped");
    let late = due.passed();
    assert!(
        late < Duration::from_secs(20),
        "the timer, not the periodic pass: {late:?}"
    );
    sandbox.eventually("the journal has it", || sandbox.history().len() == 1);
    assert_eq!(sandbox.history()[0]["cause"], "schedule office");
    daemon.end();
    sandbox.stop_emulator();
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}

#[test]
fn a_second_up_reuses_everything_and_destroy_leaves_nothing() {
    let sandbox = Sandbox::new();
    sandbox.configuration(
        "[schedules.office]\ntimezone = 'Europe/Paris'\nrunning = 'Mon-Fri 08:00-20:00'",
    );
    let mut first = sandbox.up();
    Journal::read(sandbox.directory()).expect("commands of the report read the journal");
    let url = first.api_url();
    let ids = sandbox.ids();
    first.end();

    let mut second = sandbox.up();
    assert_eq!(second.api_url(), url);
    assert_eq!(sandbox.ids(), ids);
    let outputs = sandbox.json(&["outputs"]);
    assert_eq!(outputs["api_url"], url);
    assert_eq!(
        outputs["rules"].as_array().unwrap().len(),
        2,
        "edges, heartbeat: {outputs}"
    );

    let removed = sandbox.json(&["destroy", "--yes"]);
    assert_eq!(removed["stack"], "curfew");
    assert_eq!(
        sandbox.json(&["destroy", "--yes"])["stack"],
        Value::Null,
        "a second destroy succeeds"
    );
    let (code, message) = sandbox.fails(&["outputs"]);
    assert_eq!(code, 3, "{message}");
    assert_eq!(sandbox.ids(), ids, "instances stay");
    second.end();
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}

#[test]
fn a_killed_emulator_is_restarted_and_the_journal_loses_nothing() {
    let sandbox = Sandbox::new();
    sandbox.configuration(
        "[daemon]\npoll = '1s'\n[schedules.office]\ntimezone = 'UTC'\nstop = '0 0 1 1 *'",
    );
    let mut up = sandbox.up();
    let web = sandbox.id("office-1");
    let (status, body) = Sandbox::get(&format!("{}/stop?instance={web}", up.api_url()));
    assert_eq!(status, 200, "{body}");
    sandbox.eventually("the journal has it", || sandbox.history().len() == 1);
    let before = sandbox.history();

    sandbox.kill_emulator();
    sandbox.eventually("emulator restarted", || {
        up.log().contains("emulator restarted")
    });
    assert!(
        up.log().contains("emulator exited; restarting"),
        "{}",
        up.log()
    );
    // The killed emulator had its state in memory: this is another API with other instances.
    let url = sandbox.json(&["outputs"])["api_url"]
        .as_str()
        .unwrap()
        .to_owned();
    sandbox.eventually("the API responds", || {
        Sandbox::get(&format!("{url}/status")).0 == 200
    });
    assert_eq!(sandbox.history()[..1], before[..]);
    up.end();
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}

#[test]
fn a_port_in_use_is_reported_with_a_hint() {
    let sandbox = Sandbox::new();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", sandbox.port())).unwrap();
    let (code, message) = sandbox.fails(&["up", "--port", &sandbox.port().to_string()]);
    assert_eq!(code, 1, "{message}");
    assert!(
        message.contains(&format!("{}", sandbox.port())) && message.contains("--port"),
        "{message}"
    );
}

#[test]
fn a_missing_python_is_reported_with_what_to_install() {
    let sandbox = Sandbox::new();
    let (code, message) = sandbox.fails(&["up", "--python", "/nonexistent/python3"]);
    assert_eq!(code, 1, "{message}");
    assert!(
        message.contains("/nonexistent/python3") && message.contains("install Python"),
        "{message}"
    );
}
