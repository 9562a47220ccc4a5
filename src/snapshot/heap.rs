//! What a search of the whole memory has found: things that nobody lists, and who refers to them.
//!
//! It is no picture of one moment: the process ran on meanwhile. What is here was there when it was
//! found and again when it was looked at last, and nothing was seen between.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Frame, millis};
use crate::memory::Address;

/// What a search has found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeapSearch {
    /// How many bytes of memory were searched.
    pub bytes: u64,
    /// How long that took, all passes together.
    #[serde(rename = "elapsed_ms", with = "millis")]
    pub elapsed: Duration,
    /// Bytes that were swapped out, and were not searched.
    #[serde(skip_serializing_if = "is_zero")]
    pub swapped: u64,
    /// Whether time was left to search for who refers to what was found.
    pub has_owners: bool,
    /// What was found, each kind once.
    pub lists: Vec<HeapList>,
}

/// All things of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeapList {
    /// What they are.
    pub kind: HeapKind,
    /// How many.
    pub count: u64,
    /// Those that are alike together, the first of the groups.
    pub groups: Vec<HeapGroup>,
    /// How many groups more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub groups_left_out: u64,
}

/// What is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeapKind {
    /// A coroutine that was never started, and that no task has.
    NeverStarted,
    /// An asynchronous generator that has begun, not ended, and that nobody iterates.
    OpenGenerator,
    /// A future or task with an exception that nobody has looked at, and that no registry lists.
    FailedFuture,
    /// asyncio's `Event`; here and below with the classes made from it.
    Event,
    /// asyncio's `Lock`.
    Lock,
    /// asyncio's `Semaphore`.
    Semaphore,
    /// asyncio's `Condition`.
    Condition,
    /// asyncio's `Queue`.
    Queue,
    /// One that a newer version knows.
    #[default]
    #[serde(other)]
    Other,
}

/// Things of one kind that are alike: of the same class, or function, and with the same owners.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeapGroup {
    /// The class with its module; of a coroutine or generator the function.
    pub name: String,
    /// Where a coroutine begins, a generator is suspended, or an exception was raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Frame>,
    /// The class of the exception.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
    /// How many.
    pub count: u64,
    /// How many of the events are set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<u64>,
    /// How many of the locks, or of the conditions' locks, are locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<u64>,
    /// How many permits of the semaphores are free, all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<i64>,
    /// How many items are in the queues, all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// How many wait at them, all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Who refers to each of them: empty when nobody was found.
    pub owners: Vec<HeapOwner>,
    /// How the search for those ended.
    pub owned: Owned,
    /// The first of them.
    pub first: Vec<Address>,
}

/// What is known of the owners of a thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owned {
    /// There are some.
    Found,
    /// Nobody refers to it but those who wait at it, and what belongs to these: each counted reference
    /// is accounted for.
    ByWaiters,
    /// None was found, but there are references: from where the search doesn't come to.
    NotFound,
    /// They were not looked for: there are too many things of its kind, or there was no time.
    #[default]
    #[serde(other)]
    NotSearched,
}

/// One that refers to a thing, by the name that a person knows it by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeapOwner {
    /// What it is.
    pub kind: OwnerKind,
    /// `shop.Shop.lock`, `shop.LOCK`, the name of a variable, that of an inner function; the class of
    /// another object.
    pub name: String,
    /// The function whose variable or stack it is, and where that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
    /// The collections and others between, from there to the thing: `dict`, `list`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
    /// The key in the last dictionary, if it is plainly a name and there is one thing alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What an owner is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerKind {
    /// An attribute of an instance or class.
    Attribute,
    /// A global variable of a module.
    Global,
    /// A variable of a function, coroutine or generator.
    Variable,
    /// Something on the stack of one: what it iterates over, has entered or is about to use.
    Stack,
    /// A variable that an inner function has of the function around it.
    Closure,
    /// A collection that nothing known refers to.
    Collection,
    /// Another object.
    #[default]
    #[serde(other)]
    Object,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
