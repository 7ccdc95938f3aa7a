//! What master and worker tell each other, and how it is written.
//!
//! One message is a byte that says which, and the fields behind it in little-endian order. Both ends are the same
//! program (fork without exec), so there are no versions.

use crate::contract::control::{self, Ticket, Verdict};
use crate::contract::exit::ExitReason;
use crate::contract::inquiry::Inquiry;
use crate::contract::scoreboard::RecordIndex;
use crate::contract::slot::Slot;

/// What the master tells a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Take no further connections, end the running requests, leave.
    Drain(DrainReason),
    /// Serve on, and say with each answer that its connection ends: the server is about to stop.
    Announce,
    /// Leave now.
    Stop,
    /// Open the log files anew.
    ReopenLogs,
    /// The vacant slots have changed: see `Scoreboard::vacant_slots`.
    Vacancies,
    /// A slot has got sockets; the descriptor of this one comes with the message.
    Socket {
        /// The slot.
        slot: Slot,
        /// Index in the `ListenerSet`.
        listener: u16,
    },
    /// For a mold: fork a worker.
    Cast(Cast),
    /// Serve this connection, on which nothing has been received that is not answered; its descriptor comes with the message.
    Take,
    /// An address is not configured any more: take what waits in its queues, and close them.
    Close {
        /// Index in the `ListenerSet`.
        listener: u16,
    },
    /// See to one of the requests; answered by [`Report::Answered`].
    Inquire {
        /// Who asks.
        ticket: Ticket,
        /// The request, and what is wanted of it.
        inquiry: Inquiry,
    },
}

/// What the master tells a mold: what concerns sockets and logs is an [`Order`], too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cast {
    /// The slot of the worker that is to be forked; its end of the channel comes with the message.
    pub slot: Slot,
    /// Its record.
    pub record: RecordIndex,
    /// Slots in service.
    pub workers: u16,
}

/// Why a worker is told to drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainReason {
    /// A successor or siblings serve its sockets from now on.
    Replaced,
    /// Nobody will: the accept queues are emptied too.
    ServerStop,
}

/// What a worker tells the master; a mold says that its apps are loaded by `Ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It exists, forked by a mold, and this is its channel. The kernel names its process.
    Born,
    /// Its apps are loaded and it accepts connections.
    Ready,
    /// It cannot serve, and leaves.
    Failed {
        /// In short.
        reason: ExitReason,
        /// For the operator: a traceback, an error.
        text: String,
    },
    /// It serves on but wants a successor.
    Retiring(RetireReason),
    /// Another worker should serve this connection for a while; its descriptor comes with the message.
    Lends,
    /// It has put a wish for keys into the table of keys; the master passes it on.
    KeysWanted,
    /// What became of [`Order::Inquire`].
    Answered {
        /// Who has asked.
        ticket: Ticket,
        /// The outcome.
        verdict: Verdict,
    },
}

/// Why a worker wants a successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetireReason {
    /// It has served as many requests as it should.
    MaxRequests,
    /// A request has passed its time limit: any, or one that could not be interrupted (`workers.recycle_after_timeout`).
    RequestTimeout,
    /// Somebody has sent it SIGTERM.
    Terminated,
}

/// A message that this program did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message between master and worker is malformed")]
pub struct Malformed;

impl Order {
    /// As bytes.
    pub fn encode(self) -> Vec<u8> {
        match self {
            Self::Drain(DrainReason::Replaced) => vec![1],
            Self::Drain(DrainReason::ServerStop) => vec![2],
            Self::Announce => vec![8],
            Self::Take => vec![10],
            Self::Stop => vec![3],
            Self::ReopenLogs => vec![4],
            Self::Vacancies => vec![5],
            Self::Socket { slot, listener } => {
                let [a, b] = slot.0.to_le_bytes();
                let [c, d] = listener.to_le_bytes();
                vec![6, a, b, c, d]
            }
            Self::Cast(Cast { slot, record, workers }) => {
                let [a, b] = slot.0.to_le_bytes();
                let [c, d, e, f] = record.to_number().to_le_bytes();
                let [g, h] = workers.to_le_bytes();
                vec![20, a, b, c, d, e, f, g, h]
            }
            Self::Close { listener } => {
                let [a, b] = listener.to_le_bytes();
                vec![7, a, b]
            }
            Self::Inquire { ticket, inquiry } => {
                let mut bytes = vec![9];
                bytes.extend(ticket.0.to_le_bytes());
                inquiry.put(&mut bytes);
                bytes
            }
        }
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`Malformed`] when they are none of [`encode`](Self::encode)'s.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        match *bytes {
            [1] => Ok(Self::Drain(DrainReason::Replaced)),
            [2] => Ok(Self::Drain(DrainReason::ServerStop)),
            [8] => Ok(Self::Announce),
            [10] => Ok(Self::Take),
            [3] => Ok(Self::Stop),
            [4] => Ok(Self::ReopenLogs),
            [5] => Ok(Self::Vacancies),
            [6, a, b, c, d] => Ok(Self::Socket {
                slot: Slot(u16::from_le_bytes([a, b])),
                listener: u16::from_le_bytes([c, d]),
            }),
            [20, a, b, c, d, e, f, g, h] => Ok(Self::Cast(Cast {
                slot: Slot(u16::from_le_bytes([a, b])),
                record: RecordIndex::of_number(u32::from_le_bytes([c, d, e, f])),
                workers: u16::from_le_bytes([g, h]),
            })),
            [7, a, b] => Ok(Self::Close { listener: u16::from_le_bytes([a, b]) }),
            [9, ref rest @ ..] => {
                let (ticket, inquiry) = rest.split_first_chunk().ok_or(Malformed)?;
                let ticket = Ticket(u64::from_le_bytes(*ticket));
                Ok(Self::Inquire { ticket, inquiry: Inquiry::decode(inquiry)? })
            }
            _ => Err(Malformed),
        }
    }
}

