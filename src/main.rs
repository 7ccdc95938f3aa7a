//! The `ferricorn` program: hands its arguments to the library.

use std::process::ExitCode;

/// The server's small allocations are short-lived and per thread.
#[cfg(not(feature = "wheel"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ferricorn::cli::main(std::env::args_os().collect())
}
