//! Samples of a target over time: as many as it takes to judge it, or at a rate, and the events
//! made from them.

mod deciding;
pub mod monitor;
pub mod sampler;
pub mod several;
mod watcher;
mod whole;

pub use deciding::{look, look_and_wait};
pub use watcher::{News, Watcher};
