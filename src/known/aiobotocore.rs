//! aiobotocore: the operations that it asks for.

use super::Origin;
use super::library::Library;
use super::work::{Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[],
    anywhere: &[],
    variables: &[],
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
};
