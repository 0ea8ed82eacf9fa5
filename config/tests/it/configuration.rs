//! Loading of valid and invalid configuration files, environment variables and flags.

use std::collections::HashMap;
use std::path::PathBuf;

use curfew_config::{
    AwsConfiguration, Configuration, ConfigurationError, Driver, LoadOptions, load,
};

fn with_file(text: &str) -> (tempfile::TempDir, LoadOptions) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("curfew.toml");
    std::fs::write(&file, text).unwrap();
    (
        directory,
        LoadOptions {
            file: Some(file),
            ..LoadOptions::default()
        },
    )
}

fn configuration(text: &str) -> Result<Configuration, ConfigurationError> {
    let (_directory, options) = with_file(text);
    load(&options)
}

/// Returns the complete error message, with the path of the file replaced.
fn problems(text: &str) -> String {
    let (directory, options) = with_file(text);
    load(&options)
        .unwrap_err()
        .to_string()
        .replace(directory.path().to_str().unwrap(), "/etc")
}

#[test]
fn a_file_with_only_a_table_header_has_the_defaults_and_an_empty_file_is_refused() {
    let configuration = configuration("[managing]").unwrap();
    assert_eq!(configuration.schedule_set.tag, "Schedule");
    assert_eq!(configuration.daemon.driver, Driver::Cloud);
    assert_eq!(
        configuration.stack.heartbeat.unwrap().to_string(),
        "rate(5 minutes)"
    );
    let expected = "the configuration file `/etc/curfew.toml` is empty: it has no key at all";
    assert_eq!(problems(""), expected);
    assert_eq!(problems("# [managing]\n"), expected);
}

#[test]
fn a_published_document_contains_its_origin() {
    let (directory, options) = with_file("[managing]");
    let configuration = load(&options).unwrap();
    let file = directory.path().join("curfew.toml");
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy();
    assert_eq!(
        configuration.origin,
        format!("{machine}:{}", file.display())
    );
    let published: serde_json::Value = serde_json::from_str(&configuration.publication()).unwrap();
    assert_eq!(published["origin"], configuration.origin);
    // Without the origin the document is the same on each machine.
    assert!(!configuration.document.to_json().contains("origin"));
}

