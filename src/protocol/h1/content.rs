//! Request content: gathered in memory, then in a file without a name, before any app is entered.

use super::chunked::{ChunkedDecoder, Piece};
use super::head::Framing;
use super::session::READ_SIZE;
use crate::protocol::upload::UploadSender;
use crate::protocol::{Content, Rejection};
use bytes::{Bytes, BytesMut};
use std::io::{Seek, Write};
use std::task::{Context, Poll};

/// Room for a read where much is to come.
const LONG_READ: usize = 64 << 10;

/// Takes content out of the connection's buffer as it arrives.
#[derive(Debug)]
pub(super) struct ContentReader {
    framing: Progress,
    store: Store,
    limit: u64,
    memory: u64,
    length: u64,
}

#[derive(Debug)]
enum Progress {
    Length(u64),
    Chunked(ChunkedDecoder),
}

#[derive(Debug)]
enum Store {
    Nothing,
    One(Bytes),
    Memory(BytesMut),
    File(std::fs::File),
    /// The app has it while it arrives.
    Upload(UploadSender),
    /// The content is read only to keep the connection usable.
    Discard,
}

/// Whether more bytes are needed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gathered {
    NeedMore,
    Complete,
}

impl ContentReader {
    /// `limit` bounds the content, `memory` the part of it that is kept in memory.
    pub(super) fn new(framing: Framing, limit: u64, memory: u64) -> Result<Self, Rejection> {
        let framing = match framing {
            Framing::None => Progress::Length(0),
            Framing::Length(length) if length > limit => return Err(Rejection::ContentTooLarge),
            Framing::Length(length) => Progress::Length(length),
            Framing::Chunked => Progress::Chunked(ChunkedDecoder::new()),
        };
        Ok(Self { framing, store: Store::Nothing, limit, memory, length: 0 })
    }

    /// Reads content and forgets it.
    pub(super) fn discarding(framing: Framing, limit: u64) -> Result<Self, Rejection> {
        let mut reader = Self::new(framing, limit, 0)?;
        reader.store = Store::Discard;
        Ok(reader)
    }

    /// Sends what has been gathered in memory, and all that follows, to an app.
    pub(super) fn into_upload(mut self, sender: UploadSender) -> Self {
        match std::mem::replace(&mut self.store, Store::Nothing) {
            Store::One(bytes) => sender.push(bytes),
            Store::Memory(bytes) => sender.push(bytes.freeze()),
            // A reader for uploads gathers in memory alone.
            Store::Nothing | Store::Discard | Store::File(_) | Store::Upload(_) => {}
        }
        self.store = Store::Upload(sender);
        self
    }

    /// Ready while more may be read.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        match &self.store {
            Store::Upload(sender) => sender.poll_room(cx),
            Store::Nothing | Store::One(_) | Store::Memory(_) | Store::File(_) | Store::Discard => {
                Poll::Ready(())
            }
        }
    }

    /// Takes what the buffer holds, but for content that memory has room for: that stays where it is until it is whole, and
    /// is never copied.
    pub(super) fn gather(&mut self, buffer: &mut BytesMut) -> Result<Gathered, Rejection> {
        match (&self.framing, &self.store) {
            (Progress::Length(left), Store::Nothing)
                if *left <= self.memory && (buffer.len() as u64) < *left =>
            {
                Ok(Gathered::NeedMore)
            }
            _ => self.take(buffer),
        }
    }

    /// How much the next read should have room for, which is not zero before the content is whole.
    pub(super) fn room(&self, buffer: &BytesMut) -> usize {
        match &self.framing {
            Progress::Length(left) => {
                let missing = usize::try_from(*left).unwrap_or(usize::MAX).saturating_sub(buffer.len());
                // A client that has announced a lot has not sent it yet.
                missing.min(buffer.len().max(LONG_READ))
            }
            Progress::Chunked(_) if self.length < LONG_READ as u64 => READ_SIZE,
            Progress::Chunked(_) => LONG_READ,
        }
    }

    /// Takes what the buffer holds.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Gathered, Rejection> {
        loop {
            let data = match &mut self.framing {
                Progress::Length(0) => return Ok(self.complete(buffer)),
                Progress::Length(_) if buffer.is_empty() => return Ok(Gathered::NeedMore),
                Progress::Length(left) => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                    *left -= take as u64;
                    buffer.split_to(take).freeze()
                }
                Progress::Chunked(decoder) => match decoder.next(buffer)? {
                    Piece::Data(data) => data,
                    Piece::NeedMore => return Ok(Gathered::NeedMore),
                    Piece::End => return Ok(self.complete(buffer)),
                },
            };
            self.length += data.len() as u64;
            if self.length > self.limit {
                return Err(Rejection::ContentTooLarge);
            }
            self.keep(data)?;
        }
    }

    /// The content, once it is complete.
    pub(super) fn finish(self) -> Result<Content, Rejection> {
        Ok(match self.store {
            Store::Nothing | Store::Discard => Content::Empty,
            Store::Upload(sender) => {
                sender.finish();
                Content::Empty
            }
            Store::One(bytes) => Content::Memory(bytes),
            Store::Memory(bytes) => Content::Memory(bytes.freeze()),
            Store::File(mut file) => {
                file.rewind().map_err(|error| storage_failed(&error))?;
                Content::File { file, length: self.length }
            }
        })
    }

    /// A connection that may idle for long does not keep the room of its longer reads.
    fn complete(&self, buffer: &mut BytesMut) -> Gathered {
        if self.length > READ_SIZE as u64 {
            *buffer = BytesMut::from(&buffer[..]);
        }
        Gathered::Complete
    }

    fn keep(&mut self, data: Bytes) -> Result<(), Rejection> {
        let store = std::mem::replace(&mut self.store, Store::Nothing);
        self.store = match store {
            Store::Discard => Store::Discard,
            Store::Upload(sender) => {
                sender.push(data);
                Store::Upload(sender)
            }
            Store::Nothing if self.length <= self.memory => Store::One(data),
            Store::One(first) if self.length <= self.memory => {
                let mut all = BytesMut::with_capacity(first.len() + data.len());
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                Store::Memory(all)
            }
            Store::Memory(mut all) if self.length <= self.memory => {
                all.extend_from_slice(&data);
                Store::Memory(all)
            }
            Store::Nothing => spill(&[&data])?,
            Store::One(first) => spill(&[&first, &data])?,
            Store::Memory(all) => spill(&[&all, &data])?,
            Store::File(mut file) => {
                file.write_all(&data).map_err(|error| storage_failed(&error))?;
                Store::File(file)
            }
        };
        Ok(())
    }
}

