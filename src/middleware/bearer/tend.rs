//! Keys of an authenticator without a server around it: looked after in the same process.

use super::{Authenticator, Renewal};
use crate::auth::jwks::Upkeep;
use std::sync::Arc;
use std::time::Duration;

/// Looks after the keys of an authenticator until it is dropped: reads files that have changed, and fetches key sets.
pub async fn tend(authenticator: Arc<Authenticator>, upkeep: Arc<Upkeep>) {
    let fetching = upkeep.run(|| say(authenticator.take_sets()));
    let looking = async {
        loop {
            tokio::time::sleep(LOOK).await;
            say(authenticator.look());
        }
    };
    tokio::select! {
        () = fetching => {}
        () = looking => {}
    }
}

/// Says what came of a look for other keys.
pub fn say(renewal: Renewal) {
    match renewal {
        Renewal::Changed(what) => tracing::info!("keys have changed: {what}"),
        Renewal::Kept(reason) => {
            tracing::warn!("keys have changed and cannot be used, the old ones stay: {reason}");
        }
        Renewal::Same => {}
    }
}

/// Between two looks at the key files.
pub const LOOK: Duration = Duration::from_secs(5);
