//! Pools, the calls in them and what threads wait for are what the program says of itself.

use std::path::Path;

use aiospy::Inspector;
use aiospy::asyncio::{PoolFacts, ThreadWait, WorkItem};
use aiospy::memory::Address;
use aiospy::python::frame::Stack;
use libtest_mimic::Trial;
use serde_json::{Map, Value, json};

use super::support::{Program, Python};
use super::{per_version, with_uvloop};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "executors", |_| true, |python| executors(&python.path, "asyncio"));
    let uvloop = |python: &Python| executors(with_uvloop(python), "uvloop");
    per_version(trials, "executors::uvloop", |_| true, uvloop);
}

fn address(text: &Value) -> Address {
    let text = text.as_str().unwrap();
    Address(u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap())
}

fn functions(items: &[WorkItem]) -> Value {
    items.iter().map(|item| item.function.clone()).collect::<Vec<_>>().into()
}

fn executors(path: &Path, kind: &str) {
    let program = Program::start(path, "executors.py", &["--loop", kind]);
    let truth = &program.truth;
    let inspector = Inspector::attach(program.pid()).unwrap();
    let found = inspector.explore(|reader, view| {
        let stacks: Vec<&Stack> = view.stacks.iter().map(|(_, stack)| *stack).collect();
        let tid = |thread: usize| view.stacks[thread].0.unwrap();

        let (loop_at, executor) = truth["default"].as_object().unwrap().iter().next().unwrap();
        let default = reader.default_executor(address(&loop_at.as_str().into()));
        assert_eq!(default, Some(address(executor)));

        let mut executors: Vec<Address> = default.into_iter().collect();
        // Neither a default executor nor one with threads at work would be found by itself.
        executors.extend(truth["pools"].as_array().unwrap().iter().filter_map(|pool| {
            let is_of_processes = !pool["pids"].is_null();
            is_of_processes.then(|| address(&pool["at"]))
        }));
        let with_processes = reader.pools(&stacks, &executors);
        let pools = reader.pools(&stacks, &executors[..1]);
        // Its managing thread leads to the pool of processes as well.
        assert_eq!(pools.len(), with_processes.len());
        compare_pools(truth, &pools, &tid);

        for call in truth["calls"].as_array().unwrap() {
            let name = &call["function"];
            let source = reader.source_of(address(&call["future"]));
            assert_eq!(source, Some(address(&call["source"])), "{name}");
            let source = source.unwrap();
            assert_eq!(reader.mirrors_of(source), [address(&call["future"])], "{name}");
            let state = reader.concurrent_state(source);
            assert_eq!(state.as_deref(), call["state"].as_str(), "{name}");
            let workers = pools.iter().flat_map(|pool| &pool.workers);
            let at = workers
                .filter(|worker| worker.item.as_ref().is_some_and(|item| item.future == source))
                .map(|worker| i64::from(tid(worker.thread)))
                .next();
            assert_eq!(at, call["tid"].as_i64(), "{name}");
        }
        for (task, future) in truth["owed"].as_object().unwrap() {
            let task = address(&task.as_str().into());
            assert_eq!(reader.destination_of(task), Some(address(future)));
            assert_eq!(reader.source_of(task), None);
        }
        view.stacks
            .iter()
            .map(|(tid, stack)| (tid.unwrap(), reader.thread_waits_for(stack)))
            .collect::<Vec<_>>()
    });
    let found = found.unwrap();
    for (tid, truth) in truth["waits"].as_object().unwrap() {
        let tid: i32 = tid.parse().unwrap();
        let wait = &found.iter().find(|(found, _)| *found == tid).expect("thread").1;
        assert_eq!(&described(wait.as_ref(), truth), truth, "{wait:?}");
    }
    // Threads at work on calls wait for the program's own event, idle ones for work.
    for pool in truth["pools"].as_array().unwrap() {
        for (tid, function) in pool["workers"].as_object().unwrap() {
            let tid: i32 = tid.parse().unwrap();
            let wait = &found.iter().find(|(found, _)| *found == tid).expect("thread").1;
            match wait {
                Some(ThreadWait::Event(_)) => assert!(!function.is_null()),
                Some(ThreadWait::Work(_)) => assert!(function.is_null()),
                other => panic!("{tid} runs {function}: {other:?}"),
            }
        }
    }
}

fn compare_pools(truth: &Value, pools: &[PoolFacts], tid: &dyn Fn(usize) -> i32) {
    for truth in truth["pools"].as_array().unwrap() {
        let at = address(&truth["at"]);
        let pool = pools.iter().find(|pool| pool.at == at);
        let pool = pool.unwrap_or_else(|| panic!("no pool {truth}: {pools:#?}"));
        let mut workers = Map::new();
        for worker in &pool.workers {
            assert_eq!(worker.is_idle, worker.item.is_none());
            let function = worker.item.as_ref().and_then(|item| item.function.clone());
            workers.insert(tid(worker.thread).to_string(), function.into());
        }
        let mut found = json!({
            "at": truth["at"],
            "prefix": pool.prefix,
            "max_workers": pool.max_workers,
            "shut_down": pool.is_shut_down,
            "workers": workers,
            "queued": functions(&pool.queued),
            "pids": pool.processes.as_ref().map(|processes| &processes.pids),
        });
        if let Some(processes) = &pool.processes {
            assert!(processes.running.len() >= 2);
            let all = [&processes.running[..], &pool.queued].concat();
            found["submitted"] = functions(&all);
            found.as_object_mut().unwrap().remove("queued");
        }
        assert_eq!(&found, truth);
        assert_eq!(pool.queued_count, Some(pool.queued.len() as u64));
    }
}

/// What a thread waits for in the program's own words.
fn described(wait: Option<&ThreadWait>, truth: &Value) -> Value {
    let one = |kind: &str, at: &Address| json!({ "kind": kind, "at": at.to_string() });
    match wait {
        None => json!({ "kind": "none" }),
        Some(ThreadWait::Future(at)) => {
            // Both ask for the same future.
            let kind = truth["kind"].as_str().filter(|kind| *kind == "exception");
            one(kind.unwrap_or("future"), at)
        }
        Some(ThreadWait::Futures(all)) => {
            let mut all: Vec<String> = all.iter().map(ToString::to_string).collect();
            all.sort();
            let kind = truth["kind"].as_str().filter(|kind| *kind == "as-completed");
            json!({ "kind": kind.unwrap_or("futures"), "futures": all })
        }
        Some(ThreadWait::Join { thread, ident }) => {
            json!({ "kind": "join", "at": thread.to_string(), "ident": ident })
        }
        Some(ThreadWait::Loop(at)) => one("loop", at),
        Some(ThreadWait::QueueGet(at)) => one("queue-get", at),
        Some(ThreadWait::QueuePut(at)) => one("queue-put", at),
        Some(ThreadWait::QueueJoin(at)) => one("queue-join", at),
        Some(ThreadWait::Event(at)) => one("event", at),
        Some(ThreadWait::Condition(at)) => one("condition", at),
        Some(ThreadWait::Semaphore(at)) => one("semaphore", at),
        Some(ThreadWait::Barrier(at)) => one("barrier", at),
        Some(ThreadWait::PoolResult(at)) => one("pool-result", at),
        Some(ThreadWait::Work(at)) => one("work", at),
        Some(ThreadWait::Run(at)) => one("run", at),
    }
}
