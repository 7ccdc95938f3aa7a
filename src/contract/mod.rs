//! Everything master and worker share: birth, life, death.
#![forbid(unsafe_code)]

pub mod admin;
mod cell;
pub mod control;
pub mod entry;
pub mod exit;
pub mod figures;
pub mod handoff;
pub mod hook;
pub mod inflight;
pub mod inquiry;
pub mod key_table;
mod load;
pub mod message;
pub mod metrics;
pub mod quarantine;
pub mod scoreboard;
pub mod slot;
pub mod tally;

pub use entry::Entry;
pub use exit::ExitReason;
pub use handoff::{Handoff, Relay};
pub use message::{DrainReason, Order, Report, RetireReason};
pub use scoreboard::{RecordIndex, Scoreboard, WorkerState};
