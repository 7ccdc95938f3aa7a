//! Signals whose handlers are the server's, in a process whose app may set others.
#![expect(unsafe_code, reason = "sigaction(2) without a new action, which nix does not offer")]

use nix::libc::{self, c_int};
use std::io;
use std::mem::MaybeUninit;

/// The handlers that the server's signals had before an app was loaded.
#[derive(Clone)]
pub struct ReservedSignals([(c_int, &'static str, libc::sigaction); 6]);

impl ReservedSignals {
    /// Notes the present ones.
    ///
    /// # Errors
    /// None that sigaction(2) can give for these signals.
    pub fn note() -> io::Result<Self> {
        let mut noted = Vec::with_capacity(RESERVED.len());
        for (number, name) in RESERVED {
            noted.push((number, name, present(number)?));
        }
        noted.try_into().map(Self).map_err(|_| io::Error::other("not as many signals as there are"))
    }

    /// Puts those back whose place others have taken; their names.
    ///
    /// # Errors
    /// None that sigaction(2) can give for these signals.
    pub fn restore(&self) -> io::Result<Vec<&'static str>> {
        let mut restored = Vec::new();
        for (number, name, action) in &self.0 {
            if present(*number)?.sa_sigaction != action.sa_sigaction {
                // SAFETY: the action was given by sigaction(2) itself, in this process or in the one it was forked from.
                let result = unsafe { libc::sigaction(*number, action, std::ptr::null_mut()) };
                if result != 0 {
                    return Err(io::Error::last_os_error());
                }
                restored.push(*name);
            }
        }
        Ok(restored)
    }

    /// Gives every signal that has one of these handlers its default action. Other handlers are the app's, and stay, as do
    /// signals that are ignored.
    pub fn leave(&self) {
        for number in 1..=LAST_STANDARD {
            let Ok(action) = present(number) else { continue };
            let is_noted = self.0.iter().any(|(_, _, noted)| noted.sa_sigaction == action.sa_sigaction);
            if is_noted && action.sa_sigaction != libc::SIG_IGN {
                // SAFETY: the default action runs no code of this process.
                unsafe { libc::signal(number, libc::SIG_DFL) };
            }
        }
    }
}

/// Gives every signal its default action that whoever started this program ignores, since programs inherit that (execve(2)): apps and what
/// they start would not be heard. Those that the runtimes of Rust and CPython ignore by themselves stay ignored.
///
/// # Errors
/// None that sigaction(2) can give for these signals.
pub fn forget_ignored() -> io::Result<()> {
    for number in (1..=LAST_STANDARD).filter(|number| !IGNORED_BY_RUNTIMES.contains(number)) {
        if present(number)?.sa_sigaction == libc::SIG_IGN {
            // SAFETY: the default action runs no code of this process.
            unsafe { libc::signal(number, libc::SIG_DFL) };
        }
    }
    Ok(())
}

fn present(number: c_int) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::uninit();
    // SAFETY: there is no new action, and room for the present one.
    let result = unsafe { libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a successful call has written it.
    Ok(unsafe { action.assume_init() })
}

impl std::fmt::Debug for ReservedSignals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, name, _)| name)).finish()
    }
}

/// Those that an operator, a terminal or a service manager sends to the server, often to all of its processes at once.
const RESERVED: [(c_int, &str); 6] = [
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGHUP, "SIGHUP"),
    (libc::SIGUSR1, "SIGUSR1"),
    (libc::SIGUSR2, "SIGUSR2"),
];

/// A write to a closed connection, or past the limit of a file, is an error and no death.
const IGNORED_BY_RUNTIMES: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

/// Those after it are for real-time use, and never the server's.
const LAST_STANDARD: c_int = libc::SIGSYS;
