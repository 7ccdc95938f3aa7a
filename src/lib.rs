//! Ferricorn.

pub mod config;
pub mod contract;
pub mod net;
pub mod sys;
