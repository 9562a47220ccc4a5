//! Tells the binary what it is built from and for, as `aiospy --version --verbose` reports it.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=AIOSPY_TARGET={target}");
    if let Some(commit) = packaged().or_else(checked_out) {
        println!("cargo::rustc-env=AIOSPY_COMMIT={commit}");
    }
}

/// What `cargo package` has noted down: a published crate has no repository around it.
fn packaged() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let commit = text.split_once(r#""sha1": ""#)?.1.split('"').next()?.to_owned();
    Some(if text.contains(r#""dirty": true"#) { commit + "-dirty" } else { commit })
}

/// The commit of this repository; of no other one that the folder may lie in. Not in a debug build,
/// which would then be made anew after each commit.
fn checked_out() -> Option<String> {
    if !Path::new(".git").exists() || std::env::var("PROFILE").ok()? != "release" {
        return None;
    }
    let logged = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    for path in [&logged, "src", "ui", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
    git(&["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let done = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(done.stdout).ok()?;
    done.status.success().then(|| said.trim().to_owned())
}
