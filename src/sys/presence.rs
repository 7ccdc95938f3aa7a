//! Whether the other end of a connection is still there.

use nix::libc;
use std::os::fd::RawFd;

/// What can be seen of a peer without reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is there, as far as anybody knows.
    There,
    /// It sends nothing more: it has left, or only has nothing more to say (RFC 9293 3.6).
    HalfClosed,
    /// It takes nothing more: it has reset the connection, or, on a UNIX socket, closed it.
    Gone,
}

/// Looks at the connection of a descriptor (poll(2)), which should be open: of another one the answer says nothing.
pub fn presence(connection: RawFd) -> Presence {
    let mut entry = libc::pollfd { fd: connection, events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: poll(2) looks at one entry, which is ours, and does not wait; it does nothing to the descriptor.
    let found = unsafe { libc::poll(&raw mut entry, 1, 0) };
    if found <= 0 {
        Presence::There
    } else if entry.revents & (libc::POLLHUP | libc::POLLERR) != 0 {
        Presence::Gone
    } else if entry.revents & libc::POLLRDHUP != 0 {
        Presence::HalfClosed
    } else {
        Presence::There
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn tcp() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_tcp_client_that_waits_ends_its_half_or_resets_is_told_apart() {
        let (mut client, server) = tcp();
        assert_eq!(presence(server.as_raw_fd()), Presence::There);
        client.write_all(b"unread").unwrap();
        assert_eq!(presence(server.as_raw_fd()), Presence::There);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(presence(server.as_raw_fd()), Presence::HalfClosed);
        let (client, server) = tcp();
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(presence(server.as_raw_fd()), Presence::Gone);
    }

    #[test]
    fn a_unix_client_that_has_closed_is_gone() {
        let (client, server) = UnixStream::pair().unwrap();
        assert_eq!(presence(server.as_raw_fd()), Presence::There);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(presence(server.as_raw_fd()), Presence::HalfClosed);
        drop(client);
        assert_eq!(presence(server.as_raw_fd()), Presence::Gone);
    }
}
