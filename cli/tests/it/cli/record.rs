//! `curfew history` and `curfew savings` on a journal that the test writes.

use std::time::SystemTime;

use curfew_core::instance::{AccountId, InstanceState, Region, ResourceKind};
use curfew_core::state_tags::Cause;
use curfew_core::transition::{KnownState, Transition, TransitionSource};
use curfew_journal::{CoverageObservation, Journal, TransitionRecord};
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::{Value, json};

use super::OFFICE;
use crate::cli::place::Place;

const WEB: &str = "i-0abc1234def567890";
const BATCH: &str = "i-0fed9876cba543210";
/// An instance whose name a spreadsheet would evaluate as a formula.
const FORMULA: &str = "i-0abc1234def567899";

/// An instance of another account and region.
const LAB: &str = "i-0abc1234def567892";

/// A journal that the test writes and the program reads.
struct JournalFixture {
    place: Place,
    journal: Journal,
}

impl JournalFixture {
    fn begin(configuration: &str) -> Self {
        let place = Place::with(configuration);
        let journal = Journal::open(place.state()).unwrap();
        Self { place, journal }
    }

    /// A Monday, from midnight to midnight in UTC. The schedule runs `web` from 7 to 19; `batch`, which is unmanaged, is
    /// stopped by alice at noon. There is no coverage from 14 to 16.
    fn monday(configuration: &str) -> Self {
        let mut fixture = Self::begin(configuration);
        let at = |time: &str| format!("2025-11-03T{time}Z").parse().unwrap();
        fixture.first(WEB, InstanceState::Stopped, at("00:00:00"));
        fixture.first(BATCH, InstanceState::Running, at("00:00:00"));
        let office = "schedule office";
        fixture.change(WEB, "stopped→pending", at("07:00:02"), office);
        fixture.change(WEB, "pending→running", at("07:00:10"), office);
        fixture.change(BATCH, "running→stopped", at("12:00:00"), "external");
        fixture.change(WEB, "running→stopping", at("19:00:01"), office);
        fixture.change(WEB, "stopping→stopped", at("19:00:30"), office);
        let midnight = at("00:00:00").checked_add(24.hours()).unwrap();
        fixture.watch(at("00:00:00"), at("14:00:00"));
        fixture.watch(at("16:00:00"), midnight);
        fixture
    }

    fn first(&mut self, id: &str, state: InstanceState, at: Timestamp) {
        let known_state = known_state(id, state, at);
        self.write(id, None, known_state);
    }

    fn change(&mut self, id: &str, states: &str, at: Timestamp, cause: &str) {
        let (from, to) = states.split_once('→').unwrap();
        let known_state = known_state(id, to.parse().unwrap(), at);
        let cause: Cause = cause.parse().unwrap();
        let transition = Transition {
            kind: ResourceKind::Instance,
            instance: id.parse().unwrap(),
            name: known_state.name.clone(),
            from: from.parse().unwrap(),
            to: known_state.state,
            at,
            actor: (cause == Cause::External)
                .then(|| "arn:aws:iam::123456789012:user/alice".into()),
            cause,
            schedule: known_state.schedule.clone(),
            region: known_state.region.clone(),
            account: known_state.account.clone(),
            edge: None,
            source: TransitionSource::Event,
            instance_type: known_state.instance_type.clone(),
        };
        self.write(id, Some(transition), known_state);
    }

    fn write(&mut self, id: &str, transition: Option<Transition>, known_state: KnownState) {
        let record = TransitionRecord {
            instance: id.parse().unwrap(),
            transition,
            event: None,
            known_state: Some(known_state),
        };
        self.journal.record(&[record]).unwrap();
    }

    /// Records coverage of this span.
    fn watch(&mut self, from: Timestamp, until: Timestamp) {
        let look = |at, bridges| CoverageObservation {
            account: AccountId::new("123456789012"),
            region: Region::new("eu-west-3"),
            at,
            bridges,
        };
        let looks = [
            look(from, SignedDuration::ZERO),
            look(until, until.duration_since(from)),
        ];
        self.journal.record_coverage(&looks).unwrap();
    }

