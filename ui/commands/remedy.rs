//! What went wrong in one line, the facts behind it in one more, and what to do about it.
//!
//! The errors of the library are data; the words and the advice are here.

use std::io;
use std::process::ExitCode;

use aiospy::error::Access;
use aiospy::known::command;
use aiospy::layout::{SUPPORTED, supported};
use aiospy::process::Target;
use aiospy::session::ImageError;
use aiospy::{Error, recording};
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::commands::children;
use crate::io::trouble::Trouble;
use crate::io::{output, page};
use crate::report::text::words;

const ENOSYS: i32 = 38;

/// How to get `CAP_SYS_PTRACE` in a container.
const IN_CONTAINER: &str =
    "in a pod: kubectl debug --profile=general; in Docker: docker run --cap-add=SYS_PTRACE";

/// This very command once more, as root.
fn sudo() -> String {
    let mut command = "sudo aiospy".to_owned();
    for word in std::env::args().skip(1) {
        let is_plain = |c: char| c.is_alphanumeric() || "-_=./:,@%+".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) {
            command.extend([" ", &word]);
        } else {
            command.extend([" '", &word.replace('\'', r"'\''"), "'"]);
        }
    }
    page::clean(&command).into_owned()
}

/// ` (demo-service.py)`: what a process runs, where that may be known.
fn called(pid: i32) -> String {
    let command = Target::open(pid).map(|target| command::program(&target.process().cmdline));
    let command = command.unwrap_or_default();
    let name = page::clean(command.split(' ').next().unwrap_or_default()).into_owned();
    if name.is_empty() { name } else { format!(" ({name})") }
}

/// Prints the error with its remedy; with `is_verbose` also what caused it, one line each.
pub fn print(error: &anyhow::Error, is_verbose: bool) {
    let trouble = match error.downcast_ref() {
        Some(error) => of_process(error),
        None => of_any(error),
    };
    let Trouble { cause, facts, remedy } = &trouble;
    output::say(format_args!("aiospy: {cause}"));
    if let Some(facts) = facts {
        output::say(format_args!("  {facts}"));
    }
    if is_verbose {
        for cause in error.chain().skip(1) {
            output::say(format_args!("  because: {cause}"));
        }
        if let Some(Error::NotPermitted { access, .. }) = error.downcast_ref() {
            for fact in access.facts() {
                output::say(format_args!("  {fact}"));
            }
        }
    }
    output::say(format_args!("  try: {remedy}"));
}

/// Prints what went wrong with one of several processes.
pub fn say(Trouble { cause, facts, remedy }: &Trouble) {
    output::say(format_args!("aiospy: {cause}"));
    if let Some(facts) = facts {
        output::say(format_args!("  {facts}"));
    }
    output::say(format_args!("  try: {remedy}"));
}

/// The same as [`of`], with the processes below one that is a launcher or a master.
pub fn of_process(error: &Error) -> Trouble {
    let advice = of(error);
    let remedy = match error {
        Error::NoAsyncio { pid } => children::below(*pid).unwrap_or_else(|| {
            format!(
                "aiospy dump {pid}, which shows its thread stacks; no process below it runs an \
                 asyncio event loop, and Trio and gevent have no asyncio tasks"
            )
        }),
        Error::NotPython { pid, exe } if !is_pypy(exe) && children::below(*pid).is_some() => {
            format!("aiospy dump -s {pid}, which reads the Python processes below it")
        }
        _ => advice.remedy,
    };
    Trouble { remedy, ..advice }
}

