//! The order of the layers, as the documentation of `lib.rs` lists them: each takes only from those
//! before it. Modules that lie in one folder do not take from one another in a circle. Names that a
//! module only passes on count as taken from where they are defined.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by a panic"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use support::{code, root};

/// A module's path from the root of its crate: `["asyncio", "task"]`.
type Module = Vec<String>;

/// The modules of a crate, with what each imports.
struct Crate {
    files: BTreeMap<Module, PathBuf>,
    imports: BTreeMap<Module, Vec<Import>>,
}

/// One name that a module takes from another.
struct Import {
    /// Where it is looked for: the root or a module, and the names from there on.
    path: Vec<String>,
    /// What it is called here.
    name: String,
}

impl Crate {
    fn read(folder: &str, top: &str) -> Self {
        let folder = root().join(folder);
        let mut files = BTreeMap::new();
        collect(&folder, &mut Vec::new(), top, &mut files);
        let imports = files
            .iter()
            .map(|(module, file)| (module.clone(), imports(module, &code(file))))
            .collect();
        Self { files, imports }
    }

    /// The module that defines what a path names; names that a module only passes on are followed.
    fn home(&self, path: &[String], depth: usize) -> Module {
        let mut at = Module::new();
        for (i, name) in path.iter().enumerate() {
            let mut inner = at.clone();
            inner.push(name.clone());
            if self.files.contains_key(&inner) {
                at = inner;
                continue;
            }
            let passed_on = self.imports.get(&at).into_iter().flatten().find(|it| it.name == *name);
            return match passed_on {
                Some(import) if depth > 0 && import.path != path => {
                    let rest = &path[i + 1..];
                    self.home(&[import.path.as_slice(), rest].concat(), depth - 1)
                }
                _ => at,
            };
        }
        at
    }

    /// For each folder, which of the modules in it take something from which others.
    fn edges(&self) -> BTreeMap<Module, BTreeMap<(String, String), BTreeSet<String>>> {
        let mut edges: BTreeMap<Module, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
        for (module, imports) in &self.imports {
            for import in imports {
                let home = self.home(&import.path, 8);
                let common = module.iter().zip(&home).take_while(|(a, b)| a == b).count();
                // A module and those within it are one thing.
                let (Some(from), Some(to)) = (module.get(common), home.get(common)) else {
                    continue;
                };
                edges
                    .entry(module[..common].to_vec())
                    .or_default()
                    .entry((from.clone(), to.clone()))
                    .or_default()
                    .insert(format!("{} takes {}", module.join("::"), import.path.join("::")));
            }
        }
        edges
    }
}

/// The module files below a folder; those that only tests have are left out.
fn collect(folder: &Path, module: &mut Module, top: &str, into: &mut BTreeMap<Module, PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "tests" {
            continue;
        }
        module.push(name);
        if path.is_dir() {
            collect(&path, module, top, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let is_root = module.len() == 1 && module[0] == top;
            into.insert(if is_root { Module::new() } else { module.clone() }, path);
        }
        module.pop();
    }
}

/// What a module imports, in `use` and by paths in its code.
fn imports(module: &Module, code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    let mut rest = code;
    let starts = ["crate::", "super::", "self::", "use "];
    while let Some((at, start)) =
        starts.iter().filter_map(|start| Some((rest.find(start)?, *start))).min()
    {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let is_inside = rest[..at].ends_with(is_word);
        let (text, end) = if start == "use " {
            let end = rest[at..].find(';').map_or(rest.len(), |end| at + end);
            (&rest[at + start.len()..end], end)
        } else {
            let length = rest[at..].find(|c| !is_word(c) && c != ':').unwrap_or(rest.len() - at);
            (&rest[at..at + length], at + length)
        };
        if is_inside {
            rest = &rest[at + start.len()..];
            continue;
        }
        expand(&[], text, &mut |path, name| found.extend(absolute(module, path, name)));
        rest = &rest[end..];
    }
    found
}

