//! Tests of the renderings of a simulation, and of its output file.

use curfew_core::simulate::InstanceCount;
use curfew_core::timetable::Timetable;

use super::*;
use crate::output_target::OutputTarget;

fn schedule(line: &str) -> Schedule {
    let timetable = Timetable::parse_inline(line).unwrap();
    Schedule::new("office".parse().unwrap(), timetable)
}

fn between(schedule: &Schedule, [from, to]: [&str; 2], instances: &[InstanceCount]) -> Simulation {
    let zone = schedule.timetable.time_zone();
    let [from, to] = [from, to].map(|date| Some(date.parse().unwrap()));
    let span = Span::between(from, to, zone, Timestamp::UNIX_EPOCH).unwrap();
    Simulation::of(schedule, span, instances)
}

fn week(line: &str, dates: [&str; 2]) -> Simulation {
    between(&schedule(line), dates, &[])
}

fn document(schedules: Vec<Simulation>) -> SimulateDocument {
    SimulateDocument {
        currency: "EUR".to_owned(),
        total: SimulatedTotal::of(&schedules),
        schedules,
        inline_count: 0,
        unanswered: Vec::new(),
        has_prices: false,
    }
}

fn text(document: &SimulateDocument, glyphs: Glyphs) -> String {
    text::render(document, glyphs).render(OutputTarget::pipe(None))
}

fn instances(instance_type: &str, count: u32, per_hour: Option<f64>) -> InstanceCount {
    InstanceCount {
        instance_type: Some(instance_type.to_owned()),
        count,
        per_hour,
    }
}

const OFFICE: &str = "Mon-Fri 08:00-20:00 Europe/Paris";
const MARCH: [&str; 2] = ["2026-03-23", "2026-03-29"];
const OCTOBER: [&str; 2] = ["2026-10-19", "2026-10-25"];

