//! The keys: one table from which the bindings, the help, the footer and docs/top.md come.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::App;
use super::tab::{Focus, Tab};

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Open,
    Back,
    Fold,
    Unfold,
    NextView,
    PreviousView,
    View(Tab),
    Findings,
    Filter,
    NextMatch,
    PreviousMatch,
    Sort,
    Reverse,
    Alike,
    Notes,
    Pause,
    StepBack,
    StepOn,
    JumpBack,
    JumpOn,
    SkipBack,
    SkipOn,
    Faster,
    Slower,
    Pin,
    NextProcess,
    PreviousProcess,
    Locals,
    Problems,
    Export,
    Report,
    Record,
    Copy,
    Explain,
    Commands,
    Help,
    Quit,
}

/// Where a key is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Live {
    /// Everywhere.
    Always,
    /// Where a target is shown.
    Target,
    /// Where rows may have others below them.
    Folds,
    /// In the table of tasks.
    Table,
    /// Where tasks that look alike may share a row.
    Alike,
    /// Where a task is meant.
    Task,
    /// Where there is a filter that finds something.
    Filtered,
    /// Where there are several processes.
    Several,
    /// Where something could not be read.
    Problems,
    /// Where a target is read: not in a recording.
    Read,
    /// In a recording.
    Replay,
    /// Where a finding is meant.
    Finding,
    /// Where a task is meant whose variables can be read.
    Variables,
    /// Where there is something to go back from.
    Away,
}

/// Keys with what they do.
pub struct Binding {
    keys: &'static [KeyCode],
    /// The keys in words, as in the help.
    pub label: &'static str,
    action: Action,
    /// What they do, in a line.
    pub help: &'static str,
    /// The same in a word for the footer, if it is shown there.
    footer: Option<(&'static str, &'static str)>,
    live: Live,
}

use KeyCode::{
    BackTab, Backspace, Char, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right,
    Tab as TabKey, Up,
};

