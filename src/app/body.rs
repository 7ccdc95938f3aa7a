//! Content of a request, as apps of the Rust web ecosystem read it.

use crate::protocol::Content;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Content of a request: complete when the app is entered, in memory or in a temporary file.
///
/// Reading it never waits for the client.
#[derive(Debug)]
pub struct Body {
    content: Content,
    left: u64,
}

impl Body {
    /// The content itself, for who wants the bytes or the file at once.
    pub fn into_content(self) -> Content {
        self.content
    }

    /// At most one piece of a file.
    fn next_piece(&mut self) -> Option<io::Result<Bytes>> {
        match &mut self.content {
            Content::Empty => None,
            Content::Memory(bytes) => Some(Ok(std::mem::take(bytes))).filter(|_| self.left > 0),
            Content::File { file, .. } if self.left > 0 => {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE);
                let mut piece = BytesMut::zeroed(length);
                // Written a moment ago: it comes from the page cache, which is faster than asking another thread.
                Some(file.read_exact(&mut piece).map(|()| piece.freeze()))
            }
            Content::File { .. } => None,
        }
    }
}

impl From<Content> for Body {
    fn from(content: Content) -> Self {
        let left = content.len();
        Self { content, left }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = self.next_piece();
        // After a failure there is nothing more.
        let taken = piece
            .as_ref()
            .and_then(|piece| piece.as_ref().ok())
            .map_or(self.left, |piece| piece.len() as u64);
        self.left -= taken;
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Bytes of a file that are read at a time.
const PIECE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use std::io::{Seek, Write};
    use std::task::Waker;

    /// Reads it all, and the hint must hold before each piece.
    fn read(content: Content) -> (Vec<u8>, usize) {
        let mut body = Body::from(content);
        let (mut all, mut pieces) = (Vec::new(), 0);
        loop {
            let left = body.size_hint().exact().unwrap();
            assert_eq!(body.is_end_stream(), left == 0);
            let mut cx = Context::from_waker(Waker::noop());
            let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(&mut cx) else {
                panic!("it never waits")
            };
            let Some(frame) = frame else {
                assert_eq!(left, 0);
                return (all, pieces);
            };
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() as u64 <= left);
            all.extend_from_slice(&piece);
            pieces += 1;
        }
    }

    #[test]
    fn every_kind_of_content_is_read_whole() {
        assert_eq!(read(Content::Empty), (Vec::new(), 0));
        assert_eq!(read(Content::Memory(Bytes::new())), (Vec::new(), 0));
        assert_eq!(read(Content::Memory(Bytes::from_static(b"abc"))), (b"abc".to_vec(), 1));
        let text: Vec<u8> = (0..=250).cycle().take(PIECE * 2 + 1).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&text).unwrap();
        file.rewind().unwrap();
        assert_eq!(read(Content::File { file, length: text.len() as u64 }), (text, 3));
    }

    #[test]
    fn a_file_that_is_too_short_is_an_error_and_then_the_end() {
        let mut body = Body::from(Content::File { file: tempfile::tempfile().unwrap(), length: 9 });
        let mut cx = Context::from_waker(Waker::noop());
        let first = Pin::new(&mut body).poll_frame(&mut cx);
        assert!(matches!(first, Poll::Ready(Some(Err(_)))));
        assert!(matches!(Pin::new(&mut body).poll_frame(&mut cx), Poll::Ready(None)));
    }
}
