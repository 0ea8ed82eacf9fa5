//! Errors and warnings with their places: `check`, and the report of `load`.

use std::collections::HashMap;

use curfew_config::{CheckReport, LoadOptions, check, load};

fn options(text: &str) -> (tempfile::TempDir, LoadOptions) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("curfew.toml");
    std::fs::write(&file, text).unwrap();
    let options = LoadOptions {
        file: Some(file),
        ..LoadOptions::default()
    };
    (directory, options)
}

fn checked(options: &LoadOptions) -> CheckReport {
    check(options, "2026-06-01T00:00:00Z".parse().unwrap()).unwrap()
}

/// Returns each error as `LINE:COLUMN+LENGTH KEY: MESSAGE`.
fn errors(text: &str) -> Vec<String> {
    let (_directory, options) = options(text);
    let found = checked(&options).errors;
    let shown = found.iter().map(|error| {
        let position = error.position().unwrap();
        let key = error.key.as_deref().unwrap_or_default();
        let (line, column, length) = (position.line, position.column, position.length);
        format!("{line}:{column}+{length} {key}: {}", error.message)
    });
    shown.collect()
}

/// Returns the keys of the errors.
fn keys(text: &str) -> Vec<String> {
    let (_directory, options) = options(text);
    let found = checked(&options).errors;
    found.into_iter().filter_map(|error| error.key).collect()
}

