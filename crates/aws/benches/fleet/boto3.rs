//! Runs the same stop by boto3, in a virtual environment in the user's cache directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{REGION, Run};

const SCRIPT: &str = r#"
import json, resource, sys, time
import boto3

ec2 = boto3.client("ec2")
size = 100 if sys.argv[1] == "batched" else 1
began = time.perf_counter()
pages = ec2.get_paginator("describe_instances").paginate(
    Filters=[{"Name": "instance-state-name", "Values": ["running"]}],
    PaginationConfig={"PageSize": 1000},
)
ids = [
    instance["InstanceId"]
    for page in pages
    for reservation in page["Reservations"]
    for instance in reservation["Instances"]
]
for first in range(0, len(ids), size):
    ec2.stop_instances(InstanceIds=ids[first : first + size])
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"stopped": len(ids), "seconds": seconds, "peak": peak}))
"#;

/// Returns a Python with boto3, installed at the first run.
pub(super) fn environment() -> Result<PathBuf, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .ok_or("there is no HOME to keep its virtual environment in")?;
    let home = cache.join("curfew").join("bench-boto3");
    let python = home.join("bin").join("python");
    if !works(&python, "import boto3") {
        let home = home.to_string_lossy();
        run_to_end(Command::new("python3").args(["-m", "venv", &home]))?;
        let install = ["-m", "pip", "install", "--quiet", "boto3"];
        run_to_end(Command::new(&python).args(install))?;
    }
    Ok(python)
}

/// Stops all running instances of the account.
pub(super) fn run(python: &Path, endpoint: &str, account: &str, how: &str) -> Run {
    let output = Command::new(python)
        .args(["-c", SCRIPT, how])
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", account)
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .output()
        .expect("Python has run before");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the script prints what it took")
}

fn works(python: &Path, statement: &str) -> bool {
    let output = Command::new(python).args(["-c", statement]).output();
    output.is_ok_and(|output| output.status.success())
}

fn run_to_end(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("`{program}` can't be run: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("`{program}` failed: {}", why.trim()))
    }
}
