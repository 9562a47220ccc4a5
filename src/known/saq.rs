//! SAQ: the jobs that its workers run.

use super::library::Library;
use super::work::{Clock, Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    work: &[
        Row {
            at: &[("saq/worker.py", "process")],
            kind: WorkKind::Job,
            of: "job",
            facts: &[
                (Fact::Name, ".function"),
                (Fact::Id, ".key"),
                (Fact::Began(Clock::EpochMillis), ".started"),
            ],
        },
    ],
    ..Library::PACKAGE
};
