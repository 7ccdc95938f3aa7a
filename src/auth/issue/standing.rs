//! What is known of those who come with our tokens: whether their session has ended.

use super::{Issuer, Judges};
use crate::auth::{self, LookUp, Provider, Reason, Standing, Standings};
use std::sync::Arc;

impl Standings for Issuer {
    /// From memory, which the feed keeps fresh.
    fn of(&self, bearer: auth::Bearer<'_>) -> Standing {
        if bearer.provider != self.provider {
            return Standing::Good;
        }
        match self.revocations.judge(bearer.claims) {
            Ok(()) => Standing::Good,
            Err(Reason::Revoked) => Standing::Refused(Reason::Revoked),
            Err(_) => Standing::Unavailable,
        }
    }

    /// Nothing is ever unknown.
    fn look_up(&self, _: auth::Bearer<'_>) -> LookUp {
        Box::pin(std::future::ready(()))
    }

    fn renewed(&self, providers: &[Provider]) {
        let Some(new) = providers.iter().find(|provider| *provider.name == *self.provider) else { return };
        let judges = self.judges.load();
        self.judges.store(Arc::new(Judges {
            refresh: judges.refresh.with_given_of(new),
            access: judges.access.with_given_of(new),
            any: judges.any.with_given_of(new),
        }));
    }
}