/// Prints what clap has to say and gives the exit code for it.
pub fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let typed: Vec<String> = std::env::args().collect();
        say(&of_usage(error, &typed));
    } else {
        // The terminal may be gone; there is nobody left to tell.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// A mistake in the command line, in the words that clap has for it.
pub fn of_usage(error: &clap::Error, typed: &[String]) -> Trouble {
    let text = error.to_string();
    // Its paragraphs: what is wrong, a tip if there is one, the usage, where to get help.
    let mut paragraphs =
        text.split("\n\n").map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    let cause = paragraphs.next().unwrap_or_default();
    let cause = cause.strip_prefix("error: ").unwrap_or(&cause).to_owned();
    let command = typed.iter().skip(1).find(|word| !word.starts_with('-'));
    let command = command.filter(|_| error.kind() != ErrorKind::InvalidSubcommand);
    let mut facts = None;
    let mut help = command.map_or("aiospy".to_owned(), |command| format!("aiospy {command}"));
    for paragraph in paragraphs {
        if let Some(tip) = paragraph.strip_prefix("tip: ") {
            facts = Some(tip.to_owned());
        }
        let usage = paragraph.strip_prefix("Usage: ").unwrap_or_default();
        let words = usage.split(' ').take_while(|it| it.starts_with(|c: char| c.is_lowercase()));
        let words: Vec<&str> = words.collect();
        if !words.is_empty() {
            help = words.join(" ");
        }
    }
    let value = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let is_pid = value(ContextKind::InvalidArg).is_some_and(|arg| arg.contains("PID"));
    match value(ContextKind::InvalidValue).filter(|it| is_pid && is_name(it)) {
        Some(typed) => Trouble::new(
            format!("expected a process id or --name PATTERN, got {typed:?}"),
            format!("aiospy {} --name {typed}", named(command)),
        ),
        None => Trouble { cause, facts, remedy: format!("{help} --help") },
    }
}

/// Whether a word may be meant as the name of a process.
fn is_name(word: &str) -> bool {
    word.starts_with(char::is_alphabetic) && word.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The command that was typed; `dump` where it takes no name.
fn named(command: Option<&String>) -> &str {
    match command {
        Some(command) if ["check", "watch"].contains(&command.as_str()) => command,
        _ => "dump",
    }
}

/// The process meant by a process id of another pid namespace.
pub fn namespace_match(error: &anyhow::Error) -> Option<i32> {
    match error.downcast_ref()? {
        Error::NoSuchProcess { namespace_match, .. } => *namespace_match,
        _ => None,
    }
}

/// Says that `host` is meant by `pid`.
pub fn other_namespace(pid: i32, host: i32) -> String {
    format!("{pid} is process {host}'s id in its own pid namespace")
}

fn of_any(error: &anyhow::Error) -> Trouble {
    if let Some(error) = error.downcast_ref::<Error>() {
        return of(error);
    }
    if let Some(trouble) = error.downcast_ref::<Trouble>() {
        return trouble.clone();
    }
    let recording = error.chain().find_map(|cause| cause.downcast_ref::<recording::Error>());
    if let Some(recording::Error::NoRecording) = recording {
        let what = error.to_string();
        let file = what.strip_prefix("can't read ").unwrap_or("it");
        let remedy = "aiospy record PID -o FILE.aiospy, which makes one";
        return Trouble::new(format!("{file} is not an aiospy recording"), remedy);
    }
    if let Some(remedy) = recording.and_then(of_recording) {
        return Trouble::new(in_words(error), remedy);
    }
    let image = error.chain().find_map(|cause| cause.downcast_ref::<ImageError>());
    if let Some(remedy) = image.and_then(of_image) {
        return Trouble::new(in_words(error), remedy);
    }
    let what = error.to_string();
    let remedy = match output::io_kind(error) {
        Some(kind) if what.starts_with("can't start ") => match kind {
            io::ErrorKind::PermissionDenied => "chmod +x, if it is a program",
            _ => "the path of a program, or the name of one that is on PATH",
        },
        Some(io::ErrorKind::NotFound) if what.starts_with("can't read ") => {
            "the path of a file that is there"
        }
        Some(_) if what.starts_with("can't read ") => "as a user who may read it",
        Some(_) if what.contains("standard output") => "-o with a file that has room",
        Some(io::ErrorKind::StorageFull) => "-o with a file on another file system",
        Some(io::ErrorKind::PermissionDenied) => "another file with -o, or - for standard output",
        Some(io::ErrorKind::TimedOut) => "-o with a file: one has no reader to wait for",
        Some(_) => "-o with a file in a folder that exists and has room, or - for standard output",
        None => "again with -v, which shows more",
    };
    Trouble::new(in_words(error), remedy)
}

/// An error with its causes; those of the system without their numbers: `can't write a.md: no space
/// left on device`.
fn in_words(error: &anyhow::Error) -> String {
    let all = format!("{error:#}");
    let Some((text, _)) = all.split_once(" (os error ") else { return all };
    let Some((what, why)) = text.rsplit_once(": ") else { return text.to_owned() };
    let mut letters = why.chars();
    let first = letters.next().map(|letter| letter.to_lowercase().to_string());
    format!("{what}: {}{}", first.unwrap_or_default(), letters.as_str())
}

fn of_image(error: &ImageError) -> Option<&'static str> {
    match error {
        ImageError::NotAnImage => {
            Some("a file that `aiospy dump PID --save-image FILE` has written")
        }
        ImageError::Version(_) => Some("the aiospy that has written it, or a newer one"),
        ImageError::Damaged(_) => Some("another copy of it: this one is not what was written"),
        ImageError::TooLarge => Some("--looks 1, or without --locals: less is kept then"),
        _ => None,
    }
}

fn of_recording(error: &recording::Error) -> Option<&'static str> {
    match error {
        recording::Error::Version { .. } => Some("the aiospy that has written it, or a newer one"),
        recording::Error::Empty => {
            Some("another one: this was ended before its first second was over")
        }
        recording::Error::Damaged { .. } => Some("aiospy export, which leaves out what is damaged"),
        _ => None,
    }
}

