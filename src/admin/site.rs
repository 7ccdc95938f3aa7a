//! What answers are made of.

use super::desk::Desk;
use crate::contract::admin::Facts;
use crate::contract::metrics::MetricTable;
use crate::contract::scoreboard::Scoreboard;
use std::sync::Arc;

/// What the admin process knows of the server.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) desk: Arc<Desk>,
    pub(super) scoreboard: Scoreboard,
    pub(super) metrics: MetricTable,
    pub(super) facts: Facts,
    #[cfg(feature = "jwt")]
    pub(super) keys: super::keys::Keys,
}
