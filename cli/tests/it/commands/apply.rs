//! `curfew apply`: a pass by hand.

use curfew_model::{Action, Denial, Launch};
use serde_json::json;

use crate::commands::cloud::{Cloud, due, idle, lines};
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
    assert_eq!(lines(&applied["skipped"], &["reason"])[1], "db | in_flight");
}

#[test]
fn without_a_terminal_it_wants_a_yes_beforehand() {
    let cloud = Cloud::with([due("web")]);
    let told = cloud.run(&["apply"]);
    assert_eq!((told.code, told.stdout.as_str()), (2, ""));
    insta::assert_snapshot!(told.stderr, @r#"
    error: `curfew apply` asks before it acts, and standard input is no terminal
      hint: say --yes, or look first with `curfew plan`
    "#);
    assert_eq!(cloud.ec2.calls().len(), 0);
}

#[test]
fn on_a_terminal_it_asks_and_anything_but_yes_is_no() {
    let cloud = Cloud::with([due("web")]);
    let mut terminal = Terminal::run(cloud.curfew(&["apply"]));
    terminal.until("Do this? [y/N] ").type_in("\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("1 step: 1 stop; 0 left alone"), "{screen}");
    assert!(screen.ends_with("error: nothing was done\n"), "{screen}");
    assert_eq!(cloud.changes(), 0);

    let mut terminal = Terminal::run(cloud.curfew(&["apply"]));
    terminal.until("Do this? [y/N] ").type_in("y\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert_eq!(cloud.state("web"), "stopping");
}

#[test]
fn what_was_confirmed_is_done_and_nothing_else() {
    let cloud = Cloud::with([due("web"), due("db")]);
    let mut terminal = Terminal::run(cloud.curfew(&["apply"]));
    terminal.until("Do this? [y/N] ");
    // While the person thinks, somebody stops one, and another comes up.
    cloud.ec2.stop(&cloud.id("db")).unwrap();
    let late = due("late")
        .launched_at(crate::commands::cloud::now() - jiff::SignedDuration::from_hours(1));
    cloud.ec2.launch(late);
    terminal.type_in("y\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    let said = "the plan has changed since the question: 1 step is not needed any more; 1 new step waits for the next `curfew apply`";
    assert!(screen.contains(said), "{screen}");
    assert!(
        screen.contains("Done: 1 stop; 1 not asked about; 1 left alone"),
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
        .deny(Denial::of(Action::StopInstances).if_tagged("Locked", "yes"));
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
fn where_nothing_is_governed_there_was_nothing_to_match() {
    let cloud = Cloud::with([Launch::new("stray")]);
    let told = cloud.run(&["apply", "--yes", "-o", "json"]);
    assert_eq!(told.code, 3, "{told:?}");
    assert_eq!(
        lines(&told.json()["skipped"], &["reason"]),
        ["stray | ungoverned"]
    );
    insta::assert_snapshot!(told.stderr, @r#"
    error: no schedule governs any instance here
      hint: give an instance the governing tag; `curfew status --all` lists every instance and says why it is left alone
    "#);
}
