//! Procrastinate: the jobs that its workers run.

use super::library::Library;
use super::work::{Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    work: &[
        Row {
            at: &[
                ("procrastinate/worker.py", "_process_job"),
                ("procrastinate/worker.py", "process_job"),
            ],
            kind: WorkKind::Job,
            of: "context.job",
            facts: &[
                (Fact::Name, ".task_name"),
                (Fact::Id, ".id"),
            ],
        },
    ],
    ..Library::PACKAGE
};
