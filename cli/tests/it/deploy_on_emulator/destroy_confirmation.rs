//! `curfew destroy` prompts before it removes anything: tests the executable with and without a terminal.

use std::process::Command;

use curfew_aws::connect::Connection;
use curfew_deploy::StackResources;
use curfew_emulator::demo;
use tokio::task::spawn_blocking;

use crate::deploy_on_emulator::lab::{
    Lab, curfew, deploy, deployment, overlapping, stack_resources, write_state_tags,
};
use crate::support::terminal::Terminal;
use crate::support::test_fleet;

/// Runs the command on a terminal and types `answer` at its prompt. Returns the exit code and the terminal's text.
async fn run_and_answer(command: Command, answer: &'static str) -> (i32, String) {
    spawn_blocking(move || {
        let mut terminal = Terminal::run(command);
        terminal.until("Instances are kept. [y/N] ").type_in(answer);
        terminal.end()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn destroy_lists_removed_and_kept_resources_before_the_prompt() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let wanted = deployment("demo");
    deploy(&conn, &wanted).await;
    // Tags that both stacks may have written are kept.
    deploy(&conn, &overlapping("other")).await;
    demo::launch(&conn, &test_fleet()).await.unwrap();
    write_state_tags(&conn).await;
    let before = stack_resources(&conn, &wanted.stack).await;
    let folder = tempfile::tempdir().unwrap();
    let endpoint = lab.emulator.endpoint();
    let destroy = |arguments: &[&str]| {
        let global_arguments = [
            "--endpoint-url",
            &endpoint,
            "--region",
            "eu-west-3",
            "destroy",
        ];
        curfew(
            folder.path(),
            &[global_arguments.as_slice(), arguments].concat(),
        )
    };
    let assert_unchanged = async |conn: &Connection| {
        assert_eq!(stack_resources(conn, &wanted.stack).await, before);
    };

    let mut piped = destroy(&[]);
    let piped = spawn_blocking(move || piped.output().unwrap())
        .await
        .unwrap();
    let message = String::from_utf8(piped.stderr).unwrap();
    assert_eq!(piped.status.code(), Some(2), "{message}");
    assert!(
        message.ends_with("error: refusing to destroy without confirmation: standard input is not a terminal\n  hint: pass --yes\n"),
        "{message}"
    );
    assert_unchanged(&conn).await;

    for no in ["\n", "n\n", "\u{4}"] {
        let (code, screen) = run_and_answer(destroy(&[]), no).await;
        assert_eq!(code, 1, "{screen}");
        assert!(
            screen.starts_with("These resources will be removed:\n"),
            "{screen}"
        );
        let stays = "note: instances in eu-west-3 keep their state tags, because the stack `other` in eu-west-3 manages them too\n\
                     Remove these resources of the stack `demo` in ";
        assert!(screen.contains(stays), "{screen}");
        assert!(
            screen.ends_with("error: nothing was removed: not confirmed\n"),
            "{screen}"
        );
        assert_unchanged(&conn).await;
    }

    let (code, screen) = run_and_answer(destroy(&[]), "y\n").await;
    assert_eq!(code, 0, "{screen}");
    let left = stack_resources(&conn, &wanted.stack).await;
    assert_eq!(left, StackResources::default());
    lab.close().await;
}
