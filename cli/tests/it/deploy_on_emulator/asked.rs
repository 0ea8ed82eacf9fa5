//! `curfew destroy` asks before it removes anything: the program itself, on a terminal and without one.

use std::process::Command;

use curfew_aws::connect::Connection;
use curfew_deploy::Belongings;
use curfew_emulator::demo;
use tokio::task::spawn_blocking;

use crate::deploy_on_emulator::lab::{
    Lab, belongings, beside_others, curfew, deploy, deployment, remember,
};
use crate::support::terminal::Terminal;

/// What it asks on a terminal is answered with this; the exit code, and what was to be seen.
async fn answered(command: Command, answer: &'static str) -> (i32, String) {
    spawn_blocking(move || {
        let mut terminal = Terminal::run(command);
        terminal.until("Instances are kept. [y/N] ").type_in(answer);
        terminal.end()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn what_goes_and_what_stays_is_said_before_a_person_decides() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let wanted = deployment("demo");
    deploy(&conn, &wanted).await;
    // What both may have written stays.
    deploy(&conn, &beside_others("other")).await;
    demo::launch(&conn).await.unwrap();
    remember(&conn).await;
    let there = belongings(&conn, &wanted.stack).await;
    let folder = tempfile::tempdir().unwrap();
    let endpoint = lab.emulator.endpoint();
    let destroy = |arguments: &[&str]| {
        let place = [
            "--endpoint-url",
            &endpoint,
            "--region",
            "eu-west-3",
            "destroy",
        ];
        curfew(folder.path(), &[place.as_slice(), arguments].concat())
    };
    let still_there = async |conn: &Connection| {
        assert_eq!(belongings(conn, &wanted.stack).await, there);
    };

    let mut alone = destroy(&[]);
    let alone = spawn_blocking(move || alone.output().unwrap())
        .await
        .unwrap();
    let told = String::from_utf8(alone.stderr).unwrap();
    assert_eq!(alone.status.code(), Some(1), "{told}");
    assert!(
        told.ends_with("error: refusing to destroy without confirmation: standard input is not a terminal\n  hint: pass --yes\n"),
        "{told}"
    );
    still_there(&conn).await;

    for no in ["\n", "n\n", "\u{4}"] {
        let (code, screen) = answered(destroy(&[]), no).await;
        assert_eq!(code, 1, "{screen}");
        assert!(
            screen.starts_with("These resources will be removed:\n"),
            "{screen}"
        );
        let stays = "note: instances in eu-west-3 keep their `curfew:` tags, because the stack `other` in eu-west-3 manages them too\n\
                     Remove these resources of the stack `demo` in ";
        assert!(screen.contains(stays), "{screen}");
        assert!(
            screen.ends_with("error: nothing was removed: not confirmed\n"),
            "{screen}"
        );
        still_there(&conn).await;
    }

    let (code, screen) = answered(destroy(&[]), "y\n").await;
    assert_eq!(code, 0, "{screen}");
    let left = belongings(&conn, &wanted.stack).await;
    assert_eq!(left, Belongings::default());
    lab.close().await;
}
