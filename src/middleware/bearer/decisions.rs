//! How tokens are judged, and by how many keys, for `/metrics`.

use crate::auth::{Provider, Reason};
use crate::contract::metrics::{
    Counter, Definition, Gauge, Histogram, Merge, MetricError, MetricKind, Metrics,
};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The figures of this worker.
#[derive(Debug)]
pub(super) struct Decisions {
    metrics: Metrics,
    providers: Vec<OfProvider>,
    refused: Mutex<Refused>,
    hits: Counter,
    misses: Counter,
    verification: Histogram,
    outdated: Gauge,
}

/// By provider and reason. Made when they are first needed: most reasons never are. `None`: there was no room.
type Refused = HashMap<(Option<usize>, Reason), Option<Counter>>;

#[derive(Debug)]
struct OfProvider {
    name: Arc<str>,
    verified: Counter,
    keys: Gauge,
}

/// Whether a verified token was remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    Hit,
    Miss,
}

impl Decisions {
    /// Begins with what there always is to tell.
    pub(super) fn new(metrics: &Metrics, providers: &[Provider]) -> Result<Self, MetricError> {
        let cached = |outcome| {
            let (name, labels) = ("ferricorn_auth_cache_total", [("outcome", outcome)]);
            metrics.own_counter(&Definition::of(MetricKind::Counter, name, CACHE_HELP, &labels))
        };
        let last = MetricKind::Gauge(Merge::Last);
        let of = |provider: &Provider| {
            let name = Arc::clone(&provider.name);
            let verified = decision(metrics, &name, VERIFIED)?;
            let help = "Keys that prove a provider's tokens.";
            let labels = [("provider", &*name)];
            let keys = metrics.own_gauge(&Definition::of(last, "ferricorn_auth_keys", help, &labels))?;
            Ok(OfProvider { name, verified, keys })
        };
        let help = "1 while keys cannot be read anew and those before are still in use.";
        let outdated =
            Definition::of(MetricKind::Gauge(Merge::Max), "ferricorn_auth_keys_outdated", help, &[]);
        let this = Self {
            metrics: metrics.clone(),
            providers: providers.iter().map(of).collect::<Result<_, MetricError>>()?,
            refused: Mutex::default(),
            hits: cached("hit")?,
            misses: cached("miss")?,
            verification: metrics.own_histogram(&Definition {
                kind: MetricKind::Histogram,
                name: "ferricorn_auth_verification_seconds",
                help: "Time to verify a token that was not remembered, good or not.",
                labels: &[],
                bounds: &BOUNDS,
            })?,
            outdated: metrics.own_gauge(&outdated)?,
        };
        this.has_keys(providers);
        this.is_outdated(false);
        Ok(this)
    }

    /// A request passes by a token of this provider.
    pub(super) fn verified(&self, provider: &str) {
        if let Some(of) = self.providers.iter().find(|of| &*of.name == provider) {
            of.verified.increment();
        }
    }

    /// A request is refused; of the provider whose token was wanted, where it is one.
    pub(super) fn refused(&self, provider: Option<usize>, reason: Reason) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = match refused.entry((provider, reason)) {
            Entry::Occupied(counter) => counter.into_mut(),
            Entry::Vacant(place) => {
                let name = provider.and_then(|provider| self.providers.get(provider)).map(|of| &*of.name);
                place.insert(decision(&self.metrics, name.unwrap_or_default(), reason.code()).ok())
            }
        };
        if let Some(counter) = counter {
            counter.increment();
        }
    }

    /// A token of a kind that is remembered was looked for.
    pub(super) fn looked_up(&self, memory: Memory) {
        match memory {
            Memory::Hit => self.hits.increment(),
            Memory::Miss => self.misses.increment(),
        }
    }

    /// A token was judged in whole.
    pub(super) fn took(&self, time: Duration) {
        self.verification.observe(time.as_secs_f64());
    }

    /// The keys now in use.
    pub(super) fn has_keys(&self, providers: &[Provider]) {
        for (of, provider) in self.providers.iter().zip(providers) {
            #[expect(clippy::cast_precision_loss, reason = "some dozens")]
            of.keys.set(provider.key_count() as f64);
        }
    }

    /// Whether files could not be read, so that older keys are in use.
    pub(super) fn is_outdated(&self, outdated: bool) {
        self.outdated.set(f64::from(u8::from(outdated)));
    }
}

fn decision(metrics: &Metrics, provider: &str, reason: &str) -> Result<Counter, MetricError> {
    let labels = [("provider", provider), ("reason", reason)];
    let name = "ferricorn_auth_decisions_total";
    metrics.own_counter(&Definition::of(MetricKind::Counter, name, DECISIONS_HELP, &labels))
}

/// In the place of a reason.
const VERIFIED: &str = "verified";
const DECISIONS_HELP: &str = "Requests that a token let in, or that were refused, by the reason.";
const CACHE_HELP: &str = "Look-ups of tokens that may have been verified before.";

/// From what a secret takes to what a large RSA key takes on a busy machine.
const BOUNDS: [f64; 8] = [0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.01];
