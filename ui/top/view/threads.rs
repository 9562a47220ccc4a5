//! Threads with what each is in, and pools with their workers and queues.

use aiospy::snapshot::{Executor, Thread, ThreadState};

use super::canvas::{Canvas, Column, SIGNS, row};
use super::select;
use crate::io::page::{Line, Style};
use crate::report::text::{loops, waiting};
use crate::top::layout::{Regions, narrow};
use crate::top::rows::{Rows, ThreadRow};
use crate::top::state::{App, Watched};

/// From this width on the system call has a column of its own.
const WITH_CALL: usize = 90;

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let Rows::Threads(rows) = &watched.rows else { return };
    let snapshot = watched.snapshot();
    let columns = columns(usize::from(regions.list.width));
    canvas.heads(regions.head, &columns);
    if rows.is_empty() {
        let words =
            if app.filter.text.is_empty() { "no thread was read" } else { "no thread matches" };
        canvas.nothing(regions.list, words);
        return;
    }
    let pools = snapshot.pools();
    let shown = app.list().shown(rows.len(), usize::from(regions.list.height));
    for (y, at) in rows.iter().skip(shown.start).take(shown.len()).enumerate() {
        let line = match at {
            ThreadRow::Thread(at) => snapshot.threads.get(*at).map(|thread| {
                let of = snapshot
                    .loops
                    .iter()
                    .position(|of| of.thread.is_some() && of.thread == thread.tid);
                let has_call = columns.get(3).is_some_and(|column| column.width > 0);
                row((Style::Plain, ""), &columns, &cells(thread, of, has_call))
            }),
            ThreadRow::Pool(at) => pools.get(*at).map(|pool| self::pool(pool)),
        };
        if let Some(line) = line {
            canvas.line(regions.list, narrow(y), &line);
        }
    }
    select(app, regions.list, canvas);
}

fn columns(width: usize) -> Vec<Column> {
    let name = (width / 4).clamp(14, 30);
    let state = 12;
    let call = if width >= WITH_CALL { 20 } else { 0 };
    let rest = width.saturating_sub(SIGNS + 8 + name + 1 + state + 1 + call + 1 + 1);
    vec![
        Column::new("THREAD", 7),
        Column::new("NAME", name),
        Column::new("STATE", state),
        Column::new("SYSTEM CALL", call),
        Column::new("ABOUT", rest),
    ]
}

fn cells(thread: &Thread, runs_loop: Option<usize>, has_call: bool) -> Vec<(Style, String)> {
    let (style, state) = match thread.state {
        Some(ThreadState::Running) => (Style::Active, "on processor"),
        Some(ThreadState::Sleeping) => (Style::Dim, "sleeping"),
        Some(ThreadState::Uninterruptible) => (Style::Notice, "in disk wait"),
        Some(ThreadState::Stopped) => (Style::Alarm, "STOPPED"),
        Some(ThreadState::Traced) => (Style::Alarm, "TRACED"),
        Some(ThreadState::Ended) => (Style::Notice, "ended"),
        Some(ThreadState::Other) => (Style::Dim, "other"),
        None => (Style::Dim, "?"),
    };
    let call = thread.syscall.as_ref();
    let call_words = call.map_or_else(String::new, |call| {
        let fd = call.fd.map(|fd| format!(" fd {fd}")).unwrap_or_default();
        format!("{}{fd}", call.name)
    });
    let mut about = Vec::new();
    if let Some(at) = runs_loop {
        about.push(format!("runs loop {}", at + 1));
    }
    if !has_call && !call_words.is_empty() {
        about.push(call_words.clone());
    }
    about.extend(call.and_then(|call| call.peer.clone()));
    about.extend(thread.waiting_on.as_deref().map(|it| waiting::described(it).to_owned()));
    if about.is_empty() {
        let innermost = thread.frames.last();
        about.extend(innermost.map(|frame| format!("in {}", frame.location.function)));
    }
    vec![
        (Style::Plain, thread.tid.map_or_else(|| "?".to_owned(), |tid| tid.to_string())),
        (Style::Strong, thread.name.clone().unwrap_or_default()),
        (style, state.to_owned()),
        (Style::Plain, call_words),
        (Style::Reason, about.join(" · ")),
    ]
}

fn pool(pool: &Executor) -> Line {
    let name = pool.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("unnamed");
    let mut line = Line::new();
    line.pad_to(SIGNS);
    line.add(Style::Dim, "pool    ");
    line.add(Style::Strong, name);
    line.add(Style::Dim, "  ");
    loops::executor(line, pool)
}
