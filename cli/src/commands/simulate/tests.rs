//! What people see of a simulation, and the file that it is written to.

use curfew_core::timetable::Timetable;

use super::*;

fn schedule(line: &str) -> Schedule {
    let timetable = Timetable::parse_inline(line).unwrap();
    Schedule::new("office".parse().unwrap(), timetable)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn week(line: &str, now: &str) -> Simulation {
    let schedule = schedule(line);
    let span = Span::week_of(at(now), schedule.timetable.time_zone()).unwrap();
    Simulation::of(&schedule, span, &[])
}

const OFFICE: &str = "Mon-Fri 08:00-20:00 Europe/Paris";
const MARCH: &str = "2026-03-25T12:00:00Z";
const OCTOBER: &str = "2026-10-25T12:00:00Z";

#[test]
fn people_see_a_line_for_each_day() {
    let office = schedule("Mon-Thu 08:00-20:15; Fri 22:00-02:00; Sun 01:00-05:00 Europe/Paris");
    let span = Span::week_of(at(OCTOBER), office.timetable.time_zone()).unwrap();
    let price = Price {
        instance_type: "t3.micro".to_owned(),
        per_hour: 0.0118,
        count: 3,
    };
    let simulations = [Simulation::of(&office, span, &[price])];
    insta::assert_snapshot!(text::render(&simulations, Glyphs::Blocks), @r#"
    office: Mon 2026-10-19 00:00 to Mon 2026-10-26 00:00, Europe/Paris
                00    03    06    09    12    15    18    21    24
    Mon 19 Oct  ················████████████████████████▌·······    ▲08:00 ▼20:15
    Tue 20 Oct  ················████████████████████████▌·······    ▲08:00 ▼20:15
    Wed 21 Oct  ················████████████████████████▌·······    ▲08:00 ▼20:15
    Thu 22 Oct  ················████████████████████████▌·······    ▲08:00 ▼20:15
    Fri 23 Oct  ············································████    ▲22:00
    Sat 24 Oct  ████············································    ▼02:00
    Sun 25 Oct  ··██████████······································  ▲01:00 ▼05:00 (25 h: the clocks change)
                runs 58 h of 169 h, 65.7% off
                3 x t3.micro at 0.0118 an hour: 2.05 instead of 5.98, saves 3.93

    █ running  ▌ part of the half hour  · stopped  ░ no opinion  ▲ start  ▼ stop; hours count from midnight
    "#);
    let ascii = text::render(&simulations, Glyphs::Ascii);
    assert!(ascii.is_ascii());
    insta::assert_snapshot!(ascii, @r#"
    office: Mon 2026-10-19 00:00 to Mon 2026-10-26 00:00, Europe/Paris
                00    03    06    09    12    15    18    21    24
    Mon 19 Oct  ................########################/.......    +08:00 -20:15
    Tue 20 Oct  ................########################/.......    +08:00 -20:15
    Wed 21 Oct  ................########################/.......    +08:00 -20:15
    Thu 22 Oct  ................########################/.......    +08:00 -20:15
    Fri 23 Oct  ............................................####    +22:00
    Sat 24 Oct  ####............................................    -02:00
    Sun 25 Oct  ..##########......................................  +01:00 -05:00 (25 h: the clocks change)
                runs 58 h of 169 h, 65.7% off
                3 x t3.micro at 0.0118 an hour: 2.05 instead of 5.98, saves 3.93

    # running  / part of the half hour  . stopped  ? no opinion  + start  - stop; hours count from midnight
    "#);
}

#[test]
fn a_line_does_not_list_a_hundred_edges() {
    let busy = week("start */15 * * * * UTC", MARCH);
    let text = text::render(&[busy], Glyphs::Ascii);
    assert!(text.contains("+01:15 and 90 more\n"), "{text}");
}

#[test]
fn what_configuration_name_cannot_become_markup() {
    let office = schedule(OFFICE);
    let span = Span::week_of(at(MARCH), office.timetable.time_zone()).unwrap();
    let price = Price {
        instance_type: "<script>alert('1')</script>&\"\u{1b}".to_owned(),
        per_hour: 1.0,
        count: 1,
    };
    let simulations = [Simulation::of(&office, span, &[price])];
    for page in [svg::render(&simulations), html::render(&simulations)] {
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains('\u{1b}'));
        assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;"));
    }
}

#[test]
fn a_picture_has_a_bar_for_each_run_of_each_day_and_loads_nothing() {
    let night = week("Mon-Wed 22:00-06:00 Europe/Paris", OCTOBER);
    let picture = svg::render(&[night]);
    // Three nights, each on two days.
    assert_eq!(picture.matches("class=\"on\"").count(), 6);
    assert_eq!(picture.matches("class=\"start\"").count(), 3);
    assert_eq!(picture.matches("class=\"stop\"").count(), 3);
    assert!(picture.contains(">25 h<title>the clocks change</title>"));
    assert!(picture.contains("office in Europe/Paris: runs 24 h of 169 h, 85.8% off."));
    assert!(
        !picture
            .replace("http://www.w3.org/2000/svg", "")
            .contains("http")
    );
    // Elements are closed in the order in which they were opened.
    let mut open = Vec::new();
    for tag in picture.split('<').skip(1) {
        let name = tag.split([' ', '>', '/']).find(|name| !name.is_empty());
        if tag.starts_with('/') {
            assert_eq!(open.pop(), name);
        } else if !tag.split('>').next().unwrap().ends_with('/') {
            open.push(name.unwrap());
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn the_extension_says_what_is_written_and_an_older_file_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    for (name, beginning) in [
        ("week.svg", "<svg "),
        ("week.HTML", "<!doctype html>"),
        ("week.htm", "<!doctype html>"),
    ] {
        let file = directory.path().join(name);
        fs::write(&file, "stale").unwrap();
        Picture::at(&file)
            .unwrap()
            .write(&[week(OFFICE, MARCH)])
            .unwrap();
        assert!(fs::read_to_string(&file).unwrap().starts_with(beginning));
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn an_unknown_extension_is_refused_in_one_sentence() {
    for name in ["week.png", "week", ".svg", "/dev/stdout"] {
        let error = Picture::at(Path::new(name)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`--out {name}` is neither a picture (`.svg`) nor a page (`.html`)")
        );
    }
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let taken = directory.path().join("week.svg");
    fs::create_dir(&taken).unwrap();
    let error = Picture::at(&taken).unwrap().write(&[week(OFFICE, MARCH)]);
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("week.svg` can't be written: "),
        "{message}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
