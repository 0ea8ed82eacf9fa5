//! EC2's state changes through a deployed stack's queue to the daemon's journal. The emulator's EC2 sends no events, so the
//! test puts them into the queue; everything else is real.

use crate::support::minute::now;
use crate::support::{Place, Sandbox};
use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

const QUEUE: &str = "curfew-curfew-state-changes";
const UNREAD: &str = "curfew-curfew-unread-state-changes";

/// An event of EC2 in the form in which an EventBridge rule delivers it.
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

/// The source must be the event: the daemon polls only once within the test.
#[test]
fn queued_state_changes_are_journalled_and_unreadable_messages_become_dead_letters() {
    let sandbox = Sandbox::new();
    let endpoint = sandbox.emulator();
    let home = Place::new(&endpoint, None, "us-east-1");
    sandbox.configuration(&format!(
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
    sandbox.json(&["deploy"]);
    let web = home.launch("office");
    // Already received four times: the next receipt is the fifth and last.
    home.send(QUEUE, "<not>JSON</not>");
    for _ in 0..4 {
        home.receive_without_deleting(QUEUE);
    }
    let mut daemon = sandbox.run_with(&[("CURFEW__DAEMON__POLL_QUIET", "1h")]);
    sandbox.eventually("web is observed", || sandbox.has_observed(&web));

    home.send(QUEUE, "not a word of JSON");
    sandbox.json(&["stop", &web, "--by", "alice"]);
    assert_eq!(sandbox.state(&web), "stopped");
    let at = now().round(Unit::Second).unwrap();
    // The queue does not preserve order.
    home.send(QUEUE, &state_change(&web, "stopped", at, 2));
    home.send(QUEUE, &state_change(&web, "stopping", at, 1));

    sandbox.eventually("the journal has both", || sandbox.history().len() == 2);
    let fields = |entry: &Value| {
        let keys = ["id", "from", "to", "at", "cause", "schedule", "source"];
        keys.map(|key| entry[key].as_str().unwrap().to_owned())
    };
    let history: Vec<_> = sandbox.history().iter().map(fields).collect();
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

    // If the machine pauses for minutes, the other message has arrived there, too.
    sandbox.eventually(
        "only the two unreadable messages are left, and one is a dead letter",
        || {
            let aside = home.messages(UNREAD);
            aside >= 1 && home.messages(QUEUE) + aside == 2
        },
    );
    let warning = "unreadable state-change message; leaving it to the dead-letter queue";
    assert_eq!(daemon.log().matches(warning).count(), 1, "{}", daemon.log());
    assert_eq!(sandbox.history().len(), 2);
    daemon.end();
    sandbox.stop_emulator();
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}
