//! Checks that the table in `docs/operate/faults.md` and the tests agree: every row cites existing tests, and every test here is
//! cited.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_row_of_the_fault_table_cites_tests_and_every_fault_test_is_cited() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let faults = std::fs::read_to_string(root.join("docs/operate/faults.md")).unwrap();
    let rows: Vec<&str> = faults
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .collect();
    assert!(rows.len() >= 12, "{rows:#?}");

    let mut cited = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, _, _, tests] = cells[..] else {
            panic!("a row of four cells: {row}");
        };
        let mut of_row = 0;
        for test in tests.split(", ") {
            let path = test.trim_matches('`');
            let (file, name) = path
                .split_once("::")
                .unwrap_or_else(|| panic!("`FILE::NAME`: {test}"));
            assert!(
                has_test(&root.join(file), name),
                "{file} has no test `{name}`"
            );
            cited.insert((file.to_owned(), name.to_owned()));
            of_row += 1;
        }
        assert!(of_row > 0, "a row without a test: {row}");
    }

    for file in ["responses.rs", "identity.rs", "instances.rs"] {
        let file = format!("crates/aws/tests/it/faults/{file}");
        for name in tests_of(&std::fs::read_to_string(root.join(&file)).unwrap()) {
            assert!(
                cited.contains(&(file.clone(), name.clone())),
                "no row cites {file}::{name}"
            );
        }
    }
}

fn has_test(file: &Path, name: &str) -> bool {
    std::fs::read_to_string(file).is_ok_and(|source| tests_of(&source).any(|test| test == name))
}

/// The names of the functions under a `#[test]` or `#[tokio::test…]`.
fn tests_of(source: &str) -> impl Iterator<Item = String> {
    let mut lines = source.lines();
    std::iter::from_fn(move || {
        lines.find(|line| {
            let line = line.trim();
            line == "#[test]" || line.starts_with("#[tokio::test")
        })?;
        let named = lines.find_map(|line| line.split_once("fn "))?;
        named.1.split('(').next().map(str::to_owned)
    })
}
