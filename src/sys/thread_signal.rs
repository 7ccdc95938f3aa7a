//! Signals to one thread of this process, and the pipe that their handler writes to.

use super::{poll, process};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// The signal that asks a thread for its stack: a real-time one that nothing else uses (signal(7)).
pub fn stack_signal() -> i32 {
    // glibc keeps the first two for itself; SIGRTMIN() begins behind them.
    libc::SIGRTMIN() + 12
}

/// The signal that calls a thread out of a wait in the kernel; nothing else uses it.
pub fn call_signal() -> i32 {
    stack_signal() + 1
}

/// Sends a signal to one thread of this process (tgkill(2)). Signals of real time are queued: two arrive as two.
///
/// # Errors
/// `ESRCH` when there is no such thread.
pub fn signal_thread(thread: i32, signal: i32) -> io::Result<()> {
    // SAFETY: tgkill(2) takes three numbers and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, process::own_pid().0, thread, signal) };
    Errno::result(result)?;
    Ok(())
}

/// A pipe that a signal handler writes text to. Writing never waits: what does not fit is lost.
#[derive(Debug)]
pub struct HandlerPipe {
    reader: PipeReader,
    writer: PipeWriter,
}

impl HandlerPipe {
    /// An empty pipe.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { reader, writer })
    }

    /// The number of the descriptor that the handler writes to; open for as long as `self`.
    pub fn writer(&self) -> i32 {
        self.writer.as_raw_fd()
    }

    /// Adds to `text` what comes within `limit`; whether anything did.
    ///
    /// # Errors
    /// Whatever poll(2) or read(2) says.
    pub fn read(&mut self, text: &mut Vec<u8>, limit: Duration) -> io::Result<Arrived> {
        if poll::wait_readable(&[self.reader.as_fd()], Some(limit))?.is_empty() {
            return Ok(Arrived::Nothing);
        }
        let mut piece = [0; 4096];
        let count = self.reader.read(&mut piece)?;
        text.extend_from_slice(&piece[..count]);
        Ok(Arrived::Text)
    }
}

/// Whether a wait brought anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// It did.
    Text,
    /// It did not, in time.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_full_pipe_makes_nobody_wait() {
        let mut pipe = HandlerPipe::new().unwrap();
        let mut text = Vec::new();
        assert_eq!(pipe.read(&mut text, Duration::ZERO).unwrap(), Arrived::Nothing);
        let written =
            std::iter::repeat_with(|| pipe.writer.write(&[7; 4096])).take(1000).map_while(Result::ok).count();
        assert!((1..1000).contains(&written), "{written}");
        while pipe.read(&mut text, Duration::ZERO).unwrap() == Arrived::Text {}
        assert_eq!(text, vec![7; written * 4096]);
    }

    #[test]
    fn a_thread_that_is_not_there_gets_nothing() {
        assert_eq!(signal_thread(i32::MAX, 0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert!(signal_thread(process::thread_id(), 0).is_ok());
    }
}
