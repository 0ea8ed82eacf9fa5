//! Serves the model of EC2 over HTTP, in real time and with EC2's published rate limits, to try the command line at a
//! scale that no emulator limits: `serve-ec2 INSTANCES DIRECTORY`.
//!
//! It launches this many stopped instances, whose schedule has just started and stops in half an hour, writes their
//! configuration into the directory, and prints the number of instances in each state whenever it changes. It exits
//! when its standard input closes.

#![expect(clippy::print_stdout, reason = "the example prints its results")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use curfew_model::{Launch, Model, Throttling, TimeSource, serve_with};
use jiff::{SignedDuration, Timestamp};

const REGION: &str = "eu-west-3";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(instances), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve-ec2 INSTANCES DIRECTORY".into());
    };
    let instances: usize = instances.parse()?;
    let configuration = PathBuf::from(directory).join("curfew.toml");
    #[expect(
        clippy::disallowed_methods,
        reason = "a stand-alone program without an injected clock"
    )]
    let now = Timestamp::now();
    let wall = |at: Timestamp| at.strftime("%H:%M").to_string();
    let half_an_hour = SignedDuration::from_mins(30);
    std::fs::write(
        &configuration,
        format!(
            "[schedules.race]\ntimezone = \"UTC\"\nrunning = \"{}-{}\"\n",
            wall(now),
            wall(now + half_an_hour)
        ),
    )?;

    let ec2 = Model::new(now);
    ec2.throttle(Throttling::published());
    let before = now - SignedDuration::from_hours(48);
    let last = format!(
        "{} stop schedule race",
        before.strftime("%Y-%m-%dT%H:%M:%SZ")
    );
    for number in 0..instances {
        ec2.launch(
            Launch::new(format!("race-{number:04}"))
                .region(REGION)
                .tag("Schedule", "race")
                .tag("curfew:last", &last)
                .launched_at(before)
                .stopped(),
        );
    }
    let server = serve_with(ec2.clone(), TimeSource::Wall).await;
    println!("endpoint: {}", server.endpoint);
    println!("configuration: {}", configuration.display());
    println!("region: {REGION}");

    let end = tokio::task::spawn_blocking(|| {
        let mut nothing = Vec::new();
        std::io::stdin().read_to_end(&mut nothing)
    });
    let mut printed = BTreeMap::new();
    while !end.is_finished() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut states: BTreeMap<String, usize> = BTreeMap::new();
        for instance in ec2.instances() {
            *states.entry(instance.state.to_string()).or_default() += 1;
        }
        if states != printed {
            let each: Vec<String> = states
                .iter()
                .map(|(state, n)| format!("{n} {state}"))
                .collect();
            println!("{}: {}", ec2.now().strftime("%H:%M:%S"), each.join(", "));
            printed = states;
        }
    }
    Ok(())
}
