//! arq: the jobs that its workers run.

use super::library::Library;
use super::work::{Clock, Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    work: &[
        Row {
            at: &[("arq/worker.py", "run_job")],
            kind: WorkKind::Job,
            of: "job_id",
            facts: &[
                (Fact::Name, "function_name"),
                (Fact::Id, "job_id"),
                (Fact::Began(Clock::EpochMillis), "start_ms"),
            ],
        },
    ],
    ..Library::PACKAGE
};