#[test]
fn the_report_shows_each_line_with_carets_under_the_cause() {
    let (directory, options) = options(
        "# Two offices\n[schedules.paris]\ntimezone = \"Europe/Pariss\"\nrunning = [\n  \"Mon-Fri 08:00-20:00\",\n\
         \t\"Sat 9-12\",\n]\nenforce = \"yes\"\n\n[[schedules.lab.window]]\ndays = \"Mon-Thu\"\nfrom = \"09:00\"\nto = \"25:00\"\n",
    );
    let error = load(&options).unwrap_err();
    let report = error
        .report()
        .replace(directory.path().to_str().unwrap(), "/etc");
    insta::assert_snapshot!(report, @r#"
    5 errors in the configuration

    /etc/curfew.toml:3:13: error: `schedules.paris.timezone`: `Europe/Pariss` is not an IANA time zone; did you mean `Europe/Paris`?
      |
    3 | timezone = "Europe/Pariss"
      |             ^^^^^^^^^^^^^

    /etc/curfew.toml:6:7: error: `schedules.paris.running[1]`: `9-12` in `Sat 9-12` could be hours or days: write times with minutes, as in `09:00-17:00`, and days of the month as `dates=9-12`
      |
    6 |  "Sat 9-12",
      |       ^^^^

    /etc/curfew.toml:8:11: error: `schedules.paris.enforce`: found the string `yes`; allowed is `true` or `false`, without quotes
      |
    8 | enforce = "yes"
      |           ^^^^^

    /etc/curfew.toml:10:13: error: `schedules.lab.timezone`: the time zone is missing; write an IANA name such as `Europe/Paris`
       |
    10 | [[schedules.lab.window]]
       |             ^^^

    /etc/curfew.toml:13:7: error: `schedules.lab.window[0].to`: `25:00` is not a time of day; write `00:00`–`24:00`, hours and minutes
       |
    13 | to = "25:00"
       |       ^^^^^
    "#);
    // The form without lines, for logs.
    assert_eq!(error.to_string().lines().count(), 6);
}

#[test]
fn a_value_of_another_type_is_refused_and_not_converted() {
    for (text, expected) in [
        (
            "[daemon]\npoll = 10",
            "2:8+2 daemon.poll: found the number `10`; allowed is a string, in quotes",
        ),
        (
            "[daemon]\njournal_days = \"400\"",
            "2:16+5 daemon.journal_days: found the string `400`; allowed is a whole number of 0 or more",
        ),
        (
            "[daemon]\njournal_days = -1",
            "2:16+2 daemon.journal_days: found the number `-1`; allowed is a whole number of 0 or more",
        ),
        (
            "[daemon]\njournal_days = 4.5",
            "2:16+3 daemon.journal_days: found the number `4.5`; allowed is a whole number of 0 or more",
        ),
        (
            "[daemon]\ndriver = true",
            "2:10+4 daemon.driver: found the boolean `true`; allowed is a string, in quotes",
        ),
        (
            "[daemon]\nstate_dir = 1",
            "2:13+1 daemon.state_dir: found the number `1`; allowed is a string, in quotes",
        ),
        (
            "[prices]\n't3.micro' = '0.01'",
            "2:14+6 prices.t3.micro: found the string `0.01`; allowed is a number",
        ),
        (
            "stack = 'curfew'",
            "1:9+8 stack: found the string `curfew`; allowed is a table",
        ),
        (
            "[stack]\nlicenses = {}",
            "2:12+2 stack.licenses: found a table; allowed is a list, in brackets",
        ),
        (
            "[managing]\nregions = ['eu-west-3', 3]",
            "2:25+1 managing.regions[1]: found the number `3`; allowed is a string, in quotes",
        ),
        (
            "[schedules.x]\ntimezone = 'UTC'\nrunning = 8",
            "3:11+1 schedules.x.running: found the number `8`; allowed is a string or a list of strings",
        ),
        (
            "[schedules.x]\ntimezone = 'UTC'\nstop = ['0 20 * * *', 5]",
            "3:23+1 schedules.x.stop[1]: found the number `5`; allowed is a string, in quotes",
        ),
        (
            "[schedules.x]\ntimezone = 'UTC'\nrunning = '08:00-20:00'\nhibernate = 1",
            "4:13+1 schedules.x.hibernate: found the number `1`; allowed is `true` or `false`, without quotes",
        ),
        (
            "[schedules.x]\ntimezone = 'UTC'\nrunning = '08:00-20:00'\nmatch = { tags = { A = 1 } }",
            "4:24+1 schedules.x.match.tags.A: found the number `1`; allowed is a string, in quotes",
        ),
    ] {
        assert_eq!(errors(text), [expected], "{text}");
    }
    // A whole number is a number, and a date is a string in `except`.
    assert_eq!(errors("[prices]\nx = 1"), [""; 0]);
    let date = "[schedules.x]\ntimezone = 'UTC'\nrunning = '08:00-20:00'\nexcept = [2026-12-25]";
    assert_eq!(errors(date), [""; 0]);
}

#[test]
fn a_variable_of_the_environment_is_converted_and_named_when_it_is_wrong() {
    let (_directory, mut options) = options("[stack]\nconfirm_above = 5\n");
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    options.environment = HashMap::from([
        variable("CURFEW__STACK__CONFIRM_ABOVE", "7"),
        variable("CURFEW__SCHEDULES__X__ENFORCE", "yes"),
        variable("CURFEW__SCHEDULES__X__TIMEZONE", "UTC"),
        variable("CURFEW__SCHEDULES__X__RUNNING", "08:00-20:00"),
    ]);
    let configuration = load(&options).unwrap();
    assert_eq!(configuration.stack.confirm_above, 7);
    assert!(configuration.document.schedules["x"].enforce);
    options.environment = HashMap::from([
        variable("CURFEW__STACK__CONFIRM_ABOVE", "many"),
        variable("CURFEW__DAEMON__POLL", "ten"),
    ]);
    let error = load(&options).unwrap_err();
    insta::assert_snapshot!(error.report(), @"
    2 errors in the configuration

    CURFEW__DAEMON__POLL: error: `daemon.poll`: `ten` is not a length of time such as `90m`, `24h` or `2d`

    CURFEW__STACK__CONFIRM_ABOVE: error: `stack.confirm_above`: found the string `many`; allowed is a whole number of 0 or more
    ");
}

#[test]
fn one_cause_is_one_error() {
    for (text, expected) in [
        // The schedule has no edges because its key is misspelt, unknown, or of another type.
        (
            "[schedules.x]\ntimezone = 'UTC'\nrunnin = '08:00-20:00'",
            vec!["schedules.x.runnin"],
        ),
        (
            "[schedules.x]\ntimezone = 'UTC'\nhours = '08:00-20:00'",
            vec!["schedules.x.hours"],
        ),
        (
            "[schedules.x]\ntimezone = 'UTC'\nwindow = '08:00-20:00'",
            vec!["schedules.x.window"],
        ),
        (
            "[schedules.x]\ntimezone = 'UTC'\nstart = 8",
            vec!["schedules.x.start"],
        ),
        (
            "[schedules.x]\ntimezone = 'UTC'\nrunning = [8, 9]",
            vec!["schedules.x.running[0]", "schedules.x.running[1]"],
        ),
        // The zone is missing because its key is misspelt.
        (
            "[schedules.x]\ntimezon = 'UTC'\nrunning = '08:00-20:00'",
            vec!["schedules.x.timezon"],
        ),
        (
            "[schedules.x]\ntimezone = 1\nrunning = '08:00-20:00'",
            vec!["schedules.x.timezone"],
        ),
        // The other schedule exists, and is wrong.
        (
            "[schedules]\nx = 5\n[schedules.y]\nany_of = ['x']",
            vec!["schedules.x"],
        ),
        (
            "[schedules.x]\ntimezone = 'Mars'\nrunning = '08:00-20:00'\n[schedules.y]\nany_of = ['x']",
            vec!["schedules.x.timezone"],
        ),
        // A missing key is misspelt.
        (
            "[[account]]\nid = '111122223333'\nrole = 'r'\nregions = ['eu-west-3']",
            vec!["account[0].role"],
        ),
        (
            "[[account]]\nid = 111122223333\nrole_arn = 1\nregions = 'eu-west-3'",
            vec!["account[0].id", "account[0].role_arn", "account[0].regions"],
        ),
        (
            "[[notify]]\ntype = 'webhook'\nurll = 'https://h.example/x'",
            vec!["notify[0].urll"],
        ),
        (
            "[[notify]]\ntype = 'mail'\n[[notify]]\ntype = 5",
            vec!["notify[0].type", "notify[1].type"],
        ),
        // Errors of the file as a whole.
        ("schedules = 5", vec!["schedules"]),
        (
            "account = 5\nnotify = 'x'\n[stack]\nheartbeat = 5",
            vec!["account", "notify", "stack.heartbeat"],
        ),
    ] {
        assert_eq!(keys(text), expected, "{text}");
    }
    // Two causes in one schedule are two errors.
    let two = "[schedules.x]\nrunnin = '08:00-20:00'\nenforce = 'yes'";
    assert_eq!(
        keys(two),
        [
            "schedules.x.timezone",
            "schedules.x.runnin",
            "schedules.x.enforce"
        ]
    );
    // Every error of a list, and those behind a value of another type.
    let all =
        "[schedules.x]\ntimezone = 'UTC'\nrunning = '08:00-20:00'\nexcept = ['13-01', 5, '02-30']";
    let expected = [
        "schedules.x.except[0]",
        "schedules.x.except[1]",
        "schedules.x.except[2]",
    ];
    assert_eq!(keys(all), expected);
}

#[test]
fn keys_with_dots_and_inline_tables_have_their_places() {
    assert_eq!(
        errors("prices = { 't3.micro' = -1, 't3.nano' = { a = 2 } }"),
        [
            "1:25+2 prices.t3.micro: `-1` is not a price per hour; write 0 or more",
            "1:41+9 prices.t3.nano: found a table; allowed is a number",
        ]
    );
    assert_eq!(
        errors(
            "schedules.x.timezone = 'UTC'\nschedules.x.running = '08:00-20:00'\nschedules.x.match = { tag = { A = 'x' } }"
        ),
        ["3:23+3 schedules.x.match.tag: `tag` is not a key here; did you mean `tags`?"]
    );
    assert_eq!(
        errors("[schedules.x]\ntimezone = 'UTC'\nrunning = '''\n08:00-20:00;\n09:00-25:00'''"),
        [
            "5:7+5 schedules.x.running: `09:00-25:00`: `25:00` is not a time of day; write `00:00`–`24:00`, hours and minutes"
        ]
    );
}

#[test]
fn syntax_errors_are_reported_alone_one_for_each_line() {
    let found = errors("[daemon]\npoll = 10s\ngrace =\n[schedules.x]\nenforce = 5\n");
    let lines: Vec<&str> = found
        .iter()
        .map(|error| error.split('+').next().unwrap())
        .collect();
    assert_eq!(lines, ["2:8", "3:8"], "{found:?}");
    assert_eq!(
        errors("[schedules.x\ntimezone = 'UTC'\n"),
        ["1:13+1 : this is not TOML: unclosed table, expected `]`"]
    );
    assert_eq!(
        errors("[daemon]\npoll = '5s'\npoll = '6s'\n"),
        ["3:1+4 : this is not TOML: duplicate key"]
    );
}

#[test]
fn warnings_have_places_and_are_given_beside_errors() {
    let (directory, options) = options(
        "[schedules.nyc]\ntimezone = \"EST\"\nrunning = \"Mon-Fri 08:00-20:00\"\nmatch = {}\n\n[daemon]\npoll = 10\n",
    );
    let report = checked(&options);
    assert!(report.configuration.is_none());
    assert_eq!(report.errors.len(), 1);
    let text: String = report
        .warnings
        .iter()
        .map(|warning| warning.report("warning"))
        .collect();
    insta::assert_snapshot!(text.replace(directory.path().to_str().unwrap(), "/etc"), @r#"
    /etc/curfew.toml:2:13: warning: `schedules.nyc.timezone`: `EST` has no daylight saving time; write `America/New_York` for a place that has it
      |
    2 | timezone = "EST"
      |             ^^^
    /etc/curfew.toml:4:9: warning: `schedules.nyc.match`: an empty `match` selects no instance; name tags or ids, or remove it
      |
    4 | match = {}
      |         ^^
    "#);
    std::fs::write(
        options.file.as_ref().unwrap(),
        "[schedules.x]\ntimezone = 'EST'\nrunning = '08:00-20:00'",
    )
    .unwrap();
    let report = checked(&options);
    assert!(report.configuration.is_some() && report.error().is_none());
    assert_eq!(report.warnings.len(), 1);
}

/// A file with very many errors is read in bounded time.
#[test]
fn at_most_a_hundred_errors_of_types_are_reported() {
    let schedules: Vec<String> = (0..300)
        .map(|number| format!("[schedules.x{number}]\nenforce = 'yes'\n"))
        .collect();
    let text = schedules.concat();
    let found = keys(&text);
    assert_eq!(found.len(), 100, "{found:?}");
}
