//! The tasks of a process in groups: one row for each.

use aiospy::snapshot::{Group, GroupState, Location, Snapshot, SubjectKind};
use unicode_width::UnicodeWidthStr as _;

use super::short::{ById, waits};
use super::{path, words};
use crate::io::page::{Line, NARROW, Style, clean, fit};

/// From this width on the function stands beside its line.
const WIDE: usize = 100;
/// How wide texts become: least, most where there is room.
const WORK: (usize, usize) = (16, 32);
const AT: (usize, usize) = (10, 40);
const WAITS: (usize, usize) = (15, 60);

/// A row, not yet cut.
#[derive(Clone)]
pub struct Row {
    style: Style,
    sign: &'static str,
    /// How its tasks get on, where all get on alike.
    pub state: Option<GroupState>,
    /// How many there are.
    pub count: usize,
    /// What they do.
    pub work: String,
    /// Where they are.
    pub at: String,
    /// How old the oldest is.
    pub oldest: String,
    /// What they wait for.
    pub waits: String,
    /// Whether it stands for several groups.
    pub is_several: bool,
}

/// The rows of groups, as they fit into a page of so many columns.
pub fn rows(groups: &[Group<'_>], snapshot: &Snapshot, width: usize) -> Vec<Row> {
    let tasks = ById::of(snapshot);
    groups.iter().map(|group| row(group, snapshot, &tasks, width)).collect()
}

fn row(group: &Group<'_>, snapshot: &Snapshot, tasks: &ById<'_>, width: usize) -> Row {
    let (style, sign) = words::sign(group.severity, group.state);
    let at = own_place(group).map(|place| {
        let at = place_of(place);
        if width >= WIDE { format!("{at} {}", place.function) } else { at }
    });
    let oldest = group.oldest.map(words::age);
    Row {
        style,
        sign,
        state: Some(group.state),
        count: group.count,
        work: clean(&work(group)).into_owned(),
        at: clean(&at.unwrap_or_default()).into_owned(),
        oldest: oldest.unwrap_or_default(),
        waits: clean(&waits(group, snapshot, tasks)).into_owned(),
        is_several: false,
    }
}

impl Row {
    fn is_idle(&self) -> bool {
        self.state == Some(GroupState::Idle)
    }
}

/// What the tasks of a group do: `GET /stock/{sku}`, `of uvicorn`.
pub fn work(group: &Group<'_>) -> String {
    match group.subject.kind {
        SubjectKind::Library => format!("of {}", group.subject.name),
        _ => group.subject.name.clone(),
    }
}

/// Where they are: of a library's own tasks that says nothing.
pub fn own_place<'s>(group: &Group<'s>) -> Option<&'s Location> {
    let place = group.place.filter(|_| group.subject.kind != SubjectKind::Library);
    place.map(|place| &**place)
}

/// Those that are idle as one, if they are several.
pub fn without_idle(rows: Vec<Row>) -> Vec<Row> {
    let (idle, mut others): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(Row::is_idle);
    others.extend(joined(idle, |names| names, "idle"));
    others
}

/// At most so many rows, of which the last one counts the others.
pub fn at_most(mut rows: Vec<Row>, most: usize) -> Vec<Row> {
    if rows.len() > most {
        let rest = rows.split_off(most.saturating_sub(1));
        let groups = words::counted(rest.len(), "more group");
        rows.extend(joined(rest, |_| groups, "--flat lists each task"));
    }
    rows
}

/// Several rows as one.
fn joined(rows: Vec<Row>, name: impl FnOnce(String) -> String, waits: &str) -> Option<Row> {
    if rows.len() < 2 {
        return rows.into_iter().next();
    }
    let count = rows.iter().map(|row| row.count).sum();
    let names: Vec<&str> = rows.iter().take(2).map(|row| row.work.as_str()).collect();
    let more = rows.len() - names.len();
    let names = names.join(", ");
    let names = if more == 0 { names } else { format!("{names}, {more} more") };
    let worst = rows.iter().map(|row| (row.style, row.sign)).find(|(_, sign)| !sign.is_empty());
    let (style, sign) = worst.unwrap_or((Style::Plain, ""));
    let first = rows.first().and_then(|row| row.state);
    let state = first.filter(|_| rows.iter().all(|row| row.state == first));
    let (at, oldest, waits) = (String::new(), String::new(), waits.to_owned());
    let (work, is_several) = (name(names), true);
    Some(Row { style, sign, state, count, work, at, oldest, waits, is_several })
}

