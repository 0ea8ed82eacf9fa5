//! Groups what is alike, so that a long list is short: the number, what it has in common, and the first names.

use std::cmp::Ordering;

use crate::output::count;
use crate::view::View;

/// The number of rows up to which a terminal shows each one.
pub(crate) const SHOWN: usize = 20;

/// Groups items by a key, the largest group first, and groups of one size in the order of their first items.
pub(crate) fn grouped<T, K: PartialEq>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Vec<(K, Vec<T>)> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for item in items {
        let key = key(&item);
        match groups.iter_mut().find(|(of, _)| *of == key) {
            Some((_, group)) => group.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    groups
}

/// Says what a group has in common, and lists its first names: `stopped by alice: web-1, web-2, web-3 and 12 more`.
pub(crate) fn named(common: &str, names: impl ExactSizeIterator<Item = String>) -> String {
    format!("{common}: {}", examples(names))
}

/// Lists the first names of a group: `web-1, web-2, web-3 and 12 more`.
pub(crate) fn examples(names: impl ExactSizeIterator<Item = String>) -> String {
    const FEW: usize = 3;
    let all = names.len();
    let few: Vec<String> = names.take(FEW).collect();
    let few = few.join(", ");
    match all.saturating_sub(FEW) {
        0 => few,
        more => format!("{few} and {} more", count(more)),
    }
}

/// Compares names as people do: `web-2` is before `web-10`.
pub(crate) fn by_name(a: &str, b: &str) -> Ordering {
    chunks(a).cmp(&chunks(b)).then_with(|| a.cmp(b))
}

/// Splits a name into numbers and the text between them. A number is before text, and a longer number is larger.
fn chunks(name: &str) -> Vec<(bool, usize, &str)> {
    let mut chunks = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let is_number = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_number);
        let (chunk, after) = rest.split_at(end.unwrap_or(rest.len()));
        chunks.push(if is_number {
            let digits = chunk.trim_start_matches('0');
            (false, digits.len(), digits)
        } else {
            (true, 0, chunk)
        });
        rest = after;
    }
    chunks
}

/// Returns the name of an instance in a list of examples: its name, or its ID.
pub(crate) fn label(id: &impl ToString, name: Option<&String>) -> String {
    name.cloned().unwrap_or_else(|| id.to_string())
}

/// Adds a line for each group: its number, and a text. Of more than [`SHOWN`] groups, the smallest are only counted.
pub(crate) fn list<K, T>(
    view: &mut View,
    groups: &[(K, Vec<T>)],
    text: impl Fn(&K, &[T]) -> String,
    more: &str,
) {
    let largest = groups.first().map_or(0, |(_, group)| group.len());
    let digits = count(largest).len().max(3);
    for (key, group) in groups.iter().take(SHOWN) {
        let lead = format!("  {:>digits$}  ", count(group.len()));
        view.item(lead, text(key, group));
    }
    if let Some(rest) = groups.get(SHOWN..).filter(|rest| !rest.is_empty()) {
        let rest: usize = rest.iter().map(|(_, group)| group.len()).sum();
        view.item("  ", format!("… and {} more; {more}", count(rest)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output_target::OutputTarget;

    #[test]
    fn groups_are_listed_by_size_with_their_first_names() {
        let items: Vec<usize> = (0..50).collect();
        // 40 alike, and ten groups of one.
        let groups = grouped(items, |item| item.saturating_sub(39));
        assert_eq!(groups[0].1.len(), 40);
        assert_eq!(groups.len(), 11);
        let names = groups[0].1.iter().map(|item| format!("web-{item}"));
        assert_eq!(examples(names), "web-0, web-1, web-2 and 37 more");
        let names = [1, 2, 3].into_iter().map(|item| format!("web-{item}"));
        assert_eq!(examples(names), "web-1, web-2, web-3");
    }

    #[test]
    fn numbers_in_names_are_compared_as_numbers() {
        let mut names = [
            "web-10", "web-2", "db", "web", "web-02", "web-1b", "10", "9",
        ];
        names.sort_by(|a, b| by_name(a, b));
        assert_eq!(
            names,
            [
                "9", "10", "db", "web", "web-1b", "web-02", "web-2", "web-10"
            ]
        );
    }

    #[test]
    fn the_smallest_of_many_groups_are_counted() {
        let groups = grouped(0..60, |item| item % 30);
        let mut view = View::default();
        list(
            &mut view,
            &groups,
            |key, _| key.to_string(),
            "use `-o wide`",
        );
        let text = view.render(OutputTarget::pipe(Some(80)));
        assert_eq!(text.lines().count(), SHOWN + 1);
        assert!(text.starts_with("    2  0\n"), "{text}");
        assert!(text.ends_with("  … and 20 more; use `-o wide`\n"), "{text}");
    }
}
