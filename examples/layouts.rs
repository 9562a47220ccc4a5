//! Prints the layout tables as JSON; `scripts/check-layouts` holds them against real interpreters.

use aiospy::layout::{self, Layout, debug_offsets, uvloop};
use serde_json::{Value, json};

fn main() {
    let [x86_64, aarch64, ..] = layout::PTHREAD_TIDS;
    let tables = layout::SUPPORTED.filter_map(|minor| {
        let layout = Layout::for_minor(minor)?;
        Some(json!({
            "version": format!("3.{minor}"),
            "layout": layout,
            "debug_offsets": debug_offsets::positions(minor),
            "asyncio_debug": (minor >= 14).then_some(debug_offsets::ASYNCIO_FIELDS),
            "pthread_tid": if cfg!(target_arch = "aarch64") { aarch64 } else { x86_64 },
            "socket_fd": layout::SOCKET_FD,
            "uvloop": {
                "loop": uvloop::LOOP,
                "uv_loop": uvloop::UV_LOOP,
                "timer_node_timeout": uvloop::TIMER_NODE_TIMEOUT,
                "handle": uvloop::HANDLE,
                "handle_arguments": uvloop::HANDLE_ARGUMENTS,
                "uv_handle": uvloop::UV_HANDLE,
                "native": uvloop::NATIVE,
                "poll": uvloop::POLL,
                "process": uvloop::PROCESS,
                "server": uvloop::SERVER,
                "tls": uvloop::TLS,
                "tls_transport_protocol": uvloop::TLS_TRANSPORT_PROTOCOL,
            },
            "owned_by_generator": (minor >= 11).then_some(layout::OWNED_BY_GENERATOR),
        }))
    });
    println!("{}", tables.collect::<Value>());
}
