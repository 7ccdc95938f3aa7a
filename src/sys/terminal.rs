//! Passwords that are typed are not shown.

use super::poll::wait_readable;
use nix::libc::c_int;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use signal_hook::low_level::emulate_default_handler;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

/// What ends or stops a program that waits at its terminal.
const ENDINGS: [Signal; 5] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGTSTP];

/// Reads a line of which the terminal on standard input shows nothing while it is typed; it is none: just reads.
///
/// A signal that ends the program meanwhile finds the terminal as it was.
///
/// # Errors
/// When the terminal cannot be told.
pub fn without_echo<T>(read: impl FnOnce() -> T) -> io::Result<T> {
    let input = io::stdin();
    if !input.is_terminal() {
        return Ok(read());
    }
    let before = tcgetattr(input.as_fd())?;
    let mask = SigSet::from_iter(ENDINGS).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let result = wait_for_line(&input, &before).map(|()| read());
    tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, &before)?;
    mask.thread_set_mask()?;
    result
}

/// Waits in silence until a line has been typed. A signal that comes meanwhile ends the program, or stops it until it goes on.
fn wait_for_line(input: &io::Stdin, before: &Termios) -> io::Result<()> {
    let signals = SignalFd::with_flags(&SigSet::from_iter(ENDINGS), SfdFlags::SFD_CLOEXEC)?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    loop {
        tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, &silent)?;
        let ready = wait_readable(&[signals.as_fd(), input.as_fd()], None)?;
        match (ready.contains(&0), ready.contains(&1)) {
            (true, _) => {}
            (false, true) => return Ok(()),
            (false, false) => continue,
        }
        tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, before)?;
        if let Some(signal) = signals.read_signal()?.and_then(|info| c_int::try_from(info.ssi_signo).ok()) {
            // A host's own handler (CPython's, for SIGINT) would only make a note of it.
            emulate_default_handler(signal)?;
        }
    }
}
