//! Warnings about valid configuration that is probably a mistake.

use curfew_core::configuration::RawScheduleSet;
use jiff::Timestamp;

const NOW: &str = "2026-06-01T00:00:00Z";

/// Returns the warnings about `toml`, each as its key and message.
fn warnings(toml: &str) -> Vec<String> {
    let raw: RawScheduleSet = toml::from_str(toml).unwrap();
    let found = raw.warnings(NOW.parse::<Timestamp>().unwrap());
    found.iter().map(ToString::to_string).collect()
}

/// Returns the warnings about the schedule `x` with these keys, without the name of the schedule.
fn of(keys: &str) -> Vec<String> {
    let found = warnings(&format!("[schedules.x]\n{keys}"));
    found
        .iter()
        .map(|found| found.replace("schedules.x.", ""))
        .collect()
}

#[test]
fn parts_that_never_fire_are_reported_with_their_key() {
    for (keys, expected) in [
        (
            "timezone = 'UTC'\nstart = '0 8 * * *'\nstop = ['0 18 * * *', '0 18 30 2 *']",
            "`stop[1]`: the stop cron `0 18 30 2 *` never fires",
        ),
        (
            "timezone = 'UTC'\nstop = 'cron(0 20 * * ? 2020)'",
            "`stop`: the stop cron `cron(0 20 * * ? 2020)` never fires again",
        ),
        (
            "timezone = 'UTC'\nrunning = ['08:00-12:00,13:00-17:00', 'Sat 08:00-09:00; dates=31 months=Jun']",
            "`running[1]`: the window `dates=31 months=Jun 00:00-24:00` never begins: no month has such a day",
        ),
        (
            "timezone = 'UTC'\nrunning = '08:00-12:00'\n[[schedules.x.window]]\nfrom = '13:00'\n[[schedules.x.window]]\ndates = '31'\nmonths = 'Jun'",
            "`window[1]`: the window `dates=31 months=Jun 00:00-24:00` never begins: no month has such a day",
        ),
        (
            "timezone = 'UTC'\nrunning = 'dates=LW 06:00-20:00'\nexcept = ['12-31']",
            "`running`: the window `dates=LW 06:00-20:00` falls on 2026-12-31, which `except` takes out: nothing starts by it in that \
             month; add a window or a cron for the working day before",
        ),
        (
            "timezone = 'UTC'\nstart = 'cron(0 6 15W * ? *)'\nexcept = ['2026-07-15']",
            "`start`: the start cron `cron(0 6 15W * ? *)` falls on 2026-07-15, which `except` takes out: nothing starts by it in that \
             month; add a window or a cron for the working day before",
        ),
    ] {
        assert_eq!(of(keys), [expected], "{keys}");
    }
    for keys in [
        "timezone = 'UTC'\nrunning = 'Mon-Fri 08:00-20:00'\nexcept = ['12-25']",
        "timezone = 'UTC'\nstop = '0 20 * * *'",
        "timezone = 'UTC'\nrunning = 'dates=LW 06:00-20:00'\nexcept = ['12-25']",
    ] {
        assert_eq!(of(keys), [""; 0], "{keys}");
    }
}

#[test]
fn a_year_without_an_edge_is_reported_unless_the_schedule_always_runs() {
    assert_eq!(
        warnings(
            "[schedules.x]\ntimezone = 'UTC'\nrunning = 'Mon-Fri 08:00-20:00'\nonly = ['2020-01-01']"
        ),
        ["`schedules.x`: nothing starts or stops any more: `except` and `only` leave no day"]
    );
    assert_eq!(
        warnings("[schedules.x]\ntimezone = 'UTC'\nstart = '0 8 29 2 *'\nstop = '0 20 29 2 *'"),
        ["`schedules.x`: nothing starts or stops within a year: the next edge is on 2028-02-29"]
    );
    assert_eq!(of("timezone = 'UTC'\nrunning = '00:00-24:00'"), [""; 0]);
    // Once a year, on the day before today.
    assert_eq!(of("timezone = 'UTC'\nstop = '0 20 31 5 *'"), [""; 0]);
}

#[test]
fn zones_without_daylight_saving_time_by_their_name_are_reported() {
    let zone = |name: &str| of(&format!("timezone = '{name}'\nrunning = '08:00-20:00'"));
    for (name, expected) in [
        (
            "EST",
            "`timezone`: `EST` has no daylight saving time; write `America/New_York` for a place that has it",
        ),
        (
            "mst",
            "`timezone`: `mst` has no daylight saving time; write `America/Denver` for a place that has it",
        ),
        (
            "HST",
            "`timezone`: `HST` has no daylight saving time; write `Pacific/Honolulu`, which has none either",
        ),
        (
            "GMT",
            "`timezone`: `GMT` has no daylight saving time; write `Europe/London` for a place that has it",
        ),
        (
            "Etc/GMT+5",
            "`timezone`: `Etc/GMT+5` is 5 hours behind UTC, and has no daylight saving time; write the name of a place, such as `Europe/Paris`",
        ),
    ] {
        assert_eq!(zone(name), [expected]);
    }
    for name in [
        "UTC",
        "Etc/UTC",
        "Etc/GMT",
        "EST5EDT",
        "CET",
        "Asia/Kolkata",
        "America/Phoenix",
    ] {
        assert_eq!(zone(name), [""; 0], "{name}");
    }
}

