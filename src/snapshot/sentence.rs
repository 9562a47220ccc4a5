//! The title of a finding: made of facts each time it is shown, so that it never goes stale.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Age, Bound, with_separators};

/// The widest that a title becomes.
const MAX_TITLE: usize = 80;
/// What a sentence may begin with that is no name of the program's.
const OWN: [&str; 6] = ["a ", "an ", "semaphore ", "condition ", "event ", "barrier "];
/// How much of a name is left where there is no room for all of it.
const MIN_NAME: usize = 24;

/// A sentence that says what is the case, and what comes of that.
///
/// It is in the present tense while that lasts, and in the past tense when it is over. Where it is
/// too long what comes of it goes first, then names lose their middle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sentence {
    /// What is the case.
    pub claim: Vec<Phrase>,
    /// What comes of it.
    pub consequence: Vec<Phrase>,
    /// Whether it is a guess.
    pub is_guess: bool,
}

/// A part of a sentence. Between two of them there is a blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phrase {
    /// Words that hold at any time.
    Words {
        /// The words.
        text: String,
    },
    /// A name of the program's own; a long one may lose its middle.
    Name {
        /// The name.
        name: String,
    },
    /// What is said in another way when it is over; either may be empty.
    Verb {
        /// While it lasts.
        now: String,
        /// When it is over.
        over: String,
    },
    /// For how long it has been so.
    Time {
        /// So long.
        age: Age,
    },
    /// For how long it was so; said only when it is over.
    TimeOver {
        /// So long.
        age: Age,
    },
}

impl Sentence {
    /// One that begins with a name.
    pub fn name(name: impl Into<String>) -> Self {
        Self::default().and(name)
    }

    /// One that begins with words.
    pub fn words(text: impl Into<String>) -> Self {
        Self::default().then(text)
    }

    /// And words.
    #[must_use]
    pub fn then(self, text: impl Into<String>) -> Self {
        self.with(Phrase::Words { text: text.into() })
    }

    /// And a name.
    #[must_use]
    pub fn and(self, name: impl Into<String>) -> Self {
        self.with(Phrase::Name { name: name.into() })
    }

    /// And a verb, while it lasts and when it is over.
    #[must_use]
    pub fn verb(self, now: impl Into<String>, over: impl Into<String>) -> Self {
        self.with(Phrase::Verb { now: now.into(), over: over.into() })
    }

    /// And for how long, where that is known.
    #[must_use]
    pub fn lasting(self, age: Option<Age>) -> Self {
        match age {
            Some(age) => self.with(Phrase::Time { age }),
            None => self,
        }
    }

    /// And for how long it was, said when it is over.
    #[must_use]
    pub fn lasted(self, age: Option<Age>) -> Self {
        match age {
            Some(age) => self.with(Phrase::TimeOver { age }),
            None => self,
        }
    }

    /// And one of its own, such as a time in words.
    #[must_use]
    pub fn maybe(self, text: Option<String>) -> Self {
        match text {
            Some(text) => self.then(text),
            None => self,
        }
    }

    /// What comes of it: another sentence.
    #[must_use]
    pub fn so(mut self, consequence: Self) -> Self {
        self.consequence = consequence.claim;
        self
    }

    /// What comes of it for so many.
    #[must_use]
    pub fn so_many(self, (count, noun): (usize, &str), verbs: [&str; 3]) -> Self {
        let [one, many, over] = verbs;
        let (plural, verb) = if count == 1 { ("", one) } else { ("s", many) };
        let number = with_separators(count);
        self.so(Self::words(format!("{number} {noun}{plural}")).verb(verb, over))
    }

    /// And another sentence.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.claim.extend(other.claim);
        self
    }

    /// Whether what comes of it is that so many suffer.
    pub fn counts(&self) -> bool {
        let first = self.consequence.first();
        let starts = |text: &str| text.starts_with(|it: char| it.is_ascii_digit());
        matches!(first, Some(Phrase::Words { text }) if starts(text))
    }

    /// The same without what is said behind `, and`.
    #[must_use]
    pub fn without_and(mut self) -> Self {
        let is_and = |it: &Phrase| matches!(it, Phrase::Words { text } if text == ", and");
        if let Some(at) = self.claim.iter().position(is_and) {
            self.claim.truncate(at);
        }
        self
    }

    /// The whole sentence in the present tense, however long it is.
    pub fn in_full(&self) -> String {
        on_one_line(&self.in_words(None, usize::MAX))
    }

    /// The sentence in the present tense in at most so many letters, if names can be made as short.
    pub fn within(&self, room: usize) -> String {
        on_one_line(&self.in_words(None, room.min(MAX_TITLE)))
    }

    fn with(mut self, part: Phrase) -> Self {
        self.claim.push(part);
        self
    }

    /// The sentence in the past tense, with the moment of its end.
    pub fn over(&self, until: &str) -> String {
        self.in_words(Some(until), MAX_TITLE)
    }

    fn in_words(&self, until: Option<&str>, room: usize) -> String {
        let claim = |until: Option<&str>, room| {
            let mut claim = joined(&self.claim, until, room);
            if let Some(first) =
                claim.get(..1).filter(|_| OWN.iter().any(|it| claim.starts_with(it)))
            {
                claim.replace_range(..1, &first.to_uppercase());
            }
            if self.is_guess { probably(&claim, self.claim.first()) } else { claim }
        };
        let fits = |text: &String| text.chars().count() <= room;
        let whole = claim(until, usize::MAX);
        let consequence = joined(&self.consequence, until.map(|_| ""), usize::MAX);
        let all = (!consequence.is_empty()).then(|| format!("{whole}: {consequence}"));
        if let Some(all) = all.filter(fits) {
            return all;
        }
        // When it was over says less than what it was.
        let shorter = until.map(|_| claim(Some(""), usize::MAX));
        let rooms = (MIN_NAME..whole.chars().count()).rev();
        let shorter = shorter.into_iter().chain(rooms.map(|room| claim(until.map(|_| ""), room)));
        let mut all = std::iter::once(whole).chain(shorter);
        let mut last = String::new();
        all.find_map(|text| {
            if fits(&text) {
                return Some(text);
            }
            last = text;
            None
        })
        .unwrap_or(last)
    }
}

