//! The examples of `aiospy explain` are what is printed of the scenarios.
//!
//! Numbers, and units of time, may differ. `AIOSPY_EXPLAIN=overwrite` writes what is printed today
//! into the texts.

use aiospy::snapshot::Code;
use libtest_mimic::Trial;

use super::per_version_with;
use super::support::{self, Program, Python, aiospy, parse, texts};

/// The version whose output is shown.
const SHOWN: &str = "3.12";

/// How wide an example is.
const WIDTH: usize = 80;

/// The scenario that an example is of. Of those without one only time or a container tells.
fn scenario(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::AsyncgenOpen => "asyncgen_open",
        Code::BusySpin => "busy_spin",
        Code::CancelSwallowed => "swallowed",
        Code::CancelUndelivered => "cancel_undelivered",
        Code::CleanupStuck => "cleanup_stuck",
        Code::CrossLoop => "cross_loop",
        Code::Deadlock => "deadlock",
        Code::ExceptionUnretrieved => "exception_unretrieved",
        Code::ExecutorJobStuck => "executor_job",
        Code::ExecutorSaturated => "executor_saturated",
        Code::LockConvoy => "lock_convoy",
        Code::LoopBlocked => "loop_blocked --kind sleep",
        Code::LoopSelfDeadlock => "self_result",
        Code::NestedRun => "nested_run",
        Code::NeverAwaited => "never_awaited",
        Code::OrphanWait => "orphan_wait",
        Code::PeerSilent => "peer_silent",
        Code::PermitLeaked => "permit_lost",
        Code::PoolExhausted => "pool_exhausted --kind httpx_open",
        Code::QueueStalled => "queue_dead_consumer",
        Code::ReadyBacklog => "ready_backlog",
        Code::ShutdownStuck => "swallowed_shutdown",
        Code::SocketStalled => "socket_stalled",
        Code::Standstill => "standstill",
        Code::SubprocessStuck => "subprocess_stuck",
        Code::TaskOrphaned => "orphaned",
        Code::TimeoutOverdue => "overdue",
        Code::WakeupLost => "wakeup_lost",
        _ => return None,
    })
}

pub fn add(trials: &mut Vec<Trial>) {
    for code in Code::ALL {
        let Some(command) = scenario(*code) else { continue };
        let applies = |version: &str, _: Option<&Python>| version == SHOWN;
        let run = move |python: &Python| is_printed(python, *code, command);
        per_version_with(trials, &format!("explain::{code}"), &[], applies, run);
    }
}

fn is_printed(python: &Python, code: Code, command: &str) {
    let mut words = command.split(' ');
    let file = format!("scenarios/{}.py", words.next().unwrap());
    let arguments: Vec<&str> = words.collect();
    let is_of_library = code == Code::PoolExhausted;
    let python = if is_of_library { python.venv.as_deref().unwrap() } else { &python.path };
    let program = Program::start(python, &file, &arguments);
    let (stdout, stderr) = texts(&aiospy(&["check", "--json=full", &program.pid().to_string()]));
    assert!(!stdout.is_empty(), "{stderr}");
    let findings = parse(&stdout)["findings"].as_array().unwrap().clone();
    let finding = findings.iter().find(|it| it["code"] == code.as_str());
    let finding = finding.unwrap_or_else(|| panic!("no {code} among {findings:#?}"));
    let severity = finding["severity"].as_str().unwrap();
    let sign = match severity {
        "critical" => "!!",
        "warning" => "! ",
        _ => "i ",
    };
    let title = finding["title"].as_str().unwrap();
    let printed = format!("{sign} {severity} [{code}] {title}");

    let path = support::root().join(format!("ui/commands/explain/{code}.txt"));
    let text = std::fs::read_to_string(&path).unwrap();
    let at = text.rfind(&format!("[{code}]")).unwrap();
    let start = text[..at].rfind('\n').unwrap() + 1;
    let shown = text[start..].split_whitespace().collect::<Vec<_>>().join(" ");
    if std::env::var("AIOSPY_EXPLAIN").as_deref() == Ok("overwrite") {
        std::fs::write(&path, format!("{}{}", &text[..start], wrapped(&printed))).unwrap();
        return;
    }
    assert_eq!(without_numbers(&shown), without_numbers(&printed), "AIOSPY_EXPLAIN=overwrite");
}

/// The lines of an example, with those after the first below its words.
fn wrapped(printed: &str) -> String {
    let mut lines = vec!["  ".to_owned() + &printed[..2]];
    for word in printed[2..].split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("     {word}"));
        } else {
            line.extend([" ", word]);
        }
    }
    lines.join("\n") + "\n"
}

/// Words without numbers, and without the units that depend on these.
fn without_numbers(text: &str) -> Vec<String> {
    let words = text.split_whitespace().filter(|word| !matches!(*word, "ms" | "s" | "min" | "h"));
    let without = |word: &str| -> String {
        let mut kept = String::new();
        for letter in word.chars() {
            match letter {
                '0'..='9' | ',' | '.' if kept.ends_with('#') => {}
                '0'..='9' => kept.push('#'),
                letter => kept.push(letter),
            }
        }
        kept
    };
    words.map(without).collect()
}
