//! Everything master and worker share: birth, life, death.
#![forbid(unsafe_code)]

pub mod exit;
pub mod handoff;
pub mod message;
pub mod scoreboard;

pub use exit::ExitReason;
pub use handoff::{Generation, Handoff, Relay, Slot};
pub use message::{DrainReason, Order, Report, RetireReason};
pub use scoreboard::{RecordIndex, Scoreboard, WorkerState};
