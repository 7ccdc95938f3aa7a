//! What is known of those who come with our tokens: whether their session has ended, whether their user may come in.

use super::{Issuer, Judges, decoys};
use crate::auth::{self, LookUp, Provider, Reason, Standing, Standings};
use crate::config::AuthProvider;
use std::sync::Arc;

/// Whether the provider's own rule tells access tokens from refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeRule {
    Judged,
    Ignored,
}

impl TypeRule {
    pub(super) fn of(provider: &AuthProvider) -> Self {
        if provider.token_type.as_ref().is_none_or(String::is_empty) { Self::Ignored } else { Self::Judged }
    }
}

impl Standings for Issuer {
    /// From memory, which the feed and the looks at users keep fresh.
    fn of(&self, bearer: auth::Bearer<'_>) -> Standing {
        if bearer.provider != self.provider {
            return Standing::Good;
        }
        // It lives a day, and the pages that refresh it are the only ones to see it.
        if self.rules.types == TypeRule::Ignored
            && bearer.claims.get("token_type").is_some_and(|found| found == "refresh")
        {
            return Standing::Refused(Reason::TokenType);
        }
        match self.revocations.judge(bearer.claims) {
            Ok(()) => match (&self.watch, bearer.subject) {
                (Some(watch), Some(user)) => watch.of(user),
                (None, _) | (_, None) => Standing::Good,
            },
            Err(Reason::Revoked) => Standing::Refused(Reason::Revoked),
            Err(_) => Standing::Unavailable,
        }
    }

    fn look_up(&self, bearer: auth::Bearer<'_>) -> LookUp {
        match (&self.watch, bearer.subject) {
            (Some(watch), Some(user)) => Arc::clone(watch).look_up(user.to_owned()),
            (None, _) | (_, None) => Box::pin(std::future::ready(())),
        }
    }

    fn renewed(&self, providers: &[Provider]) {
        let Some(new) = providers.iter().find(|provider| *provider.name == *self.provider) else { return };
        if let Some(secret) = new.derive(decoys::PURPOSE) {
            self.hashing.decoys().choose_by(secret);
        }
        let judges = self.judges.load();
        self.judges.store(Arc::new(Judges {
            refresh: judges.refresh.with_given_of(new),
            access: judges.access.with_given_of(new),
            any: judges.any.with_given_of(new),
        }));
    }
}
