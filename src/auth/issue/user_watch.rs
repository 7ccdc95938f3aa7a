//! Looks up the users who come with our tokens, now and then: one that may not log in any more, or has another
//! password, loses its sessions, too.

use super::user_states::UserStates;
use crate::auth::store::feed::{now_ms, now_seconds};
use crate::auth::store::pool::Pool;
use crate::auth::store::rehash::is_same_password;
use crate::auth::store::{Backend, EndReason, StoreError};
use crate::auth::users::{Lookup, User, Users};
use crate::auth::{LookUp, Reason, Standing};
use crate::sys::clock;
use std::sync::Arc;
use std::time::Duration;

/// What is asked, and what is known.
#[derive(Debug)]
pub(super) struct UserWatch {
    states: UserStates,
    users: Arc<Users>,
    store: Arc<Pool<Box<dyn Backend>>>,
}

impl UserWatch {
    pub(super) fn new(states: UserStates, users: Arc<Users>, store: Arc<Pool<Box<dyn Backend>>>) -> Self {
        Self { states, users, store }
    }

    /// From memory.
    pub(super) fn of(&self, user: &str) -> Standing {
        self.states.of(user, now())
    }

    pub(super) fn look_up(self: Arc<Self>, user: String) -> LookUp {
        Box::pin(async move {
            match self.ask(&user).await {
                Ok(verdict) => self.states.learn(user, verdict, now()),
                Err(error) => {
                    tracing::debug!("a user cannot be looked up: {error}");
                    self.states.fail(user, now());
                }
            }
        })
    }

    async fn ask(&self, user: &str) -> Result<Result<(), Reason>, StoreError> {
        let verdict = match self.users.find(Lookup::Id(user.to_owned())).await? {
            Some(found) if found.active => {
                self.end_sessions_of_old_passwords(found).await?;
                return Ok(Ok(()));
            }
            Some(_) => Err(Reason::Inactive),
            None => Err(Reason::NoUser),
        };
        let user = user.to_owned();
        self.store.run(move |store| store.end(&user, None, (EndReason::User, now_seconds()))).await?;
        Ok(verdict)
    }

    /// The feed tells all workers of them.
    async fn end_sessions_of_old_passwords(&self, user: User) -> Result<(), StoreError> {
        let credential = user.credential();
        self.store
            .run(move |store| {
                let now = now_seconds();
                for session in store.sessions(Some(&user.id), now)? {
                    let Some(began_with) = session.credential else { continue };
                    if !is_same_password(&mut **store, &user.id, (began_with, credential), now_ms())? {
                        store.end(&user.id, Some(session.id), (EndReason::User, now))?;
                    }
                }
                Ok(())
            })
            .await
    }
}

fn now() -> Duration {
    Duration::from_nanos(clock::monotonic_ns())
}
