//! Resource limits.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs;
use std::io;
use std::time::Duration;

/// Sets the limit of open descriptors, for children too; `None`: the highest that this process may have (getrlimit(2)).
///
/// # Errors
/// `PermissionDenied` for more than the hard limit, unless root asks.
pub fn set_descriptors(wanted: Option<u64>) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let limit = wanted.unwrap_or(hard);
    Ok(setrlimit(Resource::RLIMIT_NOFILE, limit, hard.max(limit))?)
}

/// Whether a process that crashes leaves a core dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreDumps {
    /// As large as allowed.
    Written,
    /// Never.
    Suppressed,
}

impl CoreDumps {
    /// What a configuration says by yes or no.
    pub fn wanted(wanted: bool) -> Self {
        if wanted { Self::Written } else { Self::Suppressed }
    }
}

/// Sets the core dump policy of this process, after it has become who it is to be (core(5)).
///
/// # Errors
/// Whatever setrlimit(2) and prctl(2) say.
pub fn set_core_dumps(wanted: CoreDumps) -> io::Result<()> {
    match wanted {
        CoreDumps::Written => {
            let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
            setrlimit(Resource::RLIMIT_CORE, hard, hard)?;
            // prctl(2), PR_SET_DUMPABLE: the kernel clears it when a process changes its user.
            nix::sys::prctl::set_dumpable(true)?;
        }
        CoreDumps::Suppressed => setrlimit(Resource::RLIMIT_CORE, 0, 0)?,
    }
    Ok(())
}

/// Makes this process so much more likely to be killed when memory runs out (proc(5), oom_score_adj).
///
/// # Errors
/// When /proc is not there or cannot be written.
pub fn raise_oom_score(by: u16) -> io::Result<()> {
    let path = "/proc/self/oom_score_adj";
    let inherited: i32 = fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)?;
    let wanted = (inherited + i32::from(by)).min(OOM_SCORE_MAX);
    fs::write(path, wanted.to_string())
}

/// Programs that this process starts get no rights that it does not have itself, for good (prctl(2), PR_SET_NO_NEW_PRIVS).
///
/// # Errors
/// On kernels before 3.5.
pub fn set_no_new_privs() -> io::Result<()> {
    Ok(nix::sys::prctl::set_no_new_privs()?)
}

/// Has this process ended by SIGALRM after this time, in whole seconds (alarm(2)).
pub fn set_alarm(limit: Duration) {
    let _before = nix::unistd::alarm::set(u32::try_from(limit.as_secs()).unwrap_or(u32::MAX));
}

const OOM_SCORE_MAX: i32 = 1000;
