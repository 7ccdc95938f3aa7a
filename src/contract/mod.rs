//! Everything master and worker share: birth, life, death. The admin process, which is born of the master too, reads it.
//!
//! - Birth: `handoff`, what a worker is born with; `slot`, how it is numbered; `admin`, what the admin process is born with.
//! - What they say: `message`, master and worker to each other; `control`, commands and their verdicts; `inquiry`, what is wanted of
//!   a worker or one of its requests; `hook`, what hooks of the site are told.
//! - In shared memory: `scoreboard`, the table itself, a record for each worker, with `load`, `tally` and `figures`, what is counted there;
//!   `inflight`, the requests under way, in the words of `cell`, read as `entry`; `quarantine`, those that have ended workers;
//!   `key_table`, fetched key sets; `metrics`, what apps count.
//! - Death: `exit`.
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
