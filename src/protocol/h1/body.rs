//! The content of a response on its way to the client: whole, from a file, or piece by piece.

use super::faults::Short;
use super::session::Session;
use super::write::{Delimiter, put_trailers};
use crate::net::Occupation;
use crate::protocol::{BodyStream, ResponseBody};
use bytes::{BufMut, Bytes, BytesMut};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

/// Content from this size on is not copied to what it is sent with.
const COPY_LIMIT: usize = 16 << 10;

/// Puts content behind its head that is all there and small; of how many bytes. `None`: to send it takes more than that.
pub(super) fn put_small(out: &mut BytesMut, body: &ResponseBody, delimiter: Delimiter) -> Option<u64> {
    let content: &[u8] = match (body, delimiter) {
        // Who makes the pieces is told that none are asked for.
        (ResponseBody::Stream(_), _) => return None,
        (_, Delimiter::Nothing) | (ResponseBody::Empty, Delimiter::Length(0)) => b"",
        (ResponseBody::Full(bytes), Delimiter::Length(length)) if length == bytes.len() as u64 => bytes,
        (_, Delimiter::Length(_) | Delimiter::Chunked | Delimiter::Close) => return None,
    };
    if content.len() >= COPY_LIMIT {
        return None;
    }
    out.put_slice(content);
    Some(content.len() as u64)
}

impl Session<'_> {
    /// Sends the head in `out` and the content behind it; counts what of the content was sent.
    pub(super) async fn write_content(
        &mut self,
        body: ResponseBody,
        delimiter: Delimiter,
        sent: &mut u64,
    ) -> io::Result<()> {
        let length = match delimiter {
            Delimiter::Nothing => {
                self.flush_out().await?;
                if let ResponseBody::Stream(mut stream) = body {
                    stream.suffices();
                }
                return Ok(());
            }
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
            return Err(Short { declared: length, sent: *sent }.into());
        }
        Ok(())
    }

    async fn write_full(&mut self, bytes: Bytes, length: u64, sent: &mut u64) -> io::Result<()> {
        let take = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let bytes = &bytes[..take];
        if take < COPY_LIMIT {
            self.out.put_slice(bytes);
            self.flush_out().await?;
        } else {
            self.flush_out_with(bytes, &[]).await?;
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
            *sent += piece.len() as u64;
            self.write_piece(piece, delimiter).await?;
        }
        if delimiter == Delimiter::Chunked {
            self.out.put_slice(b"0\r\n");
            put_trailers(&mut self.out, &stream.trailers());
        }
        self.flush_out().await?;
        if *sent >= length {
            stream.suffices();
        }
        Ok(())
    }

    /// A small piece is sent with those behind it, unless it has to wait for them.
    async fn write_piece(&mut self, piece: &[u8], delimiter: Delimiter) -> io::Result<()> {
        let end: &[u8] = if delimiter == Delimiter::Chunked { b"\r\n" } else { b"" };
        if delimiter == Delimiter::Chunked {
            self.out.put_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        }
        if piece.len() >= COPY_LIMIT {
            return self.flush_out_with(piece, end).await;
        }
        self.out.put_slice(piece);
        self.out.put_slice(end);
        if self.out.len() >= COPY_LIMIT { self.flush_out().await } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorded::{content, recorded};
    use super::*;
    use crate::protocol::body_stream::{Piece, Pieces};
    use std::pin::Pin;
    use std::task::Context;

    /// What a client gets of a body behind the head "head:".
    fn play(body: ResponseBody, delimiter: Delimiter) -> (io::Result<()>, u64, Vec<u8>) {
        recorded(|stream| stream, async |session, sent| session.write_content(body, delimiter, sent).await)
    }

    /// Pieces as they are given.
    struct Given(std::vec::IntoIter<Vec<u8>>);

    impl Pieces for Given {
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Piece>> {
            Poll::Ready(self.0.next().map(|piece| Ok(piece.into())))
        }
    }

    #[test]
    fn content_of_any_size_arrives_whole() {
        for size in [1, COPY_LIMIT - 1, COPY_LIMIT, 100_000, 3 << 20] {
            let content = content(size);
            for length in [1, size] {
                let body = ResponseBody::Full(content.clone().into());
                let (result, sent, received) = play(body, Delimiter::Length(length as u64));
                assert!(result.is_ok() && sent == length as u64, "{size}: {result:?} {sent}");
                assert!(received == [b"head:", &content[..length]].concat(), "{size}: other bytes");
            }
        }
    }

    #[test]
    fn pieces_of_any_size_arrive_in_order() {
        let sizes = [5, COPY_LIMIT - 1, COPY_LIMIT, 3, 1 << 20, COPY_LIMIT + 1, 1];
        for delimiter in [Delimiter::Chunked, Delimiter::Close] {
            let mut expected = b"head:".to_vec();
            for size in sizes {
                let text = content(size);
                match delimiter {
                    Delimiter::Chunked => {
                        expected.extend([format!("{size:x}\r\n").as_bytes(), &text, b"\r\n"].concat())
                    }
                    Delimiter::Nothing | Delimiter::Length(_) | Delimiter::Close => {
                        expected.extend(text);
                    }
                }
            }
            expected.extend(if delimiter == Delimiter::Chunked { &b"0\r\n\r\n"[..] } else { b"" });
            let pieces = Given(sizes.map(content).to_vec().into_iter());
            let (result, sent, received) = play(ResponseBody::Stream(BodyStream::asked(pieces)), delimiter);
            assert!(
                result.is_ok() && sent == sizes.iter().sum::<usize>() as u64,
                "{delimiter:?}: {result:?} {sent}"
            );
            assert!(received == expected, "{delimiter:?}: other bytes");
        }
    }
}
