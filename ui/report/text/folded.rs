//! Who waits for whom, in groups of like tasks: the program's own frames in full, runs of library
//! frames in a line, and those that wait for a lock below the one that holds it.
//!
//! ```text
//! !  GET /refresh                                                   Task-5  62.3 s
//!    … 19 of uvicorn, starlette, fastapi
//!    shop.py:51  refresh
//!    shop.py:17  Inventory.refresh  data=await r.readline()
//!    … 3 of asyncio
//!    → 127.0.0.1:18999
//!    └─ holds self.lock; waiting for it:
//!       !  100 × GET /stock/{sku}                          Task-{6..105}  61.8 s
//!          …
//! ```
//!
//! Each group is drawn once, and referred to from then on.

use std::io;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Bound, Frame, Group, GroupState, Location, Severity, Snapshot, SubjectKind, Wait, Waiting,
    duration_in_column, own_frame,
};
use rustc_hash::FxHashMap;
use unicode_width::UnicodeWidthStr as _;

use super::short::{ById, waits};
use super::source::Lines;
use super::{names, path, words};
use crate::io::page::{Line, Page, Style, clean, cut, fit};

/// How many packages of a run are named.
const MAX_PACKAGES: usize = 4;
/// How deep the drawing goes.
const MAX_LEVELS: usize = 12;
/// How wide the places of frames are, where they are not longer.
const PLACE: usize = 24;

struct Drawing<'s, 'p, 'w> {
    snapshot: &'s Snapshot,
    groups: &'s [Group<'s>],
    tasks: ById<'s>,
    lines: &'p Lines<'p>,
    page: &'p mut Page<'w>,
    width: usize,
    /// For each group those whose tasks it waits for, those that hold what it wants, and those that
    /// want what it holds.
    awaited: Vec<Vec<usize>>,
    holders: Vec<Vec<usize>>,
    waiters: Vec<Vec<usize>>,
    is_awaited: Vec<bool>,
    is_shown: Vec<bool>,
}

/// Draws all tasks, causes first.
///
/// # Errors
/// Those of the page.
pub fn draw(snapshot: &Snapshot, lines: &Lines<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let groups = snapshot.groups();
    let members = groups
        .iter()
        .enumerate()
        .flat_map(|(at, group)| group.tasks.iter().map(move |task| (task.id, at)));
    let group_of: FxHashMap<Address, usize> = members.collect();
    let their_groups = |ids: &mut dyn Iterator<Item = &Address>| -> Vec<usize> {
        let mut groups: Vec<usize> = ids.filter_map(|id| group_of.get(id)).copied().collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    };
    let waits_of = |group: &Group<'_>| {
        let waits = group.tasks.iter().filter_map(|task| task.waiting_on.as_deref());
        their_groups(&mut waits.flat_map(Waiting::tasks))
    };
    let held_by = |group: &Group<'_>| {
        their_groups(&mut group.waiting().into_iter().flat_map(Waiting::holders))
    };
    let awaited: Vec<Vec<usize>> = groups.iter().map(waits_of).collect();
    let holders: Vec<Vec<usize>> = groups.iter().map(held_by).collect();
    let mut waiters = vec![Vec::new(); groups.len()];
    for (at, by) in holders.iter().enumerate() {
        for holder in by {
            if let Some(waiters) = waiters.get_mut(*holder) {
                waiters.push(at);
            }
        }
    }
    let mut is_awaited = vec![false; groups.len()];
    for at in awaited.iter().flatten() {
        if let Some(is_awaited) = is_awaited.get_mut(*at) {
            *is_awaited = true;
        }
    }
    let width = page.columns();
    let mut drawing = Drawing {
        snapshot,
        groups: &groups,
        tasks: ById::of(snapshot),
        lines,
        page,
        width,
        awaited,
        holders,
        waiters,
        is_awaited,
        is_shown: vec![false; groups.len()],
    };
    let mut is_first = true;
    for at in drawing.order() {
        if drawing.is_shown.get(at).copied().unwrap_or(true) {
            continue;
        }
        if !is_first {
            drawing.page.blank()?;
        }
        is_first = false;
        drawing.group(at, "", 0)?;
    }
    Ok(())
}

