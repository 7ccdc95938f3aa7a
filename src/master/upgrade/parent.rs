//! The next program as a child of the master: started, heard, ended; and at last put in the master's place.

use super::handover::{self, Common, ConfigText, Document, Inheritance, Luggage, Purpose, Task};
use crate::contract::control::Pace;
use crate::contract::scoreboard::RecordIndex;
use crate::contract::slot::{Generation, Slot};
use crate::master::decide::written::WrittenPool;
use crate::master::event::{Event, ProofNews, UpgradeStep};
use crate::master::perform::admin::AdminProcess;
use crate::master::perform::pid_file::PidFile;
use crate::master::perform::{Link, Performer};
use crate::sys::channel::{self, Received};
use crate::sys::exec::{self, Launch};
use crate::sys::fork::{self, fork_worker};
use crate::sys::inherit;
use crate::sys::process::{self, Pid};
use crate::sys::process_group;
use crate::sys::signals::Blocked;
use crate::sys::wait::WaitOutcome;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use tracing::{debug, info, warn};

/// A child that shows what the next program can do.
#[derive(Debug)]
pub(in crate::master) struct Proof {
    pid: Pid,
    path: PathBuf,
    /// `None` once the child has closed its end.
    channel: Option<OwnedFd>,
    /// What it writes to standard error before it has one of ours; `None` once that is over.
    errors: Option<File>,
    kept: Vec<u8>,
    /// The records that are kept free for its workers.
    records: Vec<RecordIndex>,
    proven: Vec<Proven>,
    /// What the configuration was made of, once all has been proven.
    config: Option<ConfigText>,
    failure: Option<String>,
}

/// A worker that the child has forked, and that is ready.
#[derive(Debug)]
struct Proven {
    pid: Pid,
    slot: Slot,
    record: RecordIndex,
    channel: OwnedFd,
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// A worker is ready; its channel comes with the message.
    Worker { pid: i32, slot: u16, record: usize },
    /// All are; a file with the [`ConfigText`] comes with the message.
    Done,
    /// Nothing will come of it; a file with the reason comes with the message.
    Failed,
}

impl Proof {
    /// Readable when the child has said something.
    pub(in crate::master) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd).into_iter().chain(self.errors.as_ref().map(AsFd::as_fd))
    }

    /// Takes what the child has written; of more than is kept, the end.
    fn read_errors(&mut self) {
        let mut piece = [0; KEPT];
        for _ in 0..AT_ONCE {
            let Some(errors) = &mut self.errors else { return };
            match errors.read(&mut piece) {
                Ok(length @ 1..) => {
                    self.kept.extend_from_slice(&piece[..length]);
                    self.kept.drain(..self.kept.len().saturating_sub(KEPT));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => self.errors = None,
            }
        }
    }

    /// Why a child that has said nothing has proven nothing.
    fn reason(&self, outcome: &WaitOutcome) -> String {
        let path = self.path.display();
        let written = String::from_utf8_lossy(&self.kept);
        format!("the new program ended before its workers were ready: {path}: {outcome}\n{}", written.trim())
            .trim_end()
            .to_owned()
    }

    fn take(&mut self, word: &Word, descriptor: Option<OwnedFd>) -> io::Result<()> {
        let missing = || io::Error::other("a message came without its descriptor");
        let descriptor = descriptor.ok_or_else(missing)?;
        match *word {
            Word::Worker { pid, slot, record } => {
                let record = self.records.iter().copied().find(|other| other.number() == record);
                let record = record.ok_or_else(|| io::Error::other("a worker has a record of its own"))?;
                self.proven.push(Proven { pid: Pid(pid), slot: Slot(slot), record, channel: descriptor });
            }
            Word::Done => self.config = Some(serde_json::from_reader(File::from(descriptor))?),
            Word::Failed => {
                let mut reason = Vec::new();
                File::from(descriptor).take(REASON_MAX).read_to_end(&mut reason)?;
                self.failure = Some(String::from_utf8_lossy(&reason).into_owned());
            }
        }
        Ok(())
    }
}

impl Performer {
    /// Does something for an upgrade, as `decide/upgrade.rs` decides.
    pub(in crate::master) fn upgrade(&mut self, step: UpgradeStep) -> Option<Event> {
        match step {
            UpgradeStep::Prove { generation, slots } => return Some(self.begin_proof(generation, &slots)),
            UpgradeStep::EndProof(pace) => self.end_proof(pace),
            UpgradeStep::Replace(written) => return Some(self.replace(*written)),
        }
        None
    }

