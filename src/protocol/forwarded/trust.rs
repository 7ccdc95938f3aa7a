//! Which peers are proxies of ours.

use super::client;
use crate::protocol::{Client, Peer};
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

    /// Of addresses that proxies have added one by one, the nearest first: the first that is no proxy named here.
    ///
    /// Where all are proxies, or the list cannot be read any further, the last address that a proxy of ours has
    /// seen. "*" names no proxy: it believes whoever connects, and nobody beyond.
    pub(super) fn farthest_client<'a>(&self, nodes: impl Iterator<Item = &'a [u8]>) -> Option<Client> {
        let mut farthest = None;
        // RFC 9110 5.6.1.2: empty elements of a list are ignored.
        for node in nodes.filter(|node| !node.trim_ascii().is_empty()) {
            let Some(client) = client(node) else { break };
            farthest = Some(client);
            let is_proxy =
                |network: &Network| *network != Network::Everyone && network.contains(client.address);
            if !self.networks.iter().any(is_proxy) {
                break;
            }
        }
        farthest
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
}
