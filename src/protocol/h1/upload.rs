//! Request content that reaches its app while it arrives.

use super::content::{ContentReader, Gathered};
use super::session::Session;
use crate::protocol::upload::{Upload, upload};
use crate::protocol::{Content, Rejection};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::AsyncReadExt;

/// What waits for an app that takes its time: as much as it is given from a file at once.
const AHEAD: usize = 64 << 10;

/// Content that is not complete, while its app has the request.
#[derive(Debug)]
pub(super) struct Uploading {
    reader: ContentReader,
    /// Whether the deadline is that of the client's next bytes.
    is_timed: bool,
}

impl Session<'_> {
    /// Takes what has arrived of a content; what has not reaches the app by the upload, while the session is polled.
    pub(super) fn begin_upload(
        &mut self,
        mut reader: ContentReader,
    ) -> Result<(Content, Option<Upload>), Rejection> {
        if reader.take(&mut self.buffer)? == Gathered::Complete {
            return Ok((reader.finish()?, None));
        }
        let (sender, upload) = upload(AHEAD);
        self.upload = Some(Uploading { reader: reader.into_upload(sender), is_timed: false });
        Ok((Content::Empty, Some(upload)))
    }

    /// Reads on, as far as there is room. Ready once the content is whole, or cannot become so.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        let Self { stream, buffer, deadline, settings, upload, .. } = self;
        let Some(uploading) = upload else { return Poll::Ready(Ok(())) };
        loop {
            if uploading.reader.take(buffer)? == Gathered::Complete {
                break;
            }
            // The client does not wait for itself meanwhile: its time begins when there is room.
            ready!(uploading.reader.poll_room(cx));
            if !uploading.is_timed {
                uploading.is_timed = true;
                deadline.set(Instant::now(), settings.timeouts.body);
            }
            buffer.reserve(uploading.reader.room(buffer));
            match pin!(stream.read_buf(buffer)).poll(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Rejection::ContentEnd)),
                Poll::Ready(Ok(_)) => uploading.is_timed = false,
                Poll::Pending => {
                    stream.acknowledge();
                    return deadline.poll(cx).map(|()| Err(Rejection::ContentTimeout));
                }
            }
        }
        match upload.take() {
            Some(uploading) => Poll::Ready(uploading.reader.finish().map(drop)),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Whether the client is not known to send anything more.
    pub(super) fn is_exhausted(&self) -> bool {
        self.buffer.is_empty() && self.upload.is_none()
    }

    /// The deadline has been used for something else.
    pub(super) fn retime_upload(&mut self) {
        if let Some(uploading) = &mut self.upload {
            uploading.is_timed = false;
        }
    }
}
