//! Many names in few words: `worker-{0..39}`.

use std::collections::HashMap;

/// How many ranges of numbers are listed for names of one kind.
const MAX_RANGES: usize = 4;
/// How many kinds of names are listed.
const MAX_KINDS: usize = 4;

/// Names that differ only in a number.
struct Numbered<'a> {
    before: &'a str,
    after: &'a str,
    /// The width of numbers written with leading zeros, 0 for others.
    digits: usize,
    numbers: Vec<u64>,
    first: &'a str,
}

/// The names, folded: those that differ only in a number are listed by ranges of it, and of the
/// rest the first few are named and the others counted.
pub fn fold<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut kinds: Vec<Numbered<'a>> = Vec::new();
    let mut index = HashMap::new();
    for name in names {
        let (before, number, after) = split(name);
        let digits = if number.starts_with('0') && number.len() > 1 { number.len() } else { 0 };
        let at = *index.entry((before, after, digits, number.is_empty())).or_insert(kinds.len());
        if at == kinds.len() {
            kinds.push(Numbered { before, after, digits, numbers: Vec::new(), first: name });
        }
        if let (Some(kind), Ok(number)) = (kinds.get_mut(at), number.parse()) {
            kind.numbers.push(number);
        }
    }
    let mut words: Vec<String> = kinds.iter_mut().take(MAX_KINDS).map(Numbered::words).collect();
    if kinds.len() > MAX_KINDS {
        words.push(format!("… {} more kinds of names", kinds.len() - MAX_KINDS));
    }
    words.join(", ")
}

impl Numbered<'_> {
    fn words(&mut self) -> String {
        self.numbers.sort_unstable();
        self.numbers.dedup();
        if self.numbers.len() < 2 {
            return self.first.to_owned();
        }
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for &number in &self.numbers {
            match ranges.last_mut() {
                Some(range) if range.1.checked_add(1) == Some(number) => range.1 = number,
                _ => ranges.push((number, number)),
            }
        }
        let digits = self.digits;
        // `{2..2000..2}`, as a shell writes steps.
        if let ([(first, _), .., (last, _)], Some(step)) = (ranges.as_slice(), step(&ranges)) {
            let range = format!("{{{first:0digits$}..{last:0digits$}..{step}}}");
            return format!("{}{range}{}", self.before, self.after);
        }
        let mut list: Vec<String> = ranges
            .iter()
            .take(MAX_RANGES)
            .map(|&(low, high)| match high - low {
                0 => format!("{low:0digits$}"),
                1 => format!("{low:0digits$},{high:0digits$}"),
                _ => format!("{low:0digits$}..{high:0digits$}"),
            })
            .collect();
        if ranges.len() > MAX_RANGES {
            list.push("…".to_owned());
            // The last one says how far the numbers go.
            if let Some((_, high)) = ranges.last() {
                list.push(format!("{high:0digits$}"));
            }
        }
        format!("{}{{{}}}{}", self.before, list.join(","), self.after)
    }
}

/// The distance between numbers that are all as far from the next one; at least three of them.
fn step(ranges: &[(u64, u64)]) -> Option<u64> {
    let ([(first, _), (second, _), _, ..], true) =
        (ranges, ranges.iter().all(|(low, high)| low == high))
    else {
        return None;
    };
    let step = second - first;
    let is_even = ranges.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if b - a == step));
    is_even.then_some(step)
}

/// The last number in `name`, with what stands before and after it.
fn split(name: &str) -> (&str, &str, &str) {
    let Some(end) = name.rfind(|c: char| c.is_ascii_digit()).map(|at| at + 1) else {
        return (name, "", "");
    };
    let head = name.get(..end).unwrap_or_default();
    let start = head.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| {
        at + head.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    });
    // More digits than a u64 surely holds are an identifier, not a number.
    if end - start > 18 {
        return (name, "", "");
    }
    (
        head.get(..start).unwrap_or_default(),
        head.get(start..).unwrap_or_default(),
        name.get(end..).unwrap_or_default(),
    )
}

/// Sorts `worker-9` before `worker-10`.
pub fn sort_key(name: &str) -> impl Ord + Clone + use<'_> {
    let (before, number, after) = split(name);
    (before, number.parse::<u64>().ok(), number, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(names: &[&str]) -> String {
        fold(names.iter().copied())
    }

    #[test]
    fn names_that_differ_in_a_number_become_a_range() {
        let names: Vec<String> = (0..200).map(|i| format!("worker-{i}")).collect();
        assert_eq!(fold(names.iter().map(String::as_str)), "worker-{0..199}");
        assert_eq!(folded(&["job-3-of-9", "job-3-of-10"]), "job-3-of-{9,10}");
        assert_eq!(folded(&["a1b", "a2b", "a4b"]), "a{1,2,4}b");
        assert_eq!(folded(&["t-007", "t-008", "t-009"]), "t-{007..009}");
        assert_eq!(folded(&["7", "8", "9"]), "{7..9}");
    }

    #[test]
    fn other_names_are_listed_then_counted() {
        assert_eq!(folded(&["main"]), "main");
        assert_eq!(folded(&["main", "main"]), "main");
        assert_eq!(folded(&["reader", "writer", "Task-1", "Task-2"]), "reader, writer, Task-{1,2}");
        assert_eq!(folded(&["a", "b", "c", "d", "e", "f"]), "a, b, c, d, … 2 more kinds of names");
        assert_eq!(folded(&["é1", "é2"]), "é{1,2}");
        assert_eq!(folded(&["", ""]), "");
    }

    #[test]
    fn scattered_numbers_are_cut() {
        assert_eq!(folded(&["t1", "t3", "t5", "t7", "t9", "t12"]), "t{1,3,5,7,…,12}");
        assert_eq!(folded(&["t1", "t3", "t5", "t7", "t9", "t11"]), "t{1..11..2}");
        assert_eq!(folded(&["t1", "t3"]), "t{1,3}");
        assert_eq!(
            folded(&["t18446744073709551615", "t18446744073709551616"]),
            "t18446744073709551615, t18446744073709551616"
        );
    }

    #[test]
    fn numbers_are_ordered_as_numbers() {
        let mut names = vec!["w-10", "w-9", "main", "w-1", "w"];
        names.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        assert_eq!(names, ["main", "w", "w-1", "w-9", "w-10"]);
    }
}
