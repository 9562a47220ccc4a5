//! gRPC: its server's stop, and what its tasks wait for.

use super::library::Library;
use super::name::OF_GRPC;
use super::purpose::{Left, Purpose, Stop};

/// Its handlers are called by Cython, in tasks of its own.
const SERVER: Stop = Stop::of("gRPC", Left::Named(OF_GRPC));

/// Compiled by Cython, which names the files of its source.
const SERVING: &str = "grpc/_cython/server.pyx.pxi";
const CALLING: &str = "grpc/_cython/callback_common.pyx.pxi";

pub(super) const LIBRARY: Library = Library {
    functions: &[
        ("grpc/aio/_server.py", "stop", Purpose::Stops(&SERVER)),
        (SERVING, "_request_call", Purpose::Expects("next request of gRPC")),
        (SERVING, "wait_for_termination", Purpose::Expects("end of gRPC's server")),
        // Each message of a call, its beginning and its end, on both sides.
        (CALLING, "execute_batch", Purpose::Expects("answer of gRPC's core")),
    ],
    ..Library::PACKAGE
};
