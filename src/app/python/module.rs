//! The extension module `ferricorn._ferricorn`: the same command line, inside the interpreter.

use pyo3::prelude::*;
use std::ffi::OsString;
use std::process::ExitCode;

/// The server's small allocations are short-lived and per thread. Python's own stay with Python.
#[cfg(feature = "wheel")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The extension module inside the wheel.
#[pymodule]
#[pyo3(name = "_ferricorn")]
mod extension {
    #[pymodule_export]
    use super::super::interrupt::try_interruptions;
    #[pymodule_export]
    use super::super::metrics::{Figure, metrics_define, metrics_labels, metrics_page};
    #[cfg(feature = "jwt")]
    #[pymodule_export]
    use super::super::verifier::{Verifier, refusal};
    #[pymodule_export]
    use super::main;
    use pyo3::prelude::*;

    #[pymodule_init]
    fn complete(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        module.add("ClientGone", py.get_type::<super::super::outgoing::ClientGone>())?;
        module.add("RequestInterrupted", py.get_type::<super::super::interrupt::RequestInterrupted>())?;
        #[cfg(feature = "jwt")]
        module.add("InvalidToken", py.get_type::<super::super::verifier::InvalidToken>())?;
        Ok(())
    }
}

/// Runs the command line with these arguments, the program's name first; returns the exit code.
#[pyfunction]
fn main(arguments: Vec<OsString>) -> u8 {
    let code = crate::cli::main(arguments);
    // std keeps an ExitCode's number to itself, but says whether two are equal.
    (0..=u8::MAX).find(|number| ExitCode::from(*number) == code).unwrap_or(1)
}
