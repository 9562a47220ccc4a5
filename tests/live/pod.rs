//! Programs whose control group keeps them from running.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;

use super::per_version_with;
use super::situation::{Hierarchy, Need};
use super::support::{Program, Python, aiospy, dump, texts, wait_until};

/// Adds the trials: the facts are the kernel's and the same for all versions.
pub fn add(trials: &mut Vec<Trial>) {
    let one = |version: &str, _: Option<&Python>| version == "3.12";
    let v1 = |python: &Python| frozen(python, Hierarchy::Freezer);
    per_version_with(trials, "pod::frozen::v1", &[Need::Cgroup(Hierarchy::Freezer)], one, v1);
    let v2 = |python: &Python| frozen(python, Hierarchy::Unified);
    per_version_with(trials, "pod::frozen::v2", &[Need::Cgroup(Hierarchy::Unified)], one, v2);
    let needs = &[Need::Cgroup(Hierarchy::Cpu)];
    per_version_with(trials, "pod::throttled", needs, one, throttled);
    // Each way in which tasks are registered.
    let some = |version: &str, _: Option<&Python>| ["3.8", "3.12", "3.15"].contains(&version);
    per_version_with(trials, "pod::little-memory", &[], some, little_memory);
}

/// A control group of our own; it has to outlive its processes.
struct Group {
    folder: PathBuf,
}

impl Group {
    fn new(hierarchy: Hierarchy, name: &str) -> Self {
        let folder = hierarchy.folder().unwrap();
        let folder = folder.join(format!("aiospy-trial-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        Self { folder }
    }

    fn set(&self, file: &str, value: &str) {
        std::fs::write(self.folder.join(file), value).unwrap();
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.join(file)).unwrap()
    }

    fn take_in(&self, program: &Program) {
        self.set("cgroup.procs", &program.pid().to_string());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel empties it a moment after its last process has ended.
        wait_until("the group is empty", || remove(&self.folder));
    }
}

/// A frozen group. What is frozen in version 1 can't even be killed, so it is thawed in any case.
struct Frozen<'g> {
    group: &'g Group,
    file: &'static str,
    off: &'static str,
}

impl<'g> Frozen<'g> {
    fn new(group: &'g Group, hierarchy: Hierarchy) -> Self {
        let (file, on, off, seen_in, seen) = match hierarchy {
            Hierarchy::Unified => ("cgroup.freeze", "1", "0", "cgroup.events", "frozen 1"),
            _ => ("freezer.state", "FROZEN", "THAWED", "freezer.state", "FROZEN"),
        };
        group.set(file, on);
        let frozen = Self { group, file, off };
        wait_until("frozen", || group.text(seen_in).contains(seen));
        frozen
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.group.set(self.file, self.off);
    }
}

fn remove(folder: &Path) -> bool {
    std::fs::remove_dir(folder).is_ok() || !folder.exists()
}

fn codes(findings: &Value) -> Vec<(&str, &str)> {
    let all = findings.as_array().unwrap().iter();
    all.map(|it| (it["code"].as_str().unwrap(), it["severity"].as_str().unwrap())).collect()
}

fn checked(pid: i32) -> (Option<i32>, String) {
    let output = aiospy(&["check", &pid.to_string()]);
    (output.status.code(), texts(&output).0)
}

fn frozen(python: &Python, hierarchy: Hierarchy) {
    let group = Group::new(hierarchy, "frozen");
    let program = Program::start::<&str>(&python.path, "pod.py", &[]);
    group.take_in(&program);
    let frozen = Frozen::new(&group, hierarchy);
    let seen = dump(program.pid(), &[]);
    let check = checked(program.pid());
    drop(frozen);
    // Whether it was frozen while it worked or while it waited: nothing else is wrong.
    assert_eq!(codes(&seen["findings"]), [("pod-frozen", "critical")], "{seen}");
    assert_eq!(seen["cgroup"]["frozen"], true, "{seen}");
    assert_eq!(seen["loops"][0]["blocking"], Value::Null, "{seen}");
    assert_eq!(check.0, Some(3), "{check:?}");
    let line = "critical: The cgroup is frozen: no thread of this process can run [pod-frozen]\n";
    assert!(check.1.starts_with(line), "{check:?}");
    let thawed = dump(program.pid(), &[]);
    assert_eq!(thawed["cgroup"]["frozen"], false, "{thawed}");
    assert!(codes(&thawed["findings"]).iter().all(|(code, _)| *code != "pod-frozen"), "{thawed}");
    drop(program);
}

fn throttled(python: &Python) {
    let group = Group::new(Hierarchy::Cpu, "throttled");
    group.set("cpu.cfs_period_us", "100000");
    group.set("cpu.cfs_quota_us", "5000");
    let program = Program::start::<&str>(&python.path, "pod.py", &[]);
    let free = dump(program.pid(), &[]);
    assert!(codes(&free["findings"]).iter().all(|(code, _)| *code != "pod-throttled"), "{free}");
    group.take_in(&program);
    wait_until("throttled", || {
        let text = group.text("cpu.stat");
        let count = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        count.unwrap().parse::<u64>().unwrap() >= 20
    });
    let seen = dump(program.pid(), &[]);
    assert!(codes(&seen["findings"]).contains(&("pod-throttled", "warning")), "{seen}");
    let quota = &seen["cgroup"]["quotas"][0];
    assert_eq!((&quota["quota_ms"], &quota["period_ms"]), (&5.0.into(), &100.0.into()), "{quota}");
    assert!(quota["throttled"].as_u64().unwrap() >= 20, "{quota}");
    drop(program);
}

/// With little memory some of the tasks are read, and it is said how many.
fn little_memory(python: &Python) {
    let program = Program::start(&python.path, "many.py", &["4000", "3", "--wait", "future"]);
    let all = dump(program.pid(), &[]);
    assert_eq!(all["tasks"].as_array().unwrap().len(), 4_001);
    assert_eq!(all["cut"], Value::Null);
    let some = dump(program.pid(), &["--max-memory", "24M"]);
    let read = some["tasks"].as_array().unwrap().len();
    assert!((1..4_000).contains(&read), "{read}");
    let cut = serde_json::json!({"tasks_read": read, "tasks_at_least": 4_001});
    assert_eq!(some["cut"], cut);
    let words = format!("only {read} of at least 4001 tasks were read (--max-memory)");
    let problems = some["problems"].as_array().unwrap();
    assert!(problems.iter().any(|it| it["cause"].as_str().unwrap().starts_with(&words)), "{words}");
    assert_eq!(some["verdict"], "undecided");
    let reasons = some["undecided"].as_array().unwrap();
    assert!(reasons.iter().any(|it| it["reason"] == "cut" && it["title"] == *words), "{some}");
    assert!(codes(&some["findings"]).iter().all(|(_, severity)| *severity == "info"), "{words}");
}
