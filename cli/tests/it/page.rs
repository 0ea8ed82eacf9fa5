//! The page in a real browser, against stacks deployed on the embedded emulator. What is tested is in `browser/`; here is what it
//! needs: node, Chromium, and the packages of `browser/package-lock.json`. Without them these tests are skipped, and say so;
//! with `CURFEW_BROWSER_TESTS=required`, as in CI, they fail.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::House;
use jiff::{ToSpan, tz::TimeZone};

/// What `printf '%s' 'correct horse' | sha256sum` prints.
const HASH: &str = "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631";

/// Quiet when all is there. The others pass without a word when they are skipped, and a test runner shows no words of what
/// passes; `.config/nextest.toml` lets this one speak.
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
fn the_pages_sums_with_wall_times_are_right() {
    let Ok(browser) = Browser::find() else { return };
    browser.run("time.test.js", &[]);
}

#[test]
fn the_page_shows_and_changes_the_fleet() {
    let Ok(browser) = Browser::find() else { return };
    let house = House::new();
    house.configuration(&format!("{}\n[api]\nauth = 'none'\nlimit = 2", schedules()));
    let mut up = house.up();
    browser.run("page.test.js", &[("CURFEW_API_URL", &up.api_url())]);
    up.end();
    assert_eq!(house.processes(), Vec::<String>::new());
}

#[test]
fn the_page_asks_for_the_token() {
    let Ok(browser) = Browser::find() else { return };
    let house = House::new();
    house.configuration(&format!(
        "{}\n[api]\nauth = 'token'\ntoken_sha256 = '{HASH}'",
        schedules()
    ));
    let mut up = house.up();
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
    assert_eq!(house.processes(), Vec::<String>::new());
}

#[test]
fn the_page_says_how_to_sign() {
    let Ok(browser) = Browser::find() else { return };
    let house = House::new();
    house.configuration(&format!("{}\n[api]\nauth = 'iam'", schedules()));
    let mut up = house.up();
    browser.run("signed.test.js", &[("CURFEW_API_URL", &up.api_url())]);
    up.end();
    assert_eq!(house.processes(), Vec::<String>::new());
}

/// In their hours for some hours yet, whenever this runs: nothing but the tests changes the demo fleet.
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
        [schedules.night-stop]
        timezone = "Europe/Paris"
        stop = "0 {stop} * * *"
        [schedules.lab]
        timezone = "Europe/Paris"
        running = "Mon-Sun {from:02}:00-{to:02}:00"
        enforce = true
        match = {{ tags = {{ Environment = "lab*" }} }}
        "#
    )
}

/// What the tests in `browser/` are run with.
struct Browser {
    chromium: PathBuf,
}

/// Why they can't be run.
struct Missing(String);

impl Browser {
    /// By the names that distributions give it; the last is a Mac's.
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

    /// Runs one file of tests; what it says is shown when it fails.
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
