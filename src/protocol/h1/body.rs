//! The content of a response on its way to the client: whole, from a file, or piece by piece.

use super::session::Session;
use super::write::{Delimiter, put_trailers};
use crate::net::Occupation;
use crate::protocol::{BodyStream, ResponseBody};
use bytes::{BufMut, Bytes};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

/// Content up to this size is sent in one write with its head.
const COPY_LIMIT: usize = 16 << 10;

impl Session<'_> {
    /// Sends the head in `out` and the content behind it; counts what of the content was sent.
    pub(super) async fn write_content(
        &mut self,
        body: ResponseBody,
        delimiter: Delimiter,
        sent: &mut u64,
    ) -> io::Result<()> {
        let length = match delimiter {
            Delimiter::Nothing => return self.flush_out().await,
            Delimiter::Length(length) => length,
            Delimiter::Chunked | Delimiter::Close => u64::MAX,
        };
        match body {
            ResponseBody::Empty => self.flush_out().await?,
            ResponseBody::Full(bytes) => self.write_full(bytes, length, sent).await?,
            ResponseBody::File { file, offset, length: in_file } => {
                self.write_file(&file, (offset, in_file.min(length)), sent).await?;
            }
            ResponseBody::Stream(stream) => {
                if length == u64::MAX {
                    self.occupied.with(Occupation::Stream);
                }
                self.write_stream(stream, delimiter, length, sent).await?;
            }
        }
        if matches!(delimiter, Delimiter::Length(length) if *sent < length) {
            tracing::error!(declared = length, sent = *sent, "the app sent less content than it declared");
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    async fn write_full(&mut self, bytes: Bytes, length: u64, sent: &mut u64) -> io::Result<()> {
        let take = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let bytes = &bytes[..take];
        if take <= COPY_LIMIT {
            self.out.put_slice(bytes);
            self.flush_out().await?;
        } else {
            self.flush_out().await?;
            self.write_all(bytes).await?;
        }
        *sent += take as u64;
        Ok(())
    }

    async fn write_stream(
        &mut self,
        mut stream: BodyStream,
        delimiter: Delimiter,
        length: u64,
        sent: &mut u64,
    ) -> io::Result<()> {
        // Once the client has all of it, what else the app might make is nobody's, and need not be waited for.
        while *sent < length {
            let piece = match poll_fn(|cx| Poll::Ready(stream.poll_next(cx))).await {
                Poll::Ready(piece) => piece,
                Poll::Pending => {
                    self.flush_out().await?;
                    let next = pin!(poll_fn(|cx| stream.poll_next(cx)));
                    self.unless_gone(next).await.ok_or(io::ErrorKind::BrokenPipe)?
                }
            };
            let Some(piece) = piece else { break };
            let piece = match piece {
                Ok(piece) => piece,
                Err(aborted) => {
                    // What came before is the client's.
                    self.flush_out().await?;
                    return Err(io::Error::other(aborted));
                }
            };
            let room = usize::try_from(length - *sent).unwrap_or(usize::MAX);
            let piece = &piece[..piece.len().min(room)];
            if piece.is_empty() {
                continue;
            }
            self.put_piece(piece, delimiter);
            *sent += piece.len() as u64;
            if self.out.len() >= COPY_LIMIT {
                self.flush_out().await?;
            }
        }
        if delimiter == Delimiter::Chunked {
            self.out.put_slice(b"0\r\n");
            put_trailers(&mut self.out, &stream.trailers());
        }
        self.flush_out().await
    }

    fn put_piece(&mut self, piece: &[u8], delimiter: Delimiter) {
        if delimiter == Delimiter::Chunked {
            self.out.put_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            self.out.put_slice(piece);
            self.out.put_slice(b"\r\n");
        } else {
            self.out.put_slice(piece);
        }
    }
}
