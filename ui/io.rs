//! Where output goes, and how the tool behaves towards the machine it runs on.

pub mod descriptors;
pub mod given;
pub mod hook;
pub mod oom;
pub mod output;
pub mod page;
pub mod rules;
pub mod time;
pub mod trouble;
pub mod wanted;
