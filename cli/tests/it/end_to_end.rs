//! The whole product as a person uses it: the `curfew` program, the embedded emulator, HTTP, and schedules that are due within a
//! minute. Each test has an emulator, a port and a state of its own, and leaves no process behind.

use std::time::Duration;

use crate::support::minute::NextMinute;
use crate::support::{House, Place};
use serde_json::Value;

/// The cloud decides: EventBridge fires the rule, the Lambda makes the pass. The heartbeat is off and the daemon's grace is
/// longer than the test, so that nothing else can have done it.
#[test]
fn eventbridge_wakes_the_lambda_which_stops_and_starts_on_time() {
    let house = House::new();
    let due = NextMinute::after(Duration::from_secs(40));
    house.configuration(&format!(
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
    let mut up = house.up();
    let url = up.api_url();

    let (status, body) = House::get(&format!("{url}/status"));
    assert_eq!(status, 200, "{body}");
    let instances = body["instances"].as_array().unwrap().clone();
    let id = |name: &str| {
        instances.iter().find(|it| it["name"] == name).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (web, batch) = (id("web-1"), id("batch-1"));

    // Several are managed: the answer names the choices, and nothing is done.
    let (status, body) = House::get(&format!("{url}/stop"));
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (400, Some("target_required")),
        "{body}"
    );
    let (status, body) = House::get(&format!("{url}/stop?instance=i-00000000000000bad"));
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (404, Some("unknown_instance")),
        "{body}"
    );
    assert_eq!(house.state(&web), "running");

    // A request goes through API Gateway and the Lambda to EC2.
    let (status, body) = House::get(&format!("{url}/stop?instance={batch}"));
    assert_eq!(status, 200, "{body}");
    assert_eq!(house.state(&batch), "stopped");
    assert!(
        due.is_ahead(),
        "this machine is too slow for this test: it took a minute to get here"
    );

    // The rules: one stops web-1, another starts batch-1.
    house.eventually("web-1 is stopped", || house.state(&web) == "stopped");
    house.eventually("batch-1 is started", || house.state(&batch) == "running");
    house.eventually("the journal has all three", || house.history().len() >= 3);
    let history = house.history();
    let told = |to: &str, instance: &str| {
        let entry = history
            .iter()
            .find(|entry| entry["to"] == to && entry["instance"] == instance);
        entry.unwrap_or_else(|| panic!("{instance} {to} is not in {history:?}"))["cause"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(told("stopped", &web), "schedule office");
    assert_eq!(told("running", &batch), "schedule night-stop");
    assert_eq!(told("stopped", &batch), "request by http 127.0.0.1");
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
    assert_eq!(house.processes(), Vec::<String>::new());
}

/// An organisation: two accounts, three regions, and no daemon. The rule's trigger becomes a message for each account and region,
/// which the work queue delivers to the Lambda again. The emulator gives out a role's credentials without asking whom the role
/// trusts; that is shown by `crates/aws/tests/it/organisation.rs`.
#[test]
fn a_trigger_reaches_every_account_and_region_through_the_work_queue() {
    const PAYMENTS: &str = "111122223333";
    let house = House::new();
    let endpoint = house.emulator();
    let due = NextMinute::after(Duration::from_secs(40));
    let place = |account, region| Place::new(&endpoint, account, region);
    let home = place(None, "us-east-1");
    let role = place(Some(PAYMENTS), "us-east-1").make_member_role("000000000000", "between-us");
    assert_eq!(role, format!("arn:aws:iam::{PAYMENTS}:role/curfew-member"));
    house.configuration(&format!(
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
    // In each: one that is to be stopped, and one to be started.
    let furnished = |account, region| {
        let place = place(account, region);
        let (office, batch) = (place.launch("office"), place.launch("night-stop"));
        place.stop(&batch);
        (place, office, batch)
    };
    let account_regions = [
        furnished(None, "us-east-1"),
        furnished(None, "eu-west-3"),
        furnished(Some(PAYMENTS), "us-east-1"),
        furnished(Some(PAYMENTS), "eu-central-1"),
    ];
    // Regions that the configuration names, but not of this account.
    let strangers = [
        furnished(None, "eu-central-1"),
        furnished(Some(PAYMENTS), "eu-west-3"),
    ];
    house.json(&["deploy"]);
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
        house.eventually(&format!("member {number} is reached"), || {
            let ((office, known), (batch, too)) = (place.look(office), place.look(batch));
            (office.as_str(), batch.as_str()) == ("stopped", "running")
                && known.contains_key("curfew:last")
                && too.contains_key("curfew:last")
        });
    }
    house.eventually("all work is done", || {
        home.messages("curfew-curfew-work.fifo") == 0
    });
    assert_eq!(home.messages("curfew-curfew-undone-work.fifo"), 0);
    assert!(strangers.iter().all(untouched), "nobody named them");

    // Each of the two rules' triggers made four messages and did nothing else; what was done, was done for a message.
    let log = house.function_log();
    let said = |what: &'static str| log.iter().filter(move |line| line["message"] == what);
    let handed_on: Vec<&Value> = said("work enqueued")
        .map(|line| &line["account_regions"])
        .collect();
    assert_eq!(handed_on, [4, 4], "{log:#?}");
    // The two may overlap, and then both stop the same instance: that is why only the places are counted.
    let mut places: Vec<&str> = said("step done")
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
    house.stop_emulator();
    assert_eq!(house.processes(), Vec::<String>::new());
}

#[test]
fn the_own_account_is_refused_as_another() {
    let house = House::new();
    house.emulator();
    house.configuration(
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
    let (code, message) = house.fails(&["deploy"]);
    assert_eq!(code, 1, "{message}");
    assert!(
        message.contains("`[[account]]` names 000000000000") && message.contains("regions"),
        "{message}"
    );
    assert_eq!(house.fails(&["outputs"]).0, 3, "nothing was deployed");
    house.stop_emulator();
}

/// With a token each, who asked is in the override and the journal, and the token is nowhere but with them.
#[test]
fn who_asked_by_token_is_journalled_and_the_token_is_not() {
    let house = House::new();
    let made = house.json(&["token", "new", "alice"]);
    let (token, digest) = (
        made["token"].as_str().unwrap(),
        made["token_sha256"].as_str().unwrap(),
    );
    house.configuration(&format!(
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
    let mut up = house.up();
    let (url, web) = (up.api_url(), house.id("web-1"));
    let stop = format!("{url}/stop?instance={web}&for=2h");
    let (status, body) = House::get(&stop);
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (401, Some("unauthorized")),
        "{body}"
    );
    let (status, body) = House::get_by(&stop, token);
    assert_eq!(
        (status, body["instances"][0]["reason"].as_str()),
        (200, Some("override by alice")),
        "{body}"
    );
    house.eventually("the journal says who", || {
        let history = house.history();
        history
            .iter()
            .any(|one| one["cause"] == "override by alice")
    });
    let (status, body) = House::get_by(&format!("{url}/status?instance={web}"), token);
    assert_eq!(
        (status, body["instances"][0]["override"]["actor"].as_str()),
        (200, Some("alice")),
        "{body}"
    );
    assert!(!up.log().contains(token), "{}", up.log());
    assert!(
        !house.files_with("override by alice").is_empty(),
        "the journal is among the files that are searched"
    );
    assert_eq!(house.files_with(token), Vec::<std::path::PathBuf>::new());
    up.end();
    assert_eq!(house.processes(), Vec::<String>::new());
}

/// The daemon decides: tokio-cron-scheduler wakes it, and nothing is deployed.
#[test]
fn the_daemon_stops_on_time_without_any_cloud() {
    let house = House::new();
    let due = NextMinute::after(Duration::from_secs(15));
    let endpoint = house.emulator_with_the_demo_fleet();
    house.configuration(&format!(
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
    let mut daemon = house.run();
    let web = house.id("web-1");
    assert_eq!(house.state(&web), "running");
    house.eventually("web-1 is stopped", || house.state(&web) == "stopped");
    let late = due.passed();
    assert!(
        late < Duration::from_secs(20),
        "the alarm, not the minute's routine look: {late:?}"
    );
    house.eventually("the journal has it", || house.history().len() == 1);
    assert_eq!(house.history()[0]["cause"], "schedule office");
    daemon.end();
    house.stop_emulator();
    assert_eq!(house.processes(), Vec::<String>::new());
}

#[test]
fn a_second_up_finds_everything_again_and_destroy_leaves_nothing() {
    let house = House::new();
    house.configuration(
        "[schedules.office]\ntimezone = 'Europe/Paris'\nrunning = 'Mon-Fri 08:00-20:00'",
    );
    let mut first = house.up();
    let url = first.api_url();
    let ids = house.ids();
    first.end();

    let mut second = house.up();
    assert_eq!(second.api_url(), url);
    assert_eq!(house.ids(), ids);
    let outputs = house.json(&["outputs"]);
    assert_eq!(outputs["api_url"], url);
    assert_eq!(
        outputs["rules"].as_array().unwrap().len(),
        2,
        "edges, heartbeat: {outputs}"
    );

    let removed = house.json(&["destroy", "--yes"]);
    assert_eq!(removed["stack"], "curfew");
    assert_eq!(
        house.json(&["destroy", "--yes"])["stack"],
        Value::Null,
        "destroying again is fine"
    );
    let (code, message) = house.fails(&["outputs"]);
    assert_eq!(code, 3, "{message}");
    assert_eq!(house.ids(), ids, "instances stay");
    second.end();
    assert_eq!(house.processes(), Vec::<String>::new());
}

#[test]
fn an_emulator_that_dies_is_started_again_and_nothing_is_lost_from_the_journal() {
    let house = House::new();
    house.configuration(
        "[daemon]\npoll = '1s'\n[schedules.office]\ntimezone = 'UTC'\nstop = '0 0 1 1 *'",
    );
    let mut up = house.up();
    let web = house.id("web-1");
    let (status, body) = House::get(&format!("{}/stop?instance={web}", up.api_url()));
    assert_eq!(status, 200, "{body}");
    house.eventually("the journal has it", || house.history().len() == 1);
    let before = house.history();

    house.kill_emulator();
    house.eventually("emulator restarted", || {
        up.log().contains("emulator restarted")
    });
    assert!(
        up.log().contains("emulator exited; restarting"),
        "{}",
        up.log()
    );
    // What was in the killed emulator's memory is gone: this is another API, and other instances.
    let url = house.json(&["outputs"])["api_url"]
        .as_str()
        .unwrap()
        .to_owned();
    house.eventually("it answers", || {
        House::get(&format!("{url}/status")).0 == 200
    });
    assert_eq!(house.history()[..1], before[..]);
    up.end();
    assert_eq!(house.processes(), Vec::<String>::new());
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    let house = House::new();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", house.port())).unwrap();
    let (code, message) = house.fails(&["up", "--port", &house.port().to_string()]);
    assert_eq!(code, 1, "{message}");
    assert!(
        message.contains(&format!("{}", house.port())) && message.contains("--port"),
        "{message}"
    );
}

#[test]
fn without_python_up_says_what_to_install() {
    let house = House::new();
    let (code, message) = house.fails(&["up", "--python", "/nonexistent/python3"]);
    assert_eq!(code, 1, "{message}");
    assert!(
        message.contains("/nonexistent/python3") && message.contains("install Python"),
        "{message}"
    );
}
