//! Many like sentences in few: `sleep, 3.2 s … 58 s left`.
//!
//! Sentences are alike when they differ only in words with digits in them: durations and numbers
//! become ranges, other words (names, addresses) are folded.

use rustc_hash::FxHashMap;

use super::names;

const UNITS: [(&str, f64); 5] =
    [("ms", 1.0), ("s", 1e3), ("min", 60e3), ("h", 3_600e3), ("d", 86_400e3)];

/// What may differ between like sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SlotKind {
    Duration,
    Number,
    Word,
}

/// A word of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Token<'t> {
    Fixed(&'t str),
    /// Its kind and what stands directly around it.
    Slot(SlotKind, &'t str, &'t str),
}

/// Sentences of one form.
struct Form<'t> {
    count: usize,
    /// What each sentence has in each slot.
    values: Vec<Vec<Value<'t>>>,
}

#[derive(Debug, Clone, Copy)]
struct Value<'t> {
    text: &'t str,
    size: f64,
}

/// The sentences, like ones as one, each with its number; the most frequent first.
pub fn merge<'t>(sentences: impl IntoIterator<Item = &'t str>) -> Vec<(String, usize)> {
    let mut counts: FxHashMap<&str, usize> = FxHashMap::default();
    let mut distinct = Vec::new();
    for sentence in sentences {
        let count = counts.entry(sentence).or_insert(0);
        *count += 1;
        if *count == 1 {
            distinct.push(sentence);
        }
    }
    let mut forms: Vec<(Vec<Token<'t>>, Form<'t>)> = Vec::new();
    let mut index: FxHashMap<Vec<Token<'t>>, usize> = FxHashMap::default();
    for sentence in distinct {
        let (parts, values) = parse(sentence);
        let at = *index.entry(parts.clone()).or_insert(forms.len());
        if at == forms.len() {
            let slots = values.iter().map(|_| Vec::new()).collect();
            forms.push((parts, Form { count: 0, values: slots }));
        }
        if let Some((_, form)) = forms.get_mut(at) {
            form.count += counts.get(sentence).copied().unwrap_or(0);
            for (slot, value) in form.values.iter_mut().zip(values) {
                slot.push(value);
            }
        }
    }
    let mut merged: Vec<(String, usize)> =
        forms.into_iter().map(|(parts, form)| (said(&parts, form.values), form.count)).collect();
    // Stable: of as many, the first one stays the first.
    merged.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    merged
}

fn said(parts: &[Token<'_>], values: Vec<Vec<Value<'_>>>) -> String {
    let mut values = values.into_iter();
    let mut words = Vec::with_capacity(parts.len());
    for part in parts {
        words.push(match part {
            Token::Fixed(word) => (*word).to_owned(),
            Token::Slot(kind, before, after) => {
                let range = range(*kind, values.next().unwrap_or_default());
                format!("{before}{range}{after}")
            }
        });
    }
    words.join(" ")
}

fn range(kind: SlotKind, mut values: Vec<Value<'_>>) -> String {
    if kind == SlotKind::Word {
        values.sort_by(|a, b| names::sort_key(a.text).cmp(&names::sort_key(b.text)));
        values.dedup_by_key(|value| value.text);
        return names::fold(values.iter().map(|value| value.text));
    }
    let by_size = |a: &&Value<'_>, b: &&Value<'_>| a.size.total_cmp(&b.size);
    match (values.iter().min_by(by_size), values.iter().max_by(by_size)) {
        (Some(least), Some(most)) if least.text != most.text => {
            format!("{} … {}", least.text, most.text)
        }
        (Some(least), _) => least.text.to_owned(),
        (None, _) => String::new(),
    }
}

/// Takes a sentence to pieces.
fn parse(sentence: &str) -> (Vec<Token<'_>>, Vec<Value<'_>>) {
    let (mut parts, mut values) = (Vec::new(), Vec::new());
    let mut words = words(sentence).peekable();
    while let Some((at, word)) = words.next() {
        let (before, core, after) = bare(word);
        if !core.bytes().any(|byte| byte.is_ascii_digit()) {
            parts.push(Token::Fixed(word));
            continue;
        }
        let mut text = core;
        let mut tail = after;
        let (mut kind, mut size) = match number(core) {
            Some(size) => (SlotKind::Number, size),
            None => (SlotKind::Word, 0.0),
        };
        // `3 min 12 s`: as long as numbers and units follow each other.
        let mut amount = number(core).filter(|_| after.is_empty());
        let mut total = 0.0;
        while let Some(number) = amount.take() {
            let unit = words.peek().and_then(|&(unit_at, word)| {
                let ("", unit, after) = bare(word) else { return None };
                let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
                Some((unit_at + unit.len(), after, factor))
            });
            let Some((end, after, factor)) = unit else { break };
            words.next();
            total += number * factor;
            (kind, size, tail) = (SlotKind::Duration, total, after);
            text = sentence.get(at + before.len()..end).unwrap_or(text);
            let next = words.peek().filter(|_| after.is_empty()).copied();
            amount = next.and_then(|(_, word)| self::number(word)).filter(|_| {
                // Only if a unit comes behind it; `2 s 5 waiting` has two numbers.
                let mut ahead = words.clone();
                ahead.next();
                ahead
                    .next()
                    .is_some_and(|(_, word)| UNITS.iter().any(|unit| unit.0 == bare(word).1))
            });
            if amount.is_some() {
                words.next();
            }
        }
        parts.push(Token::Slot(kind, before, tail));
        values.push(Value { text, size });
    }
    (parts, values)
}

/// The words of a text with their places.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> + Clone {
    let mut at = 0;
    text.split(' ').map(move |word| {
        let start = at;
        at += word.len() + 1;
        (start, word)
    })
}

