//! The command as it is run: usage, exit codes, errors in two lines, pipes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Above the kernel's largest process id (2^22).
const NO_PID: &str = "2147483647";

fn aiospy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aiospy"));
    command.args(arguments).env_remove("CLICOLOR_FORCE").env("NO_COLOR", "1");
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = aiospy(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_wrong() {
    for arguments in [
        &[][..],
        &["notapid"],
        &["dump"],
        &["dump", "0"],
        &["dump", "--", "-1"],
        &["dump", "python"],
        &["dump", "1", "--pid", "1"],
        &["dump", "1", "--json", "--flat"],
        &["dump", "1", "--color", "sometimes"],
        &["dump", "1", "--width", "5"],
        &["dump", "1", "--looks", "3"],
        &["dump", "1", "--fail-on", "sometimes"],
        &["dump", "1", "--image", "x"],
        &["dump", "1", "--mask"],
        &["dump", "--image", "x", "--save-image", "y"],
        &["explain", "deadlock", "--image", "x"],
        &["dump", "1", "--name", "x"],
        &["dump", "1", "--all"],
        &["dump", "-p", "1", "--all"],
        &["dump", "--image", "x", "--name", "y"],
        &["dump", "--image", "x", "-s"],
        &["dump", "-s"],
        &["dump", "--name", "("],
        &["check"],
        &["check", "-s"],
        &["check", "1", "--all"],
        &["check", "1", "x.json"],
        &["check", "x.json", "y.json"],
        &["check", "x.json", "-s"],
        &["check", "--name", "["],
        &["watch"],
        &["watch", "-s"],
        &["watch", "1", "--name", "x"],
        &["report"],
        &["report", "1", "2"],
        &["report", "1", "--image", "x"],
        &["ps", "1"],
        &["ps", "--name", "("],
        &["check", "1", "--flat"],
        &["check", "1", "-p", "1"],
        &["explain", "nonsense"],
        &["explain", "deadlock", "lock-convoy"],
        &["doctor"],
        &["demo", "nonsense"],
        &["demo", "--list", "--keep"],
        &["top", "0"],
        &["top", "1", "--", "python"],
        &["top", "1", "--rate", "0"],
        &["frobnicate"],
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        if !arguments.is_empty() {
            assert!(stderr.starts_with("aiospy: "), "{arguments:?}: {stderr}");
            let remedy = stderr.lines().last().unwrap();
            assert!(remedy.starts_with("  try: aiospy "), "{arguments:?}: {stderr}");
            assert!(stderr.lines().count() <= 3, "{arguments:?}: {stderr}");
        }
        assert!(stdout.is_empty() && !stderr.is_empty(), "{arguments:?}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn missing_process_is_one_line_of_cause_and_one_of_remedy() {
    for arguments in [
        &["dump", NO_PID][..],
        &["dump", "-p", "0x7fffffff"],
        &["dump", NO_PID, "--json"],
        &["dump", NO_PID, "-v"],
        &["dump", NO_PID, "--fail-on", "info"],
        &["check", NO_PID],
        &["check", NO_PID, "--json"],
        &["check", "-p", NO_PID, "--fail-on", "never"],
        &["check", "-s", NO_PID],
        &["check", NO_PID, "2147483646"],
        &["dump", "-s", NO_PID, "--json"],
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{arguments:?}");
        let lines: Vec<&str> = stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{stderr}");
        assert_eq!(lines[0], format!("aiospy: no process {NO_PID}"));
        assert_eq!(lines[1], "  try: aiospy ps");
    }
}

#[test]
fn a_name_that_nobody_has_is_said_with_a_remedy() {
    for command in ["dump", "check", "watch"] {
        for more in [&[][..], &["-s"], &["--all"]] {
            let arguments = [&[command, "--name", "no-such-python"][..], more].concat();
            let (code, stdout, stderr) = run(&arguments);
            assert_eq!((code, stdout.as_str()), (Some(1), ""), "{arguments:?}");
            let said = "aiospy: no Python process matches \"no-such-python\"\n  try: aiospy ps, \
                which lists those here\n";
            assert_eq!(stderr, said);
        }
    }
    let (code, stdout, stderr) = run(&["ps", "--name", "no-such-python"]);
    let none = "no Python process here that can be seen\n";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), none, ""));
    let (code, stdout, _) = run(&["ps", "--name", "no-such-python", "--json"]);
    assert_eq!(code, Some(0));
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&document["schema"], &document["processes"]),
        (&"aiospy.ps/1".into(), &serde_json::json!([]))
    );
}

