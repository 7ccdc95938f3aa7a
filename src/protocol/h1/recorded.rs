//! What a client gets of a session, for the tests of what sessions send.

use super::Settings;
use super::session::Session;
use crate::config::Config;
use crate::net::{Drain, Occupied, Stream};
use bytes::BufMut;
use std::io;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// What becomes of sending, how much of it counts as content, and what a client has received, the head "head:" in front.
pub(super) fn recorded(
    stream: impl FnOnce(UnixStream) -> UnixStream,
    send: impl AsyncFnOnce(&mut Session<'_>, &mut u64) -> io::Result<()>,
) -> (io::Result<()>, u64, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (own, mut peer) = UnixStream::pair().unwrap();
        let Config { limits, timeouts, .. } = Config::default();
        let (settings, drain) = (Settings { limits, timeouts }, Drain::default());
        let occupied = Occupied::default();
        let sending = async {
            let mut session = Session::new(Stream::Unix(stream(own)), &settings, (&drain, &occupied));
            session.out.put_slice(b"head:");
            let mut sent = 0;
            let result = send(&mut session, &mut sent).await;
            (result, sent)
        };
        let mut received = Vec::new();
        let ((result, sent), read) = tokio::join!(sending, peer.read_to_end(&mut received));
        read.unwrap();
        (result, sent, received)
    })
}

/// So many bytes, of which none stand where others do.
pub(super) fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at ^ (at >> 8)) & 0xff).unwrap()).collect()
}
