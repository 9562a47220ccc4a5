//! The processes that a command is about: by their ids, by their command lines, all there are, with
//! those below them.

use aiospy::Error;
use aiospy::process::{Listed, Target, pythons};
use aiospy::watch::several::with_those_below;
use clap::Args;
use regex_lite::Regex;

use crate::commands::options::pid;
use crate::commands::remedy;
use crate::io::output::note;
use crate::io::trouble::Trouble;

/// How processes are chosen but by their ids, and which of those below them count.
#[derive(Debug, Clone, Args)]
pub struct Choice {
    /// The Python process whose command line matches the regular expression PATTERN; its own children don't count
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    name: Option<Regex>,
    /// All Python processes; with --name, all that match
    #[arg(long = "all")]
    is_all: bool,
    /// Its Python child processes too, all at once and as one
    #[arg(short = 's', long = "subprocesses")]
    has_subprocesses: bool,
}

/// The processes that a command is about.
#[derive(Debug, Args)]
pub struct Targets {
    /// Process ids
    #[arg(value_name = "PID", value_parser = pid, required_unless_present_any = ["pid_flag", "name", "is_all"], conflicts_with_all = ["name", "is_all"])]
    pid: Vec<i32>,
    /// The process id as an option
    #[arg(short, long = "pid", id = "pid_flag", value_name = "PID", value_parser = pid, conflicts_with_all = ["pid", "name", "is_all"])]
    pid_flag: Vec<i32>,
    #[command(flatten)]
    choice: Choice,
}

impl Targets {
    /// The processes.
    ///
    /// # Errors
    /// When none matches, or more than the one that is wanted.
    pub fn choose(&self, command: &str) -> anyhow::Result<Chosen> {
        self.choice.choose(&[&self.pid[..], &self.pid_flag].concat(), command)
    }
}

/// A regular expression.
///
/// # Errors
/// When it is none.
pub fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("not a regular expression: {error}"))
}

/// Whether the command line of a process matches, if it is to match something.
pub fn is_named(process: &Listed, name: Option<&Regex>) -> bool {
    name.is_none_or(|name| name.is_match(&process.cmdline.join(" ")))
}

/// What a command is about.
#[derive(Debug, PartialEq, Eq)]
pub enum Chosen {
    /// One process, by itself.
    One(i32),
    /// Several, or one with those below it.
    Several(Several),
}

/// Several processes that are judged as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Several {
    /// Those that were chosen.
    pub named: Vec<i32>,
    /// Whether they were chosen one by one: then each of them has to be there.
    pub is_by_id: bool,
    /// Whether those below them count, too.
    pub has_subprocesses: bool,
}

impl Several {
    /// All processes that are read; some of those below may run no Python.
    pub fn pids(&self) -> Vec<i32> {
        if self.has_subprocesses { with_those_below(&self.named) } else { self.named.clone() }
    }

    /// The one that the others are below, if they were chosen so.
    pub fn root(&self) -> Option<i32> {
        match self.named[..] {
            [root] if self.has_subprocesses => Some(root),
            _ => None,
        }
    }

    /// Whether a process has to be there.
    pub fn is_asked_for(&self, pid: i32) -> bool {
        self.is_by_id && self.named.contains(&pid)
    }
}

impl Choice {
    /// Whether those below count, too.
    pub fn has_subprocesses(&self) -> bool {
        self.has_subprocesses
    }

    /// Whether processes are chosen by it.
    pub fn is_made(&self) -> bool {
        self.name.is_some() || self.is_all
    }

    /// The processes that `command` is about, given those chosen by their ids.
    ///
    /// # Errors
    /// When none matches, or more than the one that is wanted.
    pub fn choose(&self, pids: &[i32], command: &str) -> anyhow::Result<Chosen> {
        let by_name =
            |named| Several { named, is_by_id: false, has_subprocesses: self.has_subprocesses };
        if !self.is_made() {
            let mut named: Vec<i32> = Vec::new();
            for &pid in pids {
                // One is found by its id as it is attached to.
                let pid = if pids.len() > 1 || self.has_subprocesses { here(pid) } else { pid };
                if !named.contains(&pid) {
                    named.push(pid);
                }
            }
            return Ok(match named[..] {
                [pid] if !self.has_subprocesses => Chosen::One(pid),
                _ => Chosen::Several(Several { is_by_id: true, ..by_name(named) }),
            });
        }
        let all = pythons();
        let found = self.matching(&all);
        let pids: Vec<i32> = found.iter().map(|it| it.pid).collect();
        match (&pids[..], self.is_all) {
            ([], _) => Err(self.nothing().into()),
            ([pid], false) if !self.has_subprocesses => Ok(Chosen::One(*pid)),
            ([pid], false) => Ok(Chosen::Several(by_name(vec![*pid]))),
            (_, true) => Ok(Chosen::Several(by_name(pids))),
            (_, false) => Err(self.too_many(&found, command).into()),
        }
    }

