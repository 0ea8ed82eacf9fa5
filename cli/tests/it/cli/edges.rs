//! `curfew history --edges`: the result of each edge.

use curfew_core::instance::{AccountId, Region, ResourceKind};
use curfew_core::timetable::Action;
use curfew_journal::{EdgeOutcome, EdgeRecord, Journal};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::OFFICE;
use crate::cli::place::Place;

#[test]
fn edges_are_printed_as_table_json_and_csv() {
    let place = Place::with(OFFICE);
    let mut journal = Journal::open(place.state()).unwrap();
    let printed = |arguments: &[&str]| place.prints(&[&["history", "--edges"], arguments].concat());
    assert_eq!(
        printed(&[]),
        "no edges recorded; the daemon records them with `daemon.driver = \"cloud\"`\n"
    );
    let edge: Timestamp = "2025-11-24T19:00:00Z".parse().unwrap();
    let followed = |name: &str, outcome, seconds| EdgeRecord {
        kind: ResourceKind::Instance,
        edge,
        instance: "i-0abc1234def567890".parse().unwrap(),
        name: Some(name.to_owned()),
        action: Action::Stop,
        cause: "schedule office".parse().unwrap(),
        schedule: Some("office".parse().unwrap()),
        outcome,
        at: edge + SignedDuration::from_secs(seconds),
        region: Region::new("eu-west-3"),
        account: AccountId::new("123456789012"),
    };
    let mut other = followed("=db", EdgeOutcome::NotApplied, 180);
    other.instance = "i-00000000000000002".parse().unwrap();
    let edges = [followed("web", EdgeOutcome::InTime, 5), other];
    journal.record_edges(&edges).unwrap();

    insta::assert_snapshot!(printed(&[]), @"
    EDGE                       INSTANCE             NAME  ACTION  CAUSE            OUTCOME      LATENCY
    Mon 24 Nov 2025 20:00 CET  i-0abc1234def567890  web   stop    schedule office  in time      5.0 s
    Mon 24 Nov 2025 20:00 CET  i-00000000000000002  =db   stop    schedule office  not applied  180.0 s
    ");
    let document: Value =
        serde_json::from_str(&printed(&["--instance", "web", "-o", "json"])).unwrap();
    assert_eq!(
        document,
        json!({"edges": [{
            "number": 1, "at": "2025-11-24T19:00:00Z", "id": "i-0abc1234def567890", "kind": "instance", "name": "web", "action": "stop",
            "cause": "schedule office", "schedule": "office", "outcome": "in_time", "observed_at": "2025-11-24T19:00:05Z",
            "latency_seconds": 5.0, "region": "eu-west-3", "account": "123456789012"
        }]})
    );
    insta::assert_snapshot!(printed(&["-o", "csv"]), @"
    number,at,id,kind,name,action,cause,schedule,outcome,observed_at,latency_seconds,region,account
    1,2025-11-24T19:00:00Z,i-0abc1234def567890,instance,web,stop,schedule office,office,in_time,2025-11-24T19:00:05Z,5,eu-west-3,123456789012
    2,2025-11-24T19:00:00Z,i-00000000000000002,instance,'=db,stop,schedule office,office,not_applied,2025-11-24T19:03:00Z,180,eu-west-3,123456789012
    ");
    assert_eq!(printed(&["-o", "jsonl", "--since", "2025-11-25"]), "");
    let (code, stderr) = place.fails(&["history", "--edges", "--to", "stopped"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
}
