//! Signals as commands.

use crate::contract::control::{Command, Pace, Scale};
use crate::sys::signals::Signal;

/// What a signal asks for; `None` for one that only says that a child has ended.
pub(in crate::master) fn command(signal: Signal) -> Option<Command> {
    match signal {
        Signal::Child => None,
        Signal::Terminate => Some(Command::Stop(Pace::Graceful)),
        Signal::Interrupt | Signal::Quit => Some(Command::Stop(Pace::Quick)),
        Signal::HangUp => Some(Command::Reload { canary: None }),
        Signal::User1 => Some(Command::ReopenLogs),
        Signal::User2 => Some(Command::Upgrade),
        Signal::More => Some(Command::Scale(Scale::By(1))),
        Signal::Less => Some(Command::Scale(Scale::By(-1))),
    }
}
