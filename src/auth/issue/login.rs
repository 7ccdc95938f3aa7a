//! Who logs in: a name and a password become a user.

use super::{Issuer, Refusal};
use crate::auth::store::feed::now_ms;
use crate::auth::store::rehash::{Announcement, is_same_password};
use crate::auth::store::{Attempts, Backend, Session, StoreError};
use crate::auth::users::password::Norm;
use crate::auth::users::{Lookup, User, Users};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::SemaphorePermit;

/// What a client has sent, and from where.
pub(super) struct Credentials {
    pub(super) name: String,
    pub(super) password: String,
    pub(super) from: Option<IpAddr>,
}

/// Whether a password whose hash costs less than it should is hashed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rehash {
    Weaker(Norm),
    Never,
}

/// What it means that the store cannot say whether two hashes are of one password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsaid {
    /// The client may ask again.
    Fails,
    /// The next look decides: the token has been replaced, and to ask again by it would end the session.
    Passes,
}

impl Issuer {
    /// The user, if it is the right password and the user may log in. Without one it takes as long.
    pub(super) async fn log_in(
        &self,
        credentials: Credentials,
        attempts: &[Attempts],
    ) -> Result<Option<User>, Refusal> {
        let Credentials { name, password, from } = credentials;
        if let Users::App(app) = &*self.users {
            let place = self.hashing.enter().await?;
            // Of those who were let in before, some have failed meanwhile.
            self.limits.check(&self.store, attempts).await?;
            let user = app.logins.run(move |app| app.authenticate(&name, &password, from)).await?;
            drop(place);
            return Ok(user.filter(|user| user.active));
        }
        let user = self.users.find(Lookup::Name(name.clone())).await?;
        let place = self.hashing.enter().await?;
        // Likewise.
        self.limits.check(&self.store, attempts).await?;
        let stored = user.as_ref().map(|user| user.password.as_str());
        let is_right = self.hashing.check(&place, stored, (&name, password.clone())).await?;
        self.look_at_costs();
        let Some(mut user) = user.filter(|user| is_right && user.active) else { return Ok(None) };
        if let Rehash::Weaker(norm) = self.rehash {
            self.rehash(&place, (&name, &mut user), (norm, password)).await;
        }
        Ok(Some(user))
    }

    /// Has somebody see now and then what passwords cost here; nobody waits for it.
    fn look_at_costs(&self) {
        let decoys = self.hashing.decoys();
        if decoys.claim_look() {
            let (decoys, users) = (Arc::clone(decoys), Arc::clone(&self.users));
            tokio::spawn(async move {
                match users.samples().await {
                    Ok(samples) => decoys.learn(&samples),
                    Err(error) => tracing::debug!("the costs of passwords cannot be looked at: {error}"),
                }
            });
        }
    }

    /// Nobody waits in vain for it: who cannot get a stronger hash logs in by the one that is there.
    async fn rehash(
        &self,
        place: &SemaphorePermit<'_>,
        (name, user): (&str, &mut User),
        (norm, password): (Norm, String),
    ) {
        let again = password.clone();
        let stronger = match self.hashing.strengthen(place, &user.password, (norm, password)).await {
            Ok(Some(stronger)) => stronger,
            Ok(None) => return,
            Err(error) => return tracing::warn!("a password cannot be hashed anew: {error}"),
        };
        let (id, from) = (user.id.clone(), user.credential());
        let announcement = Announcement { user: id.clone(), from, to: User::credential_of(&stronger) };
        let lasts = Duration::from_secs(self.rules.session_max.unsigned_abs());
        let announce = move |store: &mut Box<dyn Backend>| announcement.make(&mut **store, (lasts, now_ms()));
        if let Err(error) = self.store.run(announce).await {
            return tracing::warn!("a password cannot be hashed anew: {error}");
        }
        let written = match self.users.replace_hash(name, user, &stronger).await {
            Ok(true) => Written::ByUs,
            // It is another password by now, or another login was faster.
            Ok(false) => self.look_again(place, (name, user), (&stronger, again)).await,
            Err(error) => {
                tracing::warn!("the new hash of a password cannot be written: {error}");
                match error {
                    // It may have been written all the same.
                    StoreError::TooSlow => self.look_again(place, (name, user), (&stronger, again)).await,
                    StoreError::Unavailable(_) | StoreError::Busy | StoreError::Unusable(_) => Written::No,
                }
            }
        };
        match written {
            Written::ByUs => user.password = stronger,
            Written::ByAnother(hash) => return user.password = hash,
            Written::No => return,
        }
        let to = user.credential();
        // Else each of the user's other sessions is moved when it is refreshed, by the announcement.
        if let Err(error) = self.store.run(move |store| store.rehashed(&id, from, to)).await {
            tracing::debug!("sessions have the hash before a new one until they are refreshed: {error}");
        }
    }

    /// Whether a session is of the password that its user has now.
    pub(super) async fn is_same_password(
        &self,
        session: &Session,
        user: &User,
        unsaid: Unsaid,
    ) -> Result<bool, StoreError> {
        let Some(began_with) = session.credential.filter(|began_with| *began_with != user.credential())
        else {
            return Ok(true);
        };
        let (id, hashes) = (user.id.clone(), (began_with, user.credential()));
        let judged = self.store.run(move |store| is_same_password(&mut **store, &id, hashes, now_ms())).await;
        match judged {
            Err(error) if unsaid == Unsaid::Passes => {
                tracing::debug!("whether a session is of its user's password is asked later: {error}");
                Ok(true)
            }
            judged => judged,
        }
    }

    /// Whose hash of this password the user has now. Else a session that begins by the one before ends at its refresh.
    async fn look_again(
        &self,
        place: &SemaphorePermit<'_>,
        (name, user): (&str, &User),
        (stronger, password): (&str, String),
    ) -> Written {
        let found = self.users.find(Lookup::Name(name.to_owned())).await;
        let Some(now) = found.ok().flatten().filter(|now| now.id == user.id) else { return Written::No };
        if now.password == stronger {
            return Written::ByUs;
        }
        if now.password == user.password {
            return Written::No;
        }
        match self.hashing.check(place, Some(&now.password), (name, password)).await {
            Ok(true) => Written::ByAnother(now.password),
            Ok(false) | Err(_) => Written::No,
        }
    }
}

/// What has become of a new hash.
enum Written {
    ByUs,
    /// Another login has written this one, and looks after the other sessions.
    ByAnother(String),
    No,
}
