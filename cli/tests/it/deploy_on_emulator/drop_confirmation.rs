//! Deploying a file that would drop the schedules of another file needs confirmation.

use std::fs;

use tokio::task::spawn_blocking;

use crate::deploy_on_emulator::lab::{Lab, curfew};

#[tokio::test]
async fn dropping_the_schedules_of_another_file_needs_confirmation() {
    let lab = Lab::open().await;
    let emulator = lab.emulator.endpoint();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = async |folder: &std::path::Path, arguments: &[&str], edit: bool| {
        let mut command = curfew(folder, arguments);
        if edit {
            let file = folder.join("curfew.toml");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(file, text.replace("office", "lab")).unwrap();
        }
        command.args(["--endpoint-url", &emulator, "--region", "eu-west-3"]);
        let run = spawn_blocking(move || command.output().unwrap());
        let run = run.await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (run.status.code(), text(run.stdout), text(run.stderr))
    };
    let deploy = ["deploy", "--lambda-zip", "/bin/sh"];
    let rules = async || {
        let (code, stdout, stderr) = run(one.path(), &["outputs", "-o", "json"], false).await;
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    let (code, _, stderr) = run(one.path(), &deploy, false).await;
    assert_eq!(code, Some(0), "{stderr}");
    let before = rules().await;

    // Standard input is not a terminal.
    let (code, _, stderr) = run(other.path(), &deploy, true).await;
    assert_eq!(code, Some(2), "{stderr}");
    let file = one.path().join("curfew.toml");
    assert!(
        stderr.contains("error: refusing to deploy without confirmation: this would drop the schedule `office`, which `"),
        "{stderr}"
    );
    assert!(
        stderr.contains(&format!(
            ":{}` published, and standard input is not a terminal\n",
            file.display()
        )),
        "{stderr}"
    );
    let dry_run = [&deploy[..], &["--dry-run"]].concat();
    let (code, stdout, _) = run(other.path(), &dry_run, true).await;
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("note: this would drop the schedule `office`, which `"),
        "{stdout}"
    );
    assert_eq!(rules().await, before);

    let yes = [&deploy[..], &["--yes"]].concat();
    let (code, _, stderr) = run(other.path(), &yes, true).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("note: this would drop the schedule `office`, which `"),
        "{stderr}"
    );
    assert!(!rules().await.contains("office"));
    // The second file is the publisher now, and drops its schedules without confirmation, except for the last.
    let (code, _, stderr) = run(other.path(), &deploy, false).await;
    assert_eq!(code, Some(0), "{stderr}");
    let file = other.path().join("curfew.toml");
    let mut command = curfew(other.path(), &deploy);
    fs::write(&file, "[stack]\nname = \"demo\"\n").unwrap();
    command.args(["--endpoint-url", &emulator, "--region", "eu-west-3"]);
    let last = spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    assert_eq!(last.status.code(), Some(2));
    lab.close().await;
}
