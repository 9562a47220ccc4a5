//! Functions of the interpreter itself, written in C.

use std::path::Path;

/// The interpreter's loop, by the name of its function.
///
/// What is behind a point was added by the compiler to a part of it.
pub fn is_loop(function: &str) -> bool {
    let name = function.split('.').next().unwrap_or(function);
    name == "_PyEval_EvalFrameDefault"
}

/// Whether a function is of the machinery by which Python code calls what is written in C, and not
/// what is called.
//
// Objects/call.c, Objects/methodobject.c, Objects/descrobject.c, Objects/typeobject.c,
// Python/ceval.c of 3.8 to 3.15; libffi, by which `ctypes` calls.
pub fn is_machinery(function: &str) -> bool {
    const BEGINNINGS: [&str; 15] = [
        "_Py",
        "Py",
        "_TAIL_CALL_",
        "_function_code_fastcall",
        "function_code_fastcall",
        "call_function",
        "cfunction_",
        "method_vectorcall",
        "object_vacall",
        "object_call",
        "slot_tp_",
        "type_call",
        "vectorcall_",
        "wrapper_call",
        "ffi_call",
    ];
    BEGINNINGS.iter().any(|beginning| function.starts_with(beginning))
}

/// Whether a file is of a library that does nothing but call functions for the interpreter.
pub fn calls_for_it(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("libffi"))
}

/// Whether a file is of a library that puts another stack in the place of a part of the thread's:
/// what is found outside of its functions may be left of a stack that is no longer there.
pub fn switches_stacks(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("_greenlet."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_is_told_from_what_calls() {
        assert!(is_loop("_PyEval_EvalFrameDefault") && is_loop("_PyEval_EvalFrameDefault.cold"));
        assert!(!is_loop("_PyEval_Vector"));
        for function in ["PyObject_Vectorcall", "cfunction_vectorcall_O", "ffi_call_unix64"] {
            assert!(is_machinery(function), "{function}");
        }
        for function in ["time_sleep", "PQexec", "poll", "select_epoll_poll"] {
            assert!(!is_machinery(function), "{function}");
        }
    }
}
