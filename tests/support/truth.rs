//! What a program says of itself, held against what the tool says of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Python;

/// Fails unless the dump is what the program says of itself.
pub fn assert_same(python: &Python, truth: &Value, dump: &Value) {
    let differences = differences(python, truth, dump);
    let shown: Vec<_> = differences.iter().take(40).collect();
    assert!(differences.is_empty(), "{} differences: {shown:#?}", differences.len());
}

/// Loops or tasks by their ids.
pub fn by_id(list: &Value) -> BTreeMap<&str, &Value> {
    list.as_array().unwrap().iter().map(|item| (item["id"].as_str().unwrap(), item)).collect()
}

/// Every way in which the dump is not what the program says of itself.
pub fn differences(python: &Python, truth: &Value, dump: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differ = |place: String, truth: &Value, dump: &Value| {
        if truth != dump {
            differences.push(format!("{place}: is {truth}, said to be {dump}"));
        }
    };
    let none = Value::Null;
    differ("problems".into(), &Value::Array(vec![]), &dump["problems"]);
    differ("process.pid".into(), &truth["pid"], &dump["process"]["pid"]);
    differ("process.python".into(), &truth["python"], &dump["process"]["python"]);

    let (loops, found_loops) = (by_id(&truth["loops"]), by_id(&dump["loops"]));
    for (id, truth) in &loops {
        let found = found_loops.get(id).copied().unwrap_or(&none);
        for field in ["class", "debug", "ready", "scheduled"] {
            if !truth[field].is_null() {
                differ(format!("loop {id} {field}"), &truth[field], &found[field]);
            }
        }
        if truth["running"] == true {
            differ(format!("loop {id} thread"), &truth["thread"], &found["thread"]);
        }
        let is_running = !matches!(found["state"].as_str(), Some("stopped" | "closed") | None);
        differ(format!("loop {id} running"), &truth["running"], &Value::Bool(is_running));
    }

    let (tasks, found_tasks) = (by_id(&truth["tasks"]), by_id(&dump["tasks"]));
    let missing: BTreeSet<_> = tasks.keys().filter(|id| !found_tasks.contains_key(*id)).collect();
    let invented: BTreeSet<_> = found_tasks.keys().filter(|id| !tasks.contains_key(*id)).collect();
    let label = |id: &str| tasks.get(id).map_or("?", |task| task["key"].as_str().unwrap_or("?"));
    for id in missing {
        // An ended task is only listed while it is registered: one that ended within its eager
        // first step never was, and from 3.14 on a task is taken out when it ends.
        let task = tasks[id];
        let is_finished = matches!(task["state"].as_str(), Some("done" | "failed" | "cancelled"));
        if is_finished && (task["eager"] == true || python.minor() >= 14) {
            continue;
        }
        differ(format!("task {id} {}", label(id)), &"there".into(), &none);
    }
    for id in invented {
        differ(format!("task {id}"), &none, &found_tasks[id]["name"]);
    }
    for (id, truth) in &tasks {
        let Some(found) = found_tasks.get(id) else { continue };
        let place = format!("task {}", label(id));
        for field in ["name", "state", "class", "loop", "coroutine"] {
            if !truth[field].is_null() {
                differ(format!("{place} {field}"), &truth[field], &found[field]);
            }
        }
        let ids = |list: &Value| -> BTreeSet<String> {
            let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
        };
        let (wanted, got) = (ids(&truth["awaited_by"]), ids(&found["awaited_by"]));
        let tolerated = ids(&truth["awaited_by_may"]);
        let names = |ids: &BTreeSet<String>| -> Value {
            ids.iter().map(|id| label(id)).collect::<Vec<_>>().into()
        };
        let got =
            got.difference(&tolerated.difference(&wanted).cloned().collect()).cloned().collect();
        differ(format!("{place} awaited_by"), &names(&wanted), &names(&got));
        compare_waiting(&place, truth, found, &mut differ);
        if let Some("task" | "gather" | "task-group") = found["waiting_on"]["kind"].as_str() {
            // Whom it awaits: who is awaited by it, turned around.
            let awaits = |list: &str| -> BTreeSet<String> {
                let is_pending = |task: &Value| {
                    !matches!(task["state"].as_str(), Some("done" | "failed" | "cancelled"))
                };
                let children = tasks.iter().filter(|(_, child)| is_pending(child));
                let children = children.filter(|(_, child)| ids(&child[list]).contains(*id));
                children.map(|(child, _)| (*child).to_owned()).collect()
            };
            let (wanted, may) = (awaits("awaited_by"), awaits("awaited_by_may"));
            let got = ids(&found["waiting_on"]["tasks"]);
            let got =
                got.difference(&may.difference(&wanted).cloned().collect()).cloned().collect();
            differ(format!("{place} waiting_on.tasks"), &names(&wanted), &names(&got));
        }
        compare_cancellation(python, &place, truth, found, &mut differ);
        compare_frames(&place, truth, found, &mut differ);
    }
    compare_threads(truth, dump, &mut differ);
    differences
}

