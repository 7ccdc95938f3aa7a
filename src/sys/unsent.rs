//! How much of an answer waits in the kernel for its turn on the line.

use socket2::SockRef;
use std::os::fd::AsFd;

/// Bytes that a connection's socket takes beyond what is on its way to the client (`tcp_notsent_lowat` in the kernel's
/// ip-sysctl.rst). What is on its way is not limited: it has to be as much as the line holds.
///
/// Megabytes would fit in, and large answers to several clients at once would all lie there, long out of the processor's
/// caches when their turn comes, for slow clients as long as they like. Half of it is asked for again when it has left: less
/// would cost more system calls than it gains.
const UNSENT_MAX: u32 = 384 << 10;

/// Limits it for all connections that a TCP listener will accept: they have its options.
///
/// A kernel that does not know of it serves as well without.
pub fn limit_unsent(listener: &impl AsFd) {
    let _ = SockRef::from(&listener.as_fd()).set_tcp_notsent_lowat(UNSENT_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::{self, Families};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::fd::IntoRawFd;

    /// The limit of a connection accepted by this listener.
    fn limit_of_connection(listener: &TcpListener) -> u32 {
        listener.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.accept().unwrap();
        SockRef::from(&connection).tcp_notsent_lowat().unwrap()
    }

    #[test]
    fn connections_have_the_limit_whoever_has_made_their_listener() {
        let own = socket::listen_tcp((Ipv4Addr::LOCALHOST, 0).into(), 16, Families::One).unwrap();
        assert_eq!(limit_of_connection(&own.into()), UNSENT_MAX);
        let inherited = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_ne!(limit_of_connection(&inherited), UNSENT_MAX);
        let (adopted, _) = socket::adopt(inherited.into_raw_fd()).unwrap();
        assert_eq!(limit_of_connection(&adopted.into()), UNSENT_MAX);
    }
}
