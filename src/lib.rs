//! Ferricorn: a production multi-worker application server.

pub mod app;
pub mod config;
pub mod middleware;
pub mod protocol;
pub mod sys;
pub mod telemetry;
