//! The real program, seen from outside: processes, signals, sockets, bytes.
//!
//! Every server listens on an address of its own, every wait has a deadline, and every test ends with the proof
//! that no process is left.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by a panic that says what it missed"
)]

mod support;

mod addresses;
mod canary;
mod cancel;
mod causes;
mod conformance;
mod crash;
mod ctl;
mod ctl_access;
mod degraded;
mod drain;
#[cfg(feature = "hyper")]
mod embedded;
mod files;
mod hygiene;
#[cfg(feature = "issue")]
mod issue;
mod lifecycle;
mod limits;
mod reload;
mod requests;
#[cfg(feature = "issue")]
mod revoke;
mod scale;
mod slow;
mod sockets;
#[cfg(feature = "issue")]
mod stores;
#[cfg(feature = "issue")]
mod token_cookies;
mod tokens;
mod upgrade;
#[cfg(feature = "issue")]
mod users;
