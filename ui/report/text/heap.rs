//! What a search of the heap has found: kinds of things, those that are alike together, and who
//! refers to them.

use std::io;

use aiospy::snapshot::{
    Frame, HeapGroup, HeapKind, HeapList, HeapOwner, HeapSearch, Owned, OwnerKind, Snapshot,
};

use super::{path, words};
use crate::io::page::{Line, Page, Style};

/// The widest lines, so that they stay readable.
const WIDTH: usize = 80;

/// Writes what was found.
///
/// # Errors
/// Those of the page.
pub fn section(snapshot: &Snapshot, page: &mut Page<'_>) -> io::Result<()> {
    let Some(search) = &snapshot.heap else { return Ok(()) };
    page.wrapped(
        Line::new().with(Style::Strong, "heap  "),
        "      ",
        WIDTH,
        Style::Plain,
        &scope(search),
    )?;
    let (empty, found): (Vec<&HeapList>, Vec<_>) =
        search.lists.iter().partition(|list| list.count == 0);
    for of_kind in found {
        list(of_kind, page)?;
    }
    if !empty.is_empty() {
        let kinds: Vec<&str> = empty.iter().map(|list| noun(list.kind).1).collect();
        let head = Line::new().with(Style::Dim, "    none: ");
        page.wrapped(head, "          ", WIDTH, Style::Dim, &kinds.join(", "))?;
    }
    page.blank()
}

/// What was searched, and what that is worth.
fn scope(search: &HeapSearch) -> String {
    let swapped = match search.swapped {
        0 => String::new(),
        bytes => format!("; {} are swapped out", words::bytes(bytes)),
    };
    let owners = if search.has_owners {
        ""
    } else {
        "; there was no time left to search for who refers to them"
    };
    format!(
        "searched {} in {}, best effort: the process isn't paused, so this is no frozen picture, \
         and some of it may be gone or missing{swapped}{owners}",
        words::bytes(search.bytes),
        words::duration(search.elapsed),
    )
}

fn list(of: &HeapList, page: &mut Page<'_>) -> io::Result<()> {
    let (one, more) = noun(of.kind);
    let number = usize::try_from(of.count).unwrap_or(usize::MAX);
    let heading = format!("    {} {}", words::count(number), if number == 1 { one } else { more });
    page.line(&Line::new().with(Style::Strong, &heading))?;
    for group in &of.groups {
        one_group(of.kind, group, page)?;
    }
    if of.groups_left_out > 0 {
        let left = usize::try_from(of.groups_left_out).unwrap_or(usize::MAX);
        let noun = if left == 1 { "group" } else { "groups" };
        let words = format!("        … {} more {noun}", words::count(left));
        page.line(&Line::new().with(Style::Dim, &words))?;
    }
    Ok(())
}

fn one_group(kind: HeapKind, group: &HeapGroup, page: &mut Page<'_>) -> io::Result<()> {
    let number = usize::try_from(group.count).unwrap_or(usize::MAX);
    let mut line = Line::new().with(Style::Plain, "        ");
    if number != 1 {
        line.add(Style::Plain, &format!("{} × ", words::count(number)));
    }
    line.add(Style::Strong, short(&group.name));
    if let Some(place) = &group.place {
        let at = place_of(place);
        line.add(Style::Dim, &format!(" ({at})"));
    }
    let state = state(kind, group);
    if !state.is_empty() {
        line.add(Style::Reason, &format!("  {}", state.join(", ")));
    }
    page.line(&line)?;
    let margin = " ".repeat(12);
    let head = Line::new().with(Style::Dim, &margin);
    page.wrapped(head, &margin, WIDTH, Style::Dim, &owners(group))
}

fn state(kind: HeapKind, group: &HeapGroup) -> Vec<String> {
    let is_one = group.count == 1;
    let of_all = |number: Option<u64>, yes: &str, no: &str| match number {
        Some(0) if is_one => Some(no.to_owned()),
        Some(1) if is_one => Some(yes.to_owned()),
        Some(number) if !is_one && number > 0 => Some(format!("{} {yes}", count(number))),
        _ => None,
    };
    let amount = |number: Option<u64>, one: &str, more: &str| {
        let number = number?;
        Some(format!("{} {}", count(number), if number == 1 { one } else { more }))
    };
    let mut all: Vec<Option<String>> = vec![group.exception.clone()];
    all.push(of_all(group.set, "set", "not set"));
    all.push(of_all(group.locked, "locked", "not locked"));
    let free = group.free.and_then(|free| u64::try_from(free).ok());
    all.push(amount(free, "permit free", "permits free"));
    all.push(amount(group.items, "item", "items"));
    let is_waited_for = group.waiting.filter(|number| *number > 0);
    all.push(is_waited_for.map(|number| format!("{} waiting", count(number))));
    if kind == HeapKind::FailedFuture && group.exception.is_none() {
        all.push(Some("failed".to_owned()));
    }
    all.into_iter().flatten().collect()
}

