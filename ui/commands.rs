//! The commands, one file each, and what several of them share.

pub mod allowing;
pub mod check;
mod children;
mod codes;
pub mod completions;
pub mod crew;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod document;
pub mod dump;
pub mod explain;
pub mod export;
#[cfg(feature = "mcp")]
pub mod mcp;
pub mod options;
pub mod outcome;
pub mod patience;
pub mod ps;
pub mod reading;
pub mod record;
pub mod remedy;
pub mod report;
pub mod requests;
pub mod run;
pub mod saved;
pub mod schema;
mod several;
pub mod stop;
mod subject;
pub mod targets;
pub mod version;
mod waiting;
pub mod watch;
