//! Compares the output of commands with the sample that a page shows. What differs from run to run is masked: IDs, numbers, times,
//! durations and the width of columns.

/// Returns an error unless the output is like the sample.
pub(super) fn compare(sample: &str, output: &str) -> Result<(), String> {
    let (expected, found) = (masked(sample), masked(output));
    if expected == found {
        return Ok(());
    }
    let differs = |(a, b): &(&String, &String)| a != b;
    let first = expected.iter().zip(&found).find(differs);
    let first = first.map_or_else(
        || format!("{} lines instead of {}", found.len(), expected.len()),
        |(expected, found)| format!("the sample is like `{expected}`, the output like `{found}`"),
    );
    Err(format!("{first}\n--- the output:\n{output}"))
}

fn masked(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(masked_line).collect()
}

fn masked_line(line: &str) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let word = masked_word(word);
        let is_month = |word: &String| MONTHS.contains(&word.as_str());
        let is_after_month = words.last().is_some_and(is_month);
        // Times have the year only if it is not the current one.
        if !(is_after_month && word == "0") {
            words.push(word);
        }
    }
    words.join(" ")
}

/// Replaces IDs, hashes and numbers by `0`.
fn masked_word(word: &str) -> String {
    let mut masked = String::new();
    let is_part = |c: char| c.is_ascii_alphanumeric();
    for part in word.split_inclusive(|c| !is_part(c)) {
        let end = part.len()
            - part
                .chars()
                .next_back()
                .filter(|c| !is_part(*c))
                .map_or(0, char::len_utf8);
        let (part, separator) = part.split_at(end);
        let is_hash = part.len() >= 6 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        masked += if is_hash || is_number { "0" } else { part };
        masked += separator;
    }
    masked
}

#[test]
fn only_what_differs_from_run_to_run_is_masked() {
    let sample = "AT                    INSTANCE   TO\nFri 27 Nov 20:00 CET  i-0abc1234def567890   stopped\n";
    let alike = "AT                         INSTANCE  TO\nFri 3 Dec 2027 07:15 CET  i-99999999999999999  stopped\n";
    let alike = alike.replace("Dec", "Nov");
    compare(sample, &alike).unwrap();
    for other in [
        alike.replace("stopped", "running"),
        alike.replace("INSTANCE", "ID"),
        alike.replace("CET", "UTC"),
        alike.lines().next().unwrap().to_owned(),
        format!("{alike}one more line\n"),
    ] {
        assert!(compare(sample, &other).is_err(), "{other}");
    }
    compare(
        "curfew-edges-7b959e  cron(24 18,19 * * ? *)",
        "curfew-edges-0a1b2c cron(1 2,13 * * ? *)",
    )
    .unwrap();
    assert!(compare("cron(24 18 * * ? *)", "cron(24 18,19 * * ? *)").is_err());
}
