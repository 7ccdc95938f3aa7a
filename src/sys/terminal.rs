//! Passwords that are typed are not shown.

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

/// Does something while the terminal on standard input shows nothing of what is typed; it is none: just does it.
///
/// # Errors
/// When the terminal cannot be told.
pub fn without_echo<T>(run: impl FnOnce() -> T) -> io::Result<T> {
    let input = io::stdin();
    if !input.is_terminal() {
        return Ok(run());
    }
    let before = tcgetattr(input.as_fd())?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, &silent)?;
    let result = run();
    tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, &before)?;
    Ok(result)
}
