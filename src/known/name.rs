//! What names alone say, of whatever code: Python's own protocols, and words that all use alike.

/// Functions that take what comes next from one connection, or give the next part to it: there is
/// an order in their calls.
const IN_ORDER: [&str; 14] = [
    "recv",
    "receive",
    "read",
    "readline",
    "readexactly",
    "readuntil",
    "send",
    "write",
    "drain",
    "sock_recv",
    "sock_sendall",
    "accept",
    "anext",
    "asend",
];

/// A function's own name, without its class: `get` of `Client.get`.
pub(super) fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Whether a function enters an `async with` block.
pub fn enters_block(function: &str) -> bool {
    last_part(function) == "__aenter__"
}

/// Whether a function leaves an `async with` block; asyncio's groups do in one of their own.
pub fn leaves_block(function: &str) -> bool {
    matches!(last_part(function), "__aexit__" | "_aexit")
}

/// Whether a method gives back what was acquired, in locks and semaphores of any library.
pub fn gives_back(method: &str) -> bool {
    method == "release"
}

/// Whether a method has something called when a task ends.
pub fn adds_callback(method: &str) -> bool {
    method == "add_done_callback"
}

/// Whether a method says that an item of a queue is done.
pub fn finishes_item(method: &str) -> bool {
    method == "task_done"
}

/// Whether a method is what a context manager is left by, in a `with` or `async with` block.
pub fn is_exit(method: &str) -> bool {
    matches!(last_part(method), "__exit__" | "__aexit__")
}

/// Whether a function says nothing of what is done: `__aenter__`, `__call__`.
pub fn is_special(function: &str) -> bool {
    last_part(function).starts_with("__")
}

/// Whether a method was compiled anew with its name in the place of a file, as Sanic does with some of
/// its own (`sanic/touchup`).
pub fn is_compiled_anew(file: &str, function: &str) -> bool {
    file == last_part(function)
}

/// How gRPC's server calls the tasks of its handlers, up to the method that they have from 1.6x on.
pub const OF_GRPC: &str = "HandleExceptions[";

/// The method that a task of gRPC's server works for, by the name that it has from 1.6x on:
/// `/shop.Orders/Get`.
pub fn method_of_grpc(task: &str) -> Option<&str> {
    let method = task.strip_prefix(OF_GRPC)?.strip_suffix(']')?;
    method.starts_with('/').then_some(method)
}

/// Whether a task has its name from a library that calls all of its tasks so: gRPC's handlers.
pub fn is_of_library(task: &str) -> bool {
    method_of_grpc(task).is_some()
}

/// Whether a function makes a module's names: the outermost frame of a program.
pub fn is_module(function: &str) -> bool {
    function == "<module>"
}

/// Whether a function takes or gives what comes next of one connection. To read the answer belongs to
/// the call.
pub fn is_in_order(function: &str) -> bool {
    IN_ORDER.contains(&last_part(function)) && !function.ends_with("Response.read")
}

/// Whether a function opens a connection.
pub fn opens_connection(function: &str) -> bool {
    matches!(last_part(function), "open_connection" | "open_unix_connection")
}

/// Whether a function asks at the terminal.
pub fn asks_terminal(function: &str) -> bool {
    last_part(function) == "input"
}

/// Whether a function takes the next line of what others write, whenever there is one.
pub fn takes_lines(function: &str) -> bool {
    last_part(function) == "readline"
}

/// Whether a method of `threading` waits for an event, as long as that may take.
pub fn waits_for_event(function: &str) -> bool {
    function == "Event.wait"
}

/// Whether code is about a websocket.
pub fn is_of_websocket(file: &str, function: &str) -> bool {
    file.contains("websocket") || function.contains("WebSocket")
}

/// Whether the name of a function or method says that it sends something: `writer.write`,
/// `send_command`, `drain`.
pub fn sends(function: &str) -> bool {
    const FIRST: [&str; 2] = ["send", "write"];
    const LAST: [&str; 9] =
        ["send", "sends", "sendall", "sendto", "sendfile", "write", "writelines", "drain", "flush"];
    is_of_words(function, &FIRST, &LAST)
}

/// Whether the name of a function or method says that it asks and brings the answer: `execute`,
/// `_do_execute`, `query`, `_request`.
pub fn asks(function: &str) -> bool {
    is_of_words(function, &["execute", "query"], &["execute", "query", "request", "command"])
}

/// Whether the first or the last word of a name is one of these.
fn is_of_words(name: &str, firsts: &[&str], lasts: &[&str]) -> bool {
    let mut words = name.split('_').filter(|word| !word.is_empty());
    let (first, last) = (words.clone().next(), words.next_back());
    first.is_some_and(|word| firsts.contains(&word))
        || last.is_some_and(|word| lasts.contains(&word))
}

/// Whether a method gives something back: `Lock.release`.
pub fn releases(function: &str) -> bool {
    last_part(function) == "release"
}

/// Whether a function is one that gives a class of `CancelledError`: anyio's.
pub fn gives_cancelled_class(function: &str) -> bool {
    last_part(function) == "get_cancelled_exc_class"
}

/// `get` of `Client.get`.
pub fn without_class(function: &str) -> &str {
    last_part(function)
}

/// `fetch` of `main.<locals>.fetch`.
pub fn without_scope(function: &str) -> &str {
    function.rsplit("<locals>.").next().unwrap_or(function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_what_sends_and_asks() {
        let sending = ["write", "_send_single_request", "sock_sendall", "drain", "send_command"];
        assert!(sending.into_iter().all(sends));
        let asking = ["_do_execute", "request", "query", "execute_command", "_execute_gen"];
        assert!(asking.into_iter().all(asks));
        let neither = ["writer", "sender", "read", "readline", "request_id", "get", "_writer", "_"];
        assert!(!neither.into_iter().any(|name| sends(name) || asks(name)));
    }
}