fn spill(parts: &[&[u8]]) -> Result<Store, Rejection> {
    let mut file = tempfile::tempfile().map_err(|error| storage_failed(&error))?;
    for part in parts {
        file.write_all(part).map_err(|error| storage_failed(&error))?;
    }
    Ok(Store::File(file))
}

fn storage_failed(error: &std::io::Error) -> Rejection {
    tracing::error!(%error, directory = %std::env::temp_dir().display(), "request content could not be stored; make room or set TMPDIR");
    Rejection::Storage
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn gather(framing: Framing, pieces: &[&[u8]], limit: u64, memory: u64) -> Result<Vec<u8>, Rejection> {
        let mut reader = ContentReader::new(framing, limit, memory)?;
        let mut buffer = BytesMut::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            if reader.gather(&mut buffer)? == Gathered::NeedMore {
                assert_ne!(reader.room(&buffer), 0);
            }
        }
        assert_eq!(reader.gather(&mut buffer)?, Gathered::Complete);
        let mut content = Vec::new();
        match reader.finish()? {
            Content::Empty => {}
            Content::Memory(bytes) => content.extend_from_slice(&bytes),
            Content::File { mut file, length } => {
                let read = file.read_to_end(&mut content).expect("the file can be read");
                assert_eq!(read as u64, length);
            }
        }
        Ok(content)
    }

    #[test]
    fn content_is_the_same_in_memory_and_in_a_file() {
        for memory in [0, 1, 5, 6, 11, 100] {
            let content = gather(Framing::Length(11), &[b"hello", b" ", b"world"], 100, memory);
            assert_eq!(content, Ok(b"hello world".to_vec()), "memory {memory}");
        }
    }

    #[test]
    fn the_next_request_behind_long_content_is_kept_without_the_room_for_content() {
        for (framing, text) in [
            (Framing::Length(200_000), vec![b'x'; 200_000]),
            (
                Framing::Chunked,
                [b"30d40\r\n".to_vec(), vec![b'x'; 200_000], b"\r\n0\r\n\r\n".to_vec()].concat(),
            ),
        ] {
            for memory in [100_000, 1 << 20] {
                let mut reader = ContentReader::new(framing, 1 << 20, memory).unwrap();
                let mut buffer = BytesMut::from(&[&text, &b"GET /next"[..]].concat()[..]);
                assert_eq!(reader.gather(&mut buffer), Ok(Gathered::Complete));
                assert_eq!(buffer, "GET /next");
                assert!(buffer.capacity() < 1000, "{framing:?}, memory {memory}: {}", buffer.capacity());
                assert_eq!(reader.finish().unwrap().len(), 200_000);
            }
        }
    }

    #[test]
    fn content_past_its_limit_is_refused() {
        assert_eq!(gather(Framing::Length(6), &[b"123456"], 5, 100), Err(Rejection::ContentTooLarge));
        assert_eq!(
            gather(Framing::Chunked, &[b"6\r\n123456\r\n0\r\n\r\n"], 5, 100),
            Err(Rejection::ContentTooLarge)
        );
    }
}
