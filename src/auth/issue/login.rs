//! Who logs in: a name and a password become a user.

use super::{Issuer, Refusal};
use crate::auth::store::Attempts;
use crate::auth::users::{Lookup, User, Users};
use std::net::IpAddr;

/// What a client has sent, and from where.
pub(super) struct Credentials {
    pub(super) name: String,
    pub(super) password: String,
    pub(super) from: Option<IpAddr>,
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
            let user = app.run(move |app| app.authenticate(&name, &password, from)).await?;
            drop(place);
            return Ok(user.filter(|user| user.active));
        }
        let user = self.users.find(Lookup::Name(name)).await?;
        let place = self.hashing.enter().await?;
        // Likewise.
        self.limits.check(&self.store, attempts).await?;
        let stored = user.as_ref().map(|user| user.password.as_str());
        let is_right = self.hashing.check(&place, stored, password).await?;
        drop(place);
        Ok(user.filter(|user| is_right && user.active))
    }
}