/// The words for an error of the library.
pub fn of(error: &Error) -> Trouble {
    let advice = |cause: String, remedy: String| Trouble::new(cause, remedy);
    let plain = error.to_string();
    match error {
        Error::NoSuchProcess { pid, namespace_match: Some(host) } => {
            advice(format!("no process {pid} in this pid namespace"), format!("process {host}, which has that id in its own pid namespace"))
        }
        Error::NoSuchProcess { .. } | Error::TargetGone { .. } => {
            advice(plain, "aiospy ps".to_owned())
        }
        Error::NotPermitted { pid, access } => not_permitted(*pid, access),
        Error::NotPython { pid, exe } if is_pypy(exe) => advice(
            format!("process {pid} runs PyPy, which is not supported ({exe})"),
            supported(),
        ),
        Error::NotPython { pid, exe } => {
            let name = exe.rsplit('/').next().unwrap_or(exe);
            advice(format!("process {pid} ({name}) is not a Python process"), "aiospy ps".to_owned())
        }
        Error::UnsupportedVersion { pid, version, .. } if is_older(version) => advice(
            format!(
                "process {pid} runs CPython {version}; tasks can be read from 3.{} on",
                SUPPORTED.start()
            ),
            format!("aiospy dump {pid}, which shows the stacks of its threads"),
        ),
        Error::UnsupportedVersion { .. } => advice(
            plain,
            format!("a newer aiospy, if there is one; this one reads {}", supported()),
        ),
        Error::RuntimeNotFound { pid, .. } => advice(
            plain,
            format!("aiospy doctor {pid}, which shows how far it came; {} on x86-64 Linux can be read", supported()),
        ),
        Error::NotInitialized { phase, .. } if *phase == "ending" => advice(
            format!("{plain}: its interpreter is already taken down"),
            "earlier in its shutdown; of this one no task is left".to_owned(),
        ),
        Error::NotInitialized { .. } => {
            advice(format!("{plain}: its interpreter is not set up yet"), "again in a moment".to_owned())
        }
        Error::NoAsyncio { pid } => advice(
            plain,
            format!("pgrep -aP {pid}: servers like gunicorn run their loops in worker processes below the first one"),
        ),
        Error::TimedOut { pid, limit } => advice(
            format!("gave up on process {pid} after {}: not all of it could be read", words::duration(*limit)),
            format!("--timeout {}s; aiospy doctor {pid} shows which step takes so long", limit.as_secs().saturating_mul(6).max(10)),
        ),
        Error::Memory { fault, .. } if fault.is_process_gone() => {
            advice("the process ended while it was being read".to_owned(), "aiospy ps".to_owned())
        }
        Error::Memory { fault, .. } => {
            advice(format!("{plain}: {fault}"), "again; if it stays so, aiospy doctor shows which step fails".to_owned())
        }
        Error::BadData { .. } => advice(
            plain,
            "again; if it stays so, this Python is not laid out as expected: please report it with the output of aiospy doctor".to_owned(),
        ),
        Error::Proc { path, source } => advice(
            in_words(&anyhow::anyhow!("can't read {path}: {source}")),
            match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    format!("{}, or as the user that runs the process; {IN_CONTAINER}", sudo())
                }
                _ => "mounting /proc of the target's pid namespace here, if it is another one".to_owned(),
            },
        ),
        _ => advice(plain, "again with -v, which shows more".to_owned()),
    }
}

