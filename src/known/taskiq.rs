//! taskiq: the tasks that its workers run.

use super::library::Library;
use super::work::{Clock, Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    work: &[
        Row {
            at: &[("taskiq/receiver/receiver.py", "run_task")],
            kind: WorkKind::Job,
            of: "message",
            facts: &[
                (Fact::Name, ".task_name"),
                (Fact::Id, ".task_id"),
                (Fact::Began(Clock::Epoch), "start_time"),
            ],
        },
    ],
    ..Library::PACKAGE
};
