//! Files as response content.
//!
//! A small file leaves in one write with its head. A large one goes from the page cache to the socket by
//! sendfile(2), and where that cannot be, through a buffer. Reading what is not in memory waits for the disk on
//! the thread that serves the connections, as nginx does without thread pools: more workers help there.

use super::output::Step;
use super::session::Session;
use crate::sys::transfer;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::task::{Poll, ready};

/// Files up to this size are read, and sent in one write with their head. From 4 KiB on sendfile(2) takes less CPU
/// for the same number of calls.
const COPY_LIMIT: u64 = 2 << 10;
/// What one connection sends before the others have their turn; at most twice this where the socket takes it.
const TURN: u64 = 2 << 20;
/// Piece of a file that is read at a time where it cannot be sent otherwise.
const PIECE: usize = 128 << 10;

impl Session<'_> {
    /// Sends the head in `out` and part of a file; counts what of the file was sent.
    pub(super) async fn write_file(
        &mut self,
        file: &File,
        (offset, length): (u64, u64),
        sent: &mut u64,
    ) -> io::Result<()> {
        if length <= COPY_LIMIT {
            return self.write_small_file(file, (offset, length), sent).await;
        }
        self.flush_head().await?;
        while *sent < length {
            match self.send_part(file, (offset, length), sent).await {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    return self.copy_file(file, (offset, length), sent).await;
                }
                done => done?,
            }
            if *sent < length {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    async fn write_small_file(
        &mut self,
        file: &File,
        (offset, length): (u64, u64),
        sent: &mut u64,
    ) -> io::Result<()> {
        let head = self.out.len();
        let end = head + usize::try_from(length).unwrap_or(usize::MAX);
        self.out.resize(end, 0);
        let mut at = head;
        while at < end {
            match file.read_at(&mut self.out[at..end], offset + (at - head) as u64)? {
                0 => return Err(shrunk(length)),
                got => at += got,
            }
        }
        self.flush_out().await?;
        *sent = length;
        Ok(())
    }

    /// Sends the head so that the kernel may put it into one segment with what follows.
    async fn flush_head(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        let mut left = &out[..];
        let result = self
            .write_steps(|stream, cx| {
                if left.is_empty() {
                    return Poll::Ready(Ok(Step::Done));
                }
                let written = ready!(stream.poll_write_by(cx, |socket| transfer::send_more(socket, left)))?;
                left = &left[written..];
                Poll::Ready(Ok(Step::More))
            })
            .await;
        self.out = out;
        self.out.clear();
        result
    }

    /// Sends from `offset + sent` on, until all is sent or the connection has had its turn.
    ///
    /// The last part of a turn is not cut short: it would be a small segment, and small ones are dear to the client.
    async fn send_part(
        &mut self,
        file: &File,
        (offset, length): (u64, u64),
        sent: &mut u64,
    ) -> io::Result<()> {
        let begun = *sent;
        self.write_steps(|stream, cx| {
            if *sent == length || *sent - begun >= TURN {
                return Poll::Ready(Ok(Step::Done));
            }
            let count = usize::try_from((length - *sent).min(TURN)).unwrap_or(usize::MAX);
            let call = |socket: std::os::fd::BorrowedFd<'_>| {
                transfer::send_file(socket, file, offset + *sent, count)
            };
            match ready!(stream.poll_write_by(cx, call))? {
                0 => Poll::Ready(Err(shrunk(length))),
                written => {
                    *sent += written as u64;
                    Poll::Ready(Ok(Step::More))
                }
            }
        })
        .await
    }

    async fn copy_file(
        &mut self,
        file: &File,
        (offset, length): (u64, u64),
        sent: &mut u64,
    ) -> io::Result<()> {
        let mut piece = vec![0; PIECE.min(usize::try_from(length - *sent).unwrap_or(PIECE))];
        while *sent < length {
            let want = usize::try_from(length - *sent).unwrap_or(usize::MAX).min(piece.len());
            let got = file.read_at(&mut piece[..want], offset + *sent)?;
            if got == 0 {
                return Err(shrunk(length));
            }
            self.write_all(&piece[..got]).await?;
            *sent += got as u64;
        }
        Ok(())
    }
}

/// Its length has been told: the connection can only end, so that nobody takes the part for the whole.
fn shrunk(length: u64) -> io::Error {
    tracing::warn!(
        length,
        "a file became shorter while it was sent; replace files by renaming new ones over them"
    );
    io::ErrorKind::UnexpectedEof.into()
}

#[cfg(test)]
mod tests {
    use super::super::recorded::{content, recorded};
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use tokio::net::UnixStream;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Way {
        Sendfile,
        Copy,
    }

    /// What a client gets of a file of `size` bytes when this part of it is asked for, behind the head "head:".
    fn play(way: Way, size: usize, (offset, length): (u64, u64)) -> (io::Result<()>, u64, Vec<u8>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content(size)).unwrap();
        let prepare = |stream: UnixStream| {
            if way == Way::Copy {
                transfer::refuse_files(stream.as_fd());
            }
            stream
        };
        recorded(prepare, async |session, sent| session.write_file(&file, (offset, length), sent).await)
    }

    #[test]
    fn files_arrive_whole_by_either_way() {
        for way in [Way::Sendfile, Way::Copy] {
            for (size, offset, length) in [
                (0, 0, 0),
                (1000, 10, 900),
                (2 << 10, 0, 2 << 10),
                ((2 << 10) + 1, 0, (2 << 10) + 1),
                (300_000, 7, 299_993),
                (5 << 20, 1, (5 << 20) - 2),
            ] {
                let (result, sent, received) = play(way, size, (offset as u64, length as u64));
                assert!(result.is_ok() && sent == length as u64, "{way:?} {size}: {result:?} {sent}");
                let expected = [b"head:", &content(size)[offset..offset + length]].concat();
                assert!(received == expected, "{way:?} {size}: other bytes");
            }
        }
    }

    #[test]
    fn a_file_that_is_shorter_than_told_is_never_padded() {
        for way in [Way::Sendfile, Way::Copy] {
            for (size, length) in [(10, 11), (50_000, 60_000), (0, 100_000)] {
                let (result, sent, received) = play(way, size, (0, length));
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{way:?} {size}");
                assert!(sent <= size as u64 && received.len() <= size + 5, "{way:?} {size}");
            }
        }
    }
}
