//! Translates values of Cloud Custodian's off-hours tag: the examples of its documentation, and refused values.

use curfew_core::configuration::RawScheduleSet;
use curfew_core::timetable::Timetable;
use curfew_import::{Imported, custodian};
use jiff::Timestamp;
use proptest::prelude::*;

fn imported(text: &str) -> Imported {
    let imported = custodian(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    let raw: RawScheduleSet = toml::from_str(&imported.toml).unwrap();
    raw.resolve().unwrap();
    imported
}

fn timetable(text: &str, name: &str) -> Timetable {
    let raw: RawScheduleSet = toml::from_str(&imported(text).toml).unwrap();
    raw.resolve().unwrap().schedules[name].timetable.clone()
}

/// The next edges, in UTC.
fn edges(text: &str, from: &str, count: usize) -> Vec<String> {
    timetable(text, "offhours")
        .edges(from.parse::<Timestamp>().unwrap())
        .take(count)
        .map(|edge| format!("{} {}", edge.at.strftime("%a %H:%M"), edge.action))
        .collect()
}

fn problems(text: &str) -> Vec<String> {
    let problems = custodian(text).expect_err(text);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_example_of_its_documentation() {
    insta::assert_snapshot!(imported("off=[(M-F,21),(U,18)];on=[(M-F,6),(U,10)];tz=pt").toml, @r#"
    # Imported from Cloud Custodian's off-hours by `curfew import custodian`.
    # The tag's value: `off=[(M-F,21),(U,18)];on=[(M-F,6),(U,10)];tz=pt`
    # Clock changes: an hour that occurs twice acts twice there, and one that is skipped not at all;
    # here every edge happens once. An edge that an outage missed is lost there, and caught up here.

    # As an instance's own tag, without a config file: `Schedule = start 0 6 * * MON-FRI; start 0 10 * * SUN; stop 0 18 * * SUN; stop 0 21 * * MON-FRI America/Los_Angeles`
    [schedules.offhours]
    timezone = "America/Los_Angeles"
    start = ["0 6 * * MON-FRI", "0 10 * * SUN"]
    stop = ["0 18 * * SUN", "0 21 * * MON-FRI"]
    "#);
}

#[test]
fn a_week_has_the_edges_of_the_tag() {
    assert_eq!(
        edges("off=(M-F,19);on=(M-F,7);tz=pt", "2026-01-09T00:00:00Z", 4),
        [
            "Fri 03:00 stop",
            "Fri 15:00 start",
            "Sat 03:00 stop",
            "Mon 15:00 start"
        ],
    );
    // An hour earlier in UTC in summer.
    assert_eq!(
        edges(
            "off=[(M-F,21),(U,18)];on=[(M-F,6),(U,10)];tz=pt",
            "2026-07-11T05:00:00Z",
            4
        ),
        [
            "Sun 17:00 start",
            "Mon 01:00 stop",
            "Mon 13:00 start",
            "Tue 04:00 stop"
        ],
    );
}

#[test]
fn case_quotes_escapes_and_trailing_semicolons_change_nothing() {
    let plain = timetable("off=(M-F,18);tz=Australia/Sydney", "offhours");
    for written in [
        "OFF=(m-f,18);TZ=australia/sydney",
        "\"off=(M-F,18);tz=AET\"",
        "off=[M-F,18];tz=aet;",
        "offu3du28M-Fu2c18u29u3btzu3dAustraliau2fSydney",
        " off = ( M - F , 18 ) ; tz = aet ",
    ] {
        assert_eq!(timetable(written, "offhours"), plain, "{written}");
    }
}

#[test]
fn days_are_single_or_ranges_that_wrap_around() {
    for (days, cron) in [
        ("h", "THU"),
        ("u", "SUN"),
        ("f-m", "MON,FRI-SUN"),
        ("s-u", "SAT,SUN"),
        ("m-u", "*"),
        ("u-s", "*"),
    ] {
        let toml = imported(&format!("on=({days},0)")).toml;
        assert!(
            toml.contains(&format!("start = \"0 0 * * {cron}\"")),
            "{days}: {toml}"
        );
    }
}

#[test]
fn aliases_come_before_iana_names() {
    for (alias, zone) in [
        ("est", "America/New_York"),
        ("mst", "America/Denver"),
        ("ast", "America/Phoenix"),
        ("it", "Asia/Kolkata"),
        ("cet", "Europe/Berlin"),
        ("gmt", "Etc/GMT"),
        ("america/argentina/ushuaia", "America/Argentina/Ushuaia"),
    ] {
        let toml = imported(&format!("on=(m,7);tz={alias}")).toml;
        assert!(
            toml.contains(&format!("timezone = \"{zone}\"")),
            "{alias}: {toml}"
        );
    }
}

#[test]
fn defaults_for_a_tag_without_hours_are_noted() {
    insta::assert_snapshot!(imported("tz=cet").toml, @r#"
    # Imported from Cloud Custodian's off-hours by `curfew import custodian`.
    # The tag's value: `tz=cet`
    # Clock changes: an hour that occurs twice acts twice there, and one that is skipped not at all;
    # here every edge happens once. An edge that an outage missed is lost there, and caught up here.

    # The tag leaves the hours to the policy: these are Cloud Custodian's defaults. Check the policy.
    # As an instance's own tag, without a config file: `Schedule = start 0 7 * * MON-FRI; stop 0 19 * * MON-FRI Europe/Berlin`
    [schedules.offhours]
    timezone = "Europe/Berlin"
    start = "0 7 * * MON-FRI"
    stop = "0 19 * * MON-FRI"
    "#);
    let one_sided = imported("off=(M-F,19)").toml;
    assert!(one_sided.contains("The tag has no `on`"), "{one_sided}");
    assert!(
        one_sided.contains("stop = \"0 19 * * MON-FRI\"") && !one_sided.contains("start ="),
        "{one_sided}"
    );
    assert_eq!(timetable("", "offhours"), timetable("on", "offhours"));
    assert_eq!(
        timetable("Offhours tz=PT", "offhours"),
        timetable("on=(m-f,7);off=(m-f,19);tz=pst", "offhours"),
    );
    assert!(
        imported("on=(m,7);off=(m-f,7)")
            .toml
            .contains("start wins here")
    );
}

#[test]
fn off_opts_out() {
    let imported = imported("Off");
    assert!(
        imported.toml.contains("Schedule = none"),
        "{}",
        imported.toml
    );
    assert!(!imported.toml.contains("[schedules"));
}

#[test]
fn every_problem_is_named() {
    insta::assert_snapshot!(problems("off=(M-F,90);on=(X-F,7);tz=evt;pz=1;zebra").join("\n"), @r#"
    `off`: `m-f,90`: the hour is a whole number, 0–23
    `on`: `x-f,7`: the days are one of M, T, W, H, F, S, U, or a range such as `M-F`
    `tz`: `evt` is neither one of Cloud Custodian's aliases (`et`, `pt`, …) nor an IANA time zone
    `pz`: is not one of `on`, `off` and `tz`
    `zebra`: is not `on`, `off`, or parts such as `off=(M-F,19)`, `on=(M-F,7)` and `tz=et`
    "#);
    insta::assert_snapshot!(problems("on=(m,7:30);off=();on=(t,8);on=(w,9);never off=(m,1);tz=Mars/Base").join("\n"), @r#"
    `on`: `m,7:30`: Cloud Custodian has whole hours only, 0–23
    `off`: `` is not days and an hour, as in `(M-F,19)`
    `on`: appears twice; write one `on=[(…),(…)]`
    `never`: is text before a part; only `tz=` may have text before it
    `tz`: `mars/base` is neither one of Cloud Custodian's aliases (`et`, `pt`, …) nor an IANA time zone
    "#);
}

proptest! {
    /// Any text: no panic, and valid TOML.
    #[test]
    fn no_text_panics(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn no_tag_panics(text in "((on|off|tz|x)=[\\[(]{0,2}[MTWHFSUx]-?[MTWHFSU]?,[0-9:]{1,3}[)\\]]{0,2}[,;( ]?){0,4}") {
        check(&text)?;
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    if let Ok(imported) = custodian(text) {
        let raw: RawScheduleSet =
            toml::from_str(&imported.toml).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!(raw.resolve().is_ok(), "{}", imported.toml);
    }
    Ok(())
}