/// All of them, in the order of the help; with the most wanted ones of the footer first.
pub const BINDINGS: &[Binding] = &[
    bind(
        &[Up, Char('k')],
        "↑ k",
        Action::Up,
        "one line up; from the first row into the findings",
        None,
        Live::Always,
    ),
    bind(
        &[Down, Char('j')],
        "↓ j",
        Action::Down,
        "one line down; from the last finding into the view",
        None,
        Live::Always,
    ),
    bind(&[PageUp], "PgUp", Action::PageUp, "one page up", None, Live::Always),
    bind(&[PageDown], "PgDn", Action::PageDown, "one page down", None, Live::Always),
    bind(&[Char('g'), Home], "g Home", Action::Top, "to the first row", None, Live::Always),
    bind(&[Char('G'), End], "G End", Action::Bottom, "to the last row", None, Live::Always),
    bind(
        &[Enter],
        "Enter",
        Action::Open,
        "open it: evidence, a task, where a link leads",
        Some(("Enter", "open")),
        Live::Always,
    ),
    bind(
        &[Char('x')],
        "x",
        Action::Explain,
        "explain the finding: what it means, how it is detected, what to do",
        Some(("x", "explain")),
        Live::Finding,
    ),
    bind(
        &[Esc, Backspace],
        "Esc",
        Action::Back,
        "back to where one came from; take the filter away",
        Some(("Esc", "back")),
        Live::Away,
    ),
    bind(
        &[Left, Char('h')],
        "← h",
        Action::Fold,
        "fold what is below it",
        Some(("←→", "fold")),
        Live::Folds,
    ),
    bind(
        &[Right, Char('l')],
        "→ l",
        Action::Unfold,
        "unfold it: what is below it, or the tasks of a group",
        None,
        Live::Folds,
    ),
    bind(&[TabKey], "Tab", Action::NextView, "the next view", Some(("1-6", "view")), Live::Target),
    bind(&[BackTab], "Shift-Tab", Action::PreviousView, "the view before", None, Live::Target),
    bind(
        &[Char('1')],
        "1",
        Action::View(Tab::Work),
        "work, and what it waits for",
        None,
        Live::Target,
    ),
    bind(
        &[Char('2')],
        "2",
        Action::View(Tab::Tree),
        "who waits for whom, as a tree",
        None,
        Live::Target,
    ),
    bind(
        &[Char('3')],
        "3",
        Action::View(Tab::Loop),
        "how the event loop spends its time, and what has blocked it",
        None,
        Live::Target,
    ),
    bind(
        &[Char('4')],
        "4",
        Action::View(Tab::Requests),
        "the requests in flight, the oldest first",
        None,
        Live::Target,
    ),
    bind(
        &[Char('5')],
        "5",
        Action::View(Tab::Cancel),
        "cancellations and the shutdown",
        None,
        Live::Target,
    ),
    bind(
        &[Char('6')],
        "6",
        Action::View(Tab::Threads),
        "threads and thread pools",
        None,
        Live::Target,
    ),
    bind(&[Char('0'), Char('!')], "0 !", Action::Findings, "to the findings", None, Live::Target),
    bind(
        &[Char('>')],
        ">",
        Action::NextProcess,
        "the next process, where there are several",
        Some(("< >", "process")),
        Live::Several,
    ),
    bind(&[Char('<')], "<", Action::PreviousProcess, "the process before", None, Live::Several),
    bind(
        &[Char('/')],
        "/",
        Action::Filter,
        "filter as you type, in all views; in the tree: search. Words, `~regex`, `>30s`, `stuck`, \
         `idle`, `running`, `own`, `at:`, `wait:`, `peer:`, `route:`, `state:`, `code:`, `name:`, \
         `pid:`; `!` inverts",
        Some(("/", "filter")),
        Live::Always,
    ),
    bind(
        &[Char('n')],
        "n",
        Action::NextMatch,
        "the next match",
        Some(("n N", "match")),
        Live::Filtered,
    ),
    bind(&[Char('N')], "N", Action::PreviousMatch, "the match before", None, Live::Filtered),
    bind(
        &[Char('s')],
        "s",
        Action::Sort,
        "sort by the next column",
        Some(("s", "sort")),
        Live::Table,
    ),
    bind(&[Char('S')], "S", Action::Reverse, "sort the other way round", None, Live::Table),
    bind(
        &[Char('a')],
        "a",
        Action::Alike,
        "group by work, or one row per task",
        Some(("a", "tasks")),
        Live::Alike,
    ),
    bind(
        &[Char('i')],
        "i",
        Action::Notes,
        "show notes among the findings, or hide them",
        None,
        Live::Target,
    ),
    bind(
        &[Char(' '), Char('p')],
        "Space p",
        Action::Pause,
        "the screen stands still; sampling goes on, so that no blocking callback is missed. A \
         recording plays, or stands",
        Some(("Space", "pause")),
        Live::Target,
    ),
    bind(
        &[Char('[')],
        "[",
        Action::StepBack,
        "the sample before, in a recording",
        Some(("[ ]", "step")),
        Live::Replay,
    ),
    bind(&[Char(']')], "]", Action::StepOn, "the next sample, in a recording", None, Live::Replay),
    bind(
        &[Char('{')],
        "{",
        Action::JumpBack,
        "to the finding or blocking callback before",
        Some(("{ }", "event")),
        Live::Replay,
    ),
    bind(
        &[Char('}')],
        "}",
        Action::JumpOn,
        "to the next finding or blocking callback",
        None,
        Live::Replay,
    ),
    bind(&[Char('(')], "(", Action::SkipBack, "a tenth of the recording back", None, Live::Replay),
    bind(&[Char(')')], ")", Action::SkipOn, "a tenth of the recording on", None, Live::Replay),
    bind(&[Char('+'), Char('=')], "+", Action::Faster, "more samples a second", None, Live::Read),
    bind(&[Char('-')], "-", Action::Slower, "fewer samples a second", None, Live::Read),
    bind(
        &[Char('f')],
        "f",
        Action::Pin,
        "pin a task: its row stays on top and is updated; again: unpin it",
        Some(("f", "pin")),
        Live::Task,
    ),
    bind(
        &[Char('v')],
        "v",
        Action::Locals,
        "read the local variables of the task, once",
        Some(("v", "variables")),
        Live::Variables,
    ),
    bind(
        &[Char('P')],
        "P",
        Action::Problems,
        "what could not be read, and why",
        Some(("P", "problems")),
        Live::Problems,
    ),
    bind(
        &[Char('e')],
        "e",
        Action::Export,
        "write the snapshot that is shown to a file, as JSON",
        Some(("e", "export")),
        Live::Target,
    ),
    bind(
        &[Char('E')],
        "E",
        Action::Report,
        "write a report of it to a file, as Markdown",
        Some(("E", "report")),
        Live::Target,
    ),
    bind(
        &[Char('r')],
        "r",
        Action::Record,
        "record what is read to a file, for replay and export; again: end it",
        Some(("r", "record")),
        Live::Read,
    ),
    bind(
        &[Char('y')],
        "y",
        Action::Copy,
        "copy what is known of it to the clipboard (if the terminal supports OSC 52)",
        None,
        Live::Target,
    ),
    bind(
        &[Char(':')],
        ":",
        Action::Commands,
        "all commands by name, with their keys",
        Some((":", "commands")),
        Live::Target,
    ),
    bind(
        &[Char('?')],
        "?",
        Action::Help,
        "this help; what is typed there is searched for",
        Some(("?", "help")),
        Live::Always,
    ),
    bind(&[Char('q')], "q Ctrl-C", Action::Quit, "quit", Some(("q", "quit")), Live::Always),
];

