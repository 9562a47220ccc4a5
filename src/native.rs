//! Stacks in C of threads that sleep, without stopping anything.
//!
//! Of a thread that sleeps in the kernel, `/proc/PID/task/TID/syscall` tells the stack pointer and
//! the program counter. From there each caller is found by the rules that compilers leave for
//! exceptions (`.eh_frame`), which are loaded with the code and read from the target's memory: no
//! file has to be found. The other registers aren't told, so they count as unknown until a frame has
//! saved them; where a rule needs one that is unknown, the walk ends and says so. Nothing is guessed:
//! a frame that is given is a frame.
//!
//! Code without such rules, such as what a just-in-time compiler made, ends a walk too.

mod machine;
mod rules;
mod walk;
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "code is read only where a frame pointer may be unknown")
)]
mod words;

pub use walk::{Code, Frame, Named, Stack};
