//! Serves the model of EC2 from a separate process, which reports the number of calls.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use curfew_model::{Launch, Model};

use super::{NOW, REGION, ROLE};

/// The served model, which runs until this is dropped.
pub(super) struct Service {
    pub(super) endpoint: String,
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Service {
    /// Serves this many running instances for each account.
    pub(super) fn begin(fleets: &[(&str, usize)]) -> Self {
        let this = std::env::current_exe().expect("a running program has a path");
        let mut process = Command::new(this)
            .env(ROLE, "model")
            .env(
                "CURFEW_BENCH_FLEETS",
                serde_json::to_string(fleets).expect("names and numbers"),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be run again");
        let questions = process.stdin.take().expect("it is piped");
        let answers = process.stdout.take().expect("it is piped");
        let mut service = Self {
            endpoint: String::new(),
            process,
            questions,
            answers: BufReader::new(answers),
        };
        service.endpoint = service.line();
        service
    }

    /// Returns the calls of this account by action.
    pub(super) fn calls(&mut self, account: &str) -> BTreeMap<String, usize> {
        writeln!(self.questions, "{account}").expect("the model listens");
        serde_json::from_str(&self.line()).expect("the model answers in JSON")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .expect("the model answers");
        line.trim().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server process of [`Service`].
#[tokio::main]
pub(super) async fn serve() {
    let fleets =
        std::env::var("CURFEW_BENCH_FLEETS").expect("whoever starts this says what to serve");
    let fleets: Vec<(String, usize)> = serde_json::from_str(&fleets).expect("names and numbers");
    let ec2 = Model::new(NOW.parse().expect("an instant"));
    let launched_at = "2026-11-02T15:00:00Z".parse().expect("an instant");
    for (account, count) in fleets {
        for number in 0..count {
            let launch = Launch::new(format!("web-{number}"))
                .tag("Schedule", "office")
                .tag("Team", "shop")
                .account(&account)
                .region(REGION)
                .launched_at(launched_at);
            ec2.launch(launch);
        }
    }
    let server = curfew_model::serve(ec2.clone()).await;
    println!("{}", server.endpoint);
    let asking = tokio::task::spawn_blocking(move || {
        for account in std::io::stdin().lines().map_while(Result::ok) {
            let mut calls: BTreeMap<String, usize> = BTreeMap::new();
            for call in ec2.calls() {
                if call.home.account == account {
                    *calls.entry(call.name).or_default() += 1;
                }
            }
            println!("{}", serde_json::to_string(&calls).expect("plain numbers"));
        }
    });
    asking
        .await
        .expect("whoever starts this closes its standard input");
}