/// A title is on one line, whatever a target calls its things.
fn on_one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '·' } else { letter }).collect()
}

/// Parts with names of at most `room` letters.
fn joined(parts: &[Phrase], until: Option<&str>, room: usize) -> String {
    let mut out = String::new();
    let mut add = |text: &str| {
        if !out.is_empty() && !text.is_empty() && !text.starts_with([',', ':', ';']) {
            out.push(' ');
        }
        out.push_str(text);
    };
    for part in parts {
        match part {
            Phrase::Words { text } => add(text),
            Phrase::Name { name } => add(&shortened(name, room)),
            Phrase::Verb { now, over } => add(if until.is_none() { now } else { over }),
            Phrase::Time { age } | Phrase::TimeOver { age } => match (part, until) {
                (Phrase::TimeOver { .. }, None) => {}
                (_, None) => add(&age.to_string()),
                // When exactly it was over nobody has seen.
                (_, Some(until)) => {
                    add(&Age { bound: Bound::AtLeast, ..*age }.to_string());
                    if !until.is_empty() {
                        add(&format!("until {until}"));
                    }
                }
            },
        }
    }
    out
}

/// A name without its middle.
fn shortened(name: &str, room: usize) -> String {
    let letters = name.chars().count();
    if letters <= room {
        return name.to_owned();
    }
    let kept = room.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let head: String = name.chars().take(head).collect();
    let tail: String = name.chars().skip(letters - tail).collect();
    format!("{head}…{tail}")
}

/// `Probably all 4 threads …`; a name keeps its first letter.
fn probably(claim: &str, first: Option<&Phrase>) -> String {
    let mut letters = claim.chars();
    let is_sentence = matches!(first, Some(Phrase::Words { .. })) || claim.starts_with("A ");
    match letters.next() {
        Some(letter) if is_sentence => {
            format!("Probably {}{}", letter.to_lowercase(), letters.as_str())
        }
        _ => format!("Probably {claim}"),
    }
}

/// The words as they were then.
impl<'de> Deserialize<'de> for Sentence {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::words)
    }
}

impl From<String> for Sentence {
    fn from(text: String) -> Self {
        Self::words(text)
    }
}

impl From<&str> for Sentence {
    fn from(text: &str) -> Self {
        Self::words(text)
    }
}

/// In the present tense.
impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&on_one_line(&self.in_words(None, MAX_TITLE)))
    }
}

impl Serialize for Sentence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::snapshot::Source;

    fn held(who: &str, waiters: usize) -> Sentence {
        let age = Some(Age::exact(Duration::from_millis(43_521), Source::Frame));
        Sentence::name(who)
            .verb("holds", "held")
            .and("self.lock")
            .verb("while it reads 10.0.0.5:5432", "for")
            .lasted(age)
            .so_many((waiters, "task"), ["queues", "queue", "queued"])
    }

    #[test]
    fn a_title_has_the_tense_of_its_time() {
        let one = held("refresh", 1);
        assert_eq!(
            one.to_string(),
            "refresh holds self.lock while it reads 10.0.0.5:5432: 1 task queues"
        );
        let many = held("refresh", 1_200);
        assert_eq!(
            many.over("09:46:12"),
            "refresh held self.lock for ≥ 43.5 s until 09:46:12: 1,200 tasks queued"
        );
    }

    #[test]
    fn what_comes_of_it_goes_first_where_there_is_no_room_then_the_middle_of_names() {
        let sentence = held(&"Inventory.refresh".repeat(2), 100);
        assert_eq!(
            sentence.to_string(),
            "Inventory.refreshInventory.refresh holds self.lock while it reads 10.0.0.5:5432"
        );
        let longer = held(&"Inventory.refresh".repeat(20), 100).to_string();
        assert!(longer.chars().count() <= MAX_TITLE, "{longer}");
        assert!(longer.starts_with("Inventory.ref") && longer.contains("…"), "{longer}");
        assert!(longer.contains(" holds self.lock while it reads "), "{longer}");
    }

    #[test]
    fn a_guess_says_so_first() {
        let guess = |sentence: Sentence| Sentence { is_guess: true, ..sentence }.to_string();
        assert_eq!(guess(Sentence::words("Nothing moves")), "Probably nothing moves");
        assert_eq!(guess(Sentence::name("Sync").then("waits")), "Probably Sync waits");
    }
}