impl Drawing<'_, '_, '_> {
    /// Groups in the order in which to begin: those that are stuck with nobody else to blame, first
    /// those that hold up others; the other stuck ones; those that nobody awaits; all others.
    fn order(&self) -> Vec<usize> {
        let is_stuck =
            |at: usize| self.groups.get(at).is_some_and(|group| group.state == GroupState::Stuck);
        let is_blamed = |at: usize| {
            let mut others = of(&self.holders, at).iter().chain(of(&self.awaited, at));
            others.any(|by| *by != at && is_stuck(*by))
        };
        let rank = |at: usize| match (is_stuck(at), is_blamed(at)) {
            (true, false) if !of(&self.waiters, at).is_empty() => 0,
            (true, false) => 1,
            (true, true) => 2,
            (false, _) if self.is_awaited.get(at) == Some(&false) => 3,
            (false, _) => 4,
        };
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order.sort_by_cached_key(|at| rank(*at));
        order
    }

    fn group(&mut self, at: usize, margin: &str, level: usize) -> io::Result<()> {
        let Some(group) = self.groups.get(at) else { return Ok(()) };
        if let Some(is_shown) = self.is_shown.get_mut(at) {
            *is_shown = true;
        }
        let line = self.title(group, margin);
        self.page.line(&line)?;
        let inner = format!("{margin}   ");
        if group.subject.kind != SubjectKind::Library {
            self.frames(group, &inner)?;
        }
        let wait = waits(group, self.snapshot, &self.tasks);
        let line = Line::new().with(Style::Dim, &inner).with(Style::Reason, "→ ");
        let room = self.width.saturating_sub(line.width());
        self.page.line(&line.with(Style::Reason, &fit(&clean(&wait), room)))?;
        self.thread(group, &inner)?;

        let [awaited, waiters] = [&self.awaited, &self.waiters].map(|it| of(it, at).to_vec());
        let what = waiters.first().and_then(|by| self.groups.get(*by)?.waiting()?.name.clone());
        let holds =
            format!("holds {}; waiting for it:", what.as_deref().unwrap_or("what they wait for"));
        self.below(&awaited, "waits for:", &inner, level)?;
        self.below(&waiters, &holds, &inner, level)
    }

    /// Groups below another one: those that were drawn are referred to.
    fn below(
        &mut self,
        groups: &[usize],
        what: &str,
        margin: &str,
        level: usize,
    ) -> io::Result<()> {
        let is_shown = |at: &usize| self.is_shown.get(*at).copied().unwrap_or(true);
        let (old, new): (Vec<usize>, Vec<usize>) = groups.iter().copied().partition(is_shown);
        let labels = |groups: &[usize]| {
            let named = groups.iter().take(3).filter_map(|at| self.groups.get(*at));
            let mut named: Vec<String> = named.map(label).collect();
            if let Some(more) = groups.len().checked_sub(4) {
                named.push(format!("{} more", more + 1));
            }
            named.join(", ")
        };
        let say = |page: &mut Page<'_>, text: &str| {
            let line = Line::new().with(Style::Dim, margin).with(Style::Dim, "└─ ");
            let room = self.width.saturating_sub(line.width());
            page.line(&line.with(Style::Dim, &fit(&clean(text), room)))
        };
        if !old.is_empty() {
            let text = format!("{what} ↑ back to {}", labels(&old));
            say(self.page, &text)?;
        }
        if new.is_empty() {
            return Ok(());
        }
        if margin.width() > self.width / 2 || level + 1 >= MAX_LEVELS {
            let more = words::counted(new.len(), "group");
            return say(self.page, &format!("{more} below: --tree=full"));
        }
        say(self.page, what)?;
        for at in new {
            // One of those before may have had it below it.
            if !self.is_shown.get(at).copied().unwrap_or(true) {
                self.group(at, &format!("{margin}   "), level + 1)?;
            }
        }
        Ok(())
    }

    /// `!  100 × GET /stock/{sku}                     Task-{6..105}  61.8 s`
    fn title(&self, group: &Group<'_>, margin: &str) -> Line {
        let (style, sign) = match (group.severity, group.state) {
            (Some(Severity::Critical), _) => (Style::Alarm, "!! "),
            (Some(Severity::Warning), _) => (Style::Notice, "!  "),
            (_, GroupState::Undecided) => (Style::Notice, "?  "),
            _ => (Style::Plain, "   "),
        };
        let mut line = Line::new().with(Style::Dim, margin).with(style, sign);
        let all = names::fold(group.tasks.iter().filter_map(|task| task.name.as_deref()));
        let age = group.oldest.map(|age| {
            let sign = if age.bound == Bound::AtLeast { "≥" } else { "" };
            format!("  {sign}{}", duration_in_column(age.time))
        });
        let age = age.unwrap_or_default();
        let label = label(group);
        let room = self.width.saturating_sub(line.width() + age.width());
        line.add(Style::Strong, &fit(&clean(&label), room));
        // The name says something only where it is another one.
        let left = self.width.saturating_sub(line.width() + age.width() + 2);
        let all = if all == label || left < 8 { String::new() } else { all };
        let tail = format!("{}{age}", cut(&clean(&all), left));
        line.pad_to(self.width.saturating_sub(tail.width()));
        line.add(Style::Dim, &tail);
        line
    }

    fn frames(&mut self, group: &Group<'_>, margin: &str) -> io::Result<()> {
        let Some(first) = group.first() else { return Ok(()) };
        let own = own_frame(&first.frames).map(|frame| &frame.location);
        let mut run: Vec<&Frame> = Vec::new();
        for frame in &first.frames {
            // Without any code of its own the innermost of a package is as good.
            if frame.location.is_library() && Some(&frame.location) != own {
                run.push(frame);
                continue;
            }
            self.run(&mut run, margin)?;
            self.frame(&frame.location, Some(&frame.location) == own, margin)?;
        }
        self.run(&mut run, margin)
    }

    /// `… 19 of uvicorn, starlette, fastapi`
    fn run(&mut self, frames: &mut Vec<&Frame>, margin: &str) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        let mut packages: Vec<&str> = Vec::new();
        for package in frames.iter().filter_map(|frame| frame.location.package()) {
            if !packages.contains(&package) {
                packages.push(package);
            }
        }
        let more = packages.len().saturating_sub(MAX_PACKAGES);
        packages.truncate(MAX_PACKAGES);
        if more > 0 {
            packages.push("…");
        }
        let words = format!("{margin}… {} of {}", frames.len(), packages.join(", "));
        frames.clear();
        self.page.line(&Line::new().with(Style::Dim, &words).fitted(self.width))
    }

    /// `shop.py:17  Inventory.refresh  data=await r.readline()`
    fn frame(&mut self, place: &Location, has_source: bool, margin: &str) -> io::Result<()> {
        let file = if place.is_library() {
            place.path()
        } else {
            place.file.rsplit('/').next().unwrap_or(&place.file)
        };
        let mut line = Line::new().with(Style::Dim, margin);
        let start = line.width();
        line.add(Style::Plain, &path::full(file, place.line));
        line.pad_to((line.width() + 2).max(start + PLACE));
        line.add(Style::Strong, &place.function);
        let source = place.line.filter(|_| has_source);
        if let Some(source) = source.and_then(|number| self.lines.line(&place.file, number)) {
            line.add(Style::Plain, "  ");
            line.add(Style::Code, &source);
        }
        self.page.line(&line.fitted(self.width))
    }

    /// Where the thread is that runs the call.
    fn thread(&mut self, group: &Group<'_>, margin: &str) -> io::Result<()> {
        let waiting = group.waiting();
        let Some(Wait::Executor { thread: Some(tid), .. }) = waiting.map(|it| &it.wait) else {
            return Ok(());
        };
        let thread = self.snapshot.threads.iter().find(|thread| thread.tid == Some(*tid));
        match thread.and_then(|thread| own_frame(&thread.frames)) {
            Some(frame) if !frame.location.is_library() => {
                let location = std::sync::Arc::clone(&frame.location);
                self.frame(&location, true, &format!("{margin}  "))
            }
            _ => Ok(()),
        }
    }
}

