//! Measures the latency of Curfew's Lambda, compared with Python and boto3: see docs/contribute/performance.md, "Cold start".
//!
//! `cold-start [--runs N] [--python PROGRAM] BOOTSTRAP…` runs the programs in turn, so that other load affects them
//! equally, and prints a table for each scenario. `cold-start --count FOLDER BOOTSTRAP…` counts the instructions of one
//! cold start, which does not depend on load, and writes callgrind's profile into the folder.

mod authority;
mod bare;
mod cloud;
mod figures;
mod runtime_api;
mod subject;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use authority::{Authority, STAND_IN};
use cloud::Cloud;
use figures::{Figures, HEAD, median, milliseconds};
use subject::{Run, Subject};

/// How the programs connect to AWS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Plain,
    /// TLS with one root from `AWS_CA_BUNDLE`.
    OneRoot,
    /// TLS with all of Mozilla's roots: compiled in, or from botocore's file.
    AllRoots,
}

impl Wire {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain HTTP",
            Self::OneRoot => "TLS, one root in AWS_CA_BUNDLE",
            Self::AllRoots => "TLS, all of Mozilla's roots, as on AWS",
        }
    }
}

struct Arguments {
    runs: usize,
    python: Option<PathBuf>,
    count: Option<PathBuf>,
    bootstraps: Vec<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::read();
    let folder = tempfile::tempdir().expect("there is room");
    let authority = Authority::new();
    if let Some(accounts) = &arguments.count {
        return count(&arguments, accounts, &authority, folder.path()).await;
    }
    for fleet in [3, 1000] {
        for wire in [Wire::AllRoots, Wire::OneRoot, Wire::Plain] {
            let tls = (wire != Wire::Plain).then(|| authority.acceptor.clone());
            let cloud = Cloud::serve(fleet, tls).await;
            let subjects = arguments.subjects(wire, &authority, folder.path());
            println!("\n{fleet} instances, {}:\n\n{HEAD}", wire.name());
            let figures = measure(&subjects, &cloud, fleet, arguments.runs).await;
            for (subject, figures) in subjects.iter().zip(&figures) {
                println!("{}", figures.row(&subject.name));
            }
            let root = (wire != Wire::Plain).then(|| authority.root_pem());
            let bare = median(bare::calls(&cloud, root, 200).await);
            println!("\nThe call of EC2 alone: {} ms.", milliseconds(bare));
            if let [ours, .., boto3] = &figures[..] {
                let times = |ours: Duration, theirs: Duration| theirs.div_duration_f64(ours);
                println!(
                    "boto3 takes {:.1} times as long until the first answer, {:.1} times when warm.",
                    times(ours.answered, boto3.answered),
                    times(ours.warm, boto3.warm)
                );
            }
        }
    }
}

/// Runs every subject once as a warm-up, and then in turn.
async fn measure(subjects: &[Subject], cloud: &Cloud, fleet: usize, runs: usize) -> Vec<Figures> {
    let warm = if fleet > 100 { 5 } else { 100 };
    let mut taken: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
    for round in 0..=runs {
        for (number, subject) in subjects.iter().enumerate() {
            let run = subject.run(cloud, fleet, warm).await;
            if round > 0 {
                taken.entry(number).or_default().push(run);
            }
        }
    }
    taken.values().map(|runs| Figures::of(runs)).collect()
}

/// Counts the instructions of one cold start as on AWS.
async fn count(arguments: &Arguments, accounts: &Path, authority: &Authority, folder: &Path) {
    let cloud = Cloud::serve(3, Some(authority.acceptor.clone())).await;
    fs::create_dir_all(accounts).expect("the folder can be made");
    let subjects = arguments.subjects(Wire::AllRoots, authority, folder);
    for (number, subject) in subjects.iter().enumerate() {
        let account = accounts.join(format!("callgrind.{number}"));
        subject.counted(&account).run(&cloud, 3, 0).await;
        let written = fs::read_to_string(&account).expect("callgrind writes it at the end");
        let total = written.lines().find_map(|line| {
            line.strip_prefix("totals: ")
                .or_else(|| line.strip_prefix("summary: "))
        });
        let total: f64 = total.and_then(|text| text.parse().ok()).expect("it counts");
        println!("{}: {:.1} million instructions", subject.name, total / 1e6);
    }
}

impl Arguments {
    fn read() -> Self {
        let mut read = Self {
            runs: 21,
            python: None,
            count: None,
            bootstraps: Vec::new(),
        };
        let mut given = std::env::args_os().skip(1);
        while let Some(argument) = given.next() {
            match argument.to_str() {
                Some("--runs") => {
                    let number = given.next().and_then(|text| text.to_str()?.parse().ok());
                    read.runs = number.expect("--runs takes a number");
                }
                Some("--count") => read.count = given.next().map(PathBuf::from),
                Some("--python") => read.python = given.next().map(PathBuf::from),
                _ => read.bootstraps.push(PathBuf::from(argument)),
            }
        }
        assert!(
            !read.bootstraps.is_empty(),
            "which bootstrap? See the Makefile"
        );
        read
    }

    /// The programs, with Python's last.
    fn subjects(&self, wire: Wire, authority: &Authority, folder: &Path) -> Vec<Subject> {
        let bundle = folder.join("root.pem");
        fs::write(&bundle, authority.root_pem()).expect("there is room");
        let ours = self
            .bootstraps
            .iter()
            .enumerate()
            .map(|(number, bootstrap)| {
                let copy = folder.join(format!("bootstrap-{number}"));
                Subject {
                    name: format!("`{}`", bootstrap.display()),
                    program: match wire {
                        Wire::AllRoots => authority.believed_by(bootstrap, &copy),
                        _ => bootstrap.clone(),
                    },
                    arguments: Vec::new(),
                    bundle: (wire == Wire::OneRoot).then(|| bundle.clone()),
                }
            });
        let boto3 = self.python.iter().map(|python| Subject {
            name: "Python 3.11, boto3".to_owned(),
            program: python.clone(),
            arguments: vec![concat!(env!("CARGO_MANIFEST_DIR"), "/boto3/bootstrap.py").into()],
            bundle: match wire {
                Wire::Plain => None,
                Wire::OneRoot => Some(bundle.clone()),
                Wire::AllRoots => Some(with_botocores_roots(python, authority, folder)),
            },
        });
        ours.chain(boto3).collect()
    }
}

/// Copies botocore's file of roots with one root replaced by the test root, so that it reads as many roots as on AWS.
fn with_botocores_roots(python: &Path, authority: &Authority, folder: &Path) -> PathBuf {
    let found = std::process::Command::new(python)
        .args([
            "-c",
            "import botocore.httpsession as http; print(http.where())",
        ])
        .output()
        .expect("Python runs");
    let path = String::from_utf8(found.stdout).expect("it is a path");
    let roots = fs::read_to_string(path.trim()).expect("botocore brings its roots");
    let (before, theirs) = roots
        .split_once(&format!("# Label: \"{STAND_IN}\"\n"))
        .expect("they are labelled");
    let (_, after) = theirs
        .split_once("-----END CERTIFICATE-----\n")
        .expect("a certificate follows");
    let all = folder.join("all-roots.pem");
    fs::write(&all, [before, &authority.root_pem(), after].concat()).expect("there is room");
    all
}
