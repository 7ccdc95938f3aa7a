//! An upgrade on its way from one program to the next, of which `decide/upgrade.rs` decides when: three processes, and what they
//! hand on.
//!
//! - `handover`: the document and the descriptors that the next program gets.
//! - `proof`: the running program's side; it starts the next one as a child, hears it, and is replaced at last.
//! - `prove`: that child, which forks workers, sees them ready and leaves them to its parent.
//! - `adopt`: the program that has taken the place of the one before.

mod adopt;
pub mod handover;
pub(super) mod proof;
mod prove;

use super::{MasterError, Outcome, Start};
use handover::{Handover, Purpose};

/// Does what another program has started this one for, or left to it.
pub(super) fn run(start: Start, handover: Handover) -> Result<Outcome, MasterError> {
    match handover.open() {
        (bequest, Purpose::Prove(task)) => prove::run(start, bequest, task),
        (bequest, Purpose::Adopt(inheritance)) => adopt::run(start, bequest, *inheritance),
    }
}
