//! Writes the layout tables to `layouts.json` in `target/tmp`, where `scripts/check-layouts` holds
//! them against real interpreters.

use std::path::Path;

use aiospy::layout::{self, Layout, debug_offsets, uvloop};
use serde_json::{Value, json};

#[test]
fn tables_are_written_for_check_layouts() {
    let tables: Vec<Value> = layout::SUPPORTED
        .map(|minor| {
            json!({
                "version": format!("3.{minor}"),
                "layout": Layout::for_minor(minor).unwrap(),
                "debug_offsets": debug_offsets::positions(minor),
                "asyncio_debug": (minor >= 14).then_some(debug_offsets::ASYNCIO_FIELDS),
                "glibc_tid": layout::GLIBC_TID,
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
            })
        })
        .collect();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("layouts.json");
    std::fs::write(file, serde_json::to_vec(&tables).unwrap()).unwrap();
}