fn count(number: u64) -> String {
    words::count(usize::try_from(number).unwrap_or(usize::MAX))
}

/// Who refers to the things of a group.
fn owners(group: &HeapGroup) -> String {
    let owners: Vec<String> = group.owners.iter().map(owner).collect();
    match group.owned {
        Owned::Found => owners.join(", "),
        Owned::ByWaiters => "nobody refers to it but those who wait for it".to_owned(),
        Owned::NotFound => "no owner found".to_owned(),
        Owned::NotSearched => "owners not searched for".to_owned(),
    }
}

/// `Shop.lock`, `list in pending in main (app.py:12)`.
fn owner(of: &HeapOwner) -> String {
    let name = match of.kind {
        OwnerKind::Global => &of.name,
        _ => short(&of.name),
    };
    let at =
        of.frame.as_ref().map(|frame| format!("{} ({})", frame.location.function, place_of(frame)));
    let last = match (of.kind, at) {
        (OwnerKind::Stack, Some(at)) => format!("in use by {at}"),
        (_, Some(at)) => format!("{name} in {at}"),
        (OwnerKind::Collection, None) => format!("a {name} without a known owner"),
        (OwnerKind::Object, None) => format!("a {name} object"),
        (OwnerKind::Closure, None) => format!("closure of {name}"),
        (_, None) => name.to_owned(),
    };
    let mut words: Vec<&str> = of.through.iter().map(String::as_str).collect();
    words.push(&last);
    let key = of.key.as_ref().map(|key| format!(" (key {key})")).unwrap_or_default();
    format!("{}{key}", words.join(" in "))
}

fn place_of(frame: &Frame) -> String {
    path::full(frame.location.path(), frame.location.line)
}

/// A name without what everybody knows of it.
fn short(name: &str) -> &str {
    let modules = ["__main__.", "asyncio.locks.", "asyncio.queues.", "asyncio.futures."];
    modules.iter().find_map(|module| name.strip_prefix(module)).unwrap_or(name)
}

/// What one thing of a kind is called, and more of them.
fn noun(kind: HeapKind) -> (&'static str, &'static str) {
    match kind {
        HeapKind::NeverStarted => ("coroutine never started", "coroutines never started"),
        HeapKind::OpenGenerator => (
            "open async generator that nobody iterates",
            "open async generators that nobody iterates",
        ),
        HeapKind::FailedFuture => (
            "failed future that no registry lists, exception never retrieved",
            "failed futures that no registry lists, exceptions never retrieved",
        ),
        HeapKind::Event => ("event", "events"),
        HeapKind::Lock => ("lock", "locks"),
        HeapKind::Semaphore => ("semaphore", "semaphores"),
        HeapKind::Condition => ("condition", "conditions"),
        HeapKind::Queue => ("queue", "queues"),
        HeapKind::Other => ("other", "others"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::sample;

    #[test]
    fn each_kind_is_listed_with_who_refers_to_what_in_lines_that_are_not_too_wide() {
        let mut snapshot = sample::snapshot(Vec::new());
        let mut out = Vec::new();
        section(&snapshot, &mut Page::new(&mut out, None, false)).unwrap();
        assert!(out.is_empty(), "not searched, nothing said");
        snapshot.heap = Some(Box::new(sample::heap()));
        section(&snapshot, &mut Page::new(&mut out, Some(WIDTH), false)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let expected = "\
heap  searched 1.0 GB in 812 ms, best effort: the process isn't paused, so this
      is no frozen picture, and some of it may be gone or missing; 2.1 MB are
      swapped out
    1,200 coroutines never started
        1,200 × audit (/srv/orders/audit.py:20)
            list in pending in main (/srv/orders/__main__.py:62)
    1 failed future that no registry lists, exception never retrieved
        _asyncio.Future  ValueError
            __main__.LAST
    1 event
        Event  not set, 1 waiting
            nobody refers to it but those who wait for it
    1 lock
        Lock  locked, 7 waiting
            dict in orders.Shop.locks (key prices), in use by Prices.refresh
            (/srv/orders/prices.py:31)
        … 3 more groups
    1 semaphore
        Semaphore  3 permits free
            no owner found
    9,000 queues
        9,000 × Queue  12 items
            owners not searched for
    none: open async generators that nobody iterates, conditions

";
        assert_eq!(text, expected);
    }
}
