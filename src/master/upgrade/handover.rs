//! What one program hands to the next: a document in memory, and the descriptors that it names.
//!
//! The next program is a child at first, which proves itself, and then takes the place of the one that wrote this. They may be
//! of different versions. `FORMAT` stands for everything that they have in common: this document, the shared table, what
//! master and workers tell each other, and how workers hand connections on. Programs of different formats refuse each other.

use crate::contract::handoff::Relay;
use crate::contract::metrics::MetricTable;
use crate::contract::scoreboard::Scoreboard;
use crate::contract::slot::Generation;
use crate::master::decide::written::WrittenPool;
use crate::master::perform::{Own, Shared, SocketSource};
use crate::net::listeners::ListenerSet;
use crate::net::written::{WrittenFile, WrittenListener};
use crate::sys::{env, inherit, memory_file};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

/// What the program before has left to this one.
#[derive(Debug)]
pub struct Handover {
    document: Document,
}

/// What a configuration file held, and its path; `None` where there is no file.
pub type ConfigText = Option<(PathBuf, String)>;

/// What every successor gets.
pub(super) struct Bequest {
    /// Of the workers that the program is proven with.
    pub(super) generation: Generation,
    pub(super) common: Common,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Document {
    /// Of the workers that this program is proven with.
    pub(super) generation: u32,
    pub(super) common: Common,
    pub(super) purpose: Purpose,
}

/// What every worker gets a copy of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Common {
    listeners: Vec<WrittenListener>,
    /// For posting, for taking.
    relay: (i32, i32),
    scoreboard: Vec<i32>,
    metrics: i32,
    slots_max: u16,
    /// Whether a service manager has opened the sockets.
    handed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Show that workers get ready.
    Prove(Task),
    /// Go on with all there is.
    Adopt(Box<Inheritance>),
}

/// What a child has to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// Where its outcome is told.
    pub(super) channel: i32,
    /// The server's standard error; its own is read by the parent.
    pub(super) speech: i32,
    /// Slots, and the records kept free for them.
    pub(super) places: Vec<(u16, usize)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Inheritance {
    pub(super) written: WrittenPool,
    /// Process, record and channel of each worker; without a channel when it has been closed.
    pub(super) links: Vec<(i32, usize, Option<i32>)>,
    /// What the configuration was made of that has been proven.
    pub(super) config: ConfigText,
    pub(super) admin: WrittenAdmin,
    pub(super) files: Vec<WrittenFile>,
    /// The path of the pid file, and the descriptor that holds its lock.
    pub(super) pid_file: Option<(PathBuf, i32)>,
    /// `NOTIFY_SOCKET`
    pub(super) manager: Option<String>,
    pub(super) watchdog: Option<Duration>,
}

/// The admin process and its sockets.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::master) struct WrittenAdmin {
    /// Since 1970, when the server was started.
    pub(in crate::master) started: Duration,
    /// The place of the control socket, its group, its descriptor, and which file it is.
    pub(in crate::master) control: Option<WrittenControl>,
    pub(in crate::master) addresses: Vec<i32>,
    /// Its process and its channel.
    pub(in crate::master) process: Option<(i32, i32)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::master) struct WrittenControl {
    pub(in crate::master) place: String,
    pub(in crate::master) group: Option<u32>,
    pub(in crate::master) listener: i32,
    pub(in crate::master) identity: Option<crate::sys::unix_socket::FileIdentity>,
}

/// The descriptors that a document names.
#[derive(Debug, Default)]
pub(in crate::master) struct Luggage<'a>(Vec<BorrowedFd<'a>>);

impl Handover {
    /// What the program before has left to this one; `None` where there was none, as at every usual start.
    ///
    /// To be called first of all, while this process has one thread.
    ///
    /// # Errors
    /// When that program is too different from this one.
    pub fn take() -> io::Result<Option<Self>> {
        let Some(number) = std::env::var_os(VARIABLE) else { return Ok(None) };
        // Neither workers nor apps nor what they start may take it for theirs.
        env::remove(OsStr::new(VARIABLE))?;
        let number = number.to_str().and_then(|number| number.parse().ok());
        let mut bytes = Vec::new();
        File::from(inherit::take(number.unwrap_or(-1))?).read_to_end(&mut bytes)?;
        Ok(Some(Self { document: Document::decode(&bytes)? }))
    }

    pub(super) fn open(self) -> (Bequest, Purpose) {
        let Document { generation, common, purpose } = self.document;
        (Bequest { generation: Generation(generation), common }, purpose)
    }

    /// Whether this process is only to show what it can do.
    pub fn is_trial(&self) -> bool {
        matches!(self.document.purpose, Purpose::Prove(_))
    }

    /// What the configuration is made of that has been proven; `None` where it is read from its file.
    pub fn proven_config(&self) -> Option<&ConfigText> {
        match &self.document.purpose {
            Purpose::Prove(_) => None,
            Purpose::Adopt(inheritance) => Some(&inheritance.config),
        }
    }

