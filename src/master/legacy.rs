//! What a worker leaves behind: why it ended, and the requests that it had.

use super::event::Note;
use super::notes;
use super::perform::Performer;
use crate::contract::entry::Entry;
use crate::contract::exit::{self, Progress};
use crate::contract::scoreboard::RecordIndex;
use crate::sys::clock;
use crate::sys::memory_cgroup::{Claim, OomKills};
use crate::sys::process::Pid;
use crate::sys::wait::WaitOutcome;
use std::collections::BTreeMap;

/// What workers who have just died have left, until it has been said.
#[derive(Debug)]
pub(super) struct Legacies {
    found: BTreeMap<Pid, (WaitOutcome, Vec<Entry>)>,
    oom_kills: OomKills,
}

impl Legacies {
    /// Nobody has died yet.
    pub(super) fn new() -> Self {
        Self { found: BTreeMap::new(), oom_kills: OomKills::of_this_process() }
    }

    /// Whatever was to be said has been said.
    pub(super) fn forget(&mut self) {
        self.found.clear();
    }

    /// Tells the kernel's SIGKILL for want of memory from everybody else's.
    fn find_cause(&mut self, outcome: WaitOutcome) -> WaitOutcome {
        match outcome {
            WaitOutcome::Signalled { signal: "SIGKILL", .. } if self.oom_kills.claim() == Claim::Granted => {
                WaitOutcome::OutOfMemory
            }
            WaitOutcome::Exited(_) | WaitOutcome::Signalled { .. } | WaitOutcome::OutOfMemory => outcome,
        }
    }
}

impl Performer {
    /// Keeps what a dead worker has left, and makes room in the table for the next one; how it really ended.
    pub(super) fn take_legacy(&mut self, pid: Pid, record: RecordIndex, outcome: WaitOutcome) -> WaitOutcome {
        let outcome = self.legacies.find_cause(outcome);
        let entries = self.shared.scoreboard.in_flight(record);
        self.shared.scoreboard.forget_flights(record);
        self.legacies.found.insert(pid, (outcome.clone(), entries));
        outcome
    }

    /// Writes a note to the log; after one of a worker's violent end, what it was serving.
    pub(super) fn say(&self, note: &Note) {
        if let Note::Killed { who, .. } | Note::StandsStill(who) = note {
            notes::write(note);
            let Some(link) = self.links.get(&who.pid) else { return };
            notes::write_served(*who, &self.shared.scoreboard.in_flight(link.record), clock::monotonic_ns());
        } else if let Note::Crashed { who, .. } = note
            && let Some((outcome, entries)) = self.legacies.found.get(&who.pid)
        {
            notes::write_crashed(*who, &exit::cause(outcome, Progress::Serving));
            notes::write_served(*who, entries, clock::monotonic_ns());
        } else {
            notes::write(note);
        }
    }
}
