//! What is asked of the master from outside, by a signal or a command, and what becomes of it.
//!
//! The admin process passes commands on and gets verdicts back, in the manner of [`message`](super::message).

use crate::contract::inquiry::Inquiry;
use crate::contract::message::Malformed;
use crate::contract::slot::Generation;
use crate::sys::process::Pid;
use std::time::Duration;

/// What the master can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Read the configuration and the apps anew.
    Reload {
        /// How long its first worker is tried; `None`: as the configuration says.
        canary: Option<Duration>,
    },
    /// Have another number of workers.
    Scale(Scale),
    /// Open the log files anew.
    ReopenLogs,
    /// Put another program into the place of this one.
    Upgrade,
    /// Have a worker do something about one of its requests.
    Inquire {
        /// The worker.
        pid: Pid,
        /// The request, and what is wanted of it.
        inquiry: Inquiry,
    },
    /// End.
    Stop(Pace),
}

/// A number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// So many.
    To(u16),
    /// So many more, or less, than there are when its turn comes.
    By(i16),
}

/// How a stop is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Running requests may end.
    Graceful,
    /// They are cut off.
    Quick,
}

/// Who waits for the outcome of a command: a number that the asker has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has taken effect, with this result.
    Done(String),
    /// It has not, because of this; a traceback may follow the first line.
    Failed(String),
}

/// What the admin process tells the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Petition {
    /// Names the verdict.
    pub ticket: Ticket,
    /// What is asked for.
    pub command: Command,
}

/// What the master tells the admin process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tiding {
    /// The outcome of a petition.
    Answer {
        /// That of the petition.
        ticket: Ticket,
        /// Its outcome.
        verdict: Verdict,
    },
    /// How the server is from now on.
    State(State),
    /// A worker has put a wish for keys into the table of keys.
    KeysWanted,
}

/// How the server is, as its master sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// How far it is.
    pub stage: Stage,
    /// The generation that new slots get.
    pub generation: Generation,
    /// Workers that serve.
    pub ready: u16,
    /// Workers that there should be.
    pub wanted: u16,
    /// Whether all slots are of one generation.
    pub unity: Unity,
    /// The process that forks the workers of that generation; `None` where it does not preload.
    pub mold: Option<MoldState>,
    /// Something that went wrong and that the operator should know of, on one line.
    pub trouble: Option<String>,
}

/// How a mold is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoldState {
    /// There is none; the workers serve on, and the next one is on its way or comes when a worker needs it.
    Gone,
    /// It loads the apps.
    Loading,
    /// It forks workers on order.
    Ready,
}

impl MoldState {
    /// Its name: `gone`, `loading`, `ready`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Loading => "loading",
            Self::Ready => "ready",
        }
    }
}

/// How far a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not everybody has been ready yet.
    Starting,
    /// It serves.
    Serving,
    /// It serves, and new workers are on their way.
    Reloading,
    /// It is not ready any more, and takes nothing new once `timeouts.lame_duck` is over.
    Stopping,
}

/// Whether one generation serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unity {
    /// All slots belong to the same.
    One,
    /// A reload has stopped half-way, or is on its way.
    Mixed,
}

impl Petition {
    /// As bytes.
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = self.ticket.0.to_le_bytes().to_vec();
        match self.command {
            Command::Reload { canary: None } => bytes.push(1),
            Command::Reload { canary: Some(time) } => {
                bytes.push(9);
                bytes.extend(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).to_le_bytes());
            }
            Command::Scale(Scale::To(count)) => {
                bytes.push(2);
                bytes.extend(count.to_le_bytes());
            }
            Command::Scale(Scale::By(change)) => {
                bytes.push(3);
                bytes.extend(change.to_le_bytes());
            }
            Command::ReopenLogs => bytes.push(4),
            Command::Upgrade => bytes.push(5),
            Command::Stop(Pace::Graceful) => bytes.push(6),
            Command::Stop(Pace::Quick) => bytes.push(7),
            Command::Inquire { pid, inquiry } => {
                bytes.push(8);
                bytes.extend(pid.0.to_le_bytes());
                inquiry.put(&mut bytes);
            }
        }
        bytes
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`Malformed`] when they are none of [`encode`](Self::encode)'s.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (ticket, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
        let command = match *rest {
            [1] => Command::Reload { canary: None },
            [9, ref time @ ..] => {
                let time = u64::from_le_bytes(time.try_into().map_err(|_| Malformed)?);
                Command::Reload { canary: Some(Duration::from_millis(time)) }
            }
            [2, a, b] => Command::Scale(Scale::To(u16::from_le_bytes([a, b]))),
            [3, a, b] => Command::Scale(Scale::By(i16::from_le_bytes([a, b]))),
            [4] => Command::ReopenLogs,
            [5] => Command::Upgrade,
            [6] => Command::Stop(Pace::Graceful),
            [7] => Command::Stop(Pace::Quick),
            [8, a, b, c, d, ref inquiry @ ..] => Command::Inquire {
                pid: Pid(i32::from_le_bytes([a, b, c, d])),
                inquiry: Inquiry::decode(inquiry)?,
            },
            _ => return Err(Malformed),
        };
        Ok(Self { ticket: Ticket(u64::from_le_bytes(*ticket)), command })
    }
}

