//! Bytes on their way to the client, which has the write timeout for each step.

use super::session::Session;
use crate::net::Stream;
use crate::net::together::Leaving;
use bytes::Buf;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::AsyncWrite;

impl Session<'_> {
    /// Writes what `out` holds.
    pub(super) async fn flush_out(&mut self) -> io::Result<()> {
        self.flush_out_with(&[], &[]).await
    }

    /// Writes what `out` holds, and `content` and `rest` behind it, which are not copied for that.
    pub(super) async fn flush_out_with(&mut self, content: &[u8], rest: &[u8]) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        let result = if content.is_empty() {
            self.write_all(&out).await
        } else {
            self.write_slices(&mut [&out, content, rest].map(IoSlice::new)).await
        };
        self.out = out;
        self.out.clear();
        result
    }

    /// Waits for what `out` held to leave with others; whether that was all of it.
    pub(super) async fn leave_together(&mut self, mut leaving: Leaving) -> io::Result<bool> {
        let sent = (&mut leaving).await;
        self.out = leaving.take_bytes();
        self.was_written(sent)
    }

    /// Writes of what `out` holds as much as there is room for at once; whether that was all of it.
    pub(super) fn flush_at_once(&mut self) -> io::Result<bool> {
        let written = self.stream.try_write(&self.out);
        self.was_written(written)
    }

    fn was_written(&mut self, written: io::Result<usize>) -> io::Result<bool> {
        let written = match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            written => written?,
        };
        let is_all = written == self.out.len();
        if is_all {
            self.out.clear()
        } else {
            self.out.advance(written)
        }
        Ok(is_all)
    }

    /// Writes all bytes.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut at = 0;
        self.write_steps(|stream, cx| {
            if at == bytes.len() {
                return Poll::Ready(Ok(Step::Done));
            }
            let written = ready!(Pin::new(stream).poll_write(cx, &bytes[at..]))?;
            at += written;
            Poll::Ready(if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(Step::More) })
        })
        .await
    }

    /// Writes all bytes of several slices, in as few system calls as the socket has room for.
    async fn write_slices(&mut self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.write_steps(|stream, cx| {
            // Empty ones in front are dropped.
            IoSlice::advance_slices(&mut slices, 0);
            if slices.is_empty() {
                return Poll::Ready(Ok(Step::Done));
            }
            let written = ready!(Pin::new(stream).poll_write_vectored(cx, slices))?;
            IoSlice::advance_slices(&mut slices, written);
            Poll::Ready(if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(Step::More) })
        })
        .await
    }

    /// Takes steps of writing until one was the last; the client has the write timeout for each.
    pub(super) async fn write_steps(
        &mut self,
        mut step: impl FnMut(&mut Stream, &mut Context<'_>) -> Poll<io::Result<Step>>,
    ) -> io::Result<()> {
        let Self { stream, deadline, settings, .. } = self;
        let mut waiting = false;
        poll_fn(|cx| {
            loop {
                match step(stream, cx) {
                    Poll::Ready(Ok(Step::More)) => waiting = false,
                    Poll::Ready(Ok(Step::Done)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        if !waiting {
                            waiting = true;
                            deadline.set(Instant::now(), settings.timeouts.write);
                        }
                        return deadline.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
                    }
                }
            }
        })
        .await
    }
}

/// What a step of writing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Something was written, and something is left.
    More,
    /// Nothing is left.
    Done,
}
