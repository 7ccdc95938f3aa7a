//! Everything master and worker share: birth, life, death.
#![forbid(unsafe_code)]

pub mod exit;
pub mod handoff;
pub mod scoreboard;
