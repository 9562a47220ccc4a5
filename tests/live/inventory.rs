//! What a search of the heap lists, against what a program says of itself and its garbage collector
//! knows.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::per_version;
use super::support::{Program, Python, aiospy, dump, texts};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "inventory::left", |_| true, |python| inventory(python, &[]));
    per_version(trials, "inventory::healthy", |_| true, |python| inventory(python, &["--healthy"]));
    per_version(trials, "inventory::busy", |_| true, busy);
}

/// With as much time as a machine may need that runs many trials.
const HEAP: [&str; 3] = ["--heap", "--timeout", "60s"];

fn texts_of(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}

/// `attribute app.Shop.jobs through list`
fn words(owner: &Value) -> String {
    let mut words = owner["kind"].as_str().unwrap().to_owned();
    let name = owner["name"].as_str().unwrap();
    if !name.is_empty() {
        words.extend([" ", name]);
    }
    let through = texts_of(&owner["through"]);
    if !through.is_empty() {
        words.extend([" through ", &through.join(" in ")]);
    }
    if let Some(key) = owner["key"].as_str() {
        words.extend([" key ", key]);
    }
    words
}

fn inventory(python: &Python, arguments: &[&str]) {
    let program = Program::start(&python.path, "inventory.py", arguments);
    let truth = &program.truth;
    let dump = dump(program.pid(), &HEAP);
    assert!(!dump["heap"].to_string().contains("much too secret"), "values are shown");
    let lists = dump["heap"]["lists"].as_array().unwrap();
    let counts: BTreeMap<&str, &Value> =
        lists.iter().map(|list| (list["kind"].as_str().unwrap(), &list["count"])).collect();
    assert_eq!(json!(counts), truth["counts"], "{lists:#?}");

    // Each by its address: its owners, and its state where it is alone in its group.
    let mut found: BTreeMap<&str, (Vec<String>, &Value)> = BTreeMap::new();
    for list in lists {
        let groups = list["groups"].as_array().unwrap();
        let of_groups: u64 = groups.iter().map(|group| group["count"].as_u64().unwrap()).sum();
        assert_eq!(json!(of_groups), list["count"], "{list:#}");
        for group in groups {
            let mut owners: Vec<String> =
                group["owners"].as_array().unwrap().iter().map(words).collect();
            owners.sort_unstable();
            let owned = if owners.is_empty() { "by-waiters" } else { "found" };
            assert_eq!(group["owned"], owned, "{group:#}");
            for id in texts_of(&group["first"]) {
                found.insert(id, (owners.clone(), group));
            }
        }
    }
    let in_many: Vec<&Vec<String>> = found
        .values()
        .filter(|(_, group)| group["count"].as_u64().unwrap() > 5)
        .map(|(owners, _)| owners)
        .collect();
    for (id, owners) in truth["owners"].as_object().unwrap() {
        let owners: Vec<String> = texts_of(owners).into_iter().map(str::to_owned).collect();
        match found.get(&**id) {
            Some((found, group)) => assert_eq!(*found, owners, "{id} in {group:#}"),
            None => assert!(in_many.contains(&&owners), "{id}: {owners:?} in {lists:#?}"),
        }
    }
    for (id, state) in truth["states"].as_object().unwrap() {
        let (_, group) = found[&**id];
        for (name, value) in state.as_object().unwrap() {
            assert_eq!(group[name], *value, "{name} of {group:#}");
        }
    }
    for id in texts_of(&truth["freed"]) {
        assert!(!found.contains_key(id), "{id} was freed: {:#}", found[id].1);
    }

    let pid = program.pid().to_string();
    let (text, errors) = texts(&aiospy(&["dump", "--heap", "--timeout", "60s", &pid]));
    assert!(text.contains("\nheap  searched ") && text.contains("no frozen picture"), "{errors}");
    let is_none = text.contains("none: coroutines never started");
    assert_eq!(is_none, arguments.contains(&"--healthy"), "{text}");
    let (text, _) = texts(&aiospy(&["dump", &pid]));
    assert!(!text.contains("heap  searched"), "{text}");
}

/// In a program that makes and drops coroutines, tasks and futures all the time nothing is listed that
/// is only in use.
fn busy(python: &Python) {
    let program = Program::start(&python.path, "churn.py", &[""; 0]);
    for _ in 0..3 {
        let dump = dump(program.pid(), &HEAP);
        let lists = dump["heap"]["lists"].as_array().unwrap();
        let found: Vec<&Value> = lists.iter().filter(|list| list["count"] != 0).collect();
        let left = ["never-started", "open-generator", "failed-future"];
        let is_left = |list: &&&Value| left.contains(&list["kind"].as_str().unwrap());
        let left: Vec<_> = found.iter().filter(is_left).collect();
        assert!(left.is_empty(), "{left:#?}");
    }
}
