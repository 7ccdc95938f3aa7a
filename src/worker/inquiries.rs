//! What an operator wants of one request: that it ends, or where its thread is.

use super::keys;
use crate::app::calls::{CallQueue, Cancelled};
use crate::contract::control::{Ticket, Verdict};
use crate::contract::entry::{Entry, Stage};
use crate::contract::handoff::Report;
use crate::contract::inquiry::{Inquiry, Wish};
use crate::middleware::bearer::Authenticator;
use crate::protocol::flight::Board;
use crate::sys::{channel, clock};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Sees to inquiries, each in a task of its own.
#[derive(Debug)]
pub(super) struct Inquiries {
    pub(super) calls: Arc<CallQueue>,
    pub(super) board: &'static Board,
    /// To the master.
    pub(super) channel: OwnedFd,
    pub(super) authenticator: Option<Arc<Authenticator>>,
    /// Whether this worker says what all find alike.
    pub(super) speaks: bool,
}

impl Inquiries {
    /// Begins to see to one; the master is told what has come of it.
    pub(super) fn begin(self: &Arc<Self>, ticket: Ticket, inquiry: Inquiry) {
        let inquiries = Arc::clone(self);
        tokio::spawn(async move {
            let verdict = match inquiry.wish {
                Wish::Cancel => inquiries.cancel(inquiry.request).await,
                Wish::Stack => inquiries.stack(inquiry.request).await,
                Wish::TakeKeys => inquiries.of_keys(keys::take),
                Wish::ReadKeys => inquiries.of_keys(keys::read),
            };
            let report = Report::Answered { ticket, verdict };
            if let Err(error) = channel::send(inquiries.channel.as_fd(), &report.encode(), &[]) {
                tracing::error!(%error, "the master cannot be told what has come of an inquiry");
            }
        });
    }

    fn of_keys(&self, see_to: impl Fn(&Authenticator, bool) -> Verdict) -> Verdict {
        match &self.authenticator {
            Some(authenticator) => see_to(authenticator, self.speaks),
            None => Verdict::Done(String::new()),
        }
    }

    async fn cancel(&self, id: u64) -> Verdict {
        let Some(entry) = self.board.entry(id) else { return Verdict::Failed(NO_SUCH.into()) };
        let what = entry.describe(clock::monotonic_ns());
        // Asked here, on the thread that serves the connections: an answer that says of the cancellation comes later.
        let is_being_answered = self.board.is_being_answered(id);
        // Calls that block a thread are ended by those who know how; whoever serves the connection ends all others.
        if let Some(outcome) = self.calls.cancel(id) {
            // What has been made of a response waits for its client, who may take its time.
            let cut = if is_being_answered { self.board.cancel(id) } else { None };
            return match outcome.await {
                Ok(Cancelled::Ended) => {
                    if let Some(cut) = cut {
                        let _ended_or_late = tokio::time::timeout(PATIENCE, cut).await;
                    }
                    done(&what)
                }
                Ok(Cancelled::GoesOn(stack)) => Verdict::Failed(format!(
                    "the client has been answered, but the app goes on: it is in C code, or ignores the interruption\n{what}\n{stack}"
                )),
                Ok(Cancelled::Already) => Verdict::Failed(format!("it is being ended already: {what}")),
                Err(_) => Verdict::Failed(format!("no thread is to be had to interrupt it with: {what}")),
            };
        }
        let Some(ended) = self.board.cancel(id) else { return Verdict::Failed(NO_SUCH.into()) };
        tracing::info!(request = format_args!("{id:016x}"), "request cancelled: {what}");
        let _ended_or_late = tokio::time::timeout(PATIENCE, ended).await;
        match self.board.entry(id) {
            None => done(&what),
            Some(_) => Verdict::Failed(format!("it has been told to end, and goes on: {what}")),
        }
    }

    async fn stack(self: &Arc<Self>, id: u64) -> Verdict {
        let Some(entry) = self.board.entry(id) else { return Verdict::Failed(NO_SUCH.into()) };
        let what = entry.describe(clock::monotonic_ns());
        let inquiries = Arc::clone(self);
        // A thread in the kernel takes its time to answer, and this one has connections to serve.
        let stack = tokio::task::spawn_blocking(move || inquiries.calls.stack_of(id)).await;
        match stack {
            Ok(Some(Ok(stack))) => Verdict::Done(format!("{what}\n{stack}")),
            Ok(Some(Err(reason))) => Verdict::Failed(format!("{reason}\n{what}")),
            Ok(None) => Verdict::Done(format!("{what}\n{}", without_thread(&entry))),
            Err(error) => Verdict::Failed(format!("no stack: {error}")),
        }
    }
}

fn done(what: &str) -> Verdict {
    Verdict::Done(format!("cancelled: {what}"))
}

/// Why a request has no stack that no thread is in.
fn without_thread(entry: &Entry) -> &'static str {
    match entry.stage {
        Stage::Reading => "no stack: it arrives",
        Stage::Queued => "no stack: it waits for an app thread",
        Stage::App => "no stack: it waits in an app that blocks no thread",
        Stage::Writing => "no stack: its response is on its way",
    }
}

const NO_SUCH: &str = "no such request: it may have ended";

/// How long a request may take to end that blocks no thread.
const PATIENCE: Duration = Duration::from_secs(2);
