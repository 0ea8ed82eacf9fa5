//! `curfew apply`: a pass by hand.

use std::time::Duration;

use curfew_model::{ApiAction, Denial, Fault, Launch, Symptom};
use jiff::{SignedDuration, Unit};
use serde_json::json;

use crate::commands::cloud::{CONFIGURATION, Cloud, due, idle, lines, now};
use crate::support::terminal::Terminal;

#[test]
fn it_does_what_the_plan_says_and_then_nothing() {
    let cloud = Cloud::with([due("web"), due("db"), idle("batch")]);
    let told = cloud.run(&["apply", "--yes"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(
        told.stdout
            .contains("\nDone: 2 stop; 1 left alone\n\nNext edge: "),
        "{told:?}"
    );
    assert_eq!(
        (cloud.state("web"), cloud.state("batch")),
        ("stopping".into(), "running".into())
    );

    let applied = cloud.json(&["apply", "--yes"]);
    assert_eq!(applied["steps"], json!([]), "they are in flight");
    assert_eq!(
        lines(&applied["skipped"], &["reason"])[1],
        "db | transitioning"
    );
}

#[test]
fn without_a_terminal_it_wants_a_yes_beforehand() {
    let cloud = Cloud::with([due("web")]);
    let told = cloud.run(&["apply"]);
    assert_eq!((told.code, told.stdout.as_str()), (2, ""));
    insta::assert_snapshot!(told.stderr, @r#"
    error: refusing to apply without confirmation: standard input is not a terminal
      hint: pass --yes, or check with `curfew plan` first
    "#);
    assert_eq!(cloud.ec2.calls().len(), 0);
}

#[test]
fn on_a_terminal_it_asks_and_anything_but_yes_is_no() {
    let cloud = Cloud::with([due("web")]);
    let mut terminal = Terminal::run(cloud.curfew(&["apply"]));
    terminal.until("Apply? [y/N] ").type_in("\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("1 step: 1 stop; 0 left alone"), "{screen}");
    assert!(
        screen.ends_with("error: nothing was applied: not confirmed\n"),
        "{screen}"
    );
    assert_eq!(cloud.changes(), 0);

    let mut terminal = Terminal::run(cloud.curfew(&["apply"]));
    terminal.until("Apply? [y/N] ").type_in("y\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert_eq!(cloud.state("web"), "stopping");
}

#[test]
fn what_was_confirmed_is_done_and_nothing_else() {
    let cloud = Cloud::with([due("web"), due("db")]);
    let mut terminal = Terminal::run(cloud.curfew(&["apply"]));
    terminal.until("Apply? [y/N] ");
    // While the person thinks, somebody stops one, and another comes up.
    cloud.ec2.stop(&cloud.id("db")).unwrap();
    let late = due("late").launched_at(now() - SignedDuration::from_hours(1));
    cloud.ec2.launch(late);
    terminal.type_in("y\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    let said = "the plan has changed since the prompt: 1 step is no longer needed; 1 new step waits for the next `curfew apply`";
    assert!(screen.contains(said), "{screen}");
    assert!(
        screen.contains("Done: 1 stop; 1 not confirmed; 1 left alone"),
        "{screen}"
    );
    assert_eq!(
        (cloud.state("web"), cloud.state("late")),
        ("stopping".into(), "running".into())
    );
}

#[test]
fn what_fails_is_named_and_the_others_go_on() {
    let cloud = Cloud::with([due("web"), due("db").tag("Locked", "yes")]);
    cloud
        .ec2
        .deny(Denial::of(ApiAction::StopInstances).if_tagged("Locked", "yes"));
    let told = cloud.run(&["apply", "--yes", "-o", "json"]);
    assert_eq!(told.code, 4, "all that failed was not authorised: {told:?}");
    assert_eq!(
        lines(&told.json()["steps"], &["action", "result", "after"]),
        ["db | stop | failed | null", "web | stop | done | stopping"]
    );
    let db = cloud.id("db");
    assert!(
        told.stderr.starts_with(&format!(
            "error: 1 step failed: `{db}` (db): `ec2:StopInstances` was denied: "
        )),
        "{told:?}"
    );
    assert_eq!(cloud.state("web"), "stopping");
}

#[test]
fn where_nothing_is_managed_there_was_nothing_to_match() {
    let cloud = Cloud::with([Launch::new("stray")]);
    let told = cloud.run(&["apply", "--yes", "-o", "json"]);
    assert_eq!(told.code, 3, "{told:?}");
    assert_eq!(
        lines(&told.json()["skipped"], &["reason"]),
        ["stray | unmanaged"]
    );
    insta::assert_snapshot!(told.stderr, @r#"
    error: no schedule manages any instance here
      hint: add the schedule tag to an instance; `curfew status --all` lists every instance with the reason it is skipped
    "#);
}

/// The edge is the end of an override of `web`. The first look takes so long that a second one has to be made before each call: that of
/// `db`, whose start is due as well, is answered after the edge, and so is the stop of `web`.
#[test]
fn it_ends_at_the_plans_next_edge_and_says_what_is_left() {
    // On a busy machine the program may begin too late for the first.
    let leads = [9, 13];
    for lead in leads {
        let until = now() + SignedDuration::from_secs(lead);
        let until = until.round(Unit::Second).unwrap();
        let since = until - SignedDuration::from_mins(1);
        let held = format!("stopped since {since} until {until} by alice");
        let due = since - SignedDuration::from_mins(20);
        let last = format!("{} stop schedule day", due - SignedDuration::from_mins(20));
        let cloud = Cloud::with([
            idle("web").tag("curfew:override", held),
            Launch::new("db")
                .stopped()
                .tag("Schedule", "day")
                .tag("curfew:last", last),
        ]);
        let day = due.strftime("[schedules.day]\ntimezone = 'UTC'\nstart = '%M %H * * *'\n");
        let file = cloud.directory.path().join("curfew.toml");
        std::fs::write(file, format!("{CONFIGURATION}\n{day}")).unwrap();
        let before = cloud.tag("web", "curfew:last");
        let slow = |action, answer| Fault::on(action, Symptom::Latency(answer));
        let first = Duration::from_millis(5_200);
        let later = Duration::from_secs(lead.unsigned_abs() - 4);
        let db = cloud.id("db");
        for fault in [
            slow(ApiAction::DescribeInstances, first).times(1),
            slow(ApiAction::DescribeInstances, later).for_instance(&db),
            slow(ApiAction::StopInstances, later),
        ] {
            cloud.ec2.fault(fault);
        }

        let told = cloud.run(&["apply", "--yes", "-o", "json"]);
        let looks = cloud.ec2.calls_of(ApiAction::DescribeInstances);
        let again = looks.iter().any(|look| look.ids() == [db.to_string()]);
        let stops = cloud.ec2.calls_of(ApiAction::StopInstances).len();
        if (!again || stops == 0) && Some(&lead) != leads.last() {
            continue;
        }
        assert_eq!((again, stops), (true, 1), "{told:?}");
        assert_eq!(told.code, 1, "{told:?}");
        assert_eq!(
            lines(&told.json()["steps"], &["action", "result"]),
            ["db | start | out_of_time", "web | stop | not_remembered"]
        );
        let not_sent = "`ec2:CreateTags` was not sent: the pass ended first";
        assert_eq!(told.json()["steps"][1]["error"], not_sent, "{told:?}");
        let said = "(db): not started before the next edge of the plan";
        assert!(told.stderr.contains(said), "{told:?}");
        assert!(now() >= until, "it waited for the answers");
        let calls = cloud.ec2.calls();
        let late: Vec<_> = calls.iter().filter(|call| call.at >= until).collect();
        assert!(late.is_empty(), "{late:#?}");
        assert_eq!(cloud.state("db"), "stopped");
        assert_ne!(cloud.state("web"), "running");
        assert_eq!(
            cloud.tag("web", "curfew:last"),
            before,
            "noting the stop is for the next pass"
        );
        return;
    }
}