#[test]
fn text_has_a_line_for_each_day() {
    let office = schedule("Mon-Thu 08:00-20:15; Fri 22:00-02:00; Sun 01:00-05:00 Europe/Paris");
    let simulations = vec![between(&office, OCTOBER, &[])];
    let document = document(simulations);
    insta::assert_snapshot!(text(&document, Glyphs::Blocks), @r#"
    Mon 19 Oct to Sun 25 Oct 2026

    office: runs 58 h of 169 h, 65.7% off (Europe/Paris)
                00    03    06    09    12    15    18    21    24
    Mon 19 Oct  ················████████████████████████▌·······    ▲08:00 ▼20:15
    Tue 20 Oct  ················████████████████████████▌·······    ▲08:00 ▼20:15
    Wed 21 Oct  ················████████████████████████▌·······    ▲08:00 ▼20:15
    Thu 22 Oct  ················████████████████████████▌·······    ▲08:00 ▼20:15
    Fri 23 Oct  ············································████    ▲22:00
    Sat 24 Oct  ████············································    ▼02:00
    Sun 25 Oct* ··██████████······································  ▲01:00 ▼05:00
    Sun 25 Oct* 25 h: the clocks go back from 03:00 to 02:00

    █ running  ▌ part of the half hour  · stopped  ▲ start  ▼ stop  * clocks change
    "#);
    let ascii = text(&document, Glyphs::Ascii);
    assert!(ascii.is_ascii());
    insta::assert_snapshot!(ascii, @r#"
    Mon 19 Oct to Sun 25 Oct 2026

    office: runs 58 h of 169 h, 65.7% off (Europe/Paris)
                00    03    06    09    12    15    18    21    24
    Mon 19 Oct  ................########################/.......    +08:00 -20:15
    Tue 20 Oct  ................########################/.......    +08:00 -20:15
    Wed 21 Oct  ................########################/.......    +08:00 -20:15
    Thu 22 Oct  ................########################/.......    +08:00 -20:15
    Fri 23 Oct  ............................................####    +22:00
    Sat 24 Oct  ####............................................    -02:00
    Sun 25 Oct* ..##########......................................  +01:00 -05:00
    Sun 25 Oct* 25 h: the clocks go back from 03:00 to 02:00

    # running  / part of the half hour  . stopped  + start  - stop  * clocks change
    "#);
}

#[test]
fn costs_are_in_a_table_with_a_total_and_no_line_is_wider_than_80() {
    let offices = [
        "Mon-Fri 08:00-20:00 Europe/Paris",
        "00:00-24:00 Asia/Kolkata",
    ];
    let [paris, kolkata] = offices.map(schedule);
    let fleet = [
        instances("m7g.16xlarge", 1200, Some(2.6112)),
        instances("p9.huge", 1, None),
    ];
    let dates = ["2026-11-29", "2026-11-29"];
    let document = document(vec![
        between(&paris, dates, &fleet),
        between(&kolkata, dates, &fleet[..1]),
    ]);
    let text = text(&document, Glyphs::Ascii);
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    insta::assert_snapshot!(text, @r#"
    Sun 29 Nov 2026

    SCHEDULE  RUNS   OFF           INSTANCES   COST EUR        24X7      SAVED
    office     0 h  100%  1,200 m7g.16xlarge       0.00   75,202.56  75,202.56
    office     0 h  100%           1 p9.huge          -           -          -
    office    24 h    0%  1,200 m7g.16xlarge  75,202.56   75,202.56       0.00
    total                              2,401  75,202.56  150,405.12  75,202.56

    office: runs 0 h of 24 h, 100% off (Europe/Paris)
                00    03    06    09    12    15    18    21    24
    Sun 29 Nov  ................................................

    office: runs 24 h of 24 h, 0% off (Asia/Kolkata)
                00    03    06    09    12    15    18    21    24
    Sun 29 Nov  ################################################

    # running  . stopped
    1 of 2,401 instances have no cost: their type has no price in [prices], or their
    running time is not known.
    "#);
}

#[test]
fn a_line_lists_few_edges() {
    let busy = week("start */15 * * * * UTC", MARCH);
    let text = text(&document(vec![busy]), Glyphs::Ascii);
    assert!(text.contains("+00:00 95 more\n"), "{text}");
}

#[test]
fn names_in_the_configuration_are_escaped_in_markup() {
    let office = schedule(OFFICE);
    let hostile = instances("<script>alert('1')</script>&\"\u{1b}", 1, Some(1.0));
    let document = document(vec![between(&office, MARCH, &[hostile])]);
    for page in [svg::render(&document), html::render(&document)] {
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains('\u{1b}'));
        assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;"));
    }
}

#[test]
fn an_image_has_a_bar_for_each_run_of_each_day_and_no_links() {
    let night = week("Mon-Wed 22:00-06:00 Europe/Paris", OCTOBER);
    let picture = svg::render(&document(vec![night]));
    // Three nights on two days each.
    let marks = |class: &str| picture.matches(&format!("class=\"{class}\"")).count();
    // One more of each in the legend, and the clock change's label.
    assert_eq!(["on", "start", "stop", "clock"].map(marks), [7, 4, 4, 3]);
    assert!(picture.contains("<title>25 h: the clocks go back from 03:00 to 02:00</title>"));
    assert!(picture.contains(
        "office in Europe/Paris, Mon 19 Oct to Sun 25 Oct 2026: runs 24 h of 169 h, 85.8% off."
    ));
    assert!(
        !picture
            .replace("http://www.w3.org/2000/svg", "")
            .contains("http")
    );
    // Elements are properly nested.
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
fn the_extension_selects_the_format_and_an_existing_file_is_replaced() {
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
            .write(&document(vec![week(OFFICE, MARCH)]))
            .unwrap();
        assert!(fs::read_to_string(&file).unwrap().starts_with(beginning));
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn an_unknown_extension_is_rejected() {
    for name in ["week.png", "week", ".svg", "/dev/stdout"] {
        let error = Picture::at(Path::new(name)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`--out {name}` is neither an SVG image (`.svg`) nor an HTML page (`.html`)")
        );
    }
}

#[test]
fn a_failed_write_leaves_no_temporary_file() {
    let directory = tempfile::tempdir().unwrap();
    let taken = directory.path().join("week.svg");
    fs::create_dir(&taken).unwrap();
    let error = Picture::at(&taken)
        .unwrap()
        .write(&document(vec![week(OFFICE, MARCH)]));
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("week.svg` can't be written: "),
        "{message}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
