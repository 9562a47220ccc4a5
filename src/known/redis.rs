//! redis: who waits for what others will say, by its subscriptions and its commands.

use super::library::Library;
use super::pool::{Line, Out, Pool};
use super::purpose::Purpose;
use super::work::{Fact, Row, WorkKind};

// 5.0 to 8.1; before, nothing has those that are out.
const POOL: Pool = Pool {
    by: "redis's pool",
    size: &[&["max_connections"]],
    out: Out::Items { items: "_in_use_connections", is_out: None, connections: &[] },
    per_host: None,
    line: Line::Futures(&["_condition", "_waiters"]),
    lost: None,
};

// redis 4.2 to 8.1, aioredis 2.0
pub(super) const LIBRARY: Library = Library {
    functions: &[
        ("redis/asyncio/connection.py", "get_connection", Purpose::Acquires(&POOL)),
        ("redis/asyncio/client.py", "execute_command", Purpose::Command),
        ("redis/asyncio/client.py", "PubSub.parse_response", Purpose::Listens),
        ("redis/asyncio/client.py", "PubSub.listen", Purpose::Listens),
        ("redis/asyncio/client.py", "PubSub.get_message", Purpose::Listens),
        ("redis/asyncio/client.py", "Monitor.next_command", Purpose::Listens),
        // Before 3.11 a frame has no class; only subscriptions have functions of these names.
        ("redis/asyncio/client.py", "listen", Purpose::Listens),
        ("redis/asyncio/client.py", "get_message", Purpose::Listens),
        ("aioredis/client.py", "execute_command", Purpose::Command),
        ("aioredis/client.py", "listen", Purpose::Listens),
        ("aioredis/client.py", "get_message", Purpose::Listens),
    ],
    work: &[
        Row {
            at: &[
                ("redis/asyncio/client.py", "execute_command"),
                ("redis/asyncio/cluster.py", "execute_command"),
                ("aioredis/client.py", "execute_command"),
            ],
            kind: WorkKind::Query,
            of: "self",
            facts: &[
                (Fact::Command, "args"),
                (Fact::Peer, ".connection_pool.connection_kwargs['host'] | .connection_pool.connection_kwargs['path'] | .host"),
                (Fact::Port, ".connection_pool.connection_kwargs['port'] | .port"),
            ],
        },
    ],
    ..Library::PACKAGE
};

/// Whether a command is answered when others have done something, not when it is done itself:
/// `BLPOP jobs 0`, `XREAD BLOCK 0 STREAMS events $`.
pub fn is_blocking_command(words: &[impl AsRef<str>]) -> bool {
    const BLOCKING: [&str; 10] = [
        "BLPOP", "BRPOP", "BLMOVE", "BLMPOP", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX", "BZMPOP",
        "WAIT", "WAITAOF",
    ];
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    let Some((name, rest)) = words.split_first() else { return false };
    let name = name.as_ref();
    let may_block = is(name, "XREAD") || is(name, "XREADGROUP");
    BLOCKING.iter().any(|known| is(name, known))
        || may_block && rest.iter().any(|word| is(word.as_ref(), "BLOCK"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_wait_for_others() {
        for words in ["blpop jobs 0", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "WAIT 1 0"] {
            assert!(is_blocking_command(&words.split(' ').collect::<Vec<_>>()), "{words}");
        }
        for words in ["GET key", "XREAD STREAMS s $", "LPOP jobs"] {
            assert!(!is_blocking_command(&words.split(' ').collect::<Vec<_>>()), "{words}");
        }
        assert!(!is_blocking_command(&[""; 0]));
    }
}
