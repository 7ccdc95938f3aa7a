//! Messages between processes of one machine, each with a few descriptors.
//!
//! SOCK_SEQPACKET keeps message boundaries and still shows the death of the peer as an end of file (unix(7)).

use super::process::Pid;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixCredentials,
    recvmsg, sendmsg, setsockopt, socketpair, sockopt,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What became of a message to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is in the peer's queue, whole.
    Sent,
    /// The queue is full: nothing was sent.
    WouldBlock,
    /// The peer is gone.
    Closed,
}

/// What there was to receive.
#[derive(Debug)]
pub enum Received {
    /// One whole message and the descriptors that came with it, in the order they were sent.
    Message(Vec<u8>, Vec<OwnedFd>),
    /// Nothing yet.
    WouldBlock,
    /// Nothing, and never again: the peer is gone.
    Closed,
}

/// Whether messages come with the process that sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// They do.
    Wanted,
    /// They do not.
    Unwanted,
}

/// What there was to receive where senders are named.
#[derive(Debug)]
pub enum Signed {
    /// One whole message, and the process that sent it.
    Message(Vec<u8>, Pid),
    /// Nothing yet.
    WouldBlock,
    /// Nothing, and never again.
    Closed,
}

/// The two ends of a new channel, non-blocking and closed on exec.
///
/// # Errors
/// When descriptors have run out.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    for end in [&one, &other] {
        // The kernel silently takes less where net.core.wmem_max says so; 64 KiB messages fit its default.
        setsockopt(end, sockopt::SndBuf, &SEND_BUFFER)?;
    }
    Ok((one, other))
}

