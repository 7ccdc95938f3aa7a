//! Listening TCP sockets, inherited sockets, and who holds an address.

use super::process::{self, Pid};
use super::unsent::limit_unsent;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use socket2::{Domain, SockAddr, SockFilter, SockRef, Socket, Type};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

/// Whether an IPv6 socket for every address takes IPv4 clients as well (ipv6(7), IPV6_V6ONLY).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// IPv6 only.
    One,
    /// Both.
    Both,
}

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketName {
    /// TCP.
    Tcp(SocketAddr),
    /// A UNIX socket; without a path when it has none.
    Unix(Option<PathBuf>),
}

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

/// A listening socket, one of several that share an address (SO_REUSEPORT); non-blocking, closed on exec.
///
/// # Errors
/// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied` as bind(2) has them.
pub fn listen_tcp(address: SocketAddr, backlog: u32, families: Families) -> io::Result<OwnedFd> {
    let socket = tcp_socket(address, families)?;
    socket.set_reuse_port(true)?;
    limit_unsent(&socket);
    socket.bind(&address.into())?;
    // listen(2) cuts a long queue to net.core.somaxconn by itself.
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Gives a listening socket another length of its queue; what waits in it stays (listen(2)).
///
/// # Errors
/// Whatever listen(2) says.
pub fn listen_again(socket: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    SockRef::from(&socket).listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// Which clients an IPv6 socket takes; an IPv4 socket has one family only.
///
/// # Errors
/// When it is no socket.
pub fn families(socket: BorrowedFd<'_>) -> io::Result<Families> {
    let socket = SockRef::from(&socket);
    let both = socket.domain()? == Domain::IPV6 && !socket.only_v6()?;
    Ok(if both { Families::Both } else { Families::One })
}

/// From now on a listening socket answers no further client; what waits in its queue can still be accepted.
///
/// Closing it instead would reset every connection that is in the queue or gets there meanwhile. UNIX: clients are refused at
/// once, also those that wait for room in the queue. TCP: the socket ignores SYN segments, so that a handshake
/// under way still ends in the queue, and clients try again until the socket is closed and they are refused. The
/// socket is changed for all who share it, and for good.
///
/// # Errors
/// Whatever setsockopt(2) or shutdown(2) says.
pub fn refuse_clients(socket: BorrowedFd<'_>) -> io::Result<()> {
    let listener = SockRef::from(&socket);
    if listener.domain()? == Domain::UNIX {
        return listener.shutdown(Shutdown::Read);
    }
    take_no_more(socket)
}

/// Whether an address is free: binds it without SO_REUSEPORT, which fails beside any listener, and lets go.
///
/// # Errors
/// As [`listen_tcp`].
pub fn probe_tcp(address: SocketAddr, families: Families) -> io::Result<()> {
    tcp_socket(address, families)?.bind(&address.into())
}

/// Holds a name in the abstract UNIX name space, which ends with the process (unix(7)).
///
/// # Errors
/// `AddrInUse` when somebody else holds it.
pub fn lock_name(name: &str) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(format!("\0{name}"))?)?;
    Ok(socket.into())
}

/// Takes over a listening stream socket that was inherited open under this number.
///
/// It is made non-blocking and closed on exec. Each number must be taken once only.
///
/// # Errors
/// `InvalidInput` when the number is not open or is no listening stream socket.
pub fn adopt(number: i32) -> io::Result<(OwnedFd, SocketName)> {
    let invalid =
        |text: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("descriptor {number} {text}"));
    // Its ends of the standard streams are used by the server itself.
    if number < 3 || fs::read_link(format!("/proc/self/fd/{number}")).is_err() {
        return Err(invalid("is not open"));
    }
    // SAFETY: it is open, and the operator names it as one handed to this server, which opened none under that number.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    let socket = Socket::from(descriptor);
    if !socket.is_listener().unwrap_or(false) || socket.r#type().ok() != Some(Type::STREAM) {
        // Somebody else's after all: it stays open.
        std::mem::forget(socket);
        return Err(invalid("is no listening stream socket"));
    }
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let flags = OFlag::from_bits_truncate(fcntl(&socket, FcntlArg::F_GETFL)?);
    fcntl(&socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    let address = socket.local_addr()?;
    let name = match address.as_socket() {
        Some(address) => {
            limit_unsent(&socket);
            SocketName::Tcp(address)
        }
        None => SocketName::Unix(address.as_pathname().map(Into::into)),
    };
    Ok((socket.into(), name))
}