fn compare_waiting(
    place: &str,
    truth: &Value,
    found: &Value,
    differ: &mut impl FnMut(String, &Value, &Value),
) {
    let (wanted, got) = (&truth["waiting_on"], &found["waiting_on"]);
    let is_finished = matches!(truth["state"].as_str(), Some("done" | "failed" | "cancelled"));
    let kind = got["kind"].as_str();
    let is_told =
        if is_finished { kind.is_none() } else { !matches!(kind, None | Some("unknown")) };
    differ(format!("{place} waits for something known"), &true.into(), &is_told.into());
    let Some(wanted) = wanted.as_object() else { return };
    for (field, wanted) in wanted {
        let got = match &**field {
            // By the clock: compared apart.
            "when" => continue,
            "local" | "remote" => &got["socket"][field],
            "children" => {
                let counts = ["pending", "done", "failed", "cancelled"];
                for count in counts {
                    let field = format!("{place} waiting_on.children.{count}");
                    differ(field, &wanted[count], &got["children"][count]);
                }
                continue;
            }
            "holders" => {
                let ids = |list: &Value| -> BTreeSet<String> {
                    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
                    list.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
                };
                let (wanted, got) = (ids(wanted), ids(&got["holders"]));
                let list = |ids: BTreeSet<String>| ids.into_iter().collect::<Value>();
                differ(format!("{place} waiting_on.holders"), &list(wanted), &list(got));
                continue;
            }
            _ => &got[field],
        };
        differ(format!("{place} waiting_on.{field}"), wanted, got);
    }
}

fn compare_cancellation(
    python: &Python,
    place: &str,
    truth: &Value,
    found: &Value,
    differ: &mut impl FnMut(String, &Value, &Value),
) {
    let (wanted, got) = (&truth["cancellation"], &found["cancellation"]);
    // An absent report means that nobody asked for a cancellation.
    let or = |value: &Value, default: Value| if value.is_null() { default } else { value.clone() };
    for field in ["must_cancel", "in_flight"] {
        let got = or(&got[field], false.into());
        differ(format!("{place} cancellation.{field}"), &wanted[field], &got);
    }
    if python.minor() >= 11 && !wanted["requested"].is_null() {
        let got = or(&got["requested"], 0.into());
        differ(format!("{place} cancellation.requested"), &wanted["requested"], &got);
    }
    if wanted["handling_hidden"].is_null() {
        differ(format!("{place} cancellation.handling"), &wanted["handling"], &got["handling"]);
    }
    if wanted["message_at"] == "task" {
        differ(format!("{place} cancellation.message"), &wanted["message"], &got["message"]);
    }
}

fn compare_frames(
    place: &str,
    truth: &Value,
    found: &Value,
    differ: &mut impl FnMut(String, &Value, &Value),
) {
    let empty = vec![];
    let wanted = truth["frames"].as_array().unwrap_or(&empty);
    let got = found["frames"].as_array().unwrap_or(&empty);
    let functions = |frames: &[Value]| -> Value {
        frames.iter().map(|frame| frame["function"].clone()).collect::<Vec<_>>().into()
    };
    if wanted.len() != got.len() {
        differ(format!("{place} frames"), &functions(wanted), &functions(got));
        return;
    }
    for (i, (wanted, got)) in wanted.iter().zip(got).enumerate() {
        for field in ["function", "file", "line", "column"] {
            if wanted.get(field).is_some() {
                differ(format!("{place} frame {i} {field}"), &wanted[field], &got[field]);
            }
        }
        let Some(wanted) = wanted["locals"].as_object() else { continue };
        let got = got["locals"].as_object().expect("locals");
        let names = |keys: Vec<&String>| -> Value {
            keys.into_iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
        };
        let place = format!("{place} frame {i}");
        differ(
            format!("{place} locals"),
            &names(wanted.keys().collect()),
            &names(got.keys().collect()),
        );
        for (name, value) in wanted {
            if let Some(got) = got.get(name)
                && is_comparable(value)
            {
                differ(format!("{place} local {name}"), &value["repr"], got);
            }
        }
    }
}

/// Whether a value's `repr` is one that we print exactly: a short one of a builtin.
fn is_comparable(value: &Value) -> bool {
    const EXACT: [&str; 9] =
        ["NoneType", "bool", "int", "float", "complex", "str", "bytes", "tuple", "list"];
    let text = value["repr"].as_str().unwrap_or_default();
    EXACT.contains(&value["type"].as_str().unwrap_or_default())
        && text.len() <= 60
        && !text.contains(" object at ")
        && !text.contains('<')
}

fn compare_threads(truth: &Value, dump: &Value, differ: &mut impl FnMut(String, &Value, &Value)) {
    let none = Value::Null;
    let found = dump["threads"].as_array().unwrap();
    for thread in truth["threads"].as_array().unwrap() {
        let got = found.iter().find(|got| got["tid"] == thread["tid"]).unwrap_or(&none);
        let place = format!("thread {}", thread["name"]);
        differ(format!("{place} name"), &thread["name"], &got["name"]);
        let Some(wanted) = thread["frames"].as_array() else { continue };
        let got = got["frames"].as_array().cloned().unwrap_or_default();
        let place_of = |frame: &Value| format!("{}:{}", frame["file"], frame["line"]);
        let wanted: Value = wanted.iter().map(place_of).collect::<Vec<_>>().into();
        let got: Value = got.iter().map(place_of).collect::<Vec<_>>().into();
        differ(format!("{place} frames"), &wanted, &got);
    }
}
