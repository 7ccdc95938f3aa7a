//! Descriptors that the service manager keeps while the service is started anew (`FileDescriptorStoreMax=`).

use super::poll;
use super::systemd::Manager;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::time::Duration;

/// How many descriptors the manager keeps for this service; 0 where it keeps none.
///
/// systemd.exec(5), `FDSTORE`: set by version 254 and later. For earlier ones the unit has to set it.
pub fn places() -> usize {
    std::env::var(PLACES).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The variable that says how many descriptors are kept.
pub const PLACES: &str = "FDSTORE";

impl Manager {
    /// Has the manager keep a copy of a descriptor, and hand it over under this name at the next start.
    ///
    /// A descriptor that is kept already is not kept twice. A name has at most 255 printable ASCII characters without `:`.
    ///
    /// # Errors
    /// When the manager is gone or does not read. Whether it has room it does not say.
    pub fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        // sd_pid_notify_with_fds(3): without FDPOLL=0 a descriptor is dropped when poll(2) reports an error on it.
        self.tell_with(&format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}"), descriptor)
    }

    /// Has the manager close what it keeps under a name.
    ///
    /// # Errors
    /// When the manager is gone or does not read.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"))
    }

    /// Waits until the manager has done what it was told, for five seconds at most.
    ///
    /// # Errors
    /// `TimedOut`; or when the manager is gone or does not read.
    pub fn settle(&self) -> io::Result<()> {
        // sd_notify_barrier(3): it closes its copy of the pipe when it has come to this message.
        let (reader, writer) = io::pipe()?;
        self.tell_with("BARRIER=1", writer.as_fd())?;
        drop(writer);
        match poll::wait_readable(&[reader.as_fd()], Some(SETTLING))?.is_empty() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }

    fn tell_with(&self, assignments: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let address = match (self.address.as_pathname(), self.address.as_abstract_name()) {
            (Some(path), _) => UnixAddr::new(path)?,
            (None, Some(name)) => UnixAddr::new_abstract(name)?,
            (None, None) => return Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        let descriptors = [descriptor.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&descriptors)];
        let text = [IoSlice::new(assignments.as_bytes())];
        loop {
            match sendmsg(self.socket.as_raw_fd(), &text, &control, MsgFlags::MSG_NOSIGNAL, Some(&address)) {
                Err(Errno::EINTR) => {}
                sent => return Ok(sent.map(drop)?),
            }
        }
    }
}

/// A manager that is busy with many units at boot takes its time.
const SETTLING: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;
    use nix::cmsg_space;
    use nix::sys::socket::{ControlMessageOwned, recvmsg};
    use std::io::{IoSliceMut, Read, Write};
    use std::os::fd::{FromRawFd, OwnedFd, RawFd};
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    /// A manager and its ears.
    fn manager(name: &str) -> (Manager, UnixDatagram) {
        let name = format!("ferricorn-{name}-{}", process::own_pid());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let ears = UnixDatagram::bind_addr(&address).unwrap();
        ears.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (Manager::connect(format!("@{name}").as_ref()).unwrap(), ears)
    }

    fn heard(ears: &UnixDatagram) -> (String, Vec<OwnedFd>) {
        let mut buffer = [0; 256];
        let mut control = cmsg_space!([RawFd; 2]);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let message =
            recvmsg::<()>(ears.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()).unwrap();
        let mut descriptors = Vec::new();
        for control in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(numbers) = control {
                // SAFETY: the kernel has just made these descriptors for us (SCM_RIGHTS, unix(7)).
                descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
            }
        }
        let length = message.bytes;
        (String::from_utf8(buffer[..length].to_vec()).unwrap(), descriptors)
    }

    #[test]
    fn a_descriptor_is_kept_under_its_name_until_it_is_forgotten() {
        let (manager, ears) = manager("keep");
        let (mut reader, writer) = io::pipe().unwrap();
        manager.keep("one", writer.as_fd()).unwrap();
        drop(writer);
        let (text, descriptors) = heard(&ears);
        assert_eq!(text, "FDSTORE=1\nFDPOLL=0\nFDNAME=one");
        let mut kept = std::fs::File::from(descriptors.into_iter().next().unwrap());
        kept.write_all(b"x").unwrap();
        drop(kept);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        manager.forget("one").unwrap();
        assert_eq!(heard(&ears).0, "FDSTOREREMOVE=1\nFDNAME=one");
    }

    #[test]
    fn what_was_said_has_been_done_when_the_pipe_is_closed() {
        let (manager, ears) = manager("barrier");
        let listening = std::thread::spawn(move || heard(&ears).0);
        manager.settle().unwrap();
        assert_eq!(listening.join().unwrap(), "BARRIER=1");
    }
}