/// The address a TCP socket is bound to.
///
/// # Errors
/// When it is no TCP socket.
pub fn local_tcp(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let address = SockRef::from(&socket).local_addr()?;
    address.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Has a listening TCP socket drop every SYN, under whichever descriptors it is open.
///
/// Closing a socket resets the connections in its queue and those whose handshake is under way. With this its queue can
/// be emptied first; who tries to connect tries again a second later, and finds another socket of the address or none.
///
/// # Errors
/// As setsockopt(2), `SO_ATTACH_FILTER` (socket(7)).
pub fn take_no_more(socket: BorrowedFd<'_>) -> io::Result<()> {
    // What the filter of a TCP socket sees begins with the TCP header (RFC 9293 3.1), whose byte 13 holds the flags.
    let filter = [
        SockFilter::new(BPF_LOAD_BYTE, 0, 0, 13),
        SockFilter::new(BPF_AND, 0, 0, SYN | ACK),
        SockFilter::new(BPF_JUMP_UNLESS_EQUAL, 0, 1, SYN),
        SockFilter::new(BPF_RETURN, 0, 0, 0),
        SockFilter::new(BPF_RETURN, 0, 0, u32::MAX),
    ];
    SockRef::from(&socket).attach_filter(&filter)
}

/// Acknowledges now what a TCP socket has received, and what it receives next, instead of up to 40 ms later.
///
/// Lasts until the kernel finds that answers carry the acknowledgements (tcp(7), TCP_QUICKACK).
///
/// # Errors
/// When it is no TCP socket.
pub fn acknowledge(socket: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&socket).set_tcp_quickack(true)
}

/// Has closing a TCP socket, be it by the end of this process, wait so long for what is unsent (socket(7), SO_LINGER). Zero resets the
/// connection: its peer has an error, and no end of the stream.
///
/// # Errors
/// When it is no socket.
pub fn set_linger(socket: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<()> {
    SockRef::from(&socket).set_linger(limit)
}

/// The process that listens on an address: of several the one with the lowest number, most often the first.
///
/// `None` when there is none or it may not be seen (/proc/PID/fd is open to its owner and root).
pub fn tcp_holder(address: SocketAddr) -> Option<Pid> {
    let mut inodes = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        inodes.extend(text.lines().filter_map(|line| listener_inode(line, address)));
    }
    if inodes.is_empty() {
        return None;
    }
    let holds = |pid: &Pid| process::sockets(*pid).iter().any(|number| inodes.contains(number));
    process::all().filter(holds).min()
}

/// Error number of a machine without the address family (socket(2)).
pub const NO_SUCH_FAMILY: i32 = nix::libc::EAFNOSUPPORT;

fn tcp_socket(address: SocketAddr, families: Families) -> io::Result<Socket> {
    // socket2 makes sockets that are closed on exec.
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(families == Families::One)?;
    }
    // Connections of a server that has just ended may be in TIME_WAIT (socket(7), SO_REUSEADDR).
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The inode in a line of /proc/net/tcp, if it is a listener that stands in the way of `address` (proc(5)).
fn listener_inode(line: &str, address: SocketAddr) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    let (ip, port) = words.nth(1)?.split_once(':')?;
    if words.nth(1)? != LISTEN || u16::from_str_radix(port, 16).ok()? != address.port() {
        return None;
    }
    let ip = parse_ip(ip)?;
    (ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified()).then_some(())?;
    words.nth(5)?.parse().ok()
}

/// Words of the address, each in the byte order of the machine.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let mut bytes = [0; 16];
    if !text.is_ascii() || !matches!(text.len(), 8 | 32) {
        return None;
    }
    for (word, place) in text.as_bytes().chunks(8).zip(bytes.chunks_mut(4)) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        place.copy_from_slice(&word.to_ne_bytes());
    }
    let [a, b, c, d, ..] = bytes;
    Some(if text.len() == 8 {
        Ipv4Addr::new(a, b, c, d).into()
    } else {
        Ipv6Addr::from(bytes).to_canonical()
    })
}

/// TCP_LISTEN of the kernel's tcp_states.h.
const LISTEN: &str = "0A";

