//! What a proxy in front says of the client, believed from trusted peers alone.

use super::{Peer, Scheme};
use http::HeaderMap;
use std::net::IpAddr;

/// The peers that are proxies of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedPeers {
    networks: Vec<Network>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Everyone,
    Prefix(IpAddr, u8),
}

impl TrustedPeers {
    /// Reads addresses, networks ("10.0.0.0/8") and "*", which the configuration has checked.
    pub fn new<'a>(peers: impl IntoIterator<Item = &'a str>) -> Self {
        Self { networks: peers.into_iter().filter_map(Network::parse).collect() }
    }

    /// Whether what this peer says of its client is believed. A UNIX socket has no peers but local ones.
    pub fn trusts(&self, peer: Peer) -> bool {
        match peer.ip() {
            None => true,
            Some(address) => self.networks.iter().any(|network| network.contains(address.to_canonical())),
        }
    }
}

/// The scheme that X-Forwarded-Proto names; of several, the one that the nearest proxy saw last.
pub fn scheme(fields: &HeaderMap) -> Option<Scheme> {
    let value = fields.get_all("x-forwarded-proto").iter().next_back()?.to_str().ok()?;
    match value.rsplit(',').next()?.trim() {
        text if text.eq_ignore_ascii_case("https") => Some(Scheme::Https),
        text if text.eq_ignore_ascii_case("http") => Some(Scheme::Http),
        _ => None,
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everyone);
        }
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let full = if address.is_ipv4() { 32 } else { 128 };
        Some(Self::Prefix(address, length.unwrap_or(full)))
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Everyone, _) => true,
            (Self::Prefix(IpAddr::V4(network), length), IpAddr::V4(address)) => {
                let host_bits = 32_u32.saturating_sub(length.into());
                let shift = |address: u32| address.checked_shr(host_bits).unwrap_or(0);
                shift(network.to_bits()) == shift(address.to_bits())
            }
            (Self::Prefix(IpAddr::V6(network), length), IpAddr::V6(address)) => {
                let host_bits = 128_u32.saturating_sub(length.into());
                let shift = |address: u128| address.checked_shr(host_bits).unwrap_or(0);
                shift(network.to_bits()) == shift(address.to_bits())
            }
            (Self::Prefix(IpAddr::V4(_), _), IpAddr::V6(_))
            | (Self::Prefix(IpAddr::V6(_), _), IpAddr::V4(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(peers: &[&str], address: &str) -> bool {
        let peer = Peer::Address(format!("{address}:1").parse().unwrap());
        TrustedPeers::new(peers.iter().copied()).trusts(peer)
    }

    #[test]
    fn networks_end_where_their_length_says() {
        assert!(trusts(&["10.0.0.0/8"], "10.255.0.1"));
        assert!(!trusts(&["10.0.0.0/8"], "11.0.0.1"));
        assert!(trusts(&["0.0.0.0/0"], "11.0.0.1"));
        assert!(trusts(&["127.0.0.1"], "127.0.0.1"));
        assert!(trusts(&["127.0.0.1"], "[::ffff:127.0.0.1]"));
        assert!(!trusts(&["127.0.0.1"], "127.0.0.2"));
        assert!(trusts(&["fd00::/8"], "[fd12::1]"));
        assert!(!trusts(&["fd00::/8"], "[fe80::1]"));
        assert!(trusts(&["*"], "[2001:db8::1]"));
        assert!(!trusts(&[], "127.0.0.1"));
        assert!(TrustedPeers::new([]).trusts(Peer::Unix));
    }

    #[test]
    fn the_nearest_proxy_names_the_scheme() {
        for (value, expected) in [
            ("https", Some(Scheme::Https)),
            ("HTTPS", Some(Scheme::Https)),
            ("http, https", Some(Scheme::Https)),
            ("https, http", Some(Scheme::Http)),
            ("ftp", None),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert("x-forwarded-proto", value.parse().unwrap());
            assert_eq!(scheme(&fields), expected, "{value}");
        }
    }
}
