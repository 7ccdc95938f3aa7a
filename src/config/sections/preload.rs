//! `workers.preload`.

/// Whether apps are loaded before workers are forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preload {
    /// Each worker loads them.
    #[default]
    Off,
    /// They are, and what does not survive the fork is named in the log.
    On,
    /// They are, and what would not survive the fork keeps the server from starting.
    Strict,
}