const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// linux/bpf_common.h: BPF_LD | BPF_B | BPF_ABS, and so on.
const BPF_LOAD_BYTE: u16 = 0x30;
const BPF_AND: u16 = 0x54;
const BPF_JUMP_UNLESS_EQUAL: u16 = 0x15;
const BPF_RETURN: u16 = 0x06;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{poll, process};
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::fd::{AsFd, IntoRawFd};
    use std::time::Duration;

    fn loopback(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn acknowledgements_that_wait_for_answers_leave_at_once_when_told_to() {
        let listener = std::net::TcpListener::bind(loopback(0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let acknowledges = |socket: &TcpStream| SockRef::from(socket).tcp_quickack().unwrap();
        // A conversation: from some turn on the kernel lets answers carry the acknowledgements.
        let turns = (0..100).take_while(|_| {
            client.write_all(b"a").unwrap();
            server.read_exact(&mut [0]).unwrap();
            server.write_all(b"b").unwrap();
            client.read_exact(&mut [0]).unwrap();
            acknowledges(&server)
        });
        assert!(turns.count() < 100, "the kernel never delays an acknowledgement");
        acknowledge(server.as_fd()).unwrap();
        assert!(acknowledges(&server));
    }

    #[test]
    fn slots_share_an_address_that_others_are_refused() {
        let first = listen_tcp(loopback(0), 16, Families::One).unwrap();
        let address = local_tcp(first.as_fd()).unwrap();
        let second = listen_tcp(address, 16, Families::One).unwrap();
        assert_eq!(local_tcp(second.as_fd()).unwrap(), address);
        assert_eq!(probe_tcp(address, Families::One).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(tcp_holder(address), Some(process::own_pid()));
        drop((first, second));
        probe_tcp(address, Families::One).unwrap();
    }

    #[test]
    fn a_socket_that_refuses_clients_keeps_those_it_has() {
        let listener = std::net::TcpListener::from(listen_tcp(loopback(0), 16, Families::One).unwrap());
        let address = listener.local_addr().unwrap();
        let _before = TcpStream::connect(address).unwrap();
        refuse_clients(listener.as_fd()).unwrap();
        let patience = Duration::from_millis(50);
        let error = TcpStream::connect_timeout(&address, patience).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        listener.accept().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);

        let path = std::env::temp_dir().join(format!("ferricorn-refuse-{}", process::own_pid()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let _before = std::os::unix::net::UnixStream::connect(&path).unwrap();
        refuse_clients(listener.as_fd()).unwrap();
        let error = std::os::unix::net::UnixStream::connect(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        listener.accept().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_name_is_held_once() {
        let name = format!("ferricorn-test-{}", process::own_pid());
        let held = lock_name(&name).unwrap();
        assert_eq!(lock_name(&name).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(held);
        lock_name(&name).unwrap();
    }

    #[test]
    fn only_listening_sockets_are_adopted() {
        assert!(adopt(0).is_err());
        assert!(adopt(99_999).is_err());
        let (file, _other) = io::pipe().unwrap();
        let number = OwnedFd::from(file).into_raw_fd();
        assert!(adopt(number).is_err());
        let listener = listen_tcp(loopback(0), 16, Families::One).unwrap();
        let address = local_tcp(listener.as_fd()).unwrap();
        let (adopted, name) = adopt(listener.into_raw_fd()).unwrap();
        assert_eq!(name, SocketName::Tcp(address));
        assert_eq!(local_tcp(adopted.as_fd()).unwrap(), address);
    }

    #[test]
    fn listeners_in_the_way_are_found_in_the_kernels_table() {
        let line = |address: &str, state: &str| {
            format!(
                "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1"
            )
        };
        let port = 8000;
        let rows = [
            ("0100007F:1F40", "0A", Some(4711)),
            ("00000000:1F40", "0A", Some(4711)),
            ("0200007F:1F40", "0A", None),
            ("0100007F:1F41", "0A", None),
            ("0100007F:1F40", "01", None),
            ("00000000000000000000000000000000:1F40", "0A", Some(4711)),
            ("0000000000000000FFFF00000100007F:1F40", "0A", Some(4711)),
        ];
        for (address, state, expected) in rows {
            assert_eq!(listener_inode(&line(address, state), loopback(port)), expected, "{address} {state}");
        }
        assert_eq!(listener_inode("  sl  local_address rem_address   st", loopback(port)), None);
    }

    #[test]
    fn a_socket_that_takes_no_more_keeps_what_it_has() {
        let listener = listen_tcp((Ipv4Addr::LOCALHOST, 0).into(), 16, Families::One).unwrap();
        let address = local_tcp(listener.as_fd()).unwrap();
        let mut waiting = TcpStream::connect(address).unwrap();
        take_no_more(listener.as_fd()).unwrap();
        let late = TcpStream::connect_timeout(&address, Duration::from_millis(50));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        waiting.write_all(b"x").unwrap();
        poll::wait_readable(&[listener.as_fd()], Some(Duration::from_secs(20))).unwrap();
        let (mut taken, _) = Socket::from(listener).accept().unwrap();
        taken.set_nonblocking(false).unwrap();
        let mut byte = [0];
        taken.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
    }
}