/// A word without the marks around it, and these.
fn bare(word: &str) -> (&str, &str, &str) {
    let core = word.trim_start_matches(['(', '[', '“', '"', '\'']);
    let before = word.get(..word.len() - core.len()).unwrap_or_default();
    let bare = core.trim_end_matches([',', ';', ':', '.', ')', ']', '”', '"', '\'']);
    (before, bare, core.get(bare.len()..).unwrap_or_default())
}

/// `12`, `3.25`, `1,024`, `3rd`.
fn number(word: &str) -> Option<f64> {
    let digits =
        ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b',')
        && digits.len() <= 15;
    if !is_number {
        return None;
    }
    digits.replace(',', "").parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sentences: &[&str], expected: &[(&str, usize)]) {
        let merged = merge(sentences.iter().copied());
        let merged: Vec<_> = merged.iter().map(|(text, count)| (text.as_str(), *count)).collect();
        assert_eq!(merged, expected);
    }

    #[test]
    fn equal_sentences_stay_as_they_are() {
        check(&["event ready"; 3], &[("event ready", 3)]);
        check(&["sleep, 3.2 s left"], &[("sleep, 3.2 s left", 1)]);
        check(&["  two  blanks 1 "], &[("  two  blanks 1 ", 1)]);
        check(&[""], &[("", 1)]);
        check(&[], &[]);
    }

    #[test]
    fn durations_of_any_size_become_a_range() {
        check(
            &["sleep, 58.0 s left", "sleep, 1 min 3 s left", "sleep, 431 ms left"],
            &[("sleep, 431 ms … 1 min 3 s left", 3)],
        );
        check(
            &["due in 2 h 3 min, 4 left", "due in 5 s, 12 left"],
            &[("due in 5 s … 2 h 3 min, 4 … 12 left", 2)],
        );
        check(&["for 2 s 5 waiting", "for 3 s 7 waiting"], &[("for 2 s … 3 s 5 … 7 waiting", 2)]);
    }

    #[test]
    fn numbers_become_a_range_and_names_are_folded() {
        check(
            &[
                "lock a, 3rd of 40 waiting",
                "lock a, 12th of 40 waiting",
                "lock a, 4th of 40 waiting",
            ],
            &[("lock a, 3rd … 12th of 40 waiting", 3)],
        );
        check(&["task worker-2", "task worker-1", "task worker-3"], &[("task worker-{1..3}", 3)]);
        check(
            &["tcp 10.0.0.1:80, fd 7", "tcp 10.0.0.1:81, fd 9"],
            &[("tcp 10.0.0.1:{80,81}, fd 7 … 9", 2)],
        );
    }

    #[test]
    fn other_differences_stay_apart_the_most_frequent_first() {
        check(
            &["queue get, empty", "lock b, 1st", "lock b, 2nd"],
            &[("lock b, 1st … 2nd", 2), ("queue get, empty", 1)],
        );
        // Not taken for numbers.
        check(&["x 1e5", "x 99999999999999999999"], &[("x 1e5, 99999999999999999999", 2)]);
    }
}
