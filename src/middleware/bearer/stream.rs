//! When what a token has opened must end: an event stream, a WebSocket, another protocol.
//!
//! It ends when its token would be refused: it has expired, its session has been ended, its user may not come in any more,
//! or its key has been taken out. While one of these cannot be known it goes on, though a request would be answered with 503:
//! a browser whose `EventSource` is answered so gives it up for good (HTML 9.2.2), and the end of the token is never far.

use super::Authenticator;
use super::proof::Stop;
use crate::auth::RefusalKind;
use crate::middleware::stream_end::End;
use crate::protocol::{Identity, StreamEnd};
use std::iter;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

impl Authenticator {
    /// Ready when what this identity has opened must end. `None`: nothing ends it.
    pub fn stream_end(self: &Arc<Self>, identity: &Arc<Identity>) -> Option<End> {
        let StreamEnd { at, .. } = identity.stream_end?;
        let (authenticator, identity) = (Arc::clone(self), Arc::clone(identity));
        // Nobody tells of the end of a session, as of other keys: it is looked for.
        let longest = if self.standings.is_some() { SESSION_LOOK } else { CLOCK_LOOK };
        Some(Box::pin(async move {
            let mut keys = authenticator.keys.changes();
            // At once, too: the app may have taken its time to begin.
            while !authenticator.would_refuse(&identity).await
                && let Ok(left) = at.duration_since(SystemTime::now())
            {
                let pause = left.clamp(Duration::from_millis(1), longest);
                // As soon as there are other keys, or when it is time to look again.
                let _changed_or_late = tokio::time::timeout(pause, keys.changed()).await;
            }
        }))
    }

    /// Whether one of the tokens of this identity would be refused by now, its time aside.
    async fn would_refuse(&self, identity: &Identity) -> bool {
        for one in iter::once(identity).chain(identity.beside.iter().map(|other| &**other)) {
            if self.has_dropped_key_of(one) {
                return true;
            }
            let standing = match self.judge_standing(one) {
                // Perhaps nobody but this stream asks.
                Err(Stop::Wait(look_up, _)) => {
                    look_up.await;
                    self.judge_standing(one)
                }
                judged => judged,
            };
            if let Err(Stop::Refuse(reason)) = standing
                && reason.kind() != RefusalKind::Unavailable
            {
                return true;
            }
        }
        false
    }

    fn has_dropped_key_of(&self, identity: &Identity) -> bool {
        let keyring = self.keys.load();
        let provider = keyring.providers.iter().find(|provider| *provider.name == *identity.provider);
        provider.is_none_or(|provider| provider.has_dropped(identity.key))
    }
}

/// How soon a stream ends after its session: as soon as every worker has heard of it, and so refuses requests.
const SESSION_LOOK: Duration = Duration::from_secs(1);

/// How soon it is seen that the clock was set, or that the machine has slept.
const CLOCK_LOOK: Duration = Duration::from_secs(30);

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
