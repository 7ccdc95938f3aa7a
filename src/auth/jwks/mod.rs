//! Key sets of identity providers: fetched by one process for all workers, in the background, never for a request.
//!
//! [`Source`] says what; `schedule` when (pure); `client` does one fetch; [`Upkeep`] keeps the sets of a
//! [`KeyTable`](crate::contract::key_table::KeyTable) up to date.

mod client;
mod report;
mod schedule;
mod source;
mod tls;
mod upkeep;

pub use report::Report;
pub use source::{Place, Source};
pub use upkeep::{Refreshed, Upkeep};
