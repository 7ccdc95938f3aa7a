//! A program run beside the server: in a process group of its own, its output in a pipe.

use super::limits::{self, CoreDumps};
use super::privileges;
use super::process::{self, Pid};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is to be run, and as whom.
#[derive(Debug)]
pub struct Program<'a> {
    /// The program, looked for in `PATH`, and its arguments.
    pub words: &'a [String],
    /// Where it works.
    pub directory: &'a Path,
    /// Variables set over those of this process.
    pub variables: &'a BTreeMap<String, String>,
    /// User to run as; `None`: unchanged.
    pub user: Option<&'a str>,
    /// Group to run as; `None`: that of the user.
    pub group: Option<&'a str>,
    /// File mode creation mask; `None`: as inherited.
    pub umask: Option<u32>,
    /// Whether programs that it starts may get rights that it does not have.
    pub new_privileges: NewPrivileges,
    /// `None`: as inherited.
    pub core_dumps: Option<CoreDumps>,
}

/// Whether a process may get rights by starting a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewPrivileges {
    /// It may, by sudo(8) for instance.
    Allowed,
    /// It may not.
    Refused,
}

/// Starts a program, the leader of a new process group, with nothing to read; its pid, and what it writes to standard
/// output and standard error, non-blocking.
///
/// It is reaped like any other child, by [`wait::reap`](super::wait::reap).
///
/// # Errors
/// When it cannot be run: most often there is no such program.
pub fn spawn(program: &Program<'_>) -> io::Result<(Pid, File)> {
    let (name, arguments) = program.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (reader, writer) = io::pipe()?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut command = Command::new(name);
    command.args(arguments).current_dir(program.directory).envs(program.variables).process_group(0);
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let (user, group) = (program.user.map(str::to_owned), program.group.map(str::to_owned));
    let (umask, new_privileges, core_dumps) = (program.umask, program.new_privileges, program.core_dumps);
    let prepare = move || {
        if let Some(mask) = umask {
            process::set_umask(mask);
        }
        privileges::drop_to(user.as_deref(), group.as_deref())?;
        if new_privileges == NewPrivileges::Refused {
            limits::set_no_new_privs()?;
        }
        core_dumps.map_or(Ok(()), limits::set_core_dumps)
    };
    // SAFETY: fork(2) copies the calling thread alone; the master, which calls this, has no other, so that what runs
    // between fork and exec may allocate and take locks.
    unsafe { command.pre_exec(prepare) };
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok((Pid(pid), File::from(OwnedFd::from(reader))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll::wait_readable;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    /// What a program of the shell writes; it is left to be reaped by the system.
    fn output(script: &str, variables: &BTreeMap<String, String>) -> String {
        let words = ["sh", "-c", script].map(str::to_owned);
        let directory = std::env::temp_dir();
        let program = Program {
            words: &words,
            directory: &directory,
            variables,
            user: None,
            group: None,
            umask: Some(0o027),
            new_privileges: NewPrivileges::Refused,
            core_dumps: Some(CoreDumps::Suppressed),
        };
        let (_, mut reader) = spawn(&program).unwrap();
        let (mut text, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(20));
        loop {
            wait_readable(&[reader.as_fd()], Some(deadline - Instant::now())).unwrap();
            let mut piece = [0; 1024];
            match reader.read(&mut piece) {
                Ok(0) => return String::from_utf8(text).unwrap(),
                Ok(length) => text.extend_from_slice(&piece[..length]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }

    #[test]
    fn both_streams_come_and_directory_variables_and_limits_are_as_asked() {
        let variables = BTreeMap::from([("COLOUR".to_owned(), "red".to_owned())]);
        let rest = "umask; ulimit -c; grep NoNewPrivs /proc/self/status; cat";
        let text = output(&format!("echo $COLOUR; pwd >&2; {rest}"), &variables);
        let directory = std::env::temp_dir();
        assert_eq!(text, format!("red\n{}\n0027\n0\nNoNewPrivs:\t1\n", directory.display()));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let words = ["ferricorn-no-such-program".to_owned()];
        let program = Program {
            words: &words,
            directory: Path::new("/"),
            variables: &BTreeMap::new(),
            user: None,
            group: None,
            umask: None,
            new_privileges: NewPrivileges::Allowed,
            core_dumps: None,
        };
        assert_eq!(spawn(&program).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
