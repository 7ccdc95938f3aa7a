//! The check command as a child of the master: started, read, killed.

use crate::config::Config;
use crate::contract::slot::Generation;
use crate::sys::command::{self, NewPrivileges, Program};
use crate::sys::limits::CoreDumps;
use crate::sys::process::Pid;
use crate::sys::process_group;
use crate::sys::wait::WaitOutcome;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use tracing::warn;

/// Where the server's programs are found.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The directory that the server was started in, by the name it was given: entered anew for each generation.
    pub directory: PathBuf,
    /// Programs are looked for here first: a virtual environment's own. `None`: in `PATH` alone.
    pub programs: Option<PathBuf>,
}

/// A check command that runs.
#[derive(Debug)]
pub(super) struct Run {
    pid: Pid,
    generation: Generation,
    name: String,
    /// `None` once everybody has closed it.
    output: Option<File>,
    kept: Vec<u8>,
}

impl Run {
    /// Starts the check command of a configuration, or says why it cannot be run.
    pub(super) fn begin(
        generation: Generation,
        config: &Config,
        surroundings: &Surroundings,
    ) -> Result<Self, String> {
        let words = &config.workers.check_command;
        let name = words.join(" ");
        let failed = |reason: String| format!("the check command cannot be run: {name}: {reason}");
        let server = &config.server;
        let directory = match &server.chdir {
            Some(directory) => surroundings.directory.join(directory),
            None => surroundings.directory.clone(),
        };
        let mut variables = BTreeMap::new();
        if let Some(path) = surroundings.path() {
            variables.insert("PATH".to_owned(), path.to_string_lossy().into_owned());
        }
        for mount in &config.apps {
            variables.extend(mount.environment(&directory).map_err(|error| failed(error.to_string()))?);
        }
        let program = Program {
            words,
            directory: &directory,
            variables: &variables,
            user: server.user.as_deref(),
            group: server.group.as_deref(),
            umask: server.umask.map(|mask| mask.0),
            new_privileges: if server.no_new_privs { NewPrivileges::Refused } else { NewPrivileges::Allowed },
            core_dumps: server.core_dumps.map(CoreDumps::wanted),
        };
        let (pid, output) = command::spawn(&program).map_err(|error| failed(error.to_string()))?;
        Ok(Self { pid, generation, name, output: Some(output), kept: Vec::new() })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// Readable when it has written something.
    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(AsFd::as_fd)
    }

    /// Takes what it has written; of more than is kept, the end.
    pub(super) fn read(&mut self) {
        let mut piece = [0; OUTPUT_MAX];
        for _ in 0..READS_AT_ONCE {
            let Some(output) = &mut self.output else { return };
            match output.read(&mut piece) {
                Ok(length @ 1..) => {
                    self.kept.extend_from_slice(&piece[..length]);
                    self.kept.drain(..self.kept.len().saturating_sub(OUTPUT_MAX));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => self.output = None,
            }
        }
    }

    /// Kills it with all it has started.
    pub(super) fn kill(&self) {
        if let Err(error) = process_group::kill_all(self.pid) {
            warn!(pid = %self.pid, "cannot kill the check command: {error}");
        }
    }

    /// What has come of it, once it is reaped.
    pub(super) fn end(mut self, outcome: &WaitOutcome) -> Result<(), String> {
        self.read();
        if *outcome == WaitOutcome::Exited(0) {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&self.kept);
        Err(format!("the check command failed: {}: {outcome}\n{}", self.name, output.trim())
            .trim_end()
            .to_owned())
    }
}

impl Surroundings {
    /// `PATH` with the server's own programs in front.
    fn path(&self) -> Option<OsString> {
        let programs = self.programs.as_deref()?;
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&rest));
        std::env::join_paths(all.filter(|path| path != Path::new(""))).ok()
    }
}

/// Bytes of output that are kept: the end, which says what happened.
const OUTPUT_MAX: usize = 4096;

/// Reads before something else is looked at.
const READS_AT_ONCE: usize = 16;