/// In Paris the clock jumps from 02:00 to 03:00 on 2027-03-28, a Sunday.
#[test]
fn a_start_and_a_stop_in_one_gap_are_reported_with_what_is_applied() {
    let of = |keys: &str| of(&format!("timezone = 'Europe/Paris'\n{keys}"));
    let sentence = |start: &str, stop: &str, outcome: &str| {
        format!(
            "on 2027-03-28 the clock jumps from 02:00 to 03:00, past the start at {start} and the stop at {stop}: {outcome}; choose \
             times outside 02:00-03:00"
        )
    };
    let started = "the start is applied, and the stop is not";
    for (keys, key, expected) in [
        (
            "start = '10 2 * * *'\nstop = '50 2 * * *'",
            "start",
            sentence("02:10", "02:50", started),
        ),
        (
            "start = ['0 8 * * *', '0 2 * * SUN']\nstop = '59 2 * * *'",
            "start[1]",
            sentence("02:00", "02:59", started),
        ),
        (
            "running = '02:10-02:50'",
            "running",
            sentence(
                "02:10",
                "02:50",
                "the stop is applied, and the start is not",
            ),
        ),
        (
            "running = ['22:00-02:15', '02:30-08:00']",
            "running[1]",
            sentence("02:30", "02:15", "neither is applied"),
        ),
        (
            "running = 'Sun 02:30-Sun 02:10'",
            "running",
            sentence("02:30", "02:10", "neither is applied"),
        ),
    ] {
        assert_eq!(of(keys), [format!("`{key}`: {expected}")], "{keys}");
    }
    for keys in [
        "start = '10 2 * * *'\nstop = '0 3 * * *'",
        "start = '59 1 * * *'\nstop = '30 2 * * *'",
        "running = 'Mon-Sat 02:10-02:50'",
        "running = '02:10-02:50'\nexcept = ['2027-03-28']",
        "start = '10 2 * * MON'\nstop = '50 2 * * *'",
    ] {
        assert_eq!(of(keys), [""; 0], "{keys}");
    }
    let kolkata = "timezone = 'Asia/Kolkata'\nrunning = '02:10-02:50'";
    assert_eq!(self::of(kolkata), [""; 0]);
}

#[test]
fn an_empty_match_is_reported() {
    let office = "timezone = 'UTC'\nrunning = '08:00-20:00'\n";
    let expected = "`match`: an empty `match` selects no instance; name tags or ids, or remove it";
    for matcher in ["match = {}", "match = { ids = [], tags = {} }"] {
        assert_eq!(of(&format!("{office}{matcher}")), [expected]);
    }
    assert_eq!(
        of(&format!(
            "{office}match = {{ ids = ['i-0123456789abcdef0'] }}"
        )),
        [""; 0]
    );
}

#[test]
fn schedules_that_select_the_same_instances_are_reported_with_an_example() {
    let both = |one: &str, other: &str| {
        let schedule = |name: &str, matcher: &str| {
            format!(
                "[schedules.{name}]\ntimezone = 'UTC'\nrunning = '08:00-20:00'\nmatch = {{ {matcher} }}\n"
            )
        };
        let found = warnings(&(schedule("a", one) + &schedule("b", other)));
        let end = " is selected by `a` too: it is skipped as ambiguous, unless its tag `Schedule` names a schedule";
        let found = found.iter();
        found
            .map(|found| {
                found
                    .strip_prefix("`schedules.b.match`: ")
                    .unwrap()
                    .strip_suffix(end)
                    .unwrap()
                    .to_owned()
            })
            .collect::<Vec<_>>()
    };
    for (one, other, example) in [
        (
            "tags = { Env = 'dev*' }",
            "tags = { Env = '*-eu' }",
            "an instance with `Env` = `dev-eu`",
        ),
        (
            "tags = { Env = 'dev' }",
            "tags = { Env = 'de?', Team = 'x' }",
            "an instance with `Env` = `dev` and `Team` = `x`",
        ),
        (
            "tags = { Env = '*' }",
            "tags = { Env = '*' }",
            "an instance with any `Env`",
        ),
        (
            "tags = { Env = 'a?c*' }",
            "tags = { Env = '?b*d' }",
            "an instance with `Env` = `abcd`",
        ),
        (
            "ids = ['i-0123456789abcdef0', 'i-00000000000000000']",
            "ids = ['i-0123456789abcdef0']",
            "the instance `i-0123456789abcdef0`",
        ),
    ] {
        assert_eq!(both(one, other), [example], "{one} {other}");
    }
    for (one, other) in [
        ("tags = { Env = 'dev*' }", "tags = { Env = 'prod*' }"),
        ("tags = { Env = 'dev' }", "tags = { env = 'dev' }"),
        // An instance may carry both tags, and need not.
        ("tags = { Env = 'dev' }", "tags = { Team = 'data' }"),
        (
            "tags = { Env = 'dev', A = 'x' }",
            "tags = { Env = 'dev', B = 'x' }",
        ),
        (
            "tags = { Env = 'dev', Team = 'a' }",
            "tags = { Env = 'dev', Team = 'b' }",
        ),
        ("ids = ['i-0123456789abcdef0']", "tags = { Env = 'dev' }"),
    ] {
        assert_eq!(both(one, other), [""; 0], "{one} {other}");
    }
}

#[test]
fn warnings_about_valid_schedules_are_given_beside_invalid_ones() {
    assert_eq!(
        warnings(
            "[schedules.bad]\ntimezone = 'Mars'\nrunning = '08:00-20:00'\nmatch = { tags = { Env = '*' } }\n\
             [schedules.good]\ntimezone = 'EST'\nrunning = '08:00-20:00'\nmatch = { tags = { Env = '*' } }\n\
             [schedules.all]\nany_of = ['good', 'bad']"
        ),
        [
            "`schedules.good.timezone`: `EST` has no daylight saving time; write `America/New_York` for a place that has it"
        ]
    );
}
