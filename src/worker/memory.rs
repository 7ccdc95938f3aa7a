//! The memory of Python apps, laid together and moved into huge pages as it grows.

use crate::app::python::lay_arenas_together;
use crate::config::Config;
use crate::sys::{collapse, process};
use std::io;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// Prepares the interpreter, before it has any code of the site.
pub(super) fn prepare(config: &Config) {
    if is_moved(config) {
        lay_arenas_together();
    }
}

/// Moves memory as long as the worker serves. In the runtime.
pub(super) fn tend(config: &Config) {
    if is_moved(config) {
        tokio::spawn(keep());
    }
}

/// Not where it is a mold's: workers share it by small pages, into which huge ones fall as soon as one of them writes there.
fn is_moved(config: &Config) -> bool {
    config.has_python_app() && config.python.huge_pages && !config.preloads()
}

/// Moves memory whenever there is more of it: much of what an app consists of is there from its first requests on only.
async fn keep() {
    let mut looks = tokio::time::interval(LOOK);
    let mut moved_at = 0;
    loop {
        looks.tick().await;
        let resident = process::resident_bytes(process::own_pid()).unwrap_or_default();
        if resident < moved_at + GROWTH.max(moved_at / 8) {
            continue;
        }
        moved_at = resident;
        match move_all().await {
            Ok(pages) => {
                tracing::debug!(pages, "the memory of the apps is in huge pages, as far as it can be")
            }
            // Nothing depends on it.
            Err(error) => tracing::debug!(%error, "the memory of the apps cannot be moved into huge pages"),
        }
    }
}

/// Moves what there is, one page after another; how many those are.
async fn move_all() -> io::Result<usize> {
    // Not on the thread of the connections: moving is little work, and much waiting.
    let candidates = spawn_blocking(collapse::candidates).await?;
    let (mut moved, mut failed) = (0, 0);
    for candidate in candidates {
        match spawn_blocking(move || candidate.gather()).await? {
            Ok(()) => moved += 1,
            Err(error) if failed == FAILURES => return Err(error),
            Err(_) => failed += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(moved)
}

/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// So much more than at the last time, or an eighth, is worth another: to look costs, too.
const GROWTH: u64 = 4 << 20;

/// Between two pages, in which requests are answered.
const PAUSE: Duration = Duration::from_millis(5);

/// A page may be in use for something else. Of an old system all fail; of a full one, most.
const FAILURES: u32 = 8;
