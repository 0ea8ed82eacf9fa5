//! The model of EC2 behind HTTP, in real time and at EC2's published pace, for trying the command line out by hand at a size
//! that no emulator paces: `serve-ec2 INSTANCES DIRECTORY`.
//!
//! It launches so many stopped instances, whose schedule has just started and stops in half an hour, writes the configuration
//! for that into the directory, and prints how many are in which state whenever that changes. It ends with its standard input.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

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
        reason = "a program of its own, which has no clock handed to it"
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
    let mut told = BTreeMap::new();
    while !end.is_finished() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut states: BTreeMap<String, usize> = BTreeMap::new();
        for instance in ec2.instances() {
            *states.entry(instance.state.to_string()).or_default() += 1;
        }
        if states != told {
            let each: Vec<String> = states
                .iter()
                .map(|(state, n)| format!("{n} {state}"))
                .collect();
            println!("{}: {}", ec2.now().strftime("%H:%M:%S"), each.join(", "));
            told = states;
        }
    }
    Ok(())
}
