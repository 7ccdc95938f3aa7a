//! File to socket, without a detour through this process's memory.

use nix::errno::Errno;
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{MsgFlags, send};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sends up to `count` bytes of a file from `offset` on; 0 says that the file has none there.
///
/// The socket is not waited for when it is non-blocking; a file that is not in memory is.
///
/// # Errors
/// `Unsupported` when this kind of file or socket cannot be sent so: read it and write instead. `WouldBlock` and
/// whatever else sendfile(2) says otherwise.
pub fn send_file(socket: BorrowedFd<'_>, file: &File, offset: u64, count: usize) -> io::Result<usize> {
    let mut at = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    loop {
        match sendfile64(socket, file, Some(&mut at), count) {
            Err(Errno::EINTR) => {}
            // sendfile(2): file systems that cannot be spliced from say EINVAL, filters ENOSYS.
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
                return Err(io::ErrorKind::Unsupported.into());
            }
            result => return Ok(result?),
        }
    }
}

/// Sends bytes that others will follow at once: the kernel may put them into one segment (MSG_MORE, send(2)).
///
/// # Errors
/// As send(2) has them; a closed peer is an error and no signal.
pub fn send_more(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let more = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);
    let flags = more | MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        match send(socket.as_raw_fd(), bytes, flags) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Makes a socket one that files cannot be sent to.
#[cfg(test)]
pub(crate) fn refuse_files(socket: BorrowedFd<'_>) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL).unwrap());
    // sendfile(2): EINVAL where the recipient has O_APPEND, which means nothing else to a socket.
    fcntl(socket, FcntlArg::F_SETFL(flags | OFlag::O_APPEND)).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_of_a_file_follow_those_sent_before_on_both_kinds_of_sockets() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut tcp_peer = listener.accept().unwrap().0;
        let (unix, mut unix_peer) = UnixStream::pair().unwrap();
        let ends: [(BorrowedFd<'_>, &mut dyn Read); 2] =
            [(tcp.as_fd(), &mut tcp_peer), (unix.as_fd(), &mut unix_peer)];
        for (socket, peer) in ends {
            assert_eq!(send_more(socket, b"head:").unwrap(), 5);
            assert_eq!(send_file(socket, &file, 3, 4).unwrap(), 4);
            assert_eq!(send_file(socket, &file, 8, 100).unwrap(), 2);
            assert_eq!(send_file(socket, &file, 10, 100).unwrap(), 0);
            let mut received = [0; 11];
            peer.read_exact(&mut received).unwrap();
            assert_eq!(&received, b"head:345689");
        }
    }

    #[test]
    fn files_that_cannot_be_sent_so_are_told_from_failures() {
        let (unix, peer) = UnixStream::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        file.set_len(1).unwrap();
        let error = send_file(unix.as_fd(), &file, u64::MAX, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        refuse_files(unix.as_fd());
        let error = send_file(unix.as_fd(), &file, 0, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        drop(peer);
        assert_eq!(send_more(unix.as_fd(), b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
