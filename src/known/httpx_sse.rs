//! httpx-sse: who waits for events of a server.

use super::library::Library;
use super::purpose::Purpose;

pub(super) const LIBRARY: Library = Library {
    functions: &[
        ("httpx_sse/_api.py", "aconnect_sse", Purpose::Listens),
        ("httpx_sse/_api.py", "aiter_sse", Purpose::Listens),
    ],
    ..Library::PACKAGE
};
