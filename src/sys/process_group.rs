//! Process groups: a child measured and ended together with the children it has started.

use super::process::Pid;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{SysconfVar, sysconf};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Asks one process to end (SIGTERM); one that is already gone is no error.
///
/// # Errors
/// Whatever kill(2) says.
pub fn terminate(pid: Pid) -> io::Result<()> {
    gone_is_fine(kill(nix::unistd::Pid::from_raw(pid.0), Signal::SIGTERM))
}

/// Ends every process of a group at once (SIGKILL); a group that is already gone is no error.
///
/// The group's leader must not have been reaped: its number could be somebody else's by then.
///
/// # Errors
/// Whatever killpg(3) says.
pub fn kill_all(leader: Pid) -> io::Result<()> {
    gone_is_fine(killpg(nix::unistd::Pid::from_raw(leader.0), Signal::SIGKILL))
}

/// A pipe for what a program writes: for reading without waiting, and for writing.
///
/// # Errors
/// When descriptors have run out.
pub fn output_pipe() -> io::Result<(File, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((File::from(OwnedFd::from(reader)), writer.into()))
}

/// Whether a child has ended, without reaping it: its number stays its own.
pub fn has_ended(child: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    // proc_pid_stat(5): Z is a zombie, X dead; no file is no process.
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// CPU time, user and system, that the processes of a group have used, ended and reaped children included.
///
/// Counted by the kernel in ticks, of which there are most often 100 a second.
///
/// # Errors
/// When /proc is not there.
pub fn cpu_time(leader: Pid) -> io::Result<Duration> {
    let per_second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100);
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")?.flatten() {
        if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        // A process may end between the listing and the reading.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        ticks += ticks_in(&stat, leader).unwrap_or(0);
    }
    Ok(Duration::from_secs(ticks) / u32::try_from(per_second.max(1)).unwrap_or(100))
}

/// utime, stime, cutime and cstime of a line of /proc/PID/stat, if the process is in the group (proc_pid_stat(5)).
fn ticks_in(stat: &str, leader: Pid) -> Option<u64> {
    // The name of a program may hold anything, also spaces and parentheses: fields are counted behind its end.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    (fields.get(2)?.parse() == Ok(leader.0)).then_some(())?;
    fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

fn gone_is_fine(result: nix::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_behind_the_name_and_only_of_the_group() {
        let stat = "12 (a) b (c) S 1 77 77 0 -1 4194560 100 0 0 0 5 6 7 8 20 0 1 0 100";
        assert_eq!(ticks_in(stat, Pid(77)), Some(26));
        assert_eq!(ticks_in(stat, Pid(12)), None);
        assert_eq!(ticks_in("12 (a", Pid(77)), None);
    }

    #[test]
    fn a_child_that_has_ended_is_still_ours_to_reap() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = Pid(i32::try_from(child.id()).unwrap());
        assert!(!has_ended(pid));
        drop(child.stdin.take());
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !has_ended(pid) && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(has_ended(pid));
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn time_that_a_process_has_used_is_counted() {
        let own = Pid(nix::unistd::getpgrp().as_raw());
        // Ends with the first tick that is counted.
        while cpu_time(own).unwrap().is_zero() {}
    }
}