    /// From now on this process writes to the server's standard error; what it wrote before is the reason of a failure.
    ///
    /// # Errors
    /// When the descriptor was not inherited.
    pub fn speak(&mut self) -> io::Result<()> {
        let Purpose::Prove(task) = &mut self.document.purpose else { return Ok(()) };
        if task.speech >= 0 {
            let speech = inherit::take(std::mem::replace(&mut task.speech, -1))?;
            inherit::become_standard_error(speech.as_fd())?;
        }
        Ok(())
    }
}

impl Document {
    /// The file that holds it, which the next program finds by [`variable`].
    pub(super) fn file(&self) -> io::Result<File> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        let length = u64::try_from(text.len()).map_err(io::Error::other)?;
        memory_file::holding(&[&FORMAT.to_le_bytes()[..], &length.to_le_bytes(), &text].concat())
    }

    fn decode(bytes: &[u8]) -> io::Result<Self> {
        let cut = || io::Error::other("what the program before hands over is cut short");
        let (format, rest) = bytes.split_first_chunk().ok_or_else(cut)?;
        let format = u32::from_le_bytes(*format);
        if format != FORMAT {
            return Err(io::Error::other(format!(
                "the running program hands over in format {format}, this one understands {FORMAT}: restart the server instead"
            )));
        }
        let (length, text) = rest.split_first_chunk().ok_or_else(cut)?;
        if usize::try_from(u64::from_le_bytes(*length)).ok() != Some(text.len()) {
            return Err(cut());
        }
        serde_json::from_slice(text).map_err(io::Error::other)
    }
}

impl Common {
    pub(super) fn of<'a>(shared: &'a Shared, own: &Own, luggage: &mut Luggage<'a>) -> Self {
        Self {
            listeners: shared.listeners.written(|socket| luggage.pack(socket)),
            relay: (luggage.pack(shared.relay.post.as_fd()), luggage.pack(shared.relay.take.as_fd())),
            scoreboard: shared.scoreboard.files().into_iter().map(|file| luggage.pack(file)).collect(),
            metrics: luggage.pack(shared.metrics.file()),
            slots_max: shared.scoreboard.slots_max(),
            handed: own.source == SocketSource::Handed,
        }
    }

    /// What it stands for, in the program that has inherited the descriptors.
    pub(super) fn unpack(self) -> io::Result<(Shared, SocketSource)> {
        let files: Vec<OwnedFd> =
            self.scoreboard.into_iter().map(inherit::take).collect::<io::Result<_>>()?;
        let differs = |error: io::Error| {
            io::Error::other(format!(
                "the running program keeps its shared table differently ({error}): restart the server instead"
            ))
        };
        let scoreboard = Scoreboard::inherited(self.slots_max, files).map_err(differs)?;
        let metrics = inherit::take(self.metrics)?;
        let metrics = MetricTable::inherited(scoreboard.record_count(), metrics).map_err(differs)?;
        let relay = Relay { post: inherit::take(self.relay.0)?, take: inherit::take(self.relay.1)? };
        let listeners = ListenerSet::from_written(self.listeners)?;
        let source = if self.handed { SocketSource::Handed } else { SocketSource::Bound };
        Ok((Shared { listeners, relay, scoreboard, metrics }, source))
    }
}

impl<'a> Luggage<'a> {
    /// Notes a descriptor; gives its number, which the next program knows it by.
    pub(in crate::master) fn pack(&mut self, descriptor: BorrowedFd<'a>) -> i32 {
        self.0.push(descriptor);
        descriptor.as_raw_fd()
    }

    /// All of them.
    pub(super) fn descriptors(&self) -> &[BorrowedFd<'a>] {
        &self.0
    }
}

/// The variable that tells the next program where the document is.
pub(super) fn variable(document: &File) -> (&'static str, String) {
    (VARIABLE, document.as_raw_fd().to_string())
}

const VARIABLE: &str = "FERRICORN_HANDOVER";

/// Counts up whenever a program and the one before could misunderstand each other.
const FORMAT: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_and_pieces_are_refused() {
        let common = Common {
            listeners: Vec::new(),
            relay: (4, 5),
            scoreboard: vec![6],
            metrics: 10,
            slots_max: 7,
            handed: false,
        };
        let purpose = Purpose::Prove(Task { channel: 8, speech: 9, places: vec![(1, 2)] });
        let mut bytes = Vec::new();
        Document { generation: 3, common, purpose }.file().unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(Document::decode(&bytes).unwrap().generation, 3);
        for length in 0..bytes.len() {
            let error = Document::decode(&bytes[..length]).unwrap_err().to_string();
            assert_eq!(error, "what the program before hands over is cut short");
        }
        bytes[0] = 9;
        let error = Document::decode(&bytes).unwrap_err().to_string();
        assert!(error.contains(&format!("in format 9, this one understands {FORMAT}: restart")), "{error}");
    }
}