fn of(lists: &[Vec<usize>], at: usize) -> &[usize] {
    lists.get(at).map_or(&[], Vec::as_slice)
}

/// `100 × GET /stock/{sku}`
fn label(group: &Group<'_>) -> String {
    let name = match group.subject.kind {
        SubjectKind::Library => format!("of {}", group.subject.name),
        _ => group.subject.name.clone(),
    };
    match (group.count, group.first()) {
        (1, Some(first)) if group.subject.kind == SubjectKind::Name => first.label(),
        (1, _) => name,
        (count, _) => format!("{} × {name}", words::count(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::sample::{self, bank, lock, shop, shop_source, task, waits};

    fn drawn(snapshot: &Snapshot, width: usize) -> String {
        let source = shop_source();
        let mut out = Vec::new();
        let lines = Lines::of(Some(&source));
        draw(snapshot, &lines, &mut Page::new(&mut out, Some(width), false)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.width() <= width), "{text}");
        text
    }

    #[test]
    fn waiters_hang_below_the_holder_and_libraries_are_folded() {
        let text = drawn(&shop(), 80);
        let expected = "\
!  GET /refresh                                                   Task-5  62.3 s
   … 1 of uvicorn
   shop.py:17              Inventory.refresh  data=await r.readline()
   → 127.0.0.1:18999
   └─ holds self.lock; waiting for it:
      !  100 × GET /stock/{sku}                            Task-{6..105}  61.8 s
         … 1 of uvicorn
         shop.py:20              Inventory.get
         → self.lock, held by GET /refresh

";
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(text.matches("GET /stock/{sku}").count(), 1, "{text}");
    }

    #[test]
    fn a_cycle_is_drawn_once() {
        let text = drawn(&bank(), 80);
        assert!(
            text.contains("└─ holds second.lock; waiting for it: ↑ back to ada-to-bob"),
            "{text}"
        );
        assert_eq!(text.matches("→ second.lock, held by").count(), 2, "{text}");
    }

    #[test]
    fn a_long_chain_ends_with_how_to_see_the_rest() {
        let tasks = (0..500_u64).map(|n| {
            let name = "x".repeat(usize::try_from(n).unwrap() + 1);
            let place = format!("f app.py:{}", n + 1);
            let holder = n.checked_sub(1);
            waits(task(n, &name, &[&place], &[]), lock(holder.as_slice()), "")
        });
        let text = drawn(&sample::snapshot(tasks.collect()), 80);
        assert!(text.contains("1 group below: --tree=full\n"), "{text}");
    }
}
