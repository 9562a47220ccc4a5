//! aiobotocore: the operations that it asks for.

use super::library::Library;
use super::work::{Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    work: &[
        Row {
            at: &[("aiobotocore/client.py", "_make_api_call")],
            kind: WorkKind::Call,
            of: "self._endpoint",
            facts: &[
                (Fact::Name, "operation_name"),
                (Fact::Peer, ".host"),
            ],
        },
    ],
    ..Library::PACKAGE
};
