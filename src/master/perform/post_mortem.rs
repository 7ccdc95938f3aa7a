//! What a worker leaves behind: why it ended, and the requests that it had.

use super::Performer;
use super::notes;
use crate::contract::entry::Entry;
use crate::contract::exit::{self, Progress};
use crate::contract::quarantine::{self, Blamed};
use crate::contract::scoreboard::RecordIndex;
use crate::master::event::Note;
use crate::sys::clock;
use crate::sys::memory_cgroup::{Claim, OomKills};
use crate::sys::process::Pid;
use crate::sys::wait::WaitOutcome;
use std::collections::BTreeMap;
use std::time::Duration;

/// What workers who have just died have left, until it has been said.
#[derive(Debug)]
pub(super) struct PostMortems {
    found: BTreeMap<Pid, PostMortem>,
    oom_kills: OomKills,
}

/// What one of them has left.
#[derive(Debug)]
struct PostMortem {
    outcome: WaitOutcome,
    entries: Vec<Entry>,
    /// The request that is refused from now on, and for how long.
    quarantined: Option<(Entry, Duration)>,
}

impl PostMortems {
    /// Nobody has died yet.
    pub(super) fn new() -> Self {
        Self { found: BTreeMap::new(), oom_kills: OomKills::of_this_process() }
    }

    /// Whatever was to be said has been said.
    pub(super) fn forget(&mut self) {
        self.found.clear();
    }

    /// Nobody whose death is still to be noticed died long ago.
    pub(super) fn settle(&mut self) {
        self.oom_kills.settle();
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
    pub(super) fn examine(&mut self, pid: Pid, record: RecordIndex, outcome: WaitOutcome) -> WaitOutcome {
        let outcome = self.post_mortems.find_cause(outcome);
        let entries = self.shared.scoreboard.in_flight(record);
        self.shared.scoreboard.forget_flights(record);
        let quarantined = self.blame(record, &outcome, &entries);
        // Whoever waits for what comes of it can see that now.
        self.shared.scoreboard.release_suspects(record);
        self.post_mortems.found.insert(pid, PostMortem { outcome: outcome.clone(), entries, quarantined });
        outcome
    }

    /// Notes the request that has ended a worker, if it is known which; gives it when it is refused from now on.
    fn blame(
        &self,
        record: RecordIndex,
        outcome: &WaitOutcome,
        entries: &[Entry],
    ) -> Option<(Entry, Duration)> {
        let generation = self.shared.scoreboard.record(record).generation();
        let config = self.configs.get(&generation).or_else(|| self.configs.values().next_back())?;
        let rule = (config.workers.quarantine, config.workers.quarantine_time);
        if rule.0 == 0 || !exit::is_of_its_own(outcome) {
            return None;
        }
        let culprit = quarantine::culprit(entries)?;
        match self.shared.scoreboard.blame(culprit, rule) {
            Blamed::Counted(_) => None,
            Blamed::Quarantined => Some((culprit.clone(), rule.1)),
        }
    }

    /// Writes a note to the log; after one of a worker's violent end, what it was serving.
    pub(super) fn say(&self, note: &Note) {
        if let Note::Killed { who, .. } | Note::StandsStill(who) = note {
            notes::write(note);
            let Some(link) = self.links.get(&who.pid) else { return };
            notes::write_served(*who, &self.shared.scoreboard.in_flight(link.record), clock::monotonic_ns());
        } else if let Note::Crashed { who, .. } = note
            && let Some(PostMortem { outcome, entries, quarantined }) = self.post_mortems.found.get(&who.pid)
        {
            notes::write_crashed(*who, &exit::cause(outcome, Progress::Serving));
            notes::write_served(*who, entries, clock::monotonic_ns());
            if let Some((request, time)) = quarantined {
                notes::write_quarantined(request, *time, clock::monotonic_ns());
            }
        } else {
            notes::write(note);
        }
    }
}