    /// Those that match; without --all only the topmost of each tree.
    fn matching<'p>(&self, all: &'p [Listed]) -> Vec<&'p Listed> {
        let found: Vec<&Listed> =
            all.iter().filter(|it| is_named(it, self.name.as_ref())).collect();
        if self.is_all {
            return found;
        }
        let parent = |pid: i32| all.iter().find(|it| it.pid == pid).map(|it| it.parent);
        let is_below_another = |it: &Listed| {
            let above = std::iter::successors(Some(it.parent), |pid| parent(*pid));
            above.take(all.len()).any(|pid| found.iter().any(|other| other.pid == pid))
        };
        found.iter().copied().filter(|it| !is_below_another(it)).collect()
    }

    fn nothing(&self) -> Trouble {
        let cause = match &self.name {
            Some(name) => format!("no Python process matches {:?}", name.as_str()),
            None => "no Python process here that can be seen".to_owned(),
        };
        Trouble::new(cause, "aiospy ps, which lists those here")
    }

    fn too_many(&self, found: &[&Listed], command: &str) -> Trouble {
        /// How many are named.
        const NAMED: usize = 8;
        let name = self.name.as_ref().map(Regex::as_str).unwrap_or_default();
        let mut pids: Vec<String> = found.iter().take(NAMED).map(|it| it.pid.to_string()).collect();
        if let Some(more) = found.len().checked_sub(NAMED).filter(|more| *more > 0) {
            pids.push(format!("{more} more"));
        }
        let cause = format!("{} processes match {name:?}: {}", found.len(), pids.join(", "));
        let first = found.first().map(|it| it.pid).unwrap_or_default();
        let all = if found.len() == 2 { "both" } else { "all of them" };
        Trouble::new(cause, format!("aiospy {command} {first}, or --all for {all}"))
    }
}

/// The process that is meant by an id here, or in a pid namespace below ours.
fn here(pid: i32) -> i32 {
    match Target::open(pid) {
        Err(Error::NoSuchProcess { namespace_match: Some(host), .. }) => {
            note(remedy::other_namespace(pid, host));
            host
        }
        // Of the id of a thread, its process.
        Ok(target) => target.pid(),
        Err(_) => pid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::options::typed;

    fn listed(pid: i32, parent: i32, command: &str) -> Listed {
        Listed { pid, parent, cmdline: command.split(' ').map(str::to_owned).collect() }
    }

    #[test]
    fn a_tree_counts_as_its_topmost_process() {
        let all = [
            listed(10, 1, "python gunicorn shop:app"),
            listed(11, 10, "python gunicorn shop:app"),
            listed(12, 11, "python -c helper"),
            listed(13, 12, "python gunicorn shop:app"),
            listed(20, 1, "python worker.py"),
            listed(30, 31, "python circle.py"),
            listed(31, 30, "python circle.py"),
        ];
        let found = |line: &str| {
            let choice: Choice = typed(line).unwrap();
            choice.matching(&all).iter().map(|it| it.pid).collect::<Vec<_>>()
        };
        assert_eq!(found("--name gunicorn"), [10]);
        assert_eq!(found("--name gunicorn --all"), [10, 11, 13]);
        assert_eq!(found("--name helper|worker"), [12, 20]);
        assert!(found("--name nothing").is_empty());
        assert_eq!(found("--all").len(), all.len());
        // Ids that were given away meanwhile.
        assert!(found("--name circle").is_empty());
        assert_eq!(typed::<Choice>("--name (").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn one_process_is_read_by_itself_and_several_are_judged_as_one() {
        let chosen =
            |line: &str, pids: &[i32]| typed::<Choice>(line).unwrap().choose(pids, "dump").unwrap();
        let several = |named: &[i32], has_subprocesses| {
            Chosen::Several(Several { named: named.to_vec(), is_by_id: true, has_subprocesses })
        };
        let none = i32::MAX;
        assert_eq!(chosen("", &[none]), Chosen::One(none));
        assert_eq!(chosen("", &[none, none]), Chosen::One(none));
        assert_eq!(chosen("-s", &[none]), several(&[none], true));
        assert_eq!(chosen("", &[none, none - 1]), several(&[none, none - 1], false));
        let error = typed::<Choice>("--name no-process-is-called-so").unwrap().choose(&[], "dump");
        let error = error.unwrap_err().to_string();
        assert_eq!(error, "no Python process matches \"no-process-is-called-so\"");
    }

    #[test]
    fn several_that_match_are_named() {
        let choice: Choice = typed("--name shop").unwrap();
        let all: Vec<Listed> = (1..=10).map(|pid| listed(pid, 99, "python shop")).collect();
        let found: Vec<&Listed> = all.iter().collect();
        let Trouble { cause, remedy, .. } = choice.too_many(&found, "check");
        assert_eq!(cause, "10 processes match \"shop\": 1, 2, 3, 4, 5, 6, 7, 8, 2 more");
        assert_eq!(remedy, "aiospy check 1, or --all for all of them");
        let Trouble { cause, remedy, .. } = choice.too_many(&found[..2], "dump");
        assert_eq!(cause, "2 processes match \"shop\": 1, 2");
        assert_eq!(remedy, "aiospy dump 1, or --all for both");
    }
}
