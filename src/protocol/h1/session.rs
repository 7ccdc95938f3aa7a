//! A connection's bytes: reading with deadlines, writing responses, ending without a reset.

use super::Settings;
use super::body::put_small;
use super::deadline::Deadline;
use super::head::Persistence;
use super::upload::Uploading;
use super::write::{Asked, Delimiter, put_head, put_hints};
use crate::net::{Drain, Occupation, Occupied, Stream, together};
use crate::protocol::flight::Bell;
use crate::protocol::upgrade::Handover;
use crate::protocol::{Interim, OnDisconnect, Rejection, RequestContext, Response, spare_fields};
use bytes::BytesMut;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::coop::consume_budget;

/// Room for reading: most heads fit.
pub(super) const READ_SIZE: usize = 8 << 10;
/// What is kept of further requests while one is answered; with more than that a client can hardly leave unseen.
const READ_AHEAD: usize = 64 << 10;
/// How long, and how much of it, a closing connection still reads so that no RST destroys our last answer.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

/// A connection being served.
pub(super) struct Session<'a> {
    pub(super) stream: Stream,
    pub(super) buffer: BytesMut,
    pub(super) settings: &'a Settings,
    /// For an app that changes the protocol; of the request being answered.
    pub(super) handover: Option<Handover>,
    /// Whether the app of the request being answered is to learn that the client has left.
    pub(super) on_disconnect: OnDisconnect,
    /// What the app hints at before its answer.
    pub(super) interim: Interim,
    /// The content of the request being answered, where its app has it while it arrives.
    pub(super) upload: Option<Uploading>,
    /// Why that content is none.
    pub(super) refused: Option<Rejection>,
    pub(super) out: BytesMut,
    pub(super) deadline: Deadline,
    pub(super) drain: &'a Drain,
    pub(super) occupied: &'a Occupied,
    pub(super) drain_seen: bool,
    /// Until when a worker that leaves waits for a request on a connection that nobody has taken.
    pub(super) waits_until: Option<Instant>,
    pub(super) first: bool,
    /// The request whose head has had to be waited for.
    pub(super) arriving: Option<Box<RequestContext>>,
    /// Rung when one of its requests is told to end; elsewhere while somebody waits for it.
    pub(super) bell: Bell,
}

/// What became of a response.
pub(super) struct Written {
    /// Bytes of content sent.
    pub(super) sent: u64,
    /// What the client was told of the connection, or why the response did not end.
    pub(super) end: io::Result<Persistence>,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    Bytes,
    End,
    TimedOut,
    DrainBegan,
}

/// What happens while the app makes its answer.
enum Event<T> {
    Output(T),
    Hint,
    Gone,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The first byte of a request, if there will be one.
    Idle,
    /// The rest of what has begun.
    Message,
    /// More of a content. The client may hold its end back until it knows that the rest has arrived (RFC 9293 3.7.4,
    /// the Nagle algorithm, as nginx has it towards its upstreams), and the kernel does not hurry to tell it.
    Content,
}

/// Its client sees that something is missing.
fn cancelled() -> io::Result<()> {
    Err(io::Error::other("the request was cancelled"))
}

