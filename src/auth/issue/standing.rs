//! What is known of those who come with our tokens: whether their session has ended, whether their user may come in.

use super::{Issuer, Judges};
use crate::auth::{self, LookUp, Provider, Reason, Standing, Standings};
use std::sync::Arc;

impl Standings for Issuer {
    /// From memory, which the feed and the looks at users keep fresh.
    fn of(&self, bearer: auth::Bearer<'_>) -> Standing {
        if bearer.provider != self.provider {
            return Standing::Good;
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
        let judges = self.judges.load();
        self.judges.store(Arc::new(Judges {
            refresh: judges.refresh.with_given_of(new),
            access: judges.access.with_given_of(new),
            any: judges.any.with_given_of(new),
        }));
    }
}
