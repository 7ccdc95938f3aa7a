//! How many logins may fail, in all workers together.

use super::Refusal;
use crate::auth::store::feed::now_ms;
use crate::auth::store::pool::Pool;
use crate::auth::store::{Attempts, Backend, short_hash};
use crate::config::{IssueLimits, Rate};
use std::net::IpAddr;

/// By account and by address. Only failures count, so that a script that logs in a hundred times is in nobody's way.
#[derive(Debug)]
pub(super) struct Limits(IssueLimits);

impl Limits {
    pub(super) fn new(limits: IssueLimits) -> Self {
        Self(limits)
    }

    /// What a login with this name, from this address, is counted by.
    pub(super) fn attempts(&self, name: &str, from: Option<IpAddr>) -> Vec<Attempts> {
        // Databases and backends that do not tell case apart would know one account by many names.
        let name = name.to_lowercase();
        let account = self.0.per_account.map(|rate| of(rate, &[b"account", name.as_bytes()]));
        let address = self.0.per_ip.zip(from).map(|(rate, from)| of(rate, &[b"address", &network(from)]));
        account.into_iter().chain(address).collect()
    }

    pub(super) async fn check(
        &self,
        store: &Pool<Box<dyn Backend>>,
        attempts: &[Attempts],
    ) -> Result<(), Refusal> {
        if attempts.is_empty() {
            return Ok(());
        }
        let attempts = attempts.to_vec();
        let wait = store.run(move |store| store.wait(&attempts, now_ms())).await?;
        if wait.is_zero() { Ok(()) } else { Err(Refusal::TooMany(wait)) }
    }

    pub(super) async fn note_failure(
        &self,
        store: &Pool<Box<dyn Backend>>,
        attempts: Vec<Attempts>,
    ) -> Result<(), Refusal> {
        if attempts.is_empty() {
            return Ok(());
        }
        Ok(store.run(move |store| store.failed(&attempts, now_ms())).await?)
    }
}

/// Failures each take up a part of the period; when it is full, one more may follow as soon as one part is free.
fn of(rate: Rate, key: &[&[u8]]) -> Attempts {
    let step = rate.period / rate.count;
    let room = rate.period.saturating_sub(step);
    Attempts { key: short_hash(key), step, room }
}

/// A client has a whole network of IPv6 addresses (RFC 6177).
fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrustProxy;
    use std::time::Duration;

    #[test]
    fn so_many_may_fail_in_a_period_and_then_one_at_a_time() {
        let rate = Rate { count: 5, period: Duration::from_secs(60) };
        let limits =
            IssueLimits { per_account: Some(rate), per_ip: None, trust_proxy: TrustProxy::ServersRule };
        let limits = Limits::new(limits);
        let attempts = limits.attempts("demo", None).remove(0);
        let mut until = None;
        for _ in 0..5 {
            assert_eq!(attempts.wait(until, 1_000), Duration::ZERO);
            until = Some(attempts.after_failure(until, 1_000));
        }
        let wait = attempts.wait(until, 1_000);
        assert!((11_990..=12_001).contains(&wait.as_millis()), "{wait:?}");
        assert_eq!(attempts.wait(until, 13_001), Duration::ZERO);
        until = Some(attempts.after_failure(until, 13_001));
        assert_ne!(attempts.wait(until, 13_001), Duration::ZERO);
        assert_eq!(attempts.wait(until, 100_000), Duration::ZERO);
    }

    #[test]
    fn accounts_and_addresses_are_counted_apart() {
        let limits = Limits::new(crate::config::Issue::default().limit);
        let keys = |name: &str, from: &str| -> Vec<[u8; 16]> {
            limits.attempts(name, from.parse().ok()).iter().map(|attempts| attempts.key).collect()
        };
        assert_eq!(keys("a", "").len(), 1);
        let first = keys("a", "192.0.2.1");
        assert_eq!(first, keys("a", "::ffff:192.0.2.1"));
        assert_eq!(first[0], keys("a", "192.0.2.2")[0]);
        assert_ne!(first[1], keys("a", "192.0.2.2")[1]);
        assert_eq!(keys("ÄB", ""), keys("äb", ""), "case makes no other account");
        assert_ne!(keys("ab", ""), keys("äb", ""));
        assert_eq!(keys("a", "2001:db8::1")[1], keys("b", "2001:db8::2:3:4:5")[1]);
        assert_ne!(keys("192.0.2.1", "192.0.2.1")[0], keys("192.0.2.1", "192.0.2.1")[1]);
    }
}
