//! The sign that this worker's event loop turns: the master replaces one whose count stands still.

use super::signals;
use crate::contract::scoreboard::{self, RecordIndex, Scoreboard};
use crate::sys::reserved_signals::ReservedSignals;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Shows the master that this event loop turns.
pub(super) async fn beat(
    (scoreboard, record): (Scoreboard, RecordIndex),
    limit: Duration,
    reserved: ReservedSignals,
) {
    if limit.is_zero() {
        return;
    }
    let mut beats = tokio::time::interval((limit / scoreboard::BEATS).max(Duration::from_millis(1)));
    loop {
        beats.tick().await;
        // An app may set them at any request.
        signals::keep(&reserved);
        scoreboard.record(record).beats().fetch_add(1, Ordering::Relaxed);
    }
}
