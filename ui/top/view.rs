//! Draws the state of the screen. Reads it, changes nothing, knows no clock.

mod ascii;
mod cancel;
mod canvas;
mod columns;
pub mod commands;
mod detail;
mod findings;
mod footer;
pub mod header;
pub mod help;
mod loops;
mod picker;
mod processes;
mod requests;
pub mod tabs;
pub mod tasks;
pub mod theme;
mod threads;
mod time;
mod tree;
mod verdict;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::layout::{LEAST, Regions};
use super::state::{App, Watched};
use super::tab::{Focus, Tab};
use crate::io::page::{Line, Style};
use canvas::Canvas;
use theme::Theme;

/// Draws the whole screen.
pub fn draw(app: &App, theme: Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let mut canvas = Canvas::new(frame.buffer_mut(), theme);
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let words = format!("too small: {} × {} columns and lines are needed", LEAST.0, LEAST.1);
        canvas.line(area, 0, &Line::new().with(Style::Notice, &words));
    } else if app.picker.is_some() {
        picker::draw(app, area, &mut canvas);
    } else if let Some(watched) = app.target() {
        target(app, watched, &mut canvas);
    } else {
        waiting(app, area, &mut canvas);
    }
    let has_room = area.height >= LEAST.1 && area.width >= LEAST.0;
    if let Some(search) = app.help.as_ref().filter(|_| has_room) {
        help::draw(app, search, area, &mut canvas);
    }
    if let Some(search) = app.commands.as_ref().filter(|_| has_room) {
        commands::draw(app, search, area, &mut canvas);
    }
    if theme.is_ascii {
        ascii::translate(frame.buffer_mut());
    }
}

fn target(app: &App, watched: &Watched, canvas: &mut Canvas<'_>) {
    let regions = app.regions();
    findings::draw(app, watched, &regions, canvas);
    header::draw(app, watched, regions.header, canvas);
    if let Some(several) = &app.several {
        processes::draw(several, &regions, canvas);
    }
    tabs::draw(app, watched, regions.tabs, canvas);
    if regions.list.height > 0 && regions.list.width > 0 {
        list(app, watched, &regions, canvas);
    }
    if regions.detail.width > 0 {
        detail::draw(app, &regions, canvas);
    }
    if let Some(place) = &watched.feed.place {
        time::draw(app, place, regions.time, canvas);
    }
    footer::draw(app, regions.footer, canvas);
}

fn list(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    match app.tab {
        Tab::Work => tasks::draw(app, watched, regions, canvas),
        Tab::Tree => tree::draw(app, watched, regions, canvas),
        Tab::Loop => loops::draw(app, watched, regions, canvas),
        Tab::Requests => requests::draw(app, watched, regions, canvas),
        Tab::Cancel => cancel::draw(app, watched, regions, canvas),
        Tab::Threads => threads::draw(app, watched, regions, canvas),
    }
}

/// Marks the selected row of the view's list, if it is shown.
fn select(app: &App, region: Rect, canvas: &mut Canvas<'_>) {
    let list = app.list();
    if let Some(y) = list.selected.checked_sub(list.offset) {
        canvas.select(region, y, app.focus == Focus::View);
    }
}

/// Until there is something to show.
fn waiting(app: &App, area: Rect, canvas: &mut Canvas<'_>) {
    let words = app.waiting.as_deref().unwrap_or("reading …");
    canvas.line(
        area,
        area.height / 2,
        &Line::new().with(Style::Plain, "  ").with(Style::Dim, words),
    );
    let footer = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    footer::draw(app, footer, canvas);
}