/// Sends one message of 1 to [`MESSAGE_MAX`] bytes, with up to [`DESCRIPTORS_MAX`] descriptors.
///
/// # Errors
/// `InvalidInput` for a message of a wrong size or too many descriptors; whatever sendmsg(2) says otherwise.
pub fn send(channel: BorrowedFd<'_>, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<Sent> {
    // An empty message could not be told from an end of file.
    if message.is_empty() || message.len() > MESSAGE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message has 1 to 65536 bytes"));
    }
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message has at most 2 descriptors"));
    }
    let descriptors: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let control = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        match sendmsg::<()>(channel.as_raw_fd(), &[IoSlice::new(message)], control, flags, None) {
            Ok(_) => return Ok(Sent::Sent),
            Err(Errno::EINTR) => {}
            // unix(7): ETOOMANYREFS when too many descriptors are in flight; they leave it as the peer reads.
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ETOOMANYREFS) => return Ok(Sent::WouldBlock),
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN) => return Ok(Sent::Closed),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Bytes of memory that the messages take which this end has sent and nobody has received yet (tcp(7), SIOCOUTQ, which
/// UNIX sockets have as well).
///
/// # Errors
/// None that ioctl(2) can give for such a socket.
pub fn outstanding(channel: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) writes one int, which is ours.
    let done = unsafe { libc::ioctl(channel.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 { Ok(usize::try_from(bytes).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}

/// Has the kernel name the sender of each message that is received from now on, or not (SO_PASSCRED, unix(7)).
///
/// With names messages are to be taken by [`receive_signed`], without by [`receive`].
///
/// # Errors
/// None that setsockopt(2) can give for such a socket.
pub fn set_signatures(channel: BorrowedFd<'_>, signatures: Signatures) -> io::Result<()> {
    Ok(setsockopt(&channel, sockopt::PassCred, &(signatures == Signatures::Wanted))?)
}

/// Receives one message without descriptors, and who sent it: a process cannot pass for another one.
///
/// # Errors
/// As [`receive`]; `InvalidData` also when the kernel was not asked to name senders in time.
pub fn receive_signed(channel: BorrowedFd<'_>) -> io::Result<Signed> {
    let mut buffer = incoming();
    let mut control = cmsg_space!(UnixCredentials);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    loop {
        let mut parts = [IoSliceMut::new(&mut *buffer)];
        match recvmsg::<()>(channel.as_raw_fd(), &mut parts, Some(&mut control), flags) {
            Ok(message) if message.bytes == 0 => return Ok(Signed::Closed),
            Ok(message) => {
                let pid = |message| {
                    let ControlMessageOwned::ScmCredentials(sender) = message else { return None };
                    Some(Pid(sender.pid()))
                };
                let unsigned = || io::Error::new(io::ErrorKind::InvalidData, "a message without a sender");
                let sender = message.cmsgs()?.find_map(pid).ok_or_else(unsigned)?;
                let length = message.bytes;
                return Ok(Signed::Message(buffer[..length].to_vec(), sender));
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(Signed::WouldBlock),
            Err(Errno::ECONNRESET) => return Ok(Signed::Closed),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives one message; its descriptors are closed on exec.
///
/// # Errors
/// `InvalidData` when the message was longer than [`MESSAGE_MAX`]; whatever recvmsg(2) says otherwise.
pub fn receive(channel: BorrowedFd<'_>) -> io::Result<Received> {
    let mut buffer = incoming();
    let mut control = cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let (length, descriptors, truncated) = loop {
        let mut parts = [IoSliceMut::new(&mut *buffer)];
        match recvmsg::<()>(channel.as_raw_fd(), &mut parts, Some(&mut control), flags) {
            Ok(message) => {
                let descriptors = descriptors_of(message.cmsgs());
                break (message.bytes, descriptors, message.flags.contains(MsgFlags::MSG_TRUNC));
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(Received::WouldBlock),
            Err(Errno::ECONNRESET) => return Ok(Received::Closed),
            Err(error) => return Err(error.into()),
        }
    };
    if truncated {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message was longer than 65536 bytes"));
    }
    if length == 0 {
        return Ok(Received::Closed);
    }
    Ok(Received::Message(buffer[..length].to_vec(), descriptors))
}

/// What messages are received into, by one thread at a time: nobody waits with it.
///
/// It is used again, as a buffer of its own for each message would have to be filled with zeros, most of them for nothing; and
/// memory that no message has reached is never touched.
fn incoming() -> MutexGuard<'static, [u8; MESSAGE_MAX]> {
    static INCOMING: Mutex<[u8; MESSAGE_MAX]> = Mutex::new([0; MESSAGE_MAX]);
    INCOMING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The longest message.
pub const MESSAGE_MAX: usize = 64 << 10;
/// The most descriptors of one message.
pub const DESCRIPTORS_MAX: usize = 2;

fn descriptors_of(messages: nix::Result<impl Iterator<Item = ControlMessageOwned>>) -> Vec<OwnedFd> {
    let mut received = Vec::new();
    // An error says that the kernel cut the control data off: then no descriptor can be told from another.
    for message in messages.into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(descriptors) = message {
            for descriptor in descriptors {
                // SAFETY: the kernel has just made this descriptor for us (SCM_RIGHTS, unix(7)): nobody else owns it.
                received.push(unsafe { OwnedFd::from_raw_fd(descriptor) });
            }
        }
    }
    received
}

const SEND_BUFFER: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    fn message(received: Received) -> (Vec<u8>, Vec<OwnedFd>) {
        match received {
            Received::Message(bytes, descriptors) => (bytes, descriptors),
            Received::WouldBlock | Received::Closed => panic!("no message: {received:?}"),
        }
    }

    #[test]
    fn boundaries_and_descriptors_survive() {
        let (one, other) = pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let (_unused, second) = io::pipe().unwrap();
        let large = vec![7; MESSAGE_MAX];
        assert_eq!(send(one.as_fd(), b"first", &[writer.as_fd(), second.as_fd()]).unwrap(), Sent::Sent);
        assert_eq!(send(one.as_fd(), &large, &[]).unwrap(), Sent::Sent);
        drop(writer);

        let (bytes, descriptors) = message(receive(other.as_fd()).unwrap());
        assert_eq!(bytes, b"first");
        assert_eq!(descriptors.len(), 2);
        let mut writer = File::from(descriptors.into_iter().next().unwrap());
        writer.write_all(b"through").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");

        let (bytes, descriptors) = message(receive(other.as_fd()).unwrap());
        assert_eq!(bytes, large);
        assert!(descriptors.is_empty());
    }

    #[test]
    fn emptiness_fullness_and_death_are_told_apart() {
        let (one, other) = pair().unwrap();
        assert!(matches!(receive(other.as_fd()).unwrap(), Received::WouldBlock));
        let large = vec![7; MESSAGE_MAX];
        let mut count = 0;
        while send(one.as_fd(), &large, &[]).unwrap() == Sent::Sent {
            count += 1;
            assert!(count < 1000, "a queue has a limit");
        }
        assert!(count >= 1);
        drop(one);
        for _ in 0..count {
            assert!(matches!(receive(other.as_fd()).unwrap(), Received::Message(..)));
        }
        assert!(matches!(receive(other.as_fd()).unwrap(), Received::Closed));
        assert_eq!(send(other.as_fd(), b"x", &[]).unwrap(), Sent::Closed);
    }

    #[test]
    fn what_nobody_has_received_is_outstanding() {
        let (one, other) = pair().unwrap();
        assert_eq!(outstanding(one.as_fd()).unwrap(), 0);
        send(one.as_fd(), &[7; 100], &[]).unwrap();
        let first = outstanding(one.as_fd()).unwrap();
        assert!((100..4096).contains(&first), "{first}");
        send(one.as_fd(), &[7; 100], &[]).unwrap();
        assert_eq!(outstanding(one.as_fd()).unwrap(), 2 * first);
        for _ in 0..2 {
            receive(other.as_fd()).unwrap();
        }
        assert_eq!(outstanding(one.as_fd()).unwrap(), 0);
    }

    #[test]
    fn the_kernel_names_the_sender() {
        let (one, other) = pair().unwrap();
        set_signatures(other.as_fd(), Signatures::Wanted).unwrap();
        assert!(matches!(receive_signed(other.as_fd()).unwrap(), Signed::WouldBlock));
        assert_eq!(send(one.as_fd(), b"born", &[]).unwrap(), Sent::Sent);
        let Signed::Message(bytes, sender) = receive_signed(other.as_fd()).unwrap() else { panic!("none") };
        assert_eq!((bytes.as_slice(), sender), (&b"born"[..], super::super::process::own_pid()));
        drop(one);
        assert!(matches!(receive_signed(other.as_fd()).unwrap(), Signed::Closed));
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        let (one, _other) = pair().unwrap();
        assert!(send(one.as_fd(), b"", &[]).is_err());
        assert!(send(one.as_fd(), &vec![0; MESSAGE_MAX + 1], &[]).is_err());
        assert!(send(one.as_fd(), b"x", &[one.as_fd(); DESCRIPTORS_MAX + 1]).is_err());
    }
}
