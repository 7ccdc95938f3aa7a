//! Where an app is mounted.

use crate::config::HostPattern;
use std::fmt;

/// Where an app is to be mounted; from a prefix alone: on every host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Hosts the app is for; empty: all.
    pub hosts: Vec<HostPattern>,
    /// URL prefix as configured ("/", "/static/").
    pub prefix: String,
}

impl Place {
    /// Whether some request would belong to both places, and neither is the more specific one.
    pub fn clashes_with(&self, other: &Self) -> bool {
        let same_host = self.hosts.iter().any(|host| other.hosts.contains(host));
        let both_on_all = self.hosts.is_empty() && other.hosts.is_empty();
        self.prefix.trim_end_matches('/') == other.prefix.trim_end_matches('/') && (same_host || both_on_all)
    }
}

impl From<String> for Place {
    fn from(prefix: String) -> Self {
        Self { hosts: Vec::new(), prefix }
    }
}

/// "/api", or "/api" of api.example, *.example
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.prefix)?;
        for (number, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if number == 0 { " of " } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(hosts: &[&str], prefix: &str) -> Place {
        let exact = |host: &&str| HostPattern::Exact((*host).into());
        Place { hosts: hosts.iter().map(exact).collect(), prefix: prefix.into() }
    }

    #[test]
    fn places_clash_where_nothing_decides_between_them() {
        for (one, other, expected) in [
            (place(&[], "/"), place(&[], "/"), true),
            (place(&[], "/api"), place(&[], "/api/"), true),
            (place(&[], "/api"), place(&[], "/apis"), false),
            (place(&[], "/"), place(&["a"], "/"), false),
            (place(&["a", "b"], "/"), place(&["c", "b"], "/"), true),
            (place(&["a"], "/"), place(&["b"], "/"), false),
        ] {
            assert_eq!(one.clashes_with(&other), expected, "{one} and {other}");
            assert_eq!(other.clashes_with(&one), expected, "{other} and {one}");
        }
    }
}
