//! What was read and concluded, written for people and for programs.

pub mod json;
pub mod markdown;
pub mod text;
