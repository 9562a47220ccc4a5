//! How a command ends that could be carried out.

use aiospy::snapshot::{Severity, Snapshot};
use clap::ValueEnum;

/// How a command ended that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// What was examined is not as it should be.
    Failed,
    /// There are findings as bad as those asked about.
    Findings,
    /// A program that was run ended with this code.
    Exit(u8),
}

impl Outcome {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Findings => 3,
            Self::Exit(code) => code,
        }
    }
}

/// From which severity on findings make a command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    // No doc comments here: clap would make a list of them in every help.
    Info,
    Warning,
    Critical,
    Never,
}

/// The help for it.
pub const FAIL_ON: &str = "Exit with 3 for a finding at least this severe";

impl FailOn {
    /// The least severity that fails, if one does.
    pub fn severity(self) -> Option<Severity> {
        match self {
            Self::Info => Some(Severity::Info),
            Self::Warning => Some(Severity::Warning),
            Self::Critical => Some(Severity::Critical),
            Self::Never => None,
        }
    }

    /// How a command ends whose worst finding is this.
    pub fn outcome(self, worst: Option<Severity>) -> Outcome {
        match self.severity() {
            Some(least) if worst >= Some(least) => Outcome::Findings,
            _ => Outcome::Done,
        }
    }

    /// How a command ends that has read this.
    pub fn outcome_of(self, snapshot: &Snapshot) -> Outcome {
        let open = snapshot.findings.iter().flatten().filter(|finding| !finding.is_allowed);
        self.outcome(open.map(|finding| finding.severity).max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::sample;

    #[test]
    fn findings_as_severe_as_asked_about_make_it_fail() {
        use FailOn::{Critical, Info, Never, Warning};
        let mut snapshot = sample::bank();
        for least in [Info, Warning, Critical] {
            assert_eq!(least.outcome_of(&snapshot), Outcome::Findings);
        }
        assert_eq!(Never.outcome_of(&snapshot), Outcome::Done);
        snapshot.findings.as_mut().unwrap().truncate(1);
        assert_eq!(Info.outcome_of(&snapshot), Outcome::Findings);
        assert_eq!(Warning.outcome_of(&snapshot), Outcome::Done);
        snapshot.findings.as_mut().unwrap()[0].is_allowed = true;
        assert_eq!(Info.outcome_of(&snapshot), Outcome::Done);
        for nothing in [Some(Vec::new()), None] {
            snapshot.findings = nothing;
            assert_eq!(Info.outcome_of(&snapshot), Outcome::Done);
        }
    }
}
