//! An upgrade on its way from one program to the next, of which `decide/upgrade.rs` decides when: three processes, and what they
//! hand on.
//!
//! - `handover`: the document and the descriptors that the next program gets.
//! - `parent`: the running program's side; it starts the next one as a child, hears it, and is replaced at last.
//! - `child`: that next program, which forks workers, sees them ready and leaves them to its parent.
//! - `successor`: the program that has taken the place of the one before.

mod child;
pub mod handover;
pub(super) mod parent;
mod successor;

use super::{MasterError, Outcome, Start};
use handover::{Handover, Purpose};

/// Does what another program has started this one for, or left to it.
pub(super) fn run(start: Start, handover: Handover) -> Result<Outcome, MasterError> {
    match handover.open() {
        (bequest, Purpose::Prove(task)) => child::run(start, bequest, task),
        (bequest, Purpose::Adopt(inheritance)) => successor::run(start, bequest, *inheritance),
    }
}