impl<'a> Session<'a> {
    pub(super) fn new(
        stream: Stream,
        settings: &'a Settings,
        (drain, occupied): (&'a Drain, &'a Occupied),
    ) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            settings,
            handover: None,
            on_disconnect: OnDisconnect::Finish,
            interim: Interim::default(),
            upload: None,
            refused: None,
            out: BytesMut::new(),
            deadline: Deadline::new(),
            drain,
            occupied,
            drain_seen: false,
            waits_until: None,
            first: true,
            arriving: None,
            bell: Bell::default(),
        }
    }

    /// The connection has been another worker's.
    pub(super) fn was_served(&mut self) {
        self.first = false;
    }

    /// Whether a request has been answered here, or elsewhere, and nothing of the next one is there.
    pub(super) fn is_between(&self) -> bool {
        !self.first && self.buffer.is_empty()
    }

    /// No other worker has taken the connection; it may be offered again.
    pub(super) fn stays(&mut self) {
        let limit = self.settings.timeouts.drain_idle;
        self.waits_until.get_or_insert_with(|| Instant::now() + limit);
    }

    /// Reads more content, into as much room.
    pub(super) async fn fill_content(&mut self, room: usize) -> Result<(), Rejection> {
        self.deadline.set(Instant::now(), self.settings.timeouts.body);
        self.buffer.reserve(room);
        match self.fill(Wait::Content).await {
            Fill::Bytes | Fill::DrainBegan => Ok(()),
            Fill::TimedOut => Err(Rejection::ContentTimeout),
            // Never handed to an app as complete.
            Fill::End => Err(Rejection::ContentEnd),
        }
    }

    /// Writes a response; says "close" where the connection must not go on.
    pub(super) async fn write_response(
        &mut self,
        mut response: Box<Response>,
        asked: Asked<'_>,
        mut persistence: Persistence,
    ) -> Written {
        // What of a content the app does not want stands in the way of the next request.
        let ends = self.drain.ends_connections() || self.waits_until.is_some() || self.upload.is_some();
        if ends || self.settings.timeouts.keep_alive.is_zero() {
            persistence = Persistence::Close;
        }
        self.out.clear();
        self.out.reserve(512);
        let delimiter = put_head(&mut self.out, &response, asked, &mut persistence);
        spare_fields::give_back(std::mem::take(response.headers_mut()));
        if delimiter == Delimiter::Close {
            // RFC 9112 8: content that ends with its connection would look complete, whatever cuts it off: the drain's limit, or
            // the end of this process.
            self.stream.reset_when_closed();
        }
        if let Some(sent) = put_small(&mut self.out, response.body(), delimiter) {
            // Which nearly every socket has room for; there is nothing to wait for, and to be told meanwhile.
            // Whoever waits for it to leave is dropped before the stream is.
            let socket = self.stream.as_fd().as_raw_fd();
            let flushed = match together::hold(socket, &mut self.out) {
                None => self.flush_at_once(),
                Some(leaving) => self.leave_together(leaving).await,
            };
            let end = match flushed {
                Ok(false) => {
                    let bell = std::mem::take(&mut self.bell);
                    let end = asked.flight.unless_cancelled(&bell, pin!(self.flush_out())).await;
                    self.bell = bell;
                    end.unwrap_or_else(cancelled)
                }
                at_once => at_once.map(drop),
            };
            if !self.buffer.is_empty() {
                // Who sends requests in advance leaves others their turn.
                consume_budget().await;
            }
            return Written { sent: if end.is_ok() { sent } else { 0 }, end: end.map(|()| persistence) };
        }
        let mut sent = 0;
        let bell = std::mem::take(&mut self.bell);
        let end = {
            let writing = pin!(self.write_content(response.into_body(), delimiter, &mut sent));
            asked.flight.unless_cancelled(&bell, writing).await
        };
        self.bell = bell;
        let end = end.unwrap_or_else(cancelled);
        if end.is_ok() && delimiter == Delimiter::Close {
            self.stream.end_when_closed();
        }
        Written { sent, end: end.map(|()| persistence) }
    }

    /// What the app comes to; `None` when the client leaves before, if the app wants to know. What it hints at meanwhile is
    /// sent.
    pub(super) async fn attend<F: Future + Unpin>(&mut self, mut app: F) -> Option<F::Output> {
        loop {
            let event = poll_fn(|cx| match Pin::new(&mut app).poll(cx) {
                Poll::Ready(output) => Poll::Ready(Event::Output(output)),
                Poll::Pending if self.interim.has_some() => Poll::Ready(Event::Hint),
                Poll::Pending => self.poll_gone(cx).map(|()| Event::Gone),
            })
            .await;
            if self.interim.has_some() && self.write_hints().await.is_err() {
                return None;
            }
            self.retime_upload();
            match event {
                Event::Output(output) => return Some(output),
                Event::Hint => {}
                Event::Gone => return None,
            }
        }
    }

    /// What a future comes to; `None` when the client leaves before, if the app wants to know.
    pub(super) async fn unless_gone<F: Future + Unpin>(&mut self, mut future: F) -> Option<F::Output> {
        self.retime_upload();
        poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_gone(cx).map(|()| None),
        })
        .await
    }

    async fn write_hints(&mut self) -> io::Result<()> {
        self.out.clear();
        for fields in self.interim.take() {
            put_hints(&mut self.out, &fields);
        }
        self.flush_out().await
    }

    /// Ready once the client has left. What it sends meanwhile is kept, up to a limit.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(rejection) = ready!(self.poll_upload(cx)) {
            self.refused = Some(rejection);
            return Poll::Ready(());
        }
        if self.on_disconnect == OnDisconnect::Finish {
            return Poll::Pending;
        }
        while self.buffer.len() < READ_AHEAD {
            ready!(self.stream.poll_read_ready(cx));
            self.buffer.reserve(READ_SIZE);
            match ready!(pin!(self.stream.read_buf(&mut self.buffer)).poll(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Ends the connection by FIN, and reads on for a while: closing with unread bytes would send RST,
    /// which can destroy an answer the client has not read yet (RFC 9112 9.6).
    pub(super) async fn linger(mut self) {
        self.upload = None;
        if self.stream.shutdown().await.is_err() {
            return;
        }
        self.deadline.set(Instant::now(), LINGER_TIME);
        let mut read = 0;
        while read < LINGER_BYTES {
            self.buffer.clear();
            match self.fill(Wait::Message).await {
                Fill::Bytes => read += self.buffer.len(),
                Fill::End | Fill::TimedOut | Fill::DrainBegan => return,
            }
        }
    }

    /// Leaves the connection to the app, which has changed its protocol; returns when the app is done with it.
    pub(super) async fn hand_over(self) {
        let Self { stream, buffer, handover, occupied, .. } = self;
        if let Some(handover) = handover {
            occupied.with(Occupation::Upgraded);
            handover.complete(stream, buffer).await;
        }
    }

    pub(super) async fn fill(&mut self, wait: Wait) -> Fill {
        if wait != Wait::Content {
            self.buffer.reserve(READ_SIZE);
        }
        let watches_drain = wait == Wait::Idle && !self.drain_seen;
        let Self { stream, buffer, deadline, drain, .. } = self;
        poll_fn(|cx| {
            match pin!(stream.read_buf(buffer)).poll(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Fill::End),
                Poll::Ready(Ok(_)) => return Poll::Ready(Fill::Bytes),
                Poll::Pending => {}
            }
            if wait == Wait::Content {
                stream.acknowledge();
            }
            // `Drain::limit` has this task woken.
            if watches_drain && drain.has_begun() {
                return Poll::Ready(Fill::DrainBegan);
            }
            deadline.poll(cx).map(|()| Fill::TimedOut)
        })
        .await
    }
}
