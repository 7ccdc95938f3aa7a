//! The extension module `ferricorn._ferricorn`: the same command line, inside the interpreter.

use pyo3::prelude::*;
use std::ffi::OsString;

/// The extension module inside the wheel.
#[pymodule]
#[pyo3(name = "_ferricorn")]
mod extension {
    #[pymodule_export]
    use super::main;
}

/// Runs the command line with these arguments, the program's name first; returns the exit code.
#[pyfunction]
fn main(arguments: Vec<OsString>) -> u8 {
    crate::cli::run(arguments)
}
