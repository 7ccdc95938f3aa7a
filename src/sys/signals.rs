//! Signals as values: caught by signal-hook, read from a pipe.

use super::process::{self, Pid};
use nix::errno::Errno;
use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, sigaction, sigprocmask};
use signal_hook::SigId;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A signal that the master acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A child has ended.
    Child,
    /// SIGTERM
    Terminate,
    /// SIGINT
    Interrupt,
    /// SIGQUIT
    Quit,
    /// SIGHUP
    HangUp,
    /// SIGUSR1
    User1,
    /// SIGUSR2
    User2,
    /// SIGTTIN
    More,
    /// SIGTTOU
    Less,
}

/// Signals on their way, until dropped or released.
#[derive(Debug)]
pub struct SignalPipe {
    reader: UnixStream,
    caught: Vec<Caught>,
}

#[derive(Debug)]
struct Caught {
    signal: Signal,
    flag: Arc<AtomicBool>,
    ids: [SigId; 2],
}

impl Caught {
    fn new(signal: Signal, number: c_int, writer: &UnixStream) -> io::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        // In this order: whoever reads the byte must find the flag.
        let raise = signal_hook::flag::register(number, Arc::clone(&flag))?;
        let wake = signal_hook::low_level::pipe::register(number, writer.try_clone()?)?;
        Ok(Self { signal, flag, ids: [raise, wake] })
    }
}

/// What signal handlers write to, and what is read from it; neither may ever wait.
fn pipe() -> io::Result<(UnixStream, UnixStream)> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    writer.set_nonblocking(true)?;
    Ok((reader, writer))
}

impl SignalPipe {
    /// Catches every [`Signal`] from now on.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        let mut caught = Vec::with_capacity(ALL.len());
        for (signal, number) in ALL {
            // signal-hook calls the handler that it found as well. A host's (CPython's, for SIGINT) would raise
            // an exception there some time later.
            let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
            // SAFETY: the default action runs no code of this process.
            unsafe { sigaction(nix::sys::signal::Signal::try_from(number)?, &default) }?;
            caught.push(Caught::new(signal, number, &writer)?);
        }
        Ok(Self { reader, caught })
    }

    /// Catches SIGTERM from now on, in a forked child whose parent has caught every [`Signal`].
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn for_child() -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        let caught = vec![Caught::new(Signal::Terminate, signal_hook::consts::SIGTERM, &writer)?];
        Ok(Self { reader, caught })
    }

    /// The signals since the last call, in the order of [`Signal`]; equal ones count once, as they do in the kernel.
    pub fn take(&mut self) -> Vec<Signal> {
        let mut buffer = [0; 64];
        while self.reader.read(&mut buffer).is_ok_and(|count| count > 0) {}
        self.caught
            .iter()
            .filter(|caught| caught.flag.swap(false, Ordering::SeqCst))
            .map(|c| c.signal)
            .collect()
    }

    /// Readable when [`take`](Self::take) may give something.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl SignalPipe {
    /// Signals do nothing from now on; for a forked child, whose parent goes on catching them.
    ///
    /// signal-hook leaves its handler in place, with nothing to do. That is what a worker wants: a terminal sends
    /// SIGINT and systemd SIGTERM to the whole group, but the master decides when workers leave. Unlike `SIG_IGN`, a
    /// handler is reset in programs that the app starts (execve(2)). Whoever registers with signal-hook afterwards is heard.
    pub fn release(&mut self) {
        for id in self.caught.drain(..).flat_map(|caught| caught.ids) {
            signal_hook::low_level::unregister(id);
        }
        // The writing end goes with the last action; the reading end must go too, as the parent reads from it.
        if let Ok((reader, _)) = UnixStream::pair() {
            self.reader = reader;
        }
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        self.release();
    }
}

/// Signals that wait until this is dropped, or until another program has taken this one's place and lets them through.
#[derive(Debug)]
pub struct Blocked(SigSet);

impl Blocked {
    /// Blocks all signals, in a process that has one thread; those that were caught and not taken yet wait as well.
    ///
    /// # Errors
    /// None that sigprocmask(2) and kill(2) can give here.
    pub fn new(pipe: &mut SignalPipe) -> io::Result<Self> {
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        let blocked = Self(before);
        for signal in pipe.take() {
            let number = ALL.iter().find(|(other, _)| *other == signal).map(|(_, number)| *number);
            let number = number.map(nix::sys::signal::Signal::try_from).transpose()?;
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(process::own_pid().0), number)?;
        }
        Ok(blocked)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let unblocked = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.0), None);
        debug_assert!(unblocked.is_ok(), "sigprocmask fails for wrong arguments only");
    }
}

/// Sends SIGKILL.
///
/// # Errors
/// Whatever kill(2) says; a process that is already gone is no error.
pub fn kill(pid: Pid) -> io::Result<()> {
    match nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.0), nix::sys::signal::Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

const ALL: [(Signal, c_int); 9] = {
    use signal_hook::consts::signal as number;
    [
        // First: whoever is killed and asked to stop at once should be reaped before.
        (Signal::Child, number::SIGCHLD),
        (Signal::Terminate, number::SIGTERM),
        (Signal::Interrupt, number::SIGINT),
        (Signal::Quit, number::SIGQUIT),
        (Signal::HangUp, number::SIGHUP),
        (Signal::User1, number::SIGUSR1),
        (Signal::User2, number::SIGUSR2),
        (Signal::More, number::SIGTTIN),
        (Signal::Less, number::SIGTTOU),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal as Number, raise};

    #[test]
    fn signals_are_heard_until_released_and_harmless_afterwards() {
        let mut pipe = SignalPipe::new().unwrap();
        assert_eq!(pipe.take(), []);
        raise(Number::SIGTERM).unwrap();
        raise(Number::SIGHUP).unwrap();
        raise(Number::SIGHUP).unwrap();
        let ready = super::super::poll::wait_readable(&[pipe.descriptor()], None).unwrap();
        assert_eq!(ready, [0]);
        assert_eq!(pipe.take(), [Signal::Terminate, Signal::HangUp]);
        pipe.release();
        raise(Number::SIGTERM).unwrap();
        assert_eq!(pipe.take(), []);
        // As a forked child does, which finds signal-hook's handler in place.
        let mut pipe = SignalPipe::for_child().unwrap();
        raise(Number::SIGHUP).unwrap();
        raise(Number::SIGTERM).unwrap();
        assert_eq!(pipe.take(), [Signal::Terminate]);
    }
}
