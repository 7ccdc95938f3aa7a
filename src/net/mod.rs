//! Socket to connection.
#![forbid(unsafe_code)]

pub mod accept;
pub mod bind;
mod bind_error;
mod connection;
mod drain;
mod handed;
pub mod listeners;
pub mod socket_files;
mod stored;
pub mod together;
pub mod written;

pub use connection::{Connection, Local, Peer, Stream};
pub use drain::{Departure, Drain, Draining, Occupation, Occupied, OpenConnection};
