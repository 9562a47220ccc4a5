//! The keys that are of use now; or what there is to say, or the filter as it is typed.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::io::page::{Line, Style};
use crate::top::keys;
use crate::top::state::App;

pub fn draw(app: &App, region: Rect, canvas: &mut Canvas<'_>) {
    let typed = app.picker.as_ref().map_or(&app.filter, |picker| &picker.filter);
    let mut line = Line::new().with(Style::Plain, " ");
    if typed.is_typed {
        line.add(Style::Strong, &format!("/{}", typed.text));
        line.add(Style::Active, "▏");
        line.add(Style::Dim, "  Enter keeps it, Esc takes it away");
    } else if let Some((notice, _)) = &app.notice {
        line.add(Style::Notice, notice);
    } else {
        // The last of them, commands, help and quit, are shown in any case.
        let all = keys::footer(app);
        let has_commands = app.target().is_some();
        let (rest, last) = all.split_at(all.len().saturating_sub(if has_commands { 3 } else { 2 }));
        let width = |keys: &[(&str, &str)]| -> usize {
            let words = keys.iter().map(|(key, word)| key.chars().count() + word.len() + 3);
            words.sum()
        };
        let room = usize::from(region.width).saturating_sub(width(last) + 1);
        let fit = (0..=rest.len()).rev().find(|n| rest.get(..*n).is_some_and(|r| width(r) <= room));
        for (key, word) in rest.iter().take(fit.unwrap_or(0)).chain(last) {
            line.add(Style::Strong, key);
            line.add(Style::Dim, &format!(" {word}  "));
        }
    }
    canvas.line(region, 0, &line);
}