fn is_older(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(0..=2), _) => true,
        (Some(3), Some(minor)) => minor < 8,
        _ => false,
    }
}

/// The first of the kernel's gates that the facts show to be shut.
///
/// The order is that of cost and certainty: what nobody can pass, what the capability does not
/// help with, other user, Yama, capabilities, what is left.
fn not_permitted(pid: i32, access: &Access) -> Trouble {
    let advice = |why: String, remedy: String| refused(pid, &why, remedy);
    let sudo = match access.our_uid {
        Some(0) => IN_CONTAINER.to_owned(),
        _ => format!("{} ({IN_CONTAINER})", self::sudo()),
    };
    let has_capability = access.has_ptrace_capability == Some(true);
    let users = match (access.our_uid, access.target_uid) {
        (Some(ours), Some(theirs)) if ours != theirs => Some((ours, theirs)),
        _ => None,
    };
    if access.errno.is_some_and(|errno| errno == ENOSYS) {
        return advice(
            "this kernel or sandbox has no process_vm_readv".to_owned(),
            "on the host itself; sandboxes like gVisor and some serverless platforms cannot be looked into".to_owned(),
        );
    }
    if access.yama_scope == Some(3) {
        return advice(
            "kernel.yama.ptrace_scope is 3, so nobody may read another process".to_owned(),
            "a reboot with a lower kernel.yama.ptrace_scope; 3 cannot be taken back on a running system".to_owned(),
        );
    }
    if access.is_hidden {
        let ours = access.our_uid.map(|uid| format!(" from uid {uid}")).unwrap_or_default();
        return advice(
            format!("/proc is mounted with hidepid, which hides it{ours}"),
            format!("{}, or as the user that runs it ({IN_CONTAINER})", self::sudo()),
        );
    }
    if access.same_user_namespace == Some(false) && (has_capability || users.is_none()) {
        return advice(
            "it lives in another user namespace, where our capabilities do not count".to_owned(),
            "as root on the host, outside of the container".to_owned(),
        );
    }
    if has_capability {
        return if access.seccomp_filter == Some(true) {
            advice(
                "CAP_SYS_PTRACE is there, so the container's seccomp filter must refuse process_vm_readv".to_owned(),
                "docker run --security-opt seccomp=unconfined, or in Kubernetes seccompProfile: Unconfined".to_owned(),
            )
        } else {
            let modules = match &access.security_modules[..] {
                [] => "AppArmor, SELinux".to_owned(),
                active => active.join(", "),
            };
            advice(
                format!("CAP_SYS_PTRACE is there, so a security module ({modules}) may refuse it"),
                "journalctl -k | grep -iE 'apparmor|avc', which names the rule".to_owned(),
            )
        };
    }
    if let Some((ours, theirs)) = users {
        return if ours == 0 {
            advice(
                format!(
                    "it runs as uid {theirs}, and root here lacks CAP_SYS_PTRACE, as in a container"
                ),
                format!(
                    "as uid {theirs} (kubectl debug and docker exec take a user), or {IN_CONTAINER}"
                ),
            )
        } else {
            advice(
                format!("it runs as uid {theirs}, aiospy as uid {ours}{}", without(access)),
                match theirs {
                    0 => sudo,
                    _ => format!("{}, or as uid {theirs} ({IN_CONTAINER})", self::sudo()),
                },
            )
        };
    }
    same_user_not_permitted(pid, access, sudo)
}

