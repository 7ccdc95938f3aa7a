//! Sending on a connection that somebody else looks after.

use nix::libc;
use std::io;
use std::os::fd::RawFd;

/// Sends as much as the socket has room for, without waiting and without SIGPIPE (send(2)). The descriptor should be open and the
/// caller's to write to: of another one the answer says nothing, and its reader gets what was not meant for it.
///
/// # Errors
/// Those of send(2), `WouldBlock` among them.
pub fn send_now(connection: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: send(2) reads the bytes that are passed, and fails for a descriptor that is no socket.
    let sent = unsafe { libc::send(connection, bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_there_is_room_for_is_sent_and_a_closed_end_is_an_error() {
        let (server, mut client) = UnixStream::pair().unwrap();
        let sent = send_now(server.as_raw_fd(), &vec![b'x'; 16 << 20]).unwrap();
        assert!((1..16 << 20).contains(&sent));
        assert_eq!(send_now(server.as_raw_fd(), b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        client.read_exact(&mut vec![0; sent]).unwrap();
        assert_eq!(send_now(server.as_raw_fd(), b"x").unwrap(), 1);
        client.read_exact(&mut [0]).unwrap();
        drop(client);
        assert_eq!(send_now(server.as_raw_fd(), b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
