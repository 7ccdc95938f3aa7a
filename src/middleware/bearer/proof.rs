//! A token proven: remembered, or verified and then remembered.

use super::decisions::{Decisions, Memory};
use super::keyring::{Keyring, Keys, Session};
use super::settings::{Settings, remote_user};
use crate::auth::{
    Family, Fingerprint, LookUp, Provider, Reason, Refusal, Verified, jwt, system_time, verify,
};
use crate::protocol::{Identity, StreamEnd};
use std::sync::Arc;
use std::time::Instant;

/// What one request's tokens are proven with.
#[derive(Clone, Copy)]
pub(super) struct Proof<'a> {
    /// The keys of this moment.
    pub(super) keyring: &'a Keyring,
    /// Where others may come from.
    pub(super) keys: &'a Keys,
    pub(super) settings: &'a Settings,
    pub(super) decisions: Option<&'a Decisions>,
}

/// Why a token does not pass now.
pub(super) enum Stop {
    Refuse(Reason),
    /// The reason is for those who have waited.
    Wait(LookUp, Reason),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refuse(reason)
    }
}

impl Proof<'_> {
    /// Proves a token by the providers allowed, or by any.
    pub(super) fn prove(&self, token: &str, allowed: Option<&[usize]>, now: f64) -> Result<Session, Stop> {
        let is_allowed = |position: usize| allowed.is_none_or(|allowed| allowed.contains(&position));
        let mut providers =
            self.keyring.providers.iter().enumerate().filter(|(position, _)| is_allowed(*position));
        // An HMAC costs no more than the look-up would.
        let worth_it = self.keyring.cache.is_enabled()
            && token.len() <= self.settings.max_token_bytes
            && providers.clone().any(|(_, provider)| provider.is_asymmetric());
        let fingerprint = worth_it.then(|| Fingerprint::of(token));
        if let Some(session) = fingerprint.and_then(|fingerprint| self.keyring.cache.get(&fingerprint))
            && is_allowed(session.provider)
            && session.key_until.is_none_or(|until| now < until)
        {
            // The signature stays good; time goes on.
            self.note(|decisions| decisions.looked_up(Memory::Hit));
            jwt::judge(&self.keyring.providers[session.provider].rules, &session.identity.claims, now)?;
            return Ok(session);
        }
        if fingerprint.is_some() {
            self.note(|decisions| decisions.looked_up(Memory::Miss));
        }
        let verified = match (providers.next(), providers.next()) {
            (Some((position, provider)), None) => {
                (position, self.verify(token, (&[provider], &[position]), now)?)
            }
            (Some(first), Some(second)) => {
                let (positions, several): (Vec<usize>, Vec<&Provider>) =
                    [first, second].into_iter().chain(providers).unzip();
                let verified = self.verify(token, (&several, &positions), now)?;
                (positions[verified.provider], verified)
            }
            (None, _) => return Err(Reason::UnknownIssuer.into()),
        };
        let (provider, verified) = verified;
        let keep = verified.algorithm.family() != Family::Hmac;
        let key_until = verified.key_until;
        let identity = Arc::new(self.identity(verified, provider)?);
        let session = Session { identity, provider, key_until };
        if let Some(fingerprint) = fingerprint.filter(|_| keep) {
            // Claims are kept as text and as values, which take about four times as much.
            self.keyring.cache.put(fingerprint, session.clone(), 512 + 5 * token.len());
        }
        Ok(session)
    }

    /// A token whose key is not there may be worth a wait: its provider may have a new one.
    fn verify(
        &self,
        token: &str,
        (providers, positions): (&[&Provider], &[usize]),
        now: f64,
    ) -> Result<Verified, Stop> {
        let began = self.decisions.map(|_| Instant::now());
        let verified = verify(token, self.settings.max_token_bytes, providers, now);
        if let Some(began) = began {
            self.note(|decisions| decisions.took(began.elapsed()));
        }
        verified.map_err(|Refusal { reason, lacking }| {
            let provider = lacking.and_then(|lacking| positions.get(lacking));
            match provider.and_then(|provider| self.keys.wait(*provider)) {
                Some(what) => Stop::Wait(what, reason),
                None => Stop::Refuse(reason),
            }
        })
    }

    fn note(&self, what: impl FnOnce(&Decisions)) {
        if let Some(decisions) = self.decisions {
            what(decisions);
        }
    }

    fn identity(&self, verified: Verified, position: usize) -> Result<Identity, Reason> {
        let provider = &self.keyring.providers[position];
        let remote_user = match &self.settings.remote_user[position] {
            Some(path) => Some(remote_user(&verified.claims, path).ok_or(Reason::Subject)?),
            None => None,
        };
        let end = verified.expires + provider.rules.leeway;
        let end = verified.key_until.map_or(end, |until| end.min(until));
        Ok(Identity {
            claims_json: verified.claims_json,
            claims: verified.claims,
            header_json: verified.header_json,
            provider: Arc::clone(&provider.name),
            kid: verified.kid,
            key: verified.key,
            subject: verified.subject,
            remote_user,
            expires: system_time(verified.expires),
            stream_end: self
                .settings
                .ws_close_code
                .map(|close_code| StreamEnd { at: system_time(end), close_code }),
            beside: Vec::new(),
        })
    }
}
