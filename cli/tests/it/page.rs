//! The page in a real browser, against stacks on the embedded emulator. The tests are in `browser/`; this module prepares
//! their dependencies: node, Chromium, and the packages of `browser/package-lock.json`. Without them these tests are skipped
//! with a message; with `CURFEW_BROWSER_TESTS=required`, as in CI, they fail.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Sandbox;
use jiff::{ToSpan, tz::TimeZone};

/// The output of `printf '%s' 'correct horse' | sha256sum`.
const HASH: &str = "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631";

/// Prints only when a dependency is missing. The others print nothing when they are skipped, since a test runner hides the
/// output of passing tests; `.config/nextest.toml` shows the output of this one.
#[expect(clippy::print_stderr, reason = "whoever runs the tests has to know")]
#[test]
fn the_browser_tests_can_run() {
    if let Err(Missing(what)) = Browser::find() {
        eprintln!(
            "SKIPPED: the tests of the page in a browser, because {what}.\n\
             They need node 20 or newer, Chromium (`apt install chromium`, or CURFEW_CHROMIUM=/path/to/it), and `make browser`."
        );
    }
}

#[test]
fn the_wall_time_arithmetic_of_the_page_is_correct() {
    let Ok(browser) = Browser::find() else { return };
    browser.run("time.test.js", &[]);
}

#[test]
fn the_page_shows_and_changes_the_fleet() {
    run_without_authentication("page.test.js");
}

#[test]
fn the_page_groups_the_fleet_and_overrides_many_instances() {
    run_without_authentication("fleet.test.js");
}

fn run_without_authentication(tests: &str) {
    let Ok(browser) = Browser::find() else { return };
    let sandbox = Sandbox::new();
    sandbox.configuration(&format!("{}\n[api]\nauth = 'none'\nlimit = 2", schedules()));
    let mut up = sandbox.up();
    browser.run(tests, &[("CURFEW_API_URL", &up.api_url())]);
    up.end();
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}

#[test]
fn the_page_asks_for_the_token() {
    let Ok(browser) = Browser::find() else { return };
    let sandbox = Sandbox::new();
    sandbox.configuration(&format!(
        "{}\n[api]\nauth = 'token'\ntoken_sha256 = '{HASH}'",
        schedules()
    ));
    let mut up = sandbox.up();
    let environment = [
        ("CURFEW_API_URL", up.api_url()),
        ("CURFEW_TOKEN", "correct horse".to_owned()),
    ];
    browser.run(
        "token.test.js",
        &environment
            .each_ref()
            .map(|(key, value)| (*key, value.as_str())),
    );
    up.end();
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}

#[test]
fn the_page_explains_request_signing() {
    let Ok(browser) = Browser::find() else { return };
    let sandbox = Sandbox::new();
    sandbox.configuration(&format!("{}\n[api]\nauth = 'iam'", schedules()));
    let mut up = sandbox.up();
    browser.run("signed.test.js", &[("CURFEW_API_URL", &up.api_url())]);
    up.end();
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}

/// Schedules without an edge in the next hours, so that only the tests change the demo fleet: `web-1`, `batch-1` and `lab-1`.
fn schedules() -> String {
    let paris = TimeZone::get("Europe/Paris").unwrap();
    let now = crate::support::minute::now();
    let hour = |away: i64| {
        now.checked_add(away.hours())
            .unwrap()
            .to_zoned(paris.clone())
            .hour()
    };
    let (from, to, stop) = (hour(-3), hour(6), hour(5));
    format!(
        r#"
        [schedules.office]
        timezone = "Europe/Paris"
        running = "Mon-Sun {from:02}:00-{to:02}:00"
        match = {{ tags = {{ Name = "web-1" }} }}
        [schedules.night-stop]
        timezone = "Europe/Paris"
        stop = "0 {stop} * * *"
        match = {{ tags = {{ Name = "batch-1" }} }}
        [schedules.lab]
        timezone = "Europe/Paris"
        running = "Mon-Sun {from:02}:00-{to:02}:00"
        enforce = true
        match = {{ tags = {{ Environment = "lab*" }} }}
        "#
    )
}

/// The browser for the tests in `browser/`.
struct Browser {
    chromium: PathBuf,
}

/// The reason why they can't run.
struct Missing(String);

impl Browser {
    /// The names in distributions; the last one is for macOS.
    const NAMES: [&str; 4] = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ];

    fn find() -> Result<Self, Missing> {
        let found = Self::search();
        if let Err(Missing(what)) = &found {
            let required = env::var("CURFEW_BROWSER_TESTS").is_ok_and(|value| value == "required");
            assert!(!required, "CURFEW_BROWSER_TESTS=required, and {what}");
        }
        found
    }

    fn search() -> Result<Self, Missing> {
        let missing = |what: &str| Missing(what.to_owned());
        let version = Command::new("node").arg("--version").output();
        let version = version.map_err(|_| missing("`node` is not installed"))?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let major = version
            .strip_prefix('v')
            .and_then(|text| text.split('.').next()?.parse::<u32>().ok());
        if major.is_none_or(|major| major < 20) {
            return Err(Missing(format!("`node` is {version}")));
        }
        if !tests()
            .join("node_modules/playwright-core/package.json")
            .is_file()
        {
            return Err(missing("their npm packages are not installed"));
        }
        let chromium = match env::var_os("CURFEW_CHROMIUM") {
            Some(named) => Some(PathBuf::from(named)).filter(|path| path.is_file()),
            None => Self::NAMES.iter().find_map(|name| in_path(name.as_ref())),
        };
        let chromium = chromium.ok_or_else(|| missing("there is no Chromium"))?;
        Ok(Self { chromium })
    }

    /// Runs one file of tests; its output is printed on failure.
    fn run(&self, file: &str, environment: &[(&str, &str)]) {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let output = Command::new("node")
            .args(["--test", "--test-reporter=spec", file])
            .current_dir(tests())
            .env("CURFEW_CHROMIUM", &self.chromium)
            .env("CURFEW_SCREENSHOTS", target.join("screenshots"))
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

fn in_path(name: &OsStr) -> Option<PathBuf> {
    let directories = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&directories)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}