/// The rows below their heads, each in `width` columns. A column that is empty in every row is left
/// out.
pub fn lines(rows: &[Row], width: usize) -> Vec<Line> {
    let need = |text: &dyn Fn(&Row) -> usize| rows.iter().map(text).max().unwrap_or(0);
    let count = need(&|row| words::count(row.count).len()).max(4);
    let oldest = need(&|row| row.oldest.width());
    let has_ages = oldest > 0 && width >= NARROW / 2;
    let has_places = need(&|row| row.at.width()) > 0 && width >= NARROW;
    let oldest = oldest.max("OLDEST".len());
    let fixed = 3 + count + 2 + if has_ages { oldest + 2 } else { 0 };
    let gaps = if has_places { 4 } else { 2 };
    let room = width.saturating_sub(fixed + gaps);
    // What stands for several is cut as there is room.
    let names = rows.iter().filter(|row| !row.is_several).map(|row| row.work.width()).max();
    let needs = [
        (names.unwrap_or(0).max("WORK".len()), WORK, 1),
        (need(&|row| row.waits.width()).max("WAITS FOR".len()), WAITS, 2),
        (if has_places { need(&|row| row.at.width()) } else { 0 }, AT, 1),
    ];
    let [work, waits, at] = shared(needs, room);
    let draw =
        |style: Style, sign: &str, number: &str, cells: [&str; 4], dim: Style, is_several: bool| {
            let [name, place, age, wait] = cells;
            let mut line = Line::new().with(style, sign);
            line.pad_to(3);
            line.pad_to(3 + count.saturating_sub(number.width()));
            line.add(dim, number);
            line.pad_to(3 + count + 2);
            let mut column = line.width();
            // What stands for several has no place, and takes the room of it.
            let name = if is_several {
                fit(name, work + if has_places { 2 + at } else { 0 }).into_owned()
            } else {
                middle_cut(name, work)
            };
            line.add(if dim == Style::Dim { dim } else { Style::Strong }, &name);
            column += work;
            line.pad_to(column);
            if has_places {
                line.pad_to(column + 2);
                line.add(dim, &start_cut(place, at));
                column += 2 + at;
                line.pad_to(column);
            }
            if has_ages {
                let blank = oldest.saturating_sub(age.width());
                line.pad_to(column + 2 + blank);
                line.add(dim, age);
                column += 2 + oldest;
                line.pad_to(column);
            }
            line.pad_to(column + 2);
            line.add(if dim == Style::Dim { dim } else { Style::Reason }, &fit(wait, waits));
            line
        };
    let heads = ["WORK", "AT", "OLDEST", "WAITS FOR"];
    let head = draw(Style::Plain, "", "N", heads, Style::Dim, false);
    let drawn = rows.iter().map(|row| {
        let dim = if row.is_idle() && row.sign.is_empty() { Style::Dim } else { Style::Plain };
        let cells = [&*row.work, &row.at, &row.oldest, &row.waits];
        draw(row.style, row.sign, &words::count(row.count), cells, dim, row.is_several)
    });
    std::iter::once(head).chain(drawn).collect()
}

/// What a column needs, what it gets at least and at most of that, and how fast it gets more.
type Need = (usize, (usize, usize), usize);

/// How much of the room each column gets: what it needs at least in their order, then more in turn
/// until it has enough.
fn shared<const N: usize>(needs: [Need; N], mut room: usize) -> [usize; N] {
    let mut widths = [0; N];
    for (width, (need, (least, _), _)) in widths.iter_mut().zip(needs) {
        *width = need.min(least).min(room);
        room -= *width;
    }
    loop {
        let before = room;
        for (width, (need, (_, most), step)) in widths.iter_mut().zip(needs) {
            let more = need.min(most).saturating_sub(*width).min(step).min(room);
            *width += more;
            room -= more;
        }
        if room == before {
            return widths;
        }
    }
}

/// `shop.py:17`, `anyio/_backends/_asyncio.py:2779`
pub fn place_of(place: &Location) -> String {
    let file = if place.is_library() { place.path() } else { base(&place.file) };
    path::full(file, place.line)
}

/// A place in at most `width` columns: its line is never cut, nor its function before its path.
pub fn start_cut(place: &str, width: usize) -> String {
    if place.width() <= width {
        return place.to_owned();
    }
    let (at, function) = place.split_once(' ').unwrap_or((place, ""));
    if !function.is_empty() && at.width() + 2 <= width {
        return format!("{at} {}", fit(function, width - at.width() - 1));
    }
    format!("…{}", end(at, width.saturating_sub(1)))
}

/// The last `width` columns of a text.
pub fn end(text: &str, width: usize) -> &str {
    let mut letters = text.chars();
    let mut rest = text;
    while rest.width() > width && letters.next().is_some() {
        rest = letters.as_str();
    }
    rest
}

/// A name in at most `width` columns, without its middle: names that begin alike differ at the end.
pub fn middle_cut(name: &str, width: usize) -> String {
    if name.width() <= width {
        return name.to_owned();
    }
    let tail = end(name, width.saturating_sub(1) / 2);
    let head = crate::io::page::cut(name, width.saturating_sub(1 + tail.width()));
    format!("{head}…{tail}")
}

fn base(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}