#[test]
fn every_error_is_reported_with_file_key_and_what_is_allowed() {
    let text = r#"
        [schedules.office]
        timezone = "Europe/Pariss"
        runing = "Mon-Fri 08:00-20:00"

        [schedules.lab]
        timezone = "UTC"
        running = "Mon-Fri 08:00-25:00"
        enforce = "maybe"

        [stack]
        heartbeat = "rate(1 minutes)"
        colour = "red"
    "#;
    insta::assert_snapshot!(problems(text), @r#"
    6 errors in the configuration:
      /etc/curfew.toml:3:21: `schedules.office.timezone`: `Europe/Pariss` is not an IANA time zone; did you mean `Europe/Paris`?
      /etc/curfew.toml:4:9: `schedules.office.runing`: `runing` is not a key here; did you mean `running`?
      /etc/curfew.toml:8:34: `schedules.lab.running`: `Mon-Fri 08:00-25:00`: `25:00` is not a time of day; write `00:00`–`24:00`, hours and minutes
      /etc/curfew.toml:9:19: `schedules.lab.enforce`: found the string `maybe`; allowed is `true` or `false`, without quotes
      /etc/curfew.toml:12:21: `stack.heartbeat`: EventBridge refuses `rate(1 minutes)`: the unit is singular for 1 and plural otherwise; write `rate(1 minute)`; or `off`
      /etc/curfew.toml:13:9: `stack.colour`: `colour` is not a key here (allowed: `name`, `heartbeat`, `permissions_boundary`, `kms_keys`, `licenses`, `confirm_above`)
    "#);
}

#[test]
fn a_tag_keeps_its_case() {
    let configuration = configuration(
        r#"
        [schedules.office]
        timezone = "Europe/Paris"
        running = "Mon-Fri 08:00-20:00"
        match = { tags = { Environment = "dev*" } }
    "#,
    )
    .unwrap();
    let office = &configuration.schedule_set.schedules["office"];
    assert_eq!(
        office.matcher.tags.keys().collect::<Vec<_>>(),
        ["Environment"]
    );
}

#[test]
fn prices_have_instance_types_as_quoted_keys() {
    let configuration =
        configuration("[prices]\n't3.micro' = 0.0118\n'p5.48xlarge' = 98\nspare = 0").unwrap();
    let prices: Vec<(&str, f64)> = configuration
        .prices
        .iter()
        .map(|(instance_type, price)| (instance_type.as_str(), *price))
        .collect();
    let expected = [("p5.48xlarge", 98.0), ("spare", 0.0), ("t3.micro", 0.0118)];
    assert_eq!(prices, expected);
}

#[test]
fn a_price_is_finite_and_not_negative() {
    let found = problems("[prices]\n't3.micro' = -0.01\n't3.small' = inf\n't3.large' = nan");
    assert_eq!(
        found,
        "3 errors in the configuration:\n  \
         /etc/curfew.toml:2:14: `prices.t3.micro`: `-0.01` is not a price per hour; write 0 or more\n  \
         /etc/curfew.toml:3:14: `prices.t3.small`: `inf` is not a price per hour; write 0 or more\n  \
         /etc/curfew.toml:4:14: `prices.t3.large`: `NaN` is not a price per hour; write 0 or more"
    );
}

#[test]
fn the_environment_overrides_the_file_and_flags_override_the_environment() {
    let (_directory, mut options) =
        with_file("[aws]\nregion = 'eu-west-1'\n[daemon]\npoll = '30s'");
    options.environment = HashMap::from([
        ("CURFEW__AWS__REGION".to_owned(), "eu-west-2".to_owned()),
        ("CURFEW__DAEMON__POLL".to_owned(), "20s".to_owned()),
    ]);
    let read = load(&options).unwrap();
    assert_eq!(read.aws.region.as_deref(), Some("eu-west-2"));
    assert_eq!(read.daemon.poll.as_secs(), 20);
    options.aws = AwsConfiguration {
        region: Some("eu-west-3".to_owned()),
        ..AwsConfiguration::default()
    };
    assert_eq!(
        load(&options).unwrap().aws.region.as_deref(),
        Some("eu-west-3")
    );
}

#[test]
fn a_holiday_file_in_the_configuration_folder_becomes_dates() {
    let (directory, options) = with_file(
        "[schedules.office]\ntimezone = 'Europe/Paris'\nrunning = 'Mon-Fri 08:00-20:00'\nexcept = ['holidays.ics', '12-24']",
    );
    let missing = load(&options).unwrap_err().to_string();
    assert!(
        missing.contains("`schedules.office.except[0]`")
            && missing.contains("holidays.ics` can't be read"),
        "{missing}"
    );
    let holidays = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:t\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n\
                    DTSTART;VALUE=DATE:20261224\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    std::fs::write(directory.path().join("holidays.ics"), holidays).unwrap();
    let read = load(&options).unwrap();
    assert_eq!(
        read.document.schedules["office"].except,
        ["2026-12-24", "12-24"]
    );
}

const MIXED: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:t\r\n\
    BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Inventory\r\nDTSTART:20261223T230000Z\r\nDURATION:PT30M\r\nEND:VEVENT\r\n\
    BEGIN:VEVENT\r\nUID:2\r\nSUMMARY:Day\r\nDTSTART;VALUE=DATE:20261226\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[test]
fn events_with_a_time_are_left_out_with_a_warning_unless_timed_is_set() {
    let office = "[schedules.office]\ntimezone = 'Europe/Paris'\nrunning = 'Mon-Fri 08:00-20:00'\nexcept = ['mixed.ics']";
    let (directory, options) = with_file(office);
    std::fs::write(directory.path().join("mixed.ics"), MIXED).unwrap();
    let read = load(&options).unwrap();
    assert_eq!(read.document.schedules["office"].except, ["2026-12-26"]);
    let [warning] = read.warnings.as_slice() else {
        panic!("{:?}", read.warnings);
    };
    assert_eq!(warning.key, "schedules.office.except[0]");
    assert!(
        warning
            .message
            .contains("mixed.ics` the event `Inventory` has a time of day and is left out"),
        "{warning}"
    );

    let (directory, options) = with_file(&format!("{office}\ntimed = true"));
    std::fs::write(directory.path().join("mixed.ics"), MIXED).unwrap();
    let read = load(&options).unwrap();
    // 23:00 in UTC is the next day in Paris.
    let office = &read.document.schedules["office"];
    assert_eq!(office.except, ["2026-12-24", "2026-12-26"]);
    assert_eq!(read.warnings, []);
    // The Lambda's document does not contain `timed`.
    assert!(!read.document.to_json().contains("timed"));
}

#[test]
fn only_a_calendar_without_days_is_refused() {
    let (directory, options) = with_file(
        "[schedules.job]\ntimezone = 'UTC'\nrunning = '06:00-20:00'\nonly = ['timed.ics']",
    );
    let text = MIXED.replace("DTSTART;VALUE=DATE:20261226", "DTSTART:20261226T080000");
    std::fs::write(directory.path().join("timed.ics"), text).unwrap();
    let problem = load(&options).unwrap_err().to_string();
    assert!(
        problem.contains("`schedules.job.only[0]`")
            && problem.contains("`only` without days would allow every day"),
        "{problem}"
    );
}

#[test]
fn a_calendar_that_would_overflow_the_parsers_stack_is_refused() {
    let (directory, options) = with_file(
        "[schedules.job]\ntimezone = 'UTC'\nrunning = '06:00-20:00'\nexcept = ['deep.ics']",
    );
    let deep = "BEGIN:VCALENDAR\r\n".repeat(1000) + &"END:VCALENDAR\r\n".repeat(1000);
    std::fs::write(directory.path().join("deep.ics"), deep).unwrap();
    let problem = load(&options).unwrap_err().to_string();
    assert!(
        problem.contains(
            "deep.ics` can't be used: it is not an iCalendar file: `BEGIN:VCALENDAR` must be"
        ),
        "{problem}"
    );
}

#[test]
fn a_wrong_value_from_the_environment_names_the_variable() {
    let (_directory, mut options) = with_file("[managing]");
    options.environment =
        HashMap::from([("CURFEW__DAEMON__DRIVER".to_owned(), "cluod".to_owned())]);
    insta::assert_snapshot!(load(&options).unwrap_err(), @r"
    1 error in the configuration:
      CURFEW__DAEMON__DRIVER: `daemon.driver`: found `cluod`; allowed is `cloud` or `daemon`
    ");
}

#[test]
fn a_syntax_error_is_reported_with_its_line() {
    insta::assert_snapshot!(problems("[schedules.office\ntimezone = 'UTC'"), @r"
    1 error in the configuration:
      /etc/curfew.toml:1:18: this is not TOML: unclosed table, expected `]`
    ");
}

#[test]
fn a_missing_file_is_reported_with_its_path() {
    let options = LoadOptions {
        file: Some(PathBuf::from("/nonexistent/curfew.toml")),
        ..LoadOptions::default()
    };
    let error = load(&options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration file `/nonexistent/curfew.toml` can't be read"
    );
}

#[test]
fn accounts_and_regions_are_read_and_their_problems_have_a_place() {
    let account = |more: &str| {
        format!(
            "[[account]]\nid = '111122223333'\nrole_arn = 'arn:aws:iam::111122223333:role/curfew-member'\n{more}"
        )
    };
    let good = configuration(&account("regions = ['eu-west-3', 'us-east-1']")).unwrap();
    assert_eq!(good.targets.accounts[0].regions.len(), 2);
    assert_eq!(good.document.account.len(), 1);
    insta::assert_snapshot!(problems(&account("region = 'eu-west-3'\nregions = []")), @r"
    2 errors in the configuration:
      /etc/curfew.toml:4:1: `account[0].region`: `region` is not a key here; did you mean `regions`?
      /etc/curfew.toml:5:11: `account[0].regions`: an account needs at least one region; its instances are only looked for where you say
    ");
    insta::assert_snapshot!(problems("[[account]]\nid = '111122223333'\nregions = 'eu-west-3'"), @r"
    2 errors in the configuration:
      /etc/curfew.toml:1:1: `account[0].role_arn`: `role_arn` is missing
      /etc/curfew.toml:3:11: `account[0].regions`: found the string `eu-west-3`; allowed is a list, in brackets
    ");
    insta::assert_snapshot!(problems("[[account]]\nid = '111122223333'\nregions = ['eu-west-3']"), @r"
    1 error in the configuration:
      /etc/curfew.toml:1:1: `account[0].role_arn`: `role_arn` is missing
    ");
}

#[test]
fn destinations_of_notifications_are_read_and_their_problems_have_a_place() {
    let good = configuration(
        r#"
        [schedules.office]
        timezone = "Europe/Paris"
        running = "Mon-Fri 08:00-20:00"
        [[notify]]
        type = "webhook"
        url = "https://hooks.slack.com/services/s3cr3t"
        [[notify]]
        type = "sns"
        topic_arn = "arn:aws:sns:eu-west-3:111122223333:curfew"
        events = ["failure"]
        schedules = ["office", "inline"]
    "#,
    )
    .unwrap();
    let counts: Vec<(usize, usize)> = good
        .notify
        .iter()
        .map(|one| (one.events.len(), one.schedules.len()))
        .collect();
    assert_eq!(counts, [(4, 0), (1, 2)]);
    assert!(!format!("{good:?}").contains("s3cr3t"));

    let bad = r#"
        [[notify]]
        type = "webhook"
        url = "hooks.slack.com/services/s3cr3t"
        events = []
        [[notify]]
        type = "sns"
        schedules = ["office"]
        [[notify]]
        type = "webhook"
        topic_arn = "arn:aws:sns:eu-west-3:111122223333:curfew"
        [[notify]]
        type = "webhook"
        url = "https://hooks.slack.com/services/s3cr3t"
        url_file = "webhook"
    "#;
    insta::assert_snapshot!(problems(bad), @r#"
    6 errors in the configuration:
      /etc/curfew.toml:4:15: `notify[0].url`: a webhook's URL is `https://HOST/…`, without spaces, and without a user before the host
      /etc/curfew.toml:5:18: `notify[0].events`: an empty list selects nothing; remove the key to select all events
      /etc/curfew.toml:6:9: `notify[1].topic_arn`: `topic_arn` is missing: a topic needs it
      /etc/curfew.toml:8:21: `notify[1].schedules`: there is no schedule `office`; the configuration has no schedules
      /etc/curfew.toml:11:21: `notify[2].topic_arn`: `topic_arn` is for `type = "sns"`
      /etc/curfew.toml:15:20: `notify[3].url_file`: `url` and `url_file` can't be combined; remove one of them
    "#);
    insta::assert_snapshot!(problems("[[notify]]\ntype = 'mail'"), @r#"
    1 error in the configuration:
      /etc/curfew.toml:2:8: `notify[0].type`: found `mail`; allowed is `webhook` or `sns`
    "#);
    insta::assert_snapshot!(problems("[[notify]]\ntype = 'sns'\nevents = ['failures']"), @"
    2 errors in the configuration:
      /etc/curfew.toml:1:1: `notify[0].topic_arn`: `topic_arn` is missing: a topic needs it
      /etc/curfew.toml:3:11: `notify[0].events[0]`: found `failures`; allowed is `transition`, `failure`, `drift` or `override`
    ");
}
