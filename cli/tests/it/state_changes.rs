//! EC2's state changes on their way through a deployed stack's queue to the daemon's journal. The emulator's EC2 tells of none, so
//! what EC2 would send is put into the queue here; all else is the real thing.

use crate::support::minute::now;
use crate::support::{House, Place};
use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

const QUEUE: &str = "curfew-curfew-state-changes";
const UNREAD: &str = "curfew-curfew-unread-state-changes";

/// What EC2 sends, as a rule of EventBridge hands it on.
fn state_change(instance: &str, state: &str, at: Timestamp, number: usize) -> String {
    let event = json!({
        "version": "0",
        "id": format!("00000000-0000-4000-8000-{number:012}"),
        "detail-type": "EC2 Instance State-change Notification",
        "source": "aws.ec2",
        "account": "000000000000",
        "time": at,
        "region": "us-east-1",
        "resources": [format!("arn:aws:ec2:us-east-1:000000000000:instance/{instance}")],
        "detail": { "instance-id": instance, "state": state },
    });
    event.to_string()
}

/// Nothing but events can have told: after the first look there is no other within the test.
#[test]
fn a_state_change_in_the_stacks_queue_is_journalled_and_what_makes_no_sense_is_set_aside() {
    let house = House::new();
    let endpoint = house.emulator();
    let home = Place::new(&endpoint, None, "us-east-1");
    house.configuration(&format!(
        r#"
        [aws]
        endpoint = "{endpoint}"
        region = "us-east-1"
        [stack]
        heartbeat = "off"
        [daemon]
        grace = "1h"
        [schedules.office]
        timezone = "Europe/Paris"
        stop = "0 3 29 2 *"
        "#
    ));
    house.json(&["deploy"]);
    let web = home.launch("office");
    // Earlier daemons could not read this either: the next time is the fifth, and the last.
    home.send(QUEUE, "<not>JSON</not>");
    for _ in 0..4 {
        home.receive_in_vain(QUEUE);
    }
    let mut daemon = house.run_with(&[("CURFEW__DAEMON__POLL_QUIET", "1h")]);
    house.eventually("the daemon knows web", || house.knows(&web));

    home.send(QUEUE, "not a word of JSON");
    house.json(&["stop", &web, "--by", "alice"]);
    assert_eq!(house.state(&web), "stopped");
    let at = now().round(Unit::Second).unwrap();
    // A queue keeps no order.
    home.send(QUEUE, &state_change(&web, "stopped", at, 2));
    home.send(QUEUE, &state_change(&web, "stopping", at, 1));

    house.eventually("the journal has both", || house.history().len() == 2);
    let told = |entry: &Value| {
        let keys = [
            "instance", "from", "to", "at", "cause", "schedule", "source",
        ];
        keys.map(|key| entry[key].as_str().unwrap().to_owned())
    };
    let history: Vec<_> = house.history().iter().map(told).collect();
    let at = at.to_string();
    let expected = |from: &str, to: &str| {
        [&web, from, to, &at, "request by alice", "office", "event"].map(str::to_owned)
    };
    assert_eq!(
        history,
        [
            expected("running", "stopping"),
            expected("stopping", "stopped")
        ]
    );

    // A machine that stands still for minutes finds the other there too.
    house.eventually("all is deleted but the two, and one is set aside", || {
        let aside = home.messages(UNREAD);
        aside >= 1 && home.messages(QUEUE) + aside == 2
    });
    let warning = "unreadable state-change message; leaving it to the dead-letter queue";
    assert_eq!(daemon.log().matches(warning).count(), 1, "{}", daemon.log());
    assert_eq!(house.history().len(), 2);
    daemon.end();
    house.stop_emulator();
    assert_eq!(house.processes(), Vec::<String>::new());
}