const fn bind(
    keys: &'static [KeyCode],
    label: &'static str,
    action: Action,
    help: &'static str,
    footer: Option<(&'static str, &'static str)>,
    live: Live,
) -> Binding {
    Binding { keys, label, action, help, footer, live }
}

/// What a key does here, or why it does nothing; nothing at all of one that is not bound.
pub fn action(key: &KeyEvent, app: &App) -> Option<Result<Action, &'static str>> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            Char('c') => Some(Ok(Action::Quit)),
            Char('d' | 'f') => Some(Ok(Action::PageDown)),
            Char('u' | 'b') => Some(Ok(Action::PageUp)),
            _ => None,
        };
    }
    let binding = BINDINGS.iter().find(|binding| binding.keys.contains(&key.code))?;
    Some(binding.press(app))
}

impl Binding {
    /// What it does here, or why it does nothing.
    pub fn press(&self, app: &App) -> Result<Action, &'static str> {
        // Going back and to the next match are harmless anywhere.
        let is_harmless = matches!(self.live, Live::Always | Live::Away | Live::Filtered);
        if is_harmless || self.live.is_here(app) {
            Ok(self.action)
        } else {
            Err(self.live.why_not(app))
        }
    }

    /// Whether it is of use here.
    pub fn is_here(&self, app: &App) -> bool {
        self.live.is_here(app)
    }

    /// Whether it is of use in some places only.
    pub fn is_of_place(&self) -> bool {
        !matches!(self.live, Live::Always | Live::Target | Live::Read)
    }

    /// Whether each word of a text is in it.
    pub fn has(&self, text: &str) -> bool {
        let all = format!("{} {}", self.help, self.label).to_lowercase();
        text.to_lowercase().split_whitespace().all(|word| all.contains(word))
    }

    /// The beginning of what it does, to be typed.
    pub fn name(&self) -> &'static str {
        self.help.split([',', ';', ':', '.', '(']).next().unwrap_or_default().trim_end()
    }
}