#[test]
fn a_file_that_is_judged_stands_for_itself() {
    let (code, stdout, stderr) = run(&["check", "x.json", "1"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.starts_with("aiospy: a file is judged by itself"), "{stderr}");
}

#[test]
fn output_file_is_left_alone_when_there_is_nothing_to_write() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"yesterday's report").unwrap();
    let (code, ..) = run(&["dump", NO_PID, "-o", file.path().to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "yesterday's report");
}

#[test]
fn doctor_fails_with_the_step_and_its_remedy() {
    let (code, stdout, stderr) = run(&["doctor", NO_PID]);
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    assert!(stdout.contains("FAIL"), "{stdout}");
    assert!(stdout.contains("try: "), "{stdout}");

    let (code, stdout, _) = run(&["doctor", NO_PID, "--json"]);
    assert_eq!(code, Some(1));
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["schema"], "aiospy.doctor/1");
    assert_eq!(document["ok"], false);
    assert!(document["steps"].as_array().unwrap().last().unwrap()["remedy"].is_string());
}

#[test]
fn help_names_the_commands_and_goes_to_standard_output() {
    let (code, stdout, stderr) = run(&["--help"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for word in ["dump", "check", "explain", "doctor", "demo", "Exit codes"] {
        assert!(stdout.contains(word), "{stdout}");
    }
    let report = ["--pid", "--json", "--looks", "--fail-on", "--output", "--color", "--width"];
    let several = ["--name", "--all", "--subprocesses"];
    let report = [&report[..], &several].concat();
    let dump = ["--flat", "--finished", "--locals", "--threads", "--no-source"];
    for (command, options) in [("dump", [&report[..], &dump].concat()), ("check", report.clone())] {
        let (code, stdout, _) = run(&[command, "--help"]);
        assert_eq!(code, Some(0));
        for option in options {
            assert!(stdout.contains(option), "{option} is missing in {stdout}");
        }
    }
    let (code, stdout, _) = run(&["--version"]);
    assert_eq!(code, Some(0));
    assert_eq!(stdout, format!("aiospy {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn verbose_version_says_what_it_is_built_from() {
    for arguments in [&["--version", "--verbose"][..], &["--verbose", "--version"], &["-vV"]] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}");
        let (first, rest) = stdout.split_once('\n').unwrap();
        assert_eq!(first, format!("aiospy {}", env!("CARGO_PKG_VERSION")));
        let told: Vec<(&str, &str)> =
            rest.lines().map(|line| line.split_once(": ").unwrap()).collect();
        let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["commit", "target", "features", "reads"]);
        assert!(told[1].1.starts_with(std::env::consts::ARCH), "{stdout}");
        assert_eq!(told[3].1, aiospy::layout::supported());
    }
    // Elsewhere `-v` has nothing to do with it.
    assert_eq!(run(&["-V"]).1.lines().count(), 1);
    assert_eq!(run(&["dump", "-v", "--version"]).0, Some(2));
}

#[test]
fn completions_and_man_pages_know_every_command() {
    let (_, help, _) = run(&["--help"]);
    let commands = help.split_once("Commands:\n").unwrap().1.lines();
    let commands: Vec<&str> = commands
        .map_while(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, stdout, stderr) = run(&["completions", shell]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{shell}");
        for command in &commands {
            assert!(stdout.contains(command), "{command} is missing for {shell}");
        }
        assert!(stdout.contains("save-image"), "{shell}");
    }
    assert_eq!(run(&["completions", "tcsh"]).0, Some(2));

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(run(&["man", folder.to_str().unwrap()]), (Some(0), String::new(), String::new()));
    for command in commands.iter().filter(|command| **command != "help") {
        let page = std::fs::read_to_string(folder.join(format!("aiospy-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    let (code, _, stderr) = run(&["man", folder.join("nowhere").to_str().unwrap()]);
    assert_eq!((code, stderr.lines().count()), (Some(1), 2), "{stderr}");
}

#[test]
fn schema_is_the_published_one() {
    let (code, stdout, stderr) = run(&["schema"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(stdout, include_str!("../schema.json"));
}

/// All codes, as the library has them.
fn codes() -> impl Iterator<Item = &'static str> {
    aiospy::snapshot::Code::ALL.iter().map(|code| code.as_str())
}

#[test]
fn explain_lists_all_codes_with_their_severity() {
    let (code, stdout, stderr) = run(&["explain"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let listed: Vec<Vec<&str>> = stdout
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        listed.iter().map(|words| words[0]).collect::<Vec<_>>(),
        codes().collect::<Vec<_>>()
    );
    for words in listed {
        assert!(["critical", "warning", "info"].contains(&words[1]), "{words:?}");
    }
    assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{stdout}");
}

#[test]
fn explain_tells_what_a_code_means_within_80_columns() {
    for name in codes() {
        let (code, stdout, stderr) = run(&["explain", name]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{name}");
        assert!(stdout.starts_with(&format!("{name}: ")), "{stdout}");
        assert!(stdout.contains("\nWhat to do\n"), "{stdout}");
        assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{stdout}");
        assert!(!stdout.contains('\x1b'), "{stdout}");
    }
    let (_, stdout, _) = run(&["explain", "deadlock", "--color", "always"]);
    assert!(stdout.contains("\x1b[1mWhat to do\x1b[0m\n"), "{stdout}");
}

#[test]
fn explain_of_a_mistyped_code_proposes_the_nearest_one() {
    for (typed, meant) in [
        ("deadlok", "deadlock"),
        ("loop_blocked", "loop-blocked"),
        ("cancel-swalowed", "cancel-swallowed"),
    ] {
        let (code, stdout, stderr) = run(&["explain", typed]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        let tip = stderr.lines().find(|line| line.contains("similar")).unwrap();
        assert!(tip.contains(&format!("'{meant}'")), "{stderr}");
    }
}

#[test]
fn demo_lists_its_programs() {
    let (code, stdout, _) = run(&["demo", "--list"]);
    assert_eq!(code, Some(0));
    for name in ["service", "blocked", "cancel", "lock", "crowd"] {
        assert!(stdout.lines().any(|line| line.starts_with(name)), "{stdout}");
    }
}

#[test]
fn demo_says_what_is_wrong_with_the_python() {
    for (python, cause) in [
        ("/nonexistent/python3", "can't start /nonexistent/python3"),
        ("/bin/true", "the sample program ended early (exit status: 0)"),
        ("/bin/false", "the sample program ended early (exit status: 1)"),
    ] {
        let (code, stdout, stderr) = run(&["demo", "--python", python]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.starts_with(&format!("aiospy: {cause}")), "{stderr}");
        assert_eq!(stderr.lines().count(), 2, "{stderr}");
        assert!(stderr.contains("\n  try: --python"), "{stderr}");
    }
}

#[test]
fn interrupted_demo_leaves_nothing_behind() {
    const SIGTERM: i32 = 15;
    let folder = tempfile::tempdir().unwrap();
    // A program that never says that it is ready.
    let mut child = aiospy(&["demo", "--python", "/usr/bin/yes"])
        .env("TMPDIR", folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    let main_thread = format!("/proc/{pid}/task/{pid}/status");
    // From when on it minds signals; while a process is started, all are blocked for a moment.
    let minds = |status: &str| {
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
        let blocked = u64::from_str_radix(blocked, 16).unwrap();
        blocked >> (SIGTERM - 1) & 1 == 1 && blocked.count_ones() <= 3
    };
    while !minds(&std::fs::read_to_string(&main_thread).unwrap()) {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::yield_now();
    }
    let program = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let kill = Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().signal(), Some(SIGTERM));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let stat = format!("/proc/{}/stat", program.trim());
    let until = Instant::now() + Duration::from_secs(10);
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < until, "the program goes on");
        std::thread::yield_now();
    }
}

#[test]
fn broken_pipe_is_quiet() {
    let mut child =
        aiospy(&["demo", "--list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_full_disk_is_said_with_the_name_of_the_file() {
    let full = || std::fs::File::create("/dev/full").unwrap();
    let output = aiospy(&["explain"]).stdout(full()).stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.starts_with("aiospy: can't write standard output: no space left on device\n"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_is_no_recording_is_said_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    std::fs::write(&file, "{\"loops\": []}").unwrap();
    let file = file.to_str().unwrap();
    let missing = folder.path().join("missing");
    for (arguments, cause, remedy) in [
        (
            &["export", file, "-f", "svg", "-o", "-"][..],
            "a.json is not an aiospy recording",
            "aiospy record",
        ),
        (
            &["export", missing.to_str().unwrap(), "-f", "svg", "-o", "-"],
            "can't access",
            "a file that is there",
        ),
        (&["diff", file], "is no recording with a beginning", "aiospy diff A B"),
        (&["diff", file, file], "a.json is not an aiospy recording or dump", "aiospy dump --json"),
    ] {
        let output = aiospy(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = stderr.lines().collect();
        assert_eq!((output.status.code(), lines.len()), (Some(1), 2), "{stderr}");
        assert!(lines[0].starts_with("aiospy: ") && lines[0].contains(cause), "{stderr}");
        assert!(lines[1].starts_with("  try: ") && lines[1].contains(remedy), "{stderr}");
    }
}

#[test]
fn memory_that_runs_out_ends_the_tool_and_not_what_it_starts() {
    let ours = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let script = "cat /proc/self/oom_score_adj /proc/$PPID/oom_score_adj";
    // Only while the program starts it is as that.
    let script = format!("sleep 0.2; {script}");
    let (code, stdout, stderr) = run(&["run", "--", "sh", "-c", &script]);
    assert_eq!((code, stdout), (Some(0), format!("{ours}1000\n")), "{stderr}");
}

/// An image of a program with a deadlock; see `tests/images.rs`.
fn image() -> String {
    format!("{}/tests/images/3.12/deadlock.image", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn an_image_is_read_like_a_process() {
    let (code, report, stderr) = run(&["dump", "--image", &image()]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let verdict = "!! 2 tasks are deadlocked: first and second hold what the other wants";
    let (first, last) = (report.lines().next(), report.lines().last());
    assert_eq!((first, last), (Some(verdict), Some(verdict)), "{report}");
    // Its source lines were saved, too.
    assert!(report.contains("deadlock.py:11 transfer  async with "), "{report}");
    assert!(!run(&["dump", "--no-source", "--image", &image()]).1.contains("  async with "));
    let (_, tree, _) = run(&["dump", "--tree=full", "--image", &image()]);
    assert!(tree.contains("│ async with ") && tree.contains("asyncio/locks.py"), "{tree}");
    let (_, all, _) = run(&["dump", "--all-findings", "--image", &image()]);
    assert!(all.contains("!! critical [deadlock]") && all.contains("   advice: "), "{all}");
    let (code, findings, _) = run(&["check", "--image", &image()]);
    assert_eq!(code, Some(3));
    assert!(findings.starts_with("critical: 2 tasks are deadlocked: "), "{findings}");
    let (code, text, _) = run(&["explain", "--image", &image()]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("deadlock: "), "{text}");
}

#[test]
fn an_incident_is_reported_from_what_was_saved() {
    let (code, report, stderr) = run(&["report", "--image", &image()]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let title = "# 2 tasks are deadlocked: first and second hold what the other wants\n\n";
    assert!(report.starts_with(&format!("{title}**critical** · ")), "{report}");
    assert!(
        report.contains("- **where**: `deadlock.py:11` in `transfer`: `async with "),
        "{report}"
    );
    assert!(report.contains("<details><summary>Tree</summary>\n\n```text\n"), "{report}");
    // It is not there to be read again.
    assert!(!report.contains("To sample again"), "{report}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hung.json").to_str().unwrap().to_owned();
    std::fs::write(&file, run(&["dump", "--json", "--image", &image()]).1).unwrap();
    let (code, of_file, _) = run(&["report", &file]);
    let (_, without_source, _) = run(&["report", "--no-source", "--image", &image()]);
    let facts =
        |report: &str| report.lines().skip(4).take(8).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((code, facts(&of_file)), (Some(0), facts(&without_source)));
    let (_, slack, _) = run(&["report", "--slack", &file]);
    assert!(slack.starts_with("*critical*: 2 tasks") && slack.lines().count() <= 12, "{slack}");
}

#[test]
fn what_is_known_and_allowed_fails_nothing() {
    let check = |more: &[&str]| run(&[&["check", "--image", &image()], more].concat());
    let title = "2 tasks are deadlocked: first and second hold what the other wants";
    let allowed = format!(
        "allowed: {title} [deadlock]\nallowed: nothing is wrong but 1 finding that is allowed (3 \
         tasks, 1 loop)\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let mutes = folder.path().join("mutes.txt").to_str().unwrap().to_owned();
    std::fs::write(&mutes, "# known\nlock-convoy\ndeadlock  deadlock.py:*  # see the board\n")
        .unwrap();
    for arguments in [
        &["--allow", "deadlock"][..],
        &["--allow", "lock-convoy", "--allow", "deadlock:deadlock.py:11"],
        &["--allow", "deadlock/deadlock.py:*"],
        &["--mutes", &mutes],
    ] {
        let (code, stdout, stderr) = check(arguments);
        assert_eq!(
            (code, stdout, stderr.as_str()),
            (Some(0), allowed.clone(), ""),
            "{arguments:?}"
        );
    }
    let (code, stdout, stderr) = check(&["-v", "--allow", "deadlock:other.py"]);
    assert!(code == Some(3) && stdout.starts_with("critical: 2 tasks"), "{stdout}");
    assert_eq!(stderr, "note: nothing was found that deadlock:other.py allows\n");
    let (code, stdout, _) = check(&["--json", "--allow", "deadlock"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &document["findings"][0]["allowed"]), (Some(0), &true.into()));
    assert_eq!(document["verdict"]["exit_code"], 0);
    std::fs::write(&mutes, "deadlok\n").unwrap();
    for arguments in [&["--allow", "deadlok"][..], &["--mutes", &mutes]] {
        let (code, stdout, stderr) = check(arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains("the nearest is deadlock"), "{stderr}");
    }
}

#[test]
fn a_piped_report_is_as_wide_as_columns_says() {
    let widest = |columns: &str| {
        let mut command = aiospy(&["dump", "--image", &image()]);
        let output = command.env("COLUMNS", columns).output().unwrap();
        let report = String::from_utf8(output.stdout).unwrap();
        report.lines().map(|line| line.chars().count()).max().unwrap()
    };
    assert!((40..=60).contains(&widest("60")), "{}", widest("60"));
    assert_eq!((widest("39"), widest("none")), (widest("120"), widest("120")));
    assert!((100..=120).contains(&widest("120")), "{}", widest("120"));
}

#[test]
fn a_dump_that_was_saved_is_judged_by_the_findings_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hung.json").to_str().unwrap().to_owned();
    let (_, dump, _) = run(&["dump", "--json", "--image", &image()]);
    std::fs::write(&file, &dump).unwrap();
    let of_image = run(&["check", "--image", &image()]);
    assert_eq!(of_image.0, Some(3));
    assert_eq!(run(&["check", &file]), of_image);
    // Their document, and standard input.
    let (code, findings, _) = run(&["check", "--json=full", &file]);
    assert_eq!(code, Some(3));
    let mut child = aiospy(&["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(findings.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    // How many tasks there were it does not know.
    let judged = String::from_utf8(output.stdout).unwrap();
    assert_eq!(judged, of_image.1.replace(" (3 tasks, 1 loop)", ""));
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(run(&["check", "--fail-on", "never", &file]).0, Some(0));
    // Findings alone do not say how many tasks there were.
    let mut brief: serde_json::Value = serde_json::from_str(&findings).unwrap();
    brief["findings"] = serde_json::json!([]);
    brief["verdict"] = "ok".into();
    std::fs::write(&file, brief.to_string()).unwrap();
    assert_eq!(run(&["check", &file]), (Some(0), "ok: no findings\n".to_owned(), String::new()));
    // No waiting decides what it left undecided.
    brief["verdict"] = "undecided".into();
    brief["undecided"] =
        serde_json::json!([{ "reason": "too-soon", "title": "1 task waits", "seen_ms": 203.0 }]);
    std::fs::write(&file, brief.to_string()).unwrap();
    assert_eq!(
        run(&["check", &file]).1,
        "undecided: 1 task waits, seen for 203 ms: too soon to say\n"
    );
    // Nothing is found in it that it does not say itself.
    let mut document: serde_json::Value = serde_json::from_str(&dump).unwrap();
    document["findings"] = serde_json::json!([]);
    document.as_object_mut().unwrap().remove("verdict");
    std::fs::write(&file, document.to_string()).unwrap();
    let (code, stdout, _) = run(&["check", &file]);
    assert!(code == Some(0) && stdout.starts_with("undecided: "), "{stdout}");
    assert!(stdout.contains("has no verdict that this version knows"), "{stdout}");
    document.as_object_mut().unwrap().remove("findings");
    std::fs::write(&file, document.to_string()).unwrap();
    document["schema"] = "aiospy.dump/2".into();
    let newer = folder.path().join("newer.json").to_str().unwrap().to_owned();
    std::fs::write(&newer, document.to_string()).unwrap();
    let other = folder.path().join("other.json").to_str().unwrap().to_owned();
    std::fs::write(&other, "[]").unwrap();
    for (file, cause, remedy) in [
        (&file, "does not say whether anything was found", "aiospy check PID"),
        (&newer, "it has the shape `aiospy.dump/2`", "the aiospy that wrote it"),
        (&other, "is not an aiospy dump", "aiospy dump --json"),
    ] {
        let (code, stdout, stderr) = run(&["check", file]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        let lines: Vec<&str> = stderr.lines().collect();
        assert!(lines[0].starts_with("aiospy: ") && lines[0].contains(cause), "{stderr}");
        assert!(lines[1].starts_with("  try: ") && lines[1].contains(remedy), "{stderr}");
    }
}

#[test]
fn frames_in_c_are_not_in_images() {
    for arguments in
        [&["dump", "-n", "--image", "x"][..], &["dump", "-n", "1", "--save-image", "y"]]
    {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains("frames in C are read of a process only"), "{stderr}");
    }
}

#[test]
fn what_is_no_image_is_said_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let sound = std::fs::read(image()).unwrap();
    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 1;
    std::fs::write(path("cut"), &sound[..sound.len() / 2]).unwrap();
    std::fs::write(path("flipped"), flipped).unwrap();
    std::fs::write(path("other"), "{}").unwrap();
    for (name, cause, remedy) in [
        ("missing", "can't read ", "a file that is there"),
        ("other", "not an image of a process", "aiospy dump PID --save-image FILE"),
        ("cut", "a damaged image: ", "another copy"),
        ("flipped", "a damaged image: ", "another copy"),
    ] {
        for command in ["dump", "check", "explain"] {
            let (code, stdout, stderr) = run(&[command, "--image", &path(name)]);
            let lines: Vec<&str> = stderr.lines().collect();
            assert_eq!((code, stdout.as_str(), lines.len()), (Some(1), "", 2), "{name}: {stderr}");
            assert!(lines[0].starts_with("aiospy: ") && lines[0].contains(cause), "{stderr}");
            assert!(lines[1].starts_with("  try: ") && lines[1].contains(remedy), "{stderr}");
        }
    }
}
