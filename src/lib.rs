//! Ferricorn.

pub mod config;
pub mod contract;
pub mod master;
pub mod net;
pub mod sys;
