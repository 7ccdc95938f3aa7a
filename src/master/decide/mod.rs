//! What the master decides: [`supervisor::Supervisor`], in pieces. Pure: no file here reads a clock or calls the system.
//!
//! The pool
//! - `supervisor`: the order of one step, and when the next is due. Begin here.
//! - `crew`: the workers and the slots, as the supervisor knows them.
//! - `life`: a worker gets ready, is told to leave, is killed, ends.
//! - `forking`: workers that are asked for, and what comes of it.
//! - `vacancy`: slots without a worker, and who serves them until they have one.
//! - `respawn`: when a slot whose worker has died gets the next one.
//! - `heartbeat`: whether the event loops of the workers turn.
//! - `recycle`: workers that are replaced for their requests, their age, their memory.
//! - `mold`: the process that has loaded the apps of a generation and forks its workers.
//! - `admin`: the admin process.
//!
//! What is asked of it
//! - `signals`: signals as commands.
//! - `tickets`: who waits for the outcome of a command: each gets exactly one verdict.
//! - `reload`: new workers wave by wave, each proven before those it replaces leave; `check`, the command that is run before;
//!   `canary`, the first worker tried beside the old ones, and `judgement`, whether it does as well as they;
//!   `trouble`, what a failed reload leaves behind.
//! - `scale`: more workers, or fewer; `adapt`: as many as there is work for.
//! - `upgrade`: another program takes this one's place; `written`, what it is left.
//! - `inquiries`: what operators want of single requests.
//! - `stop`: the end.
//!
//! What it says: `notify`, to the service manager.

pub(super) mod adapt;
pub(super) mod admin;
mod canary;
mod check;
mod crew;
mod forking;
mod heartbeat;
mod inquiries;
mod judgement;
pub(super) mod life;
pub(super) mod mold;
pub(super) mod notify;
pub(super) mod recycle;
mod reload;
mod respawn;
pub(super) mod scale;
pub(super) mod signals;
mod stop;
pub(super) mod supervisor;
#[cfg(test)]
mod tests;
mod tickets;
mod trouble;
mod upgrade;
mod vacancy;
pub(super) mod written;