/// Gives each path of a tree such as `a::{b, c::{d as e}}`, with the name it gets.
fn expand(before: &[String], tree: &str, take: &mut impl FnMut(&[String], &str)) {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let mut path = before.to_vec();
        path.extend(head.split("::").map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned));
        let (mut depth, mut start) = (0, 0);
        let group = &group[..group.rfind('}').unwrap_or(group.len())];
        for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&path, &group[start..at], take);
                    start = at + 1;
                }
                _ => {}
            }
        }
    } else if !tree.is_empty() {
        let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
        let mut whole = before.to_vec();
        whole.extend(path.split("::").map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()));
        if whole.last().is_some_and(|last| last == "self") {
            whole.pop();
        }
        let name = if alias.is_empty() {
            whole.last().cloned().unwrap_or_default()
        } else {
            alias.trim().to_owned()
        };
        take(&whole, &name);
    }
}

/// A path as seen from the root; none of what lies in another crate.
fn absolute(module: &Module, path: &[String], name: &str) -> Option<Import> {
    let (first, rest) = path.split_first()?;
    let mut base = module.clone();
    let mut rest = rest;
    match first.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            base.pop();
            while let Some((next, more)) = rest.split_first().filter(|(next, _)| *next == "super") {
                let _ = next;
                base.pop();
                rest = more;
            }
        }
        // `use child::Name`
        _ => rest = path,
    }
    base.extend(rest.iter().cloned());
    Some(Import { path: base, name: name.to_owned() })
}

/// One way round among the modules of a folder, if there is one.
fn circle(edges: &BTreeMap<(String, String), BTreeSet<String>>) -> Option<Vec<String>> {
    let names: BTreeSet<&String> = edges.keys().flat_map(|(from, to)| [from, to]).collect();
    let next = |from: &String| -> Vec<String> {
        edges.keys().filter(|it| it.0 == *from).map(|it| it.1.clone()).collect()
    };
    for start in names {
        let mut ways: Vec<Vec<String>> = next(start).into_iter().map(|it| vec![it]).collect();
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            let last = way.last().unwrap();
            if last == start {
                return Some(way);
            }
            if seen.insert(last.clone()) {
                ways.extend(next(last).into_iter().map(|it| [way.as_slice(), &[it]].concat()));
            }
        }
    }
    None
}

/// The layers of the library, the lowest first, as its documentation lists them.
fn layers() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("//! | "));
    let names = rows.flat_map(|row| {
        let layers = row.split(" | ").nth(1).unwrap_or_default();
        layers.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    });
    names.collect()
}

#[test]
fn each_layer_knows_only_those_before_it() {
    let layers = layers();
    let place = |name: &str| {
        let at = layers.iter().position(|it| it == name);
        at.unwrap_or_else(|| panic!("the documentation of lib.rs names no layer `{name}`"))
    };
    let library = Crate::read("src", "lib");
    let mut against = library.edges().remove(&Module::new()).unwrap();
    against.retain(|(from, to), _| place(from) < place(to));
    assert!(against.is_empty(), "{against:#?}");
    let modules = library.files.keys().filter(|module| module.len() == 1);
    let modules: BTreeSet<&String> = modules.map(|module| &module[0]).collect();
    assert_eq!(layers.iter().collect::<BTreeSet<_>>(), modules);
}

#[test]
fn modules_form_no_circle() {
    let mut circles = BTreeMap::new();
    for (folder, top) in [("src", "lib"), ("ui", "main")] {
        for (module, edges) in Crate::read(folder, top).edges() {
            // The layers are told apart above.
            if (folder, module.as_slice()) != ("src", &[]) {
                let way = circle(&edges).map(|way| told(&way, &edges));
                circles.extend(way.map(|way| ((folder, module.join("::")), way)));
            }
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

/// Each step of a way with the imports that make it.
fn told(way: &[String], edges: &BTreeMap<(String, String), BTreeSet<String>>) -> Vec<String> {
    let steps = way.iter().zip(way.iter().cycle().skip(1));
    steps.flat_map(|(from, to)| edges[&(from.clone(), to.clone())].clone()).collect()
}
