//! The commands, one file each, and what several of them share.

pub mod check;
mod children;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod document;
pub mod dump;
pub mod explain;
pub mod export;
pub mod options;
pub mod outcome;
pub mod patience;
pub mod reading;
pub mod record;
pub mod remedy;
pub mod run;
pub mod saved;
pub mod schema;
pub mod stop;
mod waiting;
pub mod watch;
