//! Keys of this worker: read anew when their files change, and taken over when a set has been fetched.

#[cfg(feature = "jwt")]
use crate::auth::jwks::Upkeep;
use crate::contract::control::Verdict;
use crate::contract::key_table::KeyTable;
#[cfg(feature = "jwt")]
use crate::middleware::bearer::tend;
use crate::middleware::bearer::{Authenticator, LOOK, Renewal, say};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Looks after the keys as long as the worker serves; `speaks` for one worker of a generation, as all find the same.
pub(super) async fn keep(authenticator: Arc<Authenticator>, speaks: bool) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        tell(authenticator.look(), speaks);
    }
}

/// Takes over what has been fetched.
pub(super) fn take(authenticator: &Authenticator, speaks: bool) -> Verdict {
    tell(authenticator.take_sets(), speaks);
    Verdict::Done(String::new())
}

/// Reads everything anew, as an operator wants it.
pub(super) fn read(authenticator: &Authenticator, speaks: bool) -> Verdict {
    tell(authenticator.take_sets(), speaks);
    let renewal = authenticator.read_files();
    let verdict = match &renewal {
        Renewal::Kept(reason) => Verdict::Failed(reason.clone()),
        Renewal::Same | Renewal::Changed(_) => Verdict::Done(String::new()),
    };
    tell(renewal, speaks);
    verdict
}

/// Looks after keys where there is no admin process that fetches them.
pub(super) struct Keeper {
    #[cfg(feature = "jwt")]
    upkeep: Arc<Upkeep>,
}

#[cfg(feature = "jwt")]
impl Keeper {
    pub(super) fn of(table: &KeyTable) -> Self {
        Self { upkeep: Upkeep::new(table.clone()) }
    }

    /// What says that something is wanted.
    pub(super) fn waker(&self) -> Box<dyn Fn() + Send + Sync> {
        let upkeep = Arc::clone(&self.upkeep);
        Box::new(move || upkeep.wake())
    }

    /// Begins, in a task that its owner ends.
    pub(super) fn begin(self, authenticator: Option<&Arc<Authenticator>>) -> JoinHandle<()> {
        let authenticator = authenticator.cloned();
        tokio::spawn(async move {
            let Some(authenticator) = authenticator else { return };
            tend(authenticator, self.upkeep).await;
        })
    }
}

#[cfg(not(feature = "jwt"))]
impl Keeper {
    pub(super) fn of(_: &KeyTable) -> Self {
        Self {}
    }

    pub(super) fn waker(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| {})
    }

    pub(super) fn begin(self, _: Option<&Arc<Authenticator>>) -> JoinHandle<()> {
        tokio::spawn(std::future::ready(()))
    }
}

fn tell(renewal: Renewal, speaks: bool) {
    if speaks {
        say(renewal);
    }
}