impl Tiding {
    /// As bytes. A long reason loses its middle: its first line says what happened, the end of a traceback why.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Answer { ticket, verdict } => {
                let mut bytes = Vec::new();
                put_answer(&mut bytes, *ticket, verdict);
                bytes
            }
            Self::KeysWanted => vec![4],
            Self::State(state) => {
                let stage = match state.stage {
                    Stage::Starting => 0,
                    Stage::Serving => 1,
                    Stage::Reloading => 2,
                    Stage::Stopping => 3,
                };
                let mold = match state.mold {
                    None => 0,
                    Some(MoldState::Gone) => 1,
                    Some(MoldState::Loading) => 2,
                    Some(MoldState::Ready) => 3,
                };
                let mut bytes = vec![3, stage, u8::from(state.unity == Unity::Mixed), mold];
                bytes.extend(state.generation.0.to_le_bytes());
                bytes.extend(state.ready.to_le_bytes());
                bytes.extend(state.wanted.to_le_bytes());
                if let Some(trouble) = &state.trouble {
                    bytes.push(1);
                    bytes.extend(shortened(trouble).as_bytes());
                }
                bytes
            }
        }
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`Malformed`] when they are none of [`encode`](Self::encode)'s.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes {
            [4] => Ok(Self::KeysWanted),
            [1 | 2, ..] => {
                let (ticket, verdict) = answer_of(bytes)?;
                Ok(Self::Answer { ticket, verdict })
            }
            [3, stage, unity @ (0 | 1), mold @ 0..=3, g0, g1, g2, g3, r0, r1, w0, w1, trouble @ ..] => {
                let stage = match stage {
                    0 => Stage::Starting,
                    1 => Stage::Serving,
                    2 => Stage::Reloading,
                    3 => Stage::Stopping,
                    _ => return Err(Malformed),
                };
                let trouble = match trouble {
                    [] => None,
                    [1, text @ ..] => Some(text_of(text)?),
                    _ => return Err(Malformed),
                };
                Ok(Self::State(State {
                    stage,
                    generation: Generation(u32::from_le_bytes([*g0, *g1, *g2, *g3])),
                    ready: u16::from_le_bytes([*r0, *r1]),
                    wanted: u16::from_le_bytes([*w0, *w1]),
                    unity: if *unity == 1 { Unity::Mixed } else { Unity::One },
                    mold: [None, Some(MoldState::Gone), Some(MoldState::Loading), Some(MoldState::Ready)]
                        [usize::from(*mold)],
                    trouble,
                }))
            }
            _ => Err(Malformed),
        }
    }
}

/// Adds an answer to a message.
pub(super) fn put_answer(bytes: &mut Vec<u8>, ticket: Ticket, verdict: &Verdict) {
    let (kind, text) = match verdict {
        Verdict::Done(text) => (1, text),
        Verdict::Failed(text) => (2, text),
    };
    bytes.push(kind);
    bytes.extend(ticket.0.to_le_bytes());
    bytes.extend(shortened(text).as_bytes());
}

/// An answer from the rest of a message.
pub(super) fn answer_of(bytes: &[u8]) -> Result<(Ticket, Verdict), Malformed> {
    let (kind, rest) = bytes.split_first().ok_or(Malformed)?;
    let (ticket, text) = rest.split_first_chunk().ok_or(Malformed)?;
    let verdict = match kind {
        1 => Verdict::Done(text_of(text)?),
        2 => Verdict::Failed(text_of(text)?),
        _ => return Err(Malformed),
    };
    Ok((Ticket(u64::from_le_bytes(*ticket)), verdict))
}

fn text_of(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}

/// A text that fits into a message, cut in the middle where it is too long.
fn shortened(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(HEAD);
    let tail = text.ceil_char_boundary(text.len() - (TEXT_MAX - HEAD - GAP.len()));
    [&text[..head], GAP, &text[tail..]].concat()
}

/// Bytes of a text: less than a message of `sys::channel` holds.
const TEXT_MAX: usize = 48 << 10;

/// Of these, how many are from the beginning.
const HEAD: usize = 1 << 10;

const GAP: &str = "\n[...]\n";

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
