//! How busy the event loop of Rust apps and files is: where the number of workers follows the load, nothing else tells.
//!
//! (With Python apps it is the app threads that count, and whoever looks on at the calls knows how busy those are.)

use crate::config::{Config, WorkerCount};
use crate::contract::scoreboard::{RecordIndex, Scoreboard};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeMetrics};

/// Begins to count it, where that is of use to anybody. Within the runtime.
pub(super) fn begin(config: &Config, (scoreboard, record): (Scoreboard, RecordIndex)) {
    let follows_load = matches!(config.workers.count, WorkerCount::Between(..));
    if follows_load && !config.has_python_app() {
        tokio::spawn(count(scoreboard, record));
    }
}

/// Counts the time that the threads of this runtime do not wait, their average.
async fn count(scoreboard: Scoreboard, record: RecordIndex) {
    let metrics = Handle::current().metrics();
    let mut before = busy(&metrics);
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let now = busy(&metrics);
        let since = u64::try_from(now.saturating_sub(before).as_nanos()).unwrap_or(0);
        scoreboard.record(record).busy_ns().fetch_add(since, Ordering::Relaxed);
        before = now;
    }
}

fn busy(metrics: &RuntimeMetrics) -> Duration {
    let threads = metrics.num_workers();
    let sum: Duration = (0..threads).map(|thread| metrics.worker_total_busy_duration(thread)).sum();
    sum / u32::try_from(threads.max(1)).unwrap_or(u32::MAX)
}

/// Several times between two looks of the master.
const LOOK: Duration = Duration::from_millis(100);
