//! The emulator's process: it starts once, keeps the deployed state, and ends with the process that started it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use curfew_emulator::{EmulatorError, demo};

use crate::deploy_on_emulator::lab::{Lab, deploy, deployment, processes_in, start};
use crate::support::test_fleet;

#[tokio::test]
async fn the_demo_fleet_is_launched_once() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let fleet = test_fleet();
    let first = demo::launch(&conn, &fleet).await.unwrap();
    assert_eq!(first.new, ["web-1", "batch-1", "lab-1"]);
    let second = demo::launch(&conn, &fleet).await.unwrap();
    assert_eq!(second.new, [""; 0]);
    assert_eq!(second.instances, first.instances);
    let lab = lab.restarted().await;
    assert_eq!(demo::launch(&conn, &fleet).await.unwrap(), second);
    lab.close().await;
}

#[tokio::test]
async fn a_port_or_a_state_in_use_is_an_error() {
    let lab = Lab::open().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = start(elsewhere.path(), port).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("port {port} is taken by another program")
    );
    assert!(error.hint().contains(&format!("--port {}", port + 1)));
    let error = start(lab.state.path(), lab.port).await.unwrap_err();
    assert!(
        matches!(error, EmulatorError::AlreadyRunning { .. }),
        "{error}"
    );
    lab.close().await;
}

#[tokio::test]
async fn the_emulator_gets_no_credentials() {
    let lab = Lab::open().await;
    for process in processes_in(lab.state.path()) {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap();
        let names = environment
            .split(|byte| *byte == 0)
            .filter_map(|variable| variable.split(|byte| *byte == b'=').next())
            .map(String::from_utf8_lossy);
        let aws: Vec<_> = names.filter(|name| name.starts_with("AWS_")).collect();
        assert_eq!(aws, ["AWS_ENDPOINT_URL"]);
    }
    lab.close().await;
}

fn kill(process: u32) {
    let killed = Command::new("kill")
        .args(["-KILL", &process.to_string()])
        .status();
    assert!(killed.unwrap().success());
}

/// Not a test: the process that the next test kills.
#[tokio::test]
#[ignore = "waits to be killed; run by `an_emulator_does_not_outlive_a_curfew_that_is_killed`"]
async fn hold_an_emulator() {
    let state = std::env::var_os("CURFEW_TEST_STATE").unwrap();
    let port = std::env::var("CURFEW_TEST_PORT").unwrap().parse().unwrap();
    let mut emulator = start(Path::new(&state), port).await.unwrap();
    emulator.ended().await.unwrap();
}

#[tokio::test]
async fn an_emulator_does_not_outlive_a_curfew_that_is_killed() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let wanted = deployment("demo");
    let before = deploy(&conn, &wanted).await;
    let Lab {
        emulator,
        state,
        port,
    } = lab;
    emulator.stop().await.unwrap();

    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "deploy_on_emulator::emulator::hold_an_emulator",
            "--ignored",
        ])
        .env("CURFEW_TEST_STATE", state.path())
        .env("CURFEW_TEST_PORT", port.to_string())
        .spawn()
        .unwrap();
    wait_until("the emulator is up", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    })
    .await;
    kill(holder.id());
    holder.wait().unwrap();
    wait_until("the emulator has ended", || {
        processes_in(state.path()).is_empty()
    })
    .await;

    // The emulator was terminated and not killed, so it saved its state.
    let emulator = start(state.path(), port).await.unwrap();
    let after = curfew_deploy::outputs(&conn, &wanted.stack).await.unwrap();
    assert_eq!(after, before);
    emulator.stop().await.unwrap();
}

async fn wait_until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..300 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within 30 s: {what}");
}

#[tokio::test]
async fn an_emulator_that_dies_is_noticed() {
    let mut lab = Lab::open().await;
    let [process] = processes_in(lab.state.path())[..] else {
        panic!("an idle emulator is one process")
    };
    kill(process);
    assert!(!lab.emulator.ended().await.unwrap().success());
    lab.emulator.stop().await.unwrap();
    assert_eq!(processes_in(lab.state.path()), [0; 0]);
}
