//! Puts master and workers together: configuration in, exit code out.
#![forbid(unsafe_code)]

use crate::config::{Loaded, Reloader};
use crate::master::{self, Start};
use crate::sys::fork::ForkHooks;
use crate::{telemetry, worker};
use std::process::ExitCode;

/// Serves until told to stop.
///
/// Exit codes: 0 ended as asked, 1 failed, 2 configuration, 3 the app did not load, 4 an address was not bound.
pub fn serve(loaded: Loaded, mut reloader: Reloader) -> ExitCode {
    let config = loaded.config;
    if let Err(error) = telemetry::init(&config.log) {
        return refuse(&error.to_string());
    }
    if config.has_python_app()
        && let Err(reason) = become_python()
    {
        return refuse(&reason);
    }
    let start = Start {
        config,
        reload_config: Box::new(move || reloader.reload().map_err(|errors| errors.to_string())),
        reopen_logs: Box::new(|| {
            if let Err(error) = telemetry::reopen() {
                tracing::error!(%error, "the error log could not be opened anew");
            }
        }),
        worker_main: worker::main,
        fork_hooks: fork_hooks(),
    };
    match master::run(start) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error.to_string();
            match text.split_once('\n') {
                Some((first, traceback)) => tracing::error!(traceback, "{first}"),
                None => tracing::error!("{text}"),
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn refuse(reason: &str) -> ExitCode {
    tracing::error!("{reason}");
    ExitCode::from(2)
}

/// Puts the wheel of the virtual environment in the place of a program without Python; done when there is one.
///
/// # Errors
/// What to install, and where.
pub fn become_python() -> Result<(), String> {
    if cfg!(feature = "python") { Ok(()) } else { interpreter::become_python() }
}

#[cfg(feature = "python")]
fn fork_hooks() -> ForkHooks {
    crate::app::python::fork_hooks()
}

#[cfg(not(feature = "python"))]
fn fork_hooks() -> ForkHooks {
    ForkHooks::NONE
}

pub(crate) use interpreter::find_python;

/// The native program in front of a Python app: the wheel of the virtual environment takes its place.
mod interpreter {
    use std::os::unix::process::CommandExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// Returns only when it failed, with the reason.
    pub(super) fn become_python() -> Result<(), String> {
        let python = find_python()?;
        let error = Command::new(&python).args(["-m", "ferricorn"]).args(std::env::args_os().skip(1)).exec();
        Err(format!("cannot run {}: {error}; {ADVICE}", python.display()))
    }

    /// The interpreter of the active virtual environment, or of `.venv`, that has the wheel.
    ///
    /// # Errors
    /// What to do where there is none.
    pub(crate) fn find_python() -> Result<PathBuf, String> {
        std::env::var_os("VIRTUAL_ENV")
            .map(PathBuf::from)
            .into_iter()
            .chain([PathBuf::from(".venv")])
            .find(|environment| has_wheel(environment))
            .map(|environment| environment.join("bin/python"))
            .ok_or_else(|| ADVICE.to_owned())
    }

    const ADVICE: &str =
        "this is a Python app: activate its virtual environment and `pip install ferricorn` in it";

    fn has_wheel(environment: &Path) -> bool {
        let Ok(versions) = std::fs::read_dir(environment.join("lib")) else { return false };
        versions.flatten().any(|version| version.path().join("site-packages/ferricorn").is_dir())
    }
}