/// That the capability isn't there with which the rest would not matter.
fn without(access: &Access) -> &'static str {
    if access.has_ptrace_capability == Some(false) { " without CAP_SYS_PTRACE" } else { "" }
}

/// The same of a process of our user, where no capability helps.
fn same_user_not_permitted(pid: i32, access: &Access, sudo: String) -> Trouble {
    let advice = |why: String, remedy: String| refused(pid, &why, remedy);
    let groups = access.our_gid.zip(access.target_gid).filter(|(ours, theirs)| ours != theirs);
    if let Some(((ours, theirs), uid)) = groups.zip(access.target_uid) {
        // The kernel wants both ids to be the same; a debug container has gid 0 unless told.
        return advice(
            format!(
                "it runs with gid {theirs}, aiospy with gid {ours}, and the kernel wants the same"
            ),
            format!(
                "as {uid}:{theirs} (runAsUser and runAsGroup of a debug container, docker exec -u \
                 {uid}:{theirs}); or {sudo}"
            ),
        );
    }
    if access.is_dumpable == Some(false) {
        return advice(
            "it asked not to be dumped, or changed its user after it began".to_owned(),
            sudo,
        );
    }
    if let Some(scope @ (1 | 2)) = access.yama_scope {
        let rule = if scope == 1 {
            "only ancestors of a process may read it"
        } else {
            "only CAP_SYS_PTRACE lets one read a process"
        };
        return advice(
            format!("kernel.yama.ptrace_scope is {scope}: {rule}"),
            if scope == 1 {
                format!(
                    "{}, or once: sudo sysctl kernel.yama.ptrace_scope=0 ({IN_CONTAINER})",
                    self::sudo()
                )
            } else {
                sudo
            },
        );
    }
    match access.missing_capabilities {
        Some(missing) if missing != 0 => advice(
            format!("it may use capabilities that aiospy lacks ({})", capabilities(missing)),
            sudo,
        ),
        _ if access.seccomp_filter == Some(true) => advice(
            "either it is protected (not dumpable), or this container's seccomp filter refuses it"
                .to_owned(),
            IN_CONTAINER.to_owned(),
        ),
        _ if !access.security_modules.is_empty() => advice(
            format!(
                "it is of the same user and group, so a security module ({}) may refuse it",
                access.security_modules.join(", ")
            ),
            sudo,
        ),
        _ => advice(
            "it is of the same user, but may be protected (it changed its user, or asked not to be \
             dumped)"
                .to_owned(),
            sudo,
        ),
    }
}

/// That the kernel does not let us read a process, why, and what lets us.
fn refused(pid: i32, why: &str, remedy: String) -> Trouble {
    let cause = format!("can't read process {pid}{}: permission denied", called(pid));
    Trouble { cause, facts: Some(why.to_owned()), remedy }
}

/// Whether an executable is `PyPy`, or its library: `/usr/bin/pypy3.10`, `libpypy3.10-c.so`.
fn is_pypy(exe: &str) -> bool {
    let name = exe.rsplit('/').next().unwrap_or(exe);
    name.starts_with("pypy") || name.starts_with("libpypy")
}

/// The names of capabilities by bit, `include/uapi/linux/capability.h`.
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// The first few names of a set of capabilities.
fn capabilities(set: u64) -> String {
    const NAMED: usize = 3;
    let names: Vec<&str> = CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(bit, _)| set >> bit & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    let more = (set.count_ones() as usize).saturating_sub(NAMED);
    let words = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{words} and {more} more") } else { words }
}

#[cfg(test)]
mod tests {
    use aiospy::memory::{Address, Fault};

