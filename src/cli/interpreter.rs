//! The native program in front of a Python app: the wheel of the virtual environment takes its place.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Puts the wheel of the virtual environment in the place of a program without Python; done when there is one.
///
/// # Errors
/// What to install, and where.
pub(crate) fn become_python() -> Result<(), String> {
    if cfg!(feature = "python") {
        return Ok(());
    }
    let python = find_python()?;
    let error = Command::new(&python).args(["-m", "ferricorn"]).args(std::env::args_os().skip(1)).exec();
    Err(format!("cannot run {}: {error}; {ADVICE}", python.display()))
}

/// The interpreter of the active virtual environment, or of `.venv`, that has the wheel.
///
/// # Errors
/// What to do where there is none.
pub(super) fn find_python() -> Result<PathBuf, String> {
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
