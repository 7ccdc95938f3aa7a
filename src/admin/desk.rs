//! Between those who ask and the master: passes commands on, keeps who waits, knows the server's state.

use crate::contract::control::{Command, Petition, State, Ticket, Tiding, Verdict};
use crate::sys::channel::{self, Received, Sent};
use crate::sys::{process, watch};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::oneshot;

/// The only way to the master.
pub(super) struct Desk {
    channel: OwnedFd,
    book: Mutex<Book>,
    /// Called when a worker wants keys.
    wish: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Debug)]
struct Book {
    next: u64,
    waiting: BTreeMap<Ticket, oneshot::Sender<Verdict>>,
    state: Option<State>,
    master: Master,
}

/// Whether there is a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Master {
    Here,
    Gone,
}

impl Desk {
    pub(super) fn new(channel: BorrowedFd<'_>) -> io::Result<Self> {
        // An answer to the process before this one must not be taken for one of ours.
        let next = u64::from(process::own_pid().0.unsigned_abs()) << 32;
        let book = Book { next, waiting: BTreeMap::new(), state: None, master: Master::Here };
        Ok(Self { channel: channel.try_clone_to_owned()?, book: Mutex::new(book), wish: OnceLock::new() })
    }

    /// Says what is to happen when a worker wants keys.
    #[cfg(feature = "jwt")]
    pub(super) fn on_wish(&self, wish: Box<dyn Fn() + Send + Sync>) {
        // It is said once.
        let _ = self.wish.set(wish);
    }

    /// Passes a command on; its outcome comes later.
    ///
    /// # Errors
    /// Why the master cannot be asked.
    pub(super) fn ask(&self, command: Command) -> Result<oneshot::Receiver<Verdict>, String> {
        let mut book = self.book();
        if book.master == Master::Gone {
            return Err(ENDED.into());
        }
        let ticket = Ticket(book.next);
        match channel::send(self.channel.as_fd(), &Petition { ticket, command }.encode(), &[]) {
            Ok(Sent::Sent) => {}
            Ok(Sent::WouldBlock) => {
                return Err(
                    "the master does not read its commands; it may hang: see the log, or send it TERM".into(),
                );
            }
            Ok(Sent::Closed) => return Err(ENDED.into()),
            Err(error) => return Err(format!("the master cannot be reached: {error}")),
        }
        book.next += 1;
        let (answer, answered) = oneshot::channel();
        // Who does not wait any more is not in the way of others.
        book.waiting.retain(|_, answer| !answer.is_closed());
        book.waiting.insert(ticket, answer);
        Ok(answered)
    }

    /// How the server is, as far as it is known.
    pub(super) fn state(&self) -> Option<State> {
        self.book().state.clone()
    }

    /// Listens to the master until it is gone.
    pub(super) async fn listen(&self, channel: OwnedFd) -> io::Result<()> {
        let channel = watch::readable(channel)?;
        loop {
            let mut ready = channel.readable().await?;
            match channel::receive(channel.get_ref().as_fd())? {
                Received::Message(bytes, _) => match Tiding::decode(&bytes) {
                    Ok(tiding) => self.take(tiding),
                    Err(error) => tracing::warn!(
                        "what the master says is not understood (is it of another version?); restart the server: {error}"
                    ),
                },
                Received::WouldBlock => ready.clear_ready(),
                Received::Closed => {
                    let mut book = self.book();
                    book.master = Master::Gone;
                    // Their senders are dropped: whoever waits is told that nothing will come.
                    book.waiting.clear();
                    return Ok(());
                }
            }
        }
    }

    fn take(&self, tiding: Tiding) {
        if tiding == Tiding::KeysWanted {
            return self.wish.get().map_or((), |wish| wish());
        }
        let mut book = self.book();
        match tiding {
            // Seen to above.
            Tiding::KeysWanted => {}
            Tiding::State(state) => book.state = Some(state),
            Tiding::Answer { ticket, verdict } => {
                if let Some(answer) = book.waiting.remove(&ticket) {
                    // Who has gone meanwhile does not want to know.
                    let _ = answer.send(verdict);
                }
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("book", &self.book).finish_non_exhaustive()
    }
}

/// What is said when there is no master.
pub(super) const ENDED: &str = "the server has ended";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::control::{Stage, Unity};
    use crate::contract::slot::Generation;
    use std::sync::Arc;

    fn petition(master: &OwnedFd) -> Petition {
        match channel::receive(master.as_fd()).unwrap() {
            Received::Message(bytes, _) => Petition::decode(&bytes).unwrap(),
            other @ (Received::WouldBlock | Received::Closed) => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn each_waits_for_its_own_verdict() {
        let (master, admin) = channel::pair().unwrap();
        let desk = Arc::new(Desk::new(admin.as_fd()).unwrap());
        let listening = tokio::spawn({
            let desk = Arc::clone(&desk);
            async move { desk.listen(admin).await }
        });
        let first = desk.ask(Command::Reload { canary: None }).unwrap();
        let second = desk.ask(Command::Upgrade).unwrap();
        let third = desk.ask(Command::ReopenLogs).unwrap();
        let petitions = [petition(&master), petition(&master), petition(&master)];
        assert_eq!(petitions[1].command, Command::Upgrade);
        let state = State {
            stage: Stage::Serving,
            generation: Generation(2),
            ready: 1,
            wanted: 1,
            unity: Unity::One,
            mold: None,
            trouble: None,
        };
        let done = Verdict::Done("generation 2".into());
        let failed = Verdict::Failed("no".into());
        for tiding in [
            Tiding::Answer { ticket: Ticket(1), verdict: failed.clone() },
            Tiding::Answer { ticket: petitions[1].ticket, verdict: failed.clone() },
            Tiding::State(state.clone()),
            Tiding::Answer { ticket: petitions[0].ticket, verdict: done.clone() },
        ] {
            channel::send(master.as_fd(), &tiding.encode(), &[]).unwrap();
        }
        assert_eq!(first.await.unwrap(), done);
        assert_eq!(second.await.unwrap(), failed);
        assert_eq!(desk.state(), Some(state));
        drop(master);
        assert!(third.await.is_err(), "there is nobody to answer");
        listening.await.unwrap().unwrap();
        assert_eq!(desk.ask(Command::Reload { canary: None }).unwrap_err(), ENDED);
    }
}
