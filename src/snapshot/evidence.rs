//! What a finding rests on, as facts: who plays which part, where, and for how long.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::document::{Entries, of_name, of_name_or_least};
use super::{BlockingKind, Frame, Location, duration, millis};
use crate::memory::Address;

/// One fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The fact, without its place; empty where the place is all there is to say, such as a frame
    /// of a stack.
    pub text: String,
    /// The part that whoever it is about plays in the finding.
    pub role: Option<Role>,
    /// The task it is about.
    pub task: Option<Address>,
    /// Where that is.
    pub place: Option<Arc<Location>>,
    /// For how long it has been so.
    pub since: Option<Age>,
}

impl Evidence {
    /// With its place.
    #[must_use]
    pub fn at(mut self, place: Option<&Location>) -> Self {
        self.place = place.map(|place| Arc::new(place.clone()));
        self
    }

    /// With the part that it plays.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// In words, with the path of its place as `shortened` gives it.
    pub fn in_words(&self, shortened: impl Fn(&Location) -> String) -> String {
        let Some(place) = &self.place else { return self.text.clone() };
        let at = format!("at {} in {}", shortened(place), place.function);
        if self.text.is_empty() { at } else { format!("{} {at}", self.text) }
    }
}

impl<T: Into<String>> From<T> for Evidence {
    fn from(text: T) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// With the whole path: `"refresh" waits for socket 10.0.0.5:5432 at /app/db.py:88 in refresh`.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.in_words(|place| match place.line {
            Some(line) => format!("{}:{line}", place.file),
            None => place.file.to_string(),
        }))
    }
}

impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("text", &self.to_string())?;
        if let Some(role) = self.role {
            map.serialize_entry("role", &role)?;
        }
        if let Some(task) = self.task {
            map.serialize_entry("task", &task)?;
        }
        if let Some(place) = &self.place {
            map.serialize_entry("place", &at(place))?;
        }
        if let Some(since) = &self.since {
            map.serialize_entry("since", since)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Evidence {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Document {
            text: String,
            #[serde(default, deserialize_with = "of_name")]
            role: Option<Role>,
            task: Option<Address>,
            #[serde(default, deserialize_with = "of_place")]
            place: Option<Arc<Location>>,
            since: Option<Age>,
        }
        let Document { text, role, task, place, since } = Document::deserialize(from)?;
        // The words end with the place.
        let end = Self { place: place.clone(), ..Self::default() }.to_string();
        let without = text.strip_suffix(&end).filter(|_| place.is_some());
        let text = without.map_or_else(|| text.clone(), |text| text.trim_end().to_owned());
        Ok(Self { text, role, task, place, since })
    }
}

fn at(place: &Arc<Location>) -> Frame {
    Frame { location: Arc::clone(place), locals: None }
}

#[expect(clippy::ref_option, reason = "the shape serde asks for")]
pub(super) fn as_place<S: Serializer>(
    place: &Option<Arc<Location>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    place.as_ref().map(at).serialize(serializer)
}

pub(super) fn of_place<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Arc<Location>>, D::Error> {
    Ok(Option::<Frame>::deserialize(from)?.map(|frame| frame.location))
}

/// The part that a task or a thread plays in a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What does it.
    Culprit,
    /// Has what others wait for.
    Holder,
    /// Waits for it.
    Waiter,
    /// Can't run because of it.
    Blocked,
    /// Is a connection that waits to be accepted.
    Unaccepted,
    /// Is what a pool's threads do.
    Runs,
    /// Is one of a cycle.
    Member,
    /// Puts into a queue.
    Producer,
    /// Takes from a queue.
    Consumer,
    /// May have what nobody is seen to have.
    Suspect,
}

/// Who plays a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The part.
    pub role: Role,
    /// How many they are.
    pub count: u64,
    /// The first of them that are tasks.
    pub first: Vec<Address>,
}

impl Members {
    /// How many of each part are named; all tasks of a finding are in its own list.
    pub const NAMED: usize = 20;
}

#[derive(Serialize, Deserialize)]
struct Part {
    count: u64,
    first: Vec<Named>,
}

#[derive(Serialize, Deserialize)]
struct Named {
    task: Address,
}

/// As a map from the part to those who play it.
pub(super) fn as_roles<S: Serializer>(roles: &[Members], serializer: S) -> Result<S::Ok, S::Error> {
    let named = |it: &Members| {
        let first = it.first.iter().map(|task| Named { task: *task });
        (it.role, Part { count: it.count, first: first.collect() })
    };
    serializer.collect_map(roles.iter().map(named))
}

pub(super) fn of_roles<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Members>, D::Error> {
    let parts = Entries::<Part>::deserialize(from)?.known();
    let members = |(role, Part { count, first }): (Role, Part)| Members {
        role,
        count,
        first: first.into_iter().map(|it| it.task).collect(),
    };
    Ok(parts.map(members).collect())
}

/// For how long something has been so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Age {
    /// So long.
    #[serde(rename = "ms", with = "millis")]
    pub time: Duration,
    /// Whether it may be longer.
    pub bound: Bound,
    /// What says so.
    #[serde(deserialize_with = "of_name_or_least")]
    pub source: Source,
}

impl Age {
    /// Exactly so long.
    pub const fn exact(time: Duration, source: Source) -> Self {
        Self { time, bound: Bound::Exact, source }
    }