impl Report {
    /// As bytes; a long text loses its beginning, as the end of a traceback says what happened.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ready => vec![1],
            Self::Born => vec![20],
            Self::Lends => vec![6],
            Self::Failed { reason, text } => {
                let excess = text.len().saturating_sub(TEXT_MAX);
                let start = (excess..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
                let mut bytes = vec![2, reason.status()];
                bytes.extend_from_slice(&text.as_bytes()[start..]);
                bytes
            }
            Self::Retiring(RetireReason::MaxRequests) => vec![3],
            Self::Retiring(RetireReason::RequestTimeout) => vec![4],
            Self::Retiring(RetireReason::Terminated) => vec![5],
            Self::KeysWanted => vec![7],
            Self::Answered { ticket, verdict } => {
                let mut bytes = vec![ANSWERED];
                control::put_answer(&mut bytes, *ticket, verdict);
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
            [1] => Ok(Self::Ready),
            [20] => Ok(Self::Born),
            [6] => Ok(Self::Lends),
            [2, status, text @ ..] => Ok(Self::Failed {
                reason: ExitReason::from_status(i32::from(*status)).ok_or(Malformed)?,
                text: String::from_utf8(text.to_vec()).map_err(|_| Malformed)?,
            }),
            [3] => Ok(Self::Retiring(RetireReason::MaxRequests)),
            [4] => Ok(Self::Retiring(RetireReason::RequestTimeout)),
            [5] => Ok(Self::Retiring(RetireReason::Terminated)),
            [7] => Ok(Self::KeysWanted),
            [ANSWERED, answer @ ..] => {
                let (ticket, verdict) = control::answer_of(answer)?;
                Ok(Self::Answered { ticket, verdict })
            }
            _ => Err(Malformed),
        }
    }
}

/// Says that a report is an answer.
const ANSWERED: u8 = 64;

/// Bytes of text in a report: less than a message of `sys::channel` holds.
const TEXT_MAX: usize = 48 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::inquiry::Wish;

    #[test]
    fn orders_survive_the_journey() {
        let orders = [
            Order::Drain(DrainReason::Replaced),
            Order::Drain(DrainReason::ServerStop),
            Order::Announce,
            Order::Take,
            Order::Stop,
            Order::ReopenLogs,
            Order::Vacancies,
            Order::Socket { slot: Slot(0x1234), listener: 0xabcd },
            Order::Close { listener: 0xabcd },
            Order::Inquire {
                ticket: Ticket(7 << 40),
                inquiry: Inquiry { request: 1 << 63, wish: Wish::Stack },
            },
            Order::Cast(Cast {
                slot: Slot(0x1234),
                record: RecordIndex::of_number(0x0123_4567),
                workers: 0xabcd,
            }),
        ];
        for order in orders {
            assert_eq!(Order::decode(&order.encode()), Ok(order));
        }
    }

    #[test]
    fn reports_survive_the_journey() {
        let failed = |reason, text: &str| Report::Failed { reason, text: text.into() };
        let reports = [
            Report::Ready,
            Report::Born,
            Report::Lends,
            failed(ExitReason::AppLoadFailed, "Traceback …\nImportError: no module named x"),
            failed(ExitReason::BootFailed, ""),
            Report::Retiring(RetireReason::MaxRequests),
            Report::Retiring(RetireReason::RequestTimeout),
            Report::Retiring(RetireReason::Terminated),
            Report::KeysWanted,
            Report::Answered { ticket: Ticket(3), verdict: Verdict::Done("GET /".into()) },
            Report::Answered { ticket: Ticket(u64::MAX), verdict: Verdict::Failed(String::new()) },
        ];
        for report in reports {
            assert_eq!(Report::decode(&report.encode()), Ok(report));
        }
    }

    #[test]
    fn a_long_text_keeps_its_end() {
        let text = format!("{}the end", "é".repeat(40_000));
        let report = Report::Failed { reason: ExitReason::AppLoadFailed, text };
        let bytes = report.encode();
        assert!(bytes.len() <= crate::sys::channel::MESSAGE_MAX);
        let Ok(Report::Failed { text, .. }) = Report::decode(&bytes) else { panic!("not a failure") };
        assert!(text.starts_with('é') && text.ends_with("the end"));
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [&b""[..], &[0], &[1, 1], &[6, 1, 2, 3], &[7, 1], &[9; 18], &[255; 9]] {
            assert_eq!(Order::decode(bytes), Err(Malformed), "{bytes:?}");
        }
        for bytes in
            [&b""[..], &[0], &[1, 1], &[2], &[2, 250], &[2, 3, 0xff], &[6, 1], &[250], &[64, 1], &[64; 12]]
        {
            assert_eq!(Report::decode(bytes), Err(Malformed), "{bytes:?}");
        }
    }
}