    use super::*;

    fn check(error: &Error, cause: &str, remedy: &str) {
        let advice = of(error);
        let said = advice.facts.as_ref().unwrap_or(&advice.cause);
        assert!(said.contains(cause), "{advice:?}");
        assert!(advice.remedy.contains(remedy), "{advice:?}");
        for line in [&advice.cause, said, &advice.remedy] {
            assert!(!line.contains('\n') && !line.ends_with('.'), "{advice:?}");
        }
    }

    #[test]
    fn each_error_has_a_cause_and_a_remedy() {
        let pid = 4711;
        let gone = Fault { at: Address(0x10), len: 8, errno: 3 };
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let unsupported = |version: &str, reason: &str| Error::UnsupportedVersion {
            pid,
            version: version.to_owned(),
            reason: reason.to_owned(),
        };
        let timed_out = Error::TimedOut { pid, limit: std::time::Duration::from_secs(10) };
        for (error, cause, remedy) in [
            (Error::NoSuchProcess { pid, namespace_match: None }, "no process 4711", "aiospy ps"),
            (Error::NoSuchProcess { pid, namespace_match: Some(9) }, "4711", "process 9"),
            (
                Error::NotPython { pid, exe: "/usr/sbin/nginx".into() },
                "process 4711 (nginx) is not a Python process",
                "aiospy ps",
            ),
            (Error::NotPython { pid, exe: "/opt/pypy3.10".into() }, "runs PyPy", "CPython"),
            (Error::NotPython { pid, exe: "/lib/libpypy3.9-c.so".into() }, "runs PyPy", "CPython"),
            (
                unsupported("3.7.16", "below 3.8"),
                "process 4711 runs CPython 3.7.16; tasks can be read from 3.8 on",
                "aiospy dump 4711, which shows the stacks of its threads",
            ),
            (unsupported("2.7", "below 3.8"), "2.7", "dump 4711"),
            (unsupported("3.16", "unknown"), "3.16", "newer aiospy"),
            (
                Error::RuntimeNotFound { pid, reason: "no cookie".into() },
                "no cookie",
                "doctor 4711",
            ),
            (Error::NotInitialized { pid, phase: "starting" }, "starting", "again in a moment"),
            (Error::NotInitialized { pid, phase: "ending" }, "ending", "earlier"),
            (Error::NoAsyncio { pid }, "not imported asyncio", "worker"),
            (Error::TargetGone { pid }, "process 4711 ended", "aiospy ps"),
            (timed_out, "process 4711 after 10.0 s", "--timeout 60s"),
            (
                Error::Memory { wanted: "x", fault: gone },
                "ended while it was being read",
                "aiospy ps",
            ),
            (
                Error::Memory {
                    wanted: "the first interpreter",
                    fault: Fault::unmapped(Address(16), 8),
                },
                "can't read the first interpreter: 8 bytes at 0x10: not mapped",
                "doctor",
            ),
            (
                Error::BadData { wanted: "tasks", at: Address(16), reason: "2^60 of them".into() },
                "2^60",
                "report",
            ),
            (Error::Proc { path: "/proc/1/maps".into(), source: denied() }, "/proc/1/maps", "sudo"),
            (Error::Proc { path: "/proc/1/maps".into(), source: missing() }, "not found", "/proc"),
        ] {
            check(&error, cause, remedy);
        }
    }

