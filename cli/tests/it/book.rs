//! The commands of the documentation, run as they are printed (docs/contribute/book.md), and its generated page of options.

mod command_line;
mod page;
mod sample;
mod session;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::page::Page;
use self::session::Session;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Defines a test for each page that has commands to run.
macro_rules! pages {
    ($($test:ident: $page:literal,)*) => {
        /// The pages that are run.
        const PAGES: &[&str] = &[$($page),*];

        $(
            #[test]
            fn $test() {
                run($page);
            }
        )*
    };
}

pages! {
    the_readme_works: "README.md",
    the_concepts_work: "docs/concepts/concepts.md",
    several_accounts_work: "docs/how-to/accounts.md",
    keeping_a_demo_up_works: "docs/how-to/keep-up.md",
    telling_money_works: "docs/how-to/savings.md",
    migrating_works: "docs/how-to/migrate.md",
    office_hours_work: "docs/how-to/office-hours.md",
    notifications_to_slack_work: "docs/how-to/slack.md",
    savings_work: "docs/operate/cost.md",
    the_journal_works: "docs/operate/journal.md",
    the_http_api_works: "docs/reference/http-api.md",
    the_first_steps_on_aws_work_without_aws: "docs/start/aws.md",
    the_demo_works: "docs/start/demo.md",
    the_installation_works: "docs/start/install.md",
    ten_minutes_on_this_machine_work: "docs/start/local.md",
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn run(path: &str) {
    let page = Page::read(&Path::new(REPOSITORY).join(path), path);
    let missing = page.missing_tools();
    if !missing.is_empty() {
        let required = std::env::var_os("CURFEW_BOOK_TESTS").is_some();
        let message = format!("{path} was not run: {missing:?} are not installed");
        assert!(!required, "{message}");
        eprintln!("{message}");
        return;
    }
    if let Err(error) = Session::new(&page).run() {
        panic!("{error}");
    }
}

/// The Markdown files whose commands count: the book's pages and the files of the top level.
fn documents() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(REPOSITORY).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    for file in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "RELEASE.md",
        "SECURITY.md",
    ] {
        found.push(file.to_owned());
    }
    found
}

/// A new page with commands must be added above. Reading a page also checks that each block says what it is.
#[test]
fn every_page_with_commands_is_run() {
    let mut expected = BTreeSet::new();
    for document in documents() {
        let page = Page::read(&Path::new(REPOSITORY).join(&document), &document);
        if page.has_commands() {
            expected.insert(document);
        }
    }
    let run: BTreeSet<String> = PAGES.iter().map(|&page| page.to_owned()).collect();
    assert_eq!(run, expected);
}

/// Runs the text of a page and returns the error.
fn failure(text: &str) -> String {
    let page = Page::parse(text, "page.md");
    Session::new(&page).run().unwrap_err()
}

#[test]
fn a_failing_command_fails_its_page_wherever_it_stands() {
    for command in [
        "false",
        "false; true",
        "false | cat",
        "curfew check none.toml | tail -1",
        "test -n \"$NOT_SET\"",
        "x=$(false)",
    ] {
        let error = failure(&format!(
            "# A page\n\n```sh\n{command}\n```\n\n```sh\ntrue\n```\n"
        ));
        assert!(error.contains("page.md:4"), "{command}: {error}");
    }
}

#[test]
fn a_sample_that_differs_from_the_output_fails_its_page() {
    let page = |sample: &str| {
        format!("```sh\necho stopped i-0abc1234def567890\n```\n\n```text\n{sample}\n```\n")
    };
    let alike = page("stopped i-0000000000000000a");
    Session::new(&Page::parse(&alike, "page.md")).run().unwrap();
    let error = failure(&page("running i-0000000000000000a"));
    assert!(
        error.contains("page.md:2") && error.contains("running"),
        "{error}"
    );
}

#[test]
fn a_program_that_is_left_running_fails_its_page() {
    let page = Page::parse(
        "```sh\nsetsid --fork sleep 15 > /dev/null 2>&1\n```\n",
        "page.md",
    );
    let mut session = Session::new(&page);
    session.grace = Duration::from_secs(1);
    let error = session.run().unwrap_err();
    assert!(error.contains("sleep"), "{error}");
}

#[test]
fn later_blocks_see_the_variables_and_files_of_earlier_ones() {
    let text = "```toml\n# some.toml\n[schedules.a]\n```\n\n```sh\nfile=some.toml\n```\n\n   ```sh\n   grep schedules \"$file\"\n   ```\n";
    let page = Page::parse(text, "page.md");
    Session::new(&page).run().unwrap();
}