    /// The oldest of several: no more than a bound where not all have one.
    pub fn oldest(ages: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let (mut oldest, mut bound) = (None, Bound::Exact);
        for age in ages {
            if age.is_none_or(|age| age.bound != Bound::Exact) {
                bound = Bound::AtLeast;
            }
            oldest = [oldest, age].into_iter().flatten().max_by_key(|age| age.time);
        }
        oldest.map(|oldest| Self { bound, ..oldest })
    }

    /// So long or longer.
    pub const fn at_least(time: Duration, source: Source) -> Self {
        Self { time, bound: Bound::AtLeast, source }
    }
}

/// `4.24 s`, `≥ 4.24 s`.
impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.bound == Bound::AtLeast { "≥ " } else { "" };
        write!(f, "{sign}{}", duration(self.time))
    }
}

/// How a time relates to the true one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// It is the true one.
    Exact,
    /// The true one is no shorter.
    #[serde(other)]
    AtLeast,
}

/// What a time is known from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A timer or a deadline of the loop.
    Timer,
    /// The loop's own clock of its iteration.
    Iteration,
    /// It was the same in samples so far apart.
    #[default]
    Samples,
    /// A frame, or an object, that keeps its own start.
    Frame,
    /// The kernel, which counts how often a thread ran.
    Scheduler,
    /// The kernel, which notes when a connection has sent and received.
    Connection,
}

/// What a finding comes from: something that a person can change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Cause {
    /// A lock, semaphore, condition or another thing of asyncio's.
    Lock {
        /// The variable or attribute that has it, `self.lock`.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Its class with the module.
        #[serde(skip_serializing_if = "Option::is_none")]
        class: Option<Arc<str>>,
        /// Which one it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        object: Option<Address>,
    },
    /// A call that keeps a loop's thread.
    Call {
        /// What it does, in words.
        call: String,
        /// What kind of call.
        class: BlockingKind,
        /// The system call it is in.
        #[serde(skip_serializing_if = "Option::is_none")]
        system_call: Option<String>,
        /// The thread it keeps.
        #[serde(skip_serializing_if = "Option::is_none")]
        thread: Option<i32>,
    },
    /// A clause that caught a cancellation.
    Except {
        /// `except`, `finally` or `suppress`.
        clause: String,
        /// Whether that is sure.
        is_sure: bool,
    },
    /// An exception.
    Exception {
        /// Its class.
        class: String,
        /// Its message.
        message: String,
    },
    /// A pool of threads or processes.
    Pool {
        /// Its name.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Which one it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        object: Option<Address>,
        /// How many workers it has.
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// How many calls are queued.
        #[serde(skip_serializing_if = "Option::is_none")]
        queued: Option<u64>,
    },
    /// A queue.
    Queue {
        /// The variable or attribute that has it.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Its class with the module.
        #[serde(skip_serializing_if = "Option::is_none")]
        class: Option<Arc<str>>,
        /// Which one it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        object: Option<Address>,
        /// How many items are in it, or are unfinished where that is what is waited for.
        #[serde(skip_serializing_if = "Option::is_none")]
        items: Option<i64>,
        /// How many it takes.
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<i64>,
    },
    /// A cycle of those who wait for each other.
    Cycle {
        /// How many tasks and threads are in it.
        length: u64,
        /// How many such cycles there are.
        count: u64,
    },
    /// A thread.
    Thread {
        /// Its number.
        #[serde(skip_serializing_if = "Option::is_none")]
        thread: Option<i32>,
        /// Its name.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// A quota of processor time.
    Quota {
        /// The control group that has it.
        group: String,
        /// How much in each period.
        #[serde(rename = "quota_ms", with = "millis")]
        quota: Duration,
        /// How long a period is.
        #[serde(rename = "period_ms", with = "millis")]
        period: Duration,
        /// So many periods ended with the group stopped.
        throttled: u64,
        /// Of so many.
        periods: u64,
    },
    /// The far end of a connection.
    Peer {
        /// Its address.
        address: String,
    },
    /// A child process.
    Process {
        /// Its id.
        pid: i32,
        /// What its program is called.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// The garbage collector.
    Gc {
        /// The generation that it collects.
        #[serde(skip_serializing_if = "Option::is_none")]
        generation: Option<u32>,
    },
}

impl Cause {
    /// The object that it is.
    pub fn object(&self) -> Option<Address> {
        match self {
            Self::Lock { object, .. } | Self::Pool { object, .. } | Self::Queue { object, .. } => {
                *object
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_said_after_the_fact_and_kept_beside_it() {
        let place = Location::by_path("refresh".into(), "/app/db.py".into(), Some(88));
        let fact = Evidence::from("it waits").at(Some(&place)).role(Role::Holder);
        assert_eq!(fact.to_string(), "it waits at /app/db.py:88 in refresh");
        assert_eq!(Evidence::from("").at(Some(&place)).to_string(), "at /app/db.py:88 in refresh");
        assert_eq!(Evidence::from("alone").to_string(), "alone");
        let json = serde_json::to_value(&fact).unwrap();
        assert_eq!(json["text"], "it waits at /app/db.py:88 in refresh");
        assert_eq!((&json["role"], &json["place"]["line"]), (&"holder".into(), &88.into()));
    }

    #[test]
    fn those_who_play_a_part_are_counted_where_they_are_not_all_named() {
        #[derive(Serialize)]
        struct All(#[serde(serialize_with = "as_roles")] Vec<Members>);
        let waiters = Members { role: Role::Waiter, count: 40, first: vec![Address(16)] };
        let json = serde_json::to_value(All(vec![waiters])).unwrap();
        assert_eq!(
            json,
            serde_json::json!({ "waiter": { "count": 40, "first": [{ "task": "0x10" }] } })
        );
    }
}
