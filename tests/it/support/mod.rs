//! What all tests of the real program share.

pub(crate) mod case;
pub(crate) mod client;
pub(crate) mod control;
#[cfg(feature = "issue")]
pub(crate) mod databases;
pub(crate) mod load;
pub(crate) mod server;
pub(crate) mod uploads;
pub(crate) mod wait;

pub(crate) use client::{Address, Connection, Ended};
pub(crate) use load::{Load, Reuse};
pub(crate) use server::{Server, Transport};
pub(crate) use wait::until;

use std::time::Duration;

/// The longest that any single wait may take. Far above what is needed: it only ends tests that have failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Defines `tcp` and `unix`, the same test over both kinds of sockets.
macro_rules! on_tcp_and_unix {
    ($(#[$meta:meta])* fn $name:ident($transport:ident) $body:block) => {
        $(#[$meta])*
        mod $name {
            use super::*;

            fn test($transport: Transport) $body

            #[test]
            fn tcp() {
                test(Transport::Tcp);
            }

            #[test]
            fn unix() {
                test(Transport::Unix);
            }
        }
    };
}
pub(crate) use on_tcp_and_unix;
