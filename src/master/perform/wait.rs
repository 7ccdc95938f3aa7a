//! The supervisor's ears: waits for what happens, and reads it.

use super::check_command::Run;
use super::{Link, Performer};
use crate::contract::control::Tiding;
use crate::contract::message::Report;
use crate::master::decide::signals::command;
use crate::master::event::{Event, MoldNews};
use crate::master::upgrade::parent::Proof;
use crate::sys::channel::{self, Received};
use crate::sys::process::Pid;
use crate::sys::{poll, wait};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;
use std::time::Instant;
use tracing::{debug, warn};

impl Performer {
    /// Waits until something happens or the deadline passes; adds what has happened.
    pub(in crate::master) fn wait(
        &mut self,
        deadline: Option<Instant>,
        events: &mut VecDeque<Event>,
    ) -> io::Result<()> {
        // Whatever was to be said of the events before has been said.
        self.post_mortems.forget();
        let limit = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let (pids, channels): (Vec<Pid>, Vec<BorrowedFd<'_>>) = self
            .links
            .iter()
            .filter_map(|(pid, link)| link.channel.as_ref().map(|channel| (*pid, channel.as_fd())))
            .unzip();
        let mut sources = channels;
        sources.push(self.own.signals.descriptor());
        sources.extend(self.check.as_ref().and_then(Run::output));
        sources.extend(self.proof.iter().flat_map(Proof::sources));
        sources.extend(self.admin.channel());
        sources.extend(self.molds.channels());
        let ready = poll::wait_readable(&sources, limit)?;
        if ready.last().is_some_and(|index| *index > pids.len()) {
            self.admin.listen(events);
            self.hear_molds(events);
        }
        for pid in ready.iter().filter_map(|index| pids.get(*index)) {
            self.listen(*pid, events);
        }
        if let Some(run) = &mut self.check {
            run.read();
        }
        self.hear_proof(events);
        for signal in self.own.signals.take() {
            match command(signal) {
                Some(command) => events.push_back(Event::Asked { ticket: None, command }),
                None => self.reap(events),
            }
        }
        Ok(())
    }

    /// Looks what each worker has counted to.
    pub(super) fn look(&mut self) -> Event {
        self.post_mortems.settle();
        let beat = |link: &Link| self.shared.scoreboard.record(link.record).beats().load(Ordering::Relaxed);
        Event::Looked(self.links.iter().map(|(pid, link)| (*pid, beat(link))).collect())
    }

    /// Reads what a worker has reported.
    fn listen(&mut self, pid: Pid, events: &mut VecDeque<Event>) {
        for _ in 0..REPORTS_AT_ONCE {
            let Some(link) = self.links.get_mut(&pid) else { return };
            let Some(channel) = &link.channel else { return };
            match channel::receive(channel.as_fd()) {
                Ok(Received::Message(bytes, descriptors)) => match Report::decode(&bytes) {
                    Ok(Report::Lends) => descriptors.iter().for_each(|lent| self.pass_on(pid, lent)),
                    // There is nothing to decide about it.
                    Ok(Report::KeysWanted) => self.admin.tell(Tiding::KeysWanted),
                    Ok(report) => events.push_back(Event::Reported { pid, report }),
                    Err(error) => {
                        warn!(%pid, "what a worker reports is not understood (is it of another version?); restart the server: {error}")
                    }
                },
                Ok(Received::WouldBlock) => return,
                // Its end follows.
                Ok(Received::Closed) => link.channel = None,
                Err(error) => {
                    warn!(%pid, "cannot hear worker, which leaves and is replaced: {error}");
                    link.channel = None;
                }
            }
        }
    }

    /// Reads the ends of all children that have ended.
    pub(in crate::master) fn reap(&mut self, events: &mut VecDeque<Event>) {
        while let Some((pid, outcome)) = wait::reap() {
            // What it said last comes before its end, and who it is before that.
            self.hear_molds(events);
            self.listen(pid, events);
            if self.admin.reaped(pid) {
                events.push_back(Event::AdminExited(outcome));
                continue;
            }
            if self.proof_reaped(pid, &outcome, events) {
                continue;
            }
            if let Some(generation) = self.molds.reaped(pid) {
                events.push_back(Event::Mold { generation, news: MoldNews::Ended(outcome) });
                continue;
            }
            if let Some(run) = self.check.take_if(|run| run.pid() == pid) {
                let generation = run.generation();
                events.push_back(Event::Checked { generation, outcome: run.end(&outcome) });
                continue;
            }
            if self.hook_calls.reaped(pid, &outcome) {
                continue;
            }
            let Some(link) = self.links.remove(&pid) else {
                debug!(%pid, "reaped a process that is no worker");
                continue;
            };
            let outcome = self.examine(pid, link.record, outcome);
            self.tell_of_end(pid, link.record, &outcome);
            self.shared.metrics.retire(link.record);
            self.shared.scoreboard.retire(link.record);
            events.push_back(Event::Exited { pid, outcome });
        }
    }
}

/// Reports read from one worker before the others are heard.
const REPORTS_AT_ONCE: usize = 64;