/// What has each word of a text: first what is of use here, and what has a word that begins so.
pub fn commands(text: &str, app: &App) -> Vec<&'static Binding> {
    let others = BINDINGS.iter().filter(|binding| binding.action != Action::Commands);
    let mut found: Vec<&Binding> = others.filter(|binding| binding.has(text)).collect();
    let typed = text.trim().to_lowercase();
    let begins = |it: &Binding| {
        it.label == text || it.help.split(' ').any(|word| word.to_lowercase().starts_with(&typed))
    };
    found.sort_by_key(|it| (!it.is_here(app), !begins(it), !it.is_of_place()));
    found
}

/// The keys of the footer that are of use here, with their words.
pub fn footer(app: &App) -> Vec<(&'static str, &'static str)> {
    let live = BINDINGS.iter().filter(|binding| binding.live.is_here(app));
    live.filter_map(|binding| binding.footer).collect()
}

/// The table of docs/top.md.
#[cfg(test)]
pub fn table() -> String {
    let row = |binding: &Binding| {
        let keys: Vec<String> = binding.label.split(' ').map(|key| format!("`{key}`")).collect();
        format!("| {} | {} |\n", keys.join(" "), binding.help)
    };
    let rows: String = BINDINGS.iter().map(row).collect();
    format!("| key | does |\n| --- | --- |\n{rows}")
}

impl Live {
    fn is_here(self, app: &App) -> bool {
        match self {
            Self::Always => true,
            Self::Target => app.target().is_some(),
            Self::Folds => {
                app.target().is_some()
                    && app.focus == Focus::View
                    && (app.tab == Tab::Tree || app.tab == Tab::Work && app.is_merged())
            }
            Self::Table => {
                app.target().is_some() && app.focus == Focus::View && app.tab == Tab::Work
            }
            Self::Alike => {
                app.target().is_some()
                    && app.focus != Focus::Detail
                    && matches!(app.tab, Tab::Work | Tab::Tree)
            }
            Self::Task => app.task_meant().is_some(),
            Self::Finding => app.code_meant().is_some(),
            Self::Variables => app.task_meant().is_some() && app.place().is_none(),
            Self::Read => app.target().is_some() && app.place().is_none(),
            Self::Replay => app.place().is_some(),
            Self::Several => app.target().is_some() && app.several.is_some(),
            Self::Problems => {
                app.target().is_some_and(|watched| !watched.snapshot().problems.is_empty())
            }
            Self::Filtered => !app.filter.text.is_empty() && app.focus == Focus::View,
            Self::Away => app.focus == Focus::Detail || !app.filter.text.is_empty(),
        }
    }

    /// Why it is of no use here.
    fn why_not(self, app: &App) -> &'static str {
        match self {
            _ if app.picker.is_some() => "choose a process first",
            _ if app.target().is_none() => "nothing was read yet",
            Self::Folds => "nothing can be folded here",
            Self::Table => "only the work is sorted: 1 leads there",
            Self::Alike => "only the work and the tree have groups: 1 and 2 lead there",
            Self::Finding => "no finding is selected: 0 leads to them",
            Self::Variables if app.place().is_some() => "a recording has no variables to read",
            Self::Task | Self::Variables => "no task is selected",
            Self::Several => "there is only this process",
            Self::Problems => "everything could be read",
            Self::Read => "a recording is neither sampled nor recorded",
            Self::Replay => "only a recording has a time to move in: aiospy replay FILE",
            Self::Always | Self::Target | Self::Filtered | Self::Away => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_bound_twice() {
        let keys: Vec<_> = BINDINGS.iter().flat_map(|binding| binding.keys).collect();
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{key:?}");
        }
    }

    #[test]
    fn docs_have_this_table() {
        let page = include_str!("../../docs/top.md");
        assert!(page.contains(&table()), "to go into docs/top.md:\n{}", table());
    }
}