    fn begin_proof(&mut self, generation: Generation, slots: &[Slot]) -> Event {
        let begun = self.try_begin_proof(generation, slots);
        let begun = begun.map_err(|error| format!("the new program cannot be started: {error}"));
        Event::Proof(ProofNews::Begun(begun))
    }

    fn try_begin_proof(&mut self, generation: Generation, slots: &[Slot]) -> io::Result<()> {
        let unknown = || io::Error::other("it is not known how this one was started");
        let program = self.program.clone().ok_or_else(unknown)?;
        let directory = self.surroundings.directory.clone();
        let path = program.find(&directory)?;
        let (ours, theirs) = channel::pair()?;
        let (errors, writer) = process_group::output_pipe()?;
        let speech = inherit::standard_error()?;
        let records = self.reserve(generation, slots)?;
        let places = slots.iter().zip(&records).map(|(slot, record)| (slot.0, record.number())).collect();
        let mut luggage = Luggage::default();
        let task =
            Task { channel: luggage.pack(theirs.as_fd()), speech: luggage.pack(speech.as_fd()), places };
        let common = Common::of(&self.shared, &self.own, &mut luggage);
        let document = Document { generation: generation.0, common, purpose: Purpose::Prove(task) }.file()?;
        luggage.pack(document.as_fd());
        let launch = Launch {
            path: &path,
            words: program.words(),
            variables: &[handover::variable(&document)],
            descriptors: luggage.descriptors(),
        };
        let master = process::own_pid();
        let forked = fork_worker(self.fork_hooks(), CANNOT_RUN, || {
            // By its name, behind which another directory may stand by now; the program says so if it needs it.
            let _ = std::env::set_current_dir(&directory);
            let begun = inherit::become_standard_error(writer.as_fd())
                .and_then(|()| exec::stand_apart(master))
                .and_then(|()| fork::restore_signals())
                .and_then(|()| exec::exec(&launch).map(drop));
            if let Err(error) = begun {
                // Read by the master, who sees the exit status too.
                let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("cannot run it: {error}"));
            }
            CANNOT_RUN
        });
        let pid = forked.inspect_err(|_| self.release(&records))?;
        info!(%pid, %generation, "the new program is being proven: {}", path.display());
        self.proof = Some(Proof {
            pid,
            path,
            channel: Some(ours),
            errors: Some(errors),
            kept: Vec::new(),
            records,
            proven: Vec::new(),
            config: None,
            failure: None,
        });
        Ok(())
    }

    /// Keeps records free for the workers of the child: the master goes on forking its own.
    fn reserve(&self, generation: Generation, slots: &[Slot]) -> io::Result<Vec<RecordIndex>> {
        let mut records = Vec::new();
        for slot in slots {
            let Some(record) = self.shared.scoreboard.free_record() else {
                self.release(&records);
                return Err(self.no_room());
            };
            self.shared.scoreboard.record(record).claim(*slot, generation);
            records.push(record);
        }
        Ok(records)
    }

    fn release(&self, records: &[RecordIndex]) {
        for record in records {
            self.shared.scoreboard.forget_flights(*record);
            self.shared.metrics.retire(*record);
            self.shared.scoreboard.retire(*record);
        }
    }

    /// Hears what the child has said and written.
    pub(in crate::master) fn hear_proof(&mut self, events: &mut VecDeque<Event>) {
        let Some(proof) = &mut self.proof else { return };
        proof.read_errors();
        while let Some(channel) = &proof.channel {
            let (bytes, descriptors) = match channel::receive(channel.as_fd()) {
                Ok(Received::Message(bytes, descriptors)) => (bytes, descriptors),
                Ok(Received::WouldBlock) => return,
                // Its end follows.
                Ok(Received::Closed) | Err(_) => {
                    proof.channel = None;
                    return;
                }
            };
            let word = serde_json::from_slice(&bytes).map_err(io::Error::from);
            let taken = word.and_then(|word: Word| proof.take(&word, descriptors.into_iter().next()));
            if let Err(error) = taken {
                proof.failure = Some(format!("the new program is not understood: {error}"));
            }
            if let Some(failure) = &proof.failure {
                events.push_back(Event::Proof(ProofNews::Failed(failure.clone())));
            }
        }
    }

    /// Notes the end of a process; whether it was the child, or a worker of its.
    pub(in crate::master) fn proof_reaped(
        &mut self,
        pid: Pid,
        outcome: &WaitOutcome,
        events: &mut VecDeque<Event>,
    ) -> bool {
        self.hear_proof(events);
        let Some(proof) = &mut self.proof else { return false };
        if let Some(dead) = proof.proven.extract_if(.., |proven| proven.pid == pid).next() {
            // Its parent has ended, or has no time for it.
            proof.failure = Some(format!("worker pid {} ended just after it was ready", dead.pid));
            return true;
        }
        if proof.pid != pid {
            return false;
        }
        let Some(mut proof) = self.proof.take() else { return false };
        let is_done = *outcome == WaitOutcome::Exited(0) && proof.config.is_some();
        if !is_done {
            // kill(2): the number of a group is not given to others as long as somebody is in it.
            let _ = process_group::kill_all(pid);
            proof.proven.clear();
            proof.failure = Some(proof.failure.take().unwrap_or_else(|| proof.reason(outcome)));
        }
        let workers = proof.proven.iter().map(|proven| (proven.pid, proven.slot)).collect();
        for Proven { pid, record, channel, .. } in proof.proven {
            if let Err(error) = exec::take_into_group(pid) {
                debug!(%pid, "cannot take the worker into the master's process group: {error}");
            }
            proof.records.retain(|other| *other != record);
            self.links.insert(pid, Link { channel: Some(channel), record });
        }
        self.release(&proof.records);
        self.proven_config = proof.config.flatten();
        events.push_back(Event::Proof(ProofNews::Ended { workers, failure: proof.failure }));
        true
    }

    /// Has the child leave: in order, with those of its workers that serve, or at once with all of them.
    fn end_proof(&self, pace: Pace) {
        let Some(proof) = &self.proof else { return };
        let ended = match pace {
            Pace::Graceful => process_group::terminate(proof.pid),
            // Before it is the first of its group, only its own number says who is meant.
            Pace::Quick => crate::sys::signals::kill(proof.pid).and(process_group::kill_all(proof.pid)),
        };
        if let Err(error) = ended {
            warn!(pid = %proof.pid, "cannot end the new program: {error}");
        }
    }

    /// Puts the new program in this one's place. Returns only when that fails, with everything as before.
    fn replace(&mut self, written: WrittenPool) -> Event {
        let error = match self.try_replace(written) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        Event::Proof(ProofNews::NotReplaced(format!(
            "the new program could not take the place of this one: {error}"
        )))
    }

    fn try_replace(&mut self, written: WrittenPool) -> io::Result<std::convert::Infallible> {
        let unknown = || io::Error::other("it is not known how this one was started");
        let program = self.program.clone().ok_or_else(unknown)?;
        let path = program.find(&self.surroundings.directory)?;
        // What comes from now on is for the next program, which finds it pending when it is ready.
        let _blocked = Blocked::new(&mut self.own.signals)?;
        let mut luggage = Luggage::default();
        let common = Common::of(&self.shared, &self.own, &mut luggage);
        let generation = written.generation().0;
        let links = self.links.iter().map(|(pid, link)| {
            let channel = link.channel.as_ref().map(|channel| luggage.pack(channel.as_fd()));
            (pid.0, link.record.number(), channel)
        });
        let links = links.collect();
        let manager = self.own.manager.as_ref().map(|manager| manager.name().to_str().map(str::to_owned));
        let inheritance = Inheritance {
            written,
            links,
            config: self.proven_config.clone(),
            admin: AdminProcess::written(&self.admin, &mut luggage),
            files: self.own.files.written(),
            pid_file: self.own.pid_file.as_ref().map(|file| PidFile::written(file, &mut luggage)),
            manager: manager.flatten(),
            watchdog: self.own.watchdog,
        };
        let purpose = Purpose::Adopt(Box::new(inheritance));
        let document = Document { generation, common, purpose }.file()?;
        luggage.pack(document.as_fd());
        let _ = std::env::set_current_dir(&self.surroundings.directory);
        exec::exec(&Launch {
            path: &path,
            words: program.words(),
            variables: &[handover::variable(&document)],
            descriptors: luggage.descriptors(),
        })
    }

    /// In the child: a record for one of its workers.
    pub(in crate::master) fn take_reserved(&mut self) -> Option<RecordIndex> {
        self.reserved.pop_front()
    }
}

/// The exit status of a child that could not become the program; that of shells.
const CANNOT_RUN: u8 = 127;

/// Bytes of what the child has written that are kept: the end, which says what happened.
const KEPT: usize = 4096;

/// Reads before something else is looked at.
const AT_ONCE: usize = 16;

/// Bytes of a reason.
const REASON_MAX: u64 = 48 << 10;
