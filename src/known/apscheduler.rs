//! `APScheduler`: the jobs that it runs.

use super::library::Library;
use super::work::{Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    work: &[
        Row {
            at: &[
                ("apscheduler/executors/base.py", "run_coroutine_job"),
                ("apscheduler/executors/base_py3.py", "run_coroutine_job"),
            ],
            kind: WorkKind::Job,
            of: "job",
            facts: &[
                (Fact::Name, ".name"),
                (Fact::Id, ".id"),
            ],
        },
    ],
    ..Library::PACKAGE
};
