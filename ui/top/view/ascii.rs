//! The same screen in ASCII alone, sign by sign, for terminals and fonts that have no more.

use ratatui::buffer::Buffer;

/// Replaces every sign that is not ASCII.
pub fn translate(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let plain = plain(cell.symbol());
            cell.set_symbol(plain);
        }
    }
}

fn plain(symbol: &str) -> &'static str {
    match symbol {
        "─" | "–" | "—" | "▃" => "-",
        "│" | "▏" | "├" => "|",
        "└" => "`",
        "▌" | "›" | "→" | "▸" | "≥" => ">",
        "←" | "‹" | "≤" => "<",
        "↑" | "▲" => "^",
        "↓" | "▼" | "▾" => "v",
        "×" => "x",
        "·" | "…" | "▁" => ".",
        "▂" => ":",
        "▄" => "=",
        "▅" => "+",
        "▆" | "●" => "*",
        "▇" => "%",
        "█" => "#",
        "“" | "”" => "\"",
        "±" => "~",
        _ => "?",
    }
}