    /// The transitions in `history`'s output, as `web stopped→pending`.
    fn history(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.place.json(&[&["history"], arguments].concat());
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
        let line = |entry: &Value| {
            let [name, from, to] = ["name", "from", "to"].map(|key| text(entry, key));
            format!("{name} {from}→{to}")
        };
        output["transitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(line)
            .collect()
    }
}

fn known_state(id: &str, state: InstanceState, since: Timestamp) -> KnownState {
    let (name, instance_type) = match id {
        WEB => ("web", "t3.micro"),
        FORMULA => ("=1+1", "m5.large"),
        LAB => ("lab", "m5.large"),
        _ => ("batch", "m5.large"),
    };
    let (region, account) = match id {
        LAB => ("us-east-1", "111122223333"),
        _ => ("eu-west-3", "123456789012"),
    };
    KnownState {
        state,
        name: Some(name.to_owned()),
        region: Region::new(region),
        account: AccountId::new(account),
        last: None,
        launched_at: None,
        cause: None,
        since: Some(since),
        schedule: (id == WEB).then(|| "office".parse().unwrap()),
        instance_type: Some(instance_type.to_owned()),
    }
}

/// The arguments for the complete day of `monday`.
const MONDAY: [&str; 4] = [
    "--since",
    "2025-11-03T00:00:00Z",
    "--until",
    "2025-11-04T00:00:00Z",
];

/// Removes the column of distances, which differ from day to day.
fn without_distances(table: &str) -> String {
    let header = table.lines().next().unwrap();
    let (from, to) = (
        header.find("WHEN").unwrap(),
        header.find("SCHEDULE").unwrap(),
    );
    let lines = table.lines();
    lines.fold(String::new(), |text, line| {
        text + &line[..from] + &line[to..] + "\n"
    })
}

#[test]
fn history_is_a_table_in_the_zone_of_the_schedule_with_the_cause_of_each_change() {
    let fixture = JournalFixture::monday(OFFICE);
    let mut command = fixture.place.curfew(&["history"]);
    let output = command.env("TZ", "Asia/Tokyo").output().unwrap();
    let history = String::from_utf8(output.stdout).unwrap();
    assert!(
        history.contains(" d ago  ") || history.contains(" years ago  "),
        "{history}"
    );
    insta::assert_snapshot!(without_distances(&history), @r"
    AT                        INSTANCE             NAME   FROM      TO        CAUSE                                           SCHEDULE
    Mon 3 Nov 2025 08:00 CET  i-0abc1234def567890  web    stopped   pending   schedule office                                 office
    Mon 3 Nov 2025 08:00 CET  i-0abc1234def567890  web    pending   running   schedule office                                 office
    Mon 3 Nov 2025 13:00 CET  i-0fed9876cba543210  batch  running   stopped   external: arn:aws:iam::123456789012:user/alice  -
    Mon 3 Nov 2025 20:00 CET  i-0abc1234def567890  web    running   stopping  schedule office                                 office
    Mon 3 Nov 2025 20:00 CET  i-0abc1234def567890  web    stopping  stopped   schedule office                                 office
    ");
}

#[test]
fn history_combines_its_filters() {
    let fixture = JournalFixture::monday(OFFICE);
    let web = [
        "web stopped→pending",
        "web pending→running",
        "web running→stopping",
        "web stopping→stopped",
    ];
    let (begin, end) = web.split_at(2);
    let batch = ["batch running→stopped"];
    assert_eq!(fixture.history(&["--instance", "web"]), web);
    assert_eq!(fixture.history(&["--instance", WEB]), web);
    assert_eq!(fixture.history(&["--cause", "schedule"]), web);
    assert_eq!(fixture.history(&["--cause", "schedule office"]), web);
    assert_eq!(fixture.history(&["--schedule", "office"]), web);
    assert_eq!(fixture.history(&["--cause", "external"]), batch);
    assert_eq!(fixture.history(&["--cause", "override"]), [""; 0]);
    let both = ["--instance", "web", "--instance", BATCH, "--to", "stopped"];
    assert_eq!(fixture.history(&both), [batch[0], web[3]]);
    assert_eq!(fixture.history(&["--limit", "2"]), end);
    // Noon in UTC is 13:00 in the schedule's zone; `--until` excludes that instant.
    assert_eq!(fixture.history(&["--until", "2025-11-03T13:00"]), begin);
    assert_eq!(
        fixture.history(&["--since", "2025-11-03T13:00", "--cause", "external"]),
        batch
    );
    let nothing = fixture.place.prints(&["history", "--since", "2025-11-04"]);
    assert_eq!(nothing, "no transitions\n");
}

#[test]
fn history_since_yesterday_begins_with_yesterday() {
    let mut fixture = JournalFixture::begin(OFFICE);
    let now = Timestamp::UNIX_EPOCH
        .checked_add(SystemTime::UNIX_EPOCH.elapsed().unwrap())
        .unwrap();
    let ago = |hours: i64| now.checked_sub(hours.hours()).unwrap();
    fixture.first(WEB, InstanceState::Running, ago(100));
    fixture.change(WEB, "running→stopped", ago(73), "schedule office");
    fixture.change(WEB, "stopped→running", ago(22), "schedule office");
    fixture.change(WEB, "running→stopped", ago(1), "request by alice");
    let since = |more: &[&str]| {
        let arguments = [&["--since", "yesterday", "--instance", "web"], more].concat();
        fixture.history(&arguments)
    };
    assert_eq!(since(&[]), ["web stopped→running", "web running→stopped"]);
    assert_eq!(since(&["--cause", "schedule"]), ["web stopped→running"]);
    assert_eq!(since(&["--cause", "request"]), ["web running→stopped"]);
    assert_eq!(fixture.history(&["--since", "2h"]), ["web running→stopped"]);
}

#[test]
fn history_is_exported_as_json_lines_and_csv() {
    let mut fixture = JournalFixture::monday(OFFICE);
    let at = |time: &str| format!("2025-11-04T{time}Z").parse().unwrap();
    fixture.first(FORMULA, InstanceState::Running, at("08:00:00"));
    fixture.change(
        FORMULA,
        "running→stopped",
        at("08:30:00.25"),
        "override by bob",
    );
    let document = fixture.place.json(&["history"]);
    let lines = fixture.place.prints(&["history", "-o", "jsonl"]);
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(json!({"transitions": lines}), document);
    insta::assert_snapshot!(fixture.place.prints(&["history", "-o", "csv"]), @"
    number,at,id,kind,name,from,to,cause,actor,schedule,edge_at,source,instance_type,region,account
    1,2025-11-03T07:00:02Z,i-0abc1234def567890,instance,web,stopped,pending,schedule office,,office,,event,t3.micro,eu-west-3,123456789012
    2,2025-11-03T07:00:10Z,i-0abc1234def567890,instance,web,pending,running,schedule office,,office,,event,t3.micro,eu-west-3,123456789012
    3,2025-11-03T12:00:00Z,i-0fed9876cba543210,instance,batch,running,stopped,external,arn:aws:iam::123456789012:user/alice,,,event,m5.large,eu-west-3,123456789012
    4,2025-11-03T19:00:01Z,i-0abc1234def567890,instance,web,running,stopping,schedule office,,office,,event,t3.micro,eu-west-3,123456789012
    5,2025-11-03T19:00:30Z,i-0abc1234def567890,instance,web,stopping,stopped,schedule office,,office,,event,t3.micro,eu-west-3,123456789012
    6,2025-11-04T08:30:00.25Z,i-0abc1234def567899,instance,'=1+1,running,stopped,override by bob,,,,event,m5.large,eu-west-3,123456789012
    ");
}

#[test]
fn history_notes_a_truncated_table_and_exports_everything() {
    let mut fixture = JournalFixture::begin(OFFICE);
    let begin: Timestamp = "2025-11-03T00:00:00Z".parse().unwrap();
    fixture.first(WEB, InstanceState::Stopped, begin);
    for minute in 1..=101 {
        let states = ["stopped→running", "running→stopped"][minute % 2];
        let at = begin.checked_add(i64::try_from(minute).unwrap().minutes());
        fixture.change(WEB, states, at.unwrap(), "external");
    }
    let shown = fixture.place.curfew(&["history"]).output().unwrap();
    let table = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(table.lines().count(), 1 + 100, "with the header: {table}");
    assert_eq!(
        String::from_utf8(shown.stderr).unwrap(),
        "note: showing the newest 100; use --limit for more, or -o jsonl for all\n"
    );
    assert_eq!(fixture.history(&[]).len(), 100);
    assert_eq!(fixture.history(&["--limit", "101"]).len(), 101);
    let exported = fixture.place.prints(&["history", "-o", "jsonl"]);
    assert_eq!(exported.lines().count(), 101);
}

#[test]
fn savings_include_money_and_unknown_hours() {
    let fixture = JournalFixture::monday("[prices]\n't3.micro' = 0.5\n");
    let savings = |more: &[&str]| {
        let arguments = [&["savings"], &MONDAY[..], more].concat();
        fixture.place.prints(&arguments)
    };
    insta::assert_snapshot!(savings(&[]), @r"
    2 instances: off for 22.0 h (50.0%), Mon 3 Nov 2025 01:00 CET to Tue 4 Nov 2025 01:00 CET

    SCHEDULE  INSTANCES  ON H  OFF H  UNKNOWN H    OFF  SAVED USD
    -                 1  12.0   10.0        2.0  45.5%          -
    office            1  10.0   12.0        2.0  54.5%       6.00
    total             2  22.0   22.0        4.0  50.0%       6.00

    4.0 h have no data and are not counted as off.
    10.0 h off are of types without a price in [prices].
    ");
    insta::assert_snapshot!(savings(&["--by", "instance", "-o", "csv"]), @"
    name,count,on_hours,off_hours,unknown_hours,off_share,saved,unpriced_off_hours,region,account
    batch (i-0fed9876cba543210),1,12,10,2,0.455,0,10,eu-west-3,123456789012
    web (i-0abc1234def567890),1,10.01,11.99,2,0.545,6,0,eu-west-3,123456789012
    ");
    let fixture = JournalFixture::monday(OFFICE);
    let unpriced = fixture.place.prints(&[&["savings"], &MONDAY[..]].concat());
    assert!(
        unpriced.contains("No hourly prices are configured; see [prices].\n"),
        "{unpriced}"
    );
}

#[test]
fn savings_are_one_json_document() {
    let fixture = JournalFixture::monday("[prices]\n't3.micro' = 0.5\n");
    let savings = |more: &[&str]| {
        let arguments = [&["savings"], &MONDAY[..], more].concat();
        fixture.place.json(&arguments)
    };
    let report = savings(&["--schedule", "office"]);
    // On from 7:00:02 to 19:00:30, except for the two hours without coverage.
    let office = json!({
        "name": "office", "count": 1, "on_hours": 10.01, "off_hours": 11.99, "unknown_hours": 2.0,
        "off_share": 0.545, "saved": 6.0, "unpriced_off_hours": 0.0,
        "region": "eu-west-3", "account": "123456789012",
    });
    assert_eq!(report["lines"], json!([office]));
    assert_eq!(report["total"]["saved"], 6.0);
    assert_eq!(report["currency"], "USD");
    assert_eq!(report["recorded_since"], "2025-11-03T00:00:00Z");
    let batch = savings(&["--instance", "batch"]);
    assert_eq!(batch["total"]["unpriced_off_hours"], 10.0);
    let months = savings(&["--by", "month"]);
    assert_eq!(months["lines"][0]["name"], "2025-11");
}

#[test]
fn several_account_regions_are_named_in_history_and_savings() {
    let mut fixture = JournalFixture::monday(OFFICE);
    let at = |time: &str| format!("2025-11-03T{time}Z").parse().unwrap();
    fixture.first(LAB, InstanceState::Running, at("00:00:00"));
    fixture.change(LAB, "running→stopped", at("12:30:00"), "external");
    let output = fixture.place.prints(&["history", "--to", "stopped"]);
    insta::assert_snapshot!(without_distances(&output), @r"
    AT                        INSTANCE             NAME   REGION     ACCOUNT       FROM      TO       CAUSE                                           SCHEDULE
    Mon 3 Nov 2025 13:00 CET  i-0fed9876cba543210  batch  eu-west-3  123456789012  running   stopped  external: arn:aws:iam::123456789012:user/alice  -
    Mon 3 Nov 2025 13:30 CET  i-0abc1234def567892  lab    us-east-1  111122223333  running   stopped  external: arn:aws:iam::123456789012:user/alice  -
    Mon 3 Nov 2025 20:00 CET  i-0abc1234def567890  web    eu-west-3  123456789012  stopping  stopped  schedule office                                 office
    ");
    let savings = |by: &str| {
        let arguments = [&["savings"], &MONDAY[..], &["--by", by]].concat();
        fixture.place.prints(&arguments)
    };
    let instances = savings("instance");
    let header = instances.lines().nth(2).unwrap();
    assert!(header.ends_with("REGION     ACCOUNT"), "{header}");
    assert!(instances.contains("us-east-1  111122223333"), "{instances}");
    for (by, name) in [("region", "us-east-1"), ("account", "111122223333")] {
        let output = savings(by);
        let line = |line: &str| line.starts_with(name);
        assert!(output.lines().any(line), "{output}");
        assert!(
            output.contains(&format!("\n{} ", by.to_uppercase())),
            "{output}"
        );
    }
}

#[test]
fn savings_report_the_start_or_the_absence_of_data() {
    let fixture = JournalFixture::monday(OFFICE);
    let until = ["--until", "2025-11-04T00:00:00Z"];
    let savings = |since: &str| {
        let arguments = [&["savings", "--since", since], &until[..]].concat();
        fixture.place.prints(&arguments)
    };
    let complete = savings("2025-11-03T00:00:00Z");
    assert!(!complete.contains("before"), "{complete}");
    let more = savings("2025-10-01");
    assert!(
        more.contains("\nNo data before Mon 3 Nov 2025 01:00 CET.\n"),
        "{more}"
    );
    let fixture = JournalFixture::begin(OFFICE);
    assert_eq!(
        fixture.place.prints(&["savings"]),
        "the journal has no data for this period\n"
    );
}

#[test]
fn reversed_spans_and_unknown_causes_are_refused() {
    let fixture = JournalFixture::monday(OFFICE);
    let backwards = ["--since", "2025-11-04", "--until", "2025-11-03"];
    for command in ["history", "savings"] {
        let (code, stderr) = fixture.place.fails(&[&[command], &backwards[..]].concat());
        assert_eq!(code, 2, "{stderr}");
        assert_eq!(
            stderr,
            "error: `--since` (2025-11-03T23:00:00Z) must be before `--until` (2025-11-02T23:00:00Z)\n"
        );
    }
    let (code, stderr) = fixture.place.fails(&["history", "--cause", "nonsense"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("use `schedule`, `override`"), "{stderr}");
}