    #[test]
    fn permission_names_the_gate_that_is_shut() {
        let same = Access {
            our_uid: Some(1000),
            target_uid: Some(1000),
            has_ptrace_capability: Some(false),
            errno: Some(1),
            ..Access::default()
        };
        let capable = Access { has_ptrace_capability: Some(true), ..same.clone() };
        for (access, cause, remedy) in [
            (
                Access { target_uid: Some(0), ..same.clone() },
                "it runs as uid 0, aiospy as uid 1000 without CAP_SYS_PTRACE",
                "sudo",
            ),
            (
                Access { our_uid: Some(0), ..same.clone() },
                "lacks CAP_SYS_PTRACE",
                "--profile=general",
            ),
            (Access { yama_scope: Some(1), ..same.clone() }, "ptrace_scope is 1", "sysctl"),
            (Access { yama_scope: Some(2), ..same.clone() }, "ptrace_scope is 2", "sudo"),
            (Access { yama_scope: Some(3), ..capable.clone() }, "is 3", "reboot"),
            (Access { yama_scope: Some(0), ..same.clone() }, "protected", "SYS_PTRACE"),
            (
                Access { missing_capabilities: Some(1 << 10), ..same.clone() },
                "net_bind_service",
                "--cap-add=SYS_PTRACE",
            ),
            (
                Access { missing_capabilities: Some(0b11_1111), ..same.clone() },
                "chown, dac_override, dac_read_search and 3 more",
                "sudo",
            ),
            (
                Access { our_gid: Some(0), target_gid: Some(1000), ..same.clone() },
                "gid 1000, aiospy with gid 0",
                "1000:1000",
            ),
            (Access { is_dumpable: Some(false), ..same.clone() }, "asked not to be dumped", "sudo"),
            (Access { is_hidden: true, ..same.clone() }, "hidepid", "sudo"),
            (
                Access { security_modules: vec!["apparmor".to_owned()], ..same.clone() },
                "security module (apparmor)",
                "sudo",
            ),
            (Access { seccomp_filter: Some(true), ..capable.clone() }, "seccomp", "unconfined"),
            (Access { seccomp_filter: Some(false), ..capable.clone() }, "AppArmor", "apparmor"),
            (Access { same_user_namespace: Some(false), ..same.clone() }, "user namespace", "host"),
            (Access { errno: Some(ENOSYS), ..same.clone() }, "no process_vm_readv", "gVisor"),
            (Access { seccomp_filter: Some(true), ..same.clone() }, "seccomp", "--cap-add"),
            (Access::default(), "protected", "sudo"),
        ] {
            let error = Error::NotPermitted { pid: i32::MAX, access: Box::new(access) };
            check(&error, cause, remedy);
            assert_eq!(of(&error).cause, "can't read process 2147483647: permission denied");
        }
    }

    #[test]
    fn other_errors_are_told_whole() {
        let full = io::Error::from_raw_os_error(28);
        let advice = of_any(&anyhow::Error::from(full).context("can't write incident.md"));
        assert_eq!(advice.cause, "can't write incident.md: no space left on device");
        assert_eq!(advice.remedy, "-o with a file on another file system");
        let io = anyhow::Error::from(io::Error::from(io::ErrorKind::NotFound));
        let advice = of_any(&io.context("can't write x/y.txt"));
        assert!(advice.cause.starts_with("can't write x/y.txt: "), "{advice:?}");
        assert!(advice.remedy.contains("-o"), "{advice:?}");
        for (what, kind, remedy) in [
            ("can't start /nope", io::ErrorKind::NotFound, "on PATH"),
            ("can't start ./a.py", io::ErrorKind::PermissionDenied, "chmod"),
            ("can't read /nope", io::ErrorKind::NotFound, "a file that is there"),
            ("can't read a.aiospy", io::ErrorKind::PermissionDenied, "may read it"),
            ("can't write standard output", io::ErrorKind::StorageFull, "-o with a file"),
        ] {
            let advice = of_any(&anyhow::Error::from(io::Error::from(kind)).context(what));
            assert!(advice.cause.starts_with(what), "{advice:?}");
            assert!(advice.remedy.contains(remedy), "{advice:?}");
        }
        let unread = io::Error::new(io::ErrorKind::TimedOut, "nobody reads it");
        let advice = of_any(&serde_json::Error::io(unread).into());
        assert!(advice.remedy.contains("reader"), "{advice:?}");
        let advice = of_any(&Trouble::new("no python3 found", "--python").into());
        assert_eq!(
            (advice.cause.as_str(), advice.remedy.as_str()),
            ("no python3 found", "--python")
        );
    }
}
