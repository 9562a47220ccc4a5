//! aiokafka: to which topic it sends.

use super::library::Library;
use super::work::{Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    work: &[
        Row {
            at: &[
                ("aiokafka/producer/producer.py", "send"),
                ("aiokafka/producer/producer.py", "send_and_wait"),
            ],
            kind: WorkKind::Query,
            of: "self",
            facts: &[
                (Fact::Name, "topic"),
            ],
        },
    ],
    ..Library::PACKAGE
};
