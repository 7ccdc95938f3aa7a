//! Which limits hold for a request: those of the first matching `[[route]]`, else the general ones.

use crate::config::{Auth, ByteSize, Config, Route};
use http::Method;
use std::time::Duration;

/// The limits of the whole URL space.
#[derive(Debug)]
pub struct RouteTable {
    general: RouteLimits,
    routes: Vec<Route>,
}

/// The limits for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteLimits {
    /// Longest content taken, in bytes.
    pub body: u64,
    /// Time in the app; zero: no limit.
    pub time: Duration,
    /// Time that it may wait for the app; zero: no limit.
    pub queue: Duration,
    /// Whether content must say its length beforehand.
    pub length_required: bool,
}

impl RouteTable {
    /// The limits of a configuration.
    pub fn new(config: &Config) -> Self {
        let general = RouteLimits {
            body: config.limits.body.0,
            time: config.timeouts.request,
            queue: config.timeouts.queue,
            length_required: false,
        };
        let issuing = config.auth.iter().flat_map(Auth::issue_mounts).map(|prefix| Route {
            prefix: prefix.into(),
            methods: Vec::new(),
            body: Some(CREDENTIALS),
            timeout: None,
            queue: None,
            length_required: false,
        });
        Self { general, routes: issuing.chain(config.routes.iter().cloned()).collect() }
    }

    /// The limits for a method and a path with its percent-encoding undone.
    pub fn find(&self, method: &Method, path: &[u8]) -> RouteLimits {
        let Some(route) = self.routes.iter().find(|route| matches(route, method, path)) else {
            return self.general;
        };
        RouteLimits {
            body: route.body.map_or(self.general.body, |size| size.0),
            time: route.timeout.unwrap_or(self.general.time),
            queue: route.queue.unwrap_or(self.general.queue),
            length_required: route.length_required,
        }
    }
}

fn matches(route: &Route, method: &Method, path: &[u8]) -> bool {
    let method_matches = route.methods.is_empty() || route.methods.iter().any(|name| name == method.as_str());
    method_matches && crate::protocol::is_below(path, route.prefix.trim_end_matches('/').as_bytes())
}

/// What is posted to be given a token: nobody needs more, and everybody may post it.
const CREDENTIALS: ByteSize = ByteSize(64 << 10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_route_holds() {
        let route = |prefix: &str, methods: &[&str], body: u64| Route {
            prefix: prefix.into(),
            methods: methods.iter().map(ToString::to_string).collect(),
            body: Some(ByteSize(body)),
            timeout: None,
            queue: Some(Duration::from_secs(body)),
            length_required: true,
        };
        let routes = vec![route("/a/", &["PUT"], 1), route("/a", &[], 2)];
        let table = RouteTable::new(&Config { routes, ..Config::default() });
        assert_eq!(table.find(&Method::PUT, b"/a/b").body, 1);
        assert_eq!(table.find(&Method::GET, b"/a").body, 2);
        assert_eq!(table.find(&Method::GET, b"/a").queue, Duration::from_secs(2));
        assert_eq!(table.find(&Method::GET, b"/").queue, Config::default().timeouts.queue);
        assert_eq!(table.find(&Method::GET, b"/ab").body, 1 << 30);
        assert!(!table.find(&Method::GET, b"/ab").length_required);
    }
}
