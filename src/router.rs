//! Host and path to app: the most specific host, and for it the longest mount that ends on a segment boundary.
//! Before them all comes the server's own app that issues tokens.

pub use crate::app::Place;

use crate::app::App;
use crate::config::HostPattern;
use crate::protocol::{Entry, Noting, OnDisconnect, Prefix, is_below};
use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

/// The mounted apps.
pub struct Router {
    /// Issuing first, then the most specific host, for each the longest prefix first: the first match is the best.
    mounts: Vec<Mounted>,
    /// Every app once, however many hosts it has.
    apps: Vec<Arc<dyn App>>,
}

/// An app and where it is mounted.
pub struct Mounted {
    /// Hosts the app is for; `None`: all.
    host: Option<HostPattern>,
    /// Where it is mounted.
    pub prefix: Prefix,
    /// The app.
    pub app: Arc<dyn App>,
    /// What the app says of it.
    pub noting: Noting,
    /// What the app says of it.
    pub on_disconnect: OnDisconnect,
    /// When it is entered for a request with content.
    pub entry: Entry,
    /// What it is for.
    pub purpose: Purpose,
}

/// What an app is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To answer requests, by whomever it is configured.
    Serving,
    /// To issue tokens: it is the server itself, and reads credentials that apps need not see.
    Issuing,
}

/// Finds a mount of the same router again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountIndex(usize);

impl Router {
    /// A router over apps and their places.
    pub fn new<P: Into<Place>>(apps: impl IntoIterator<Item = (P, Arc<dyn App>)>) -> Self {
        Self::of(apps, Purpose::Serving)
    }

    /// The same with the apps that issue tokens. Their paths are theirs on every host: the rules of who may pass say so too.
    #[must_use]
    pub fn with_issuing<P: Into<Place>>(mut self, apps: impl IntoIterator<Item = (P, Arc<dyn App>)>) -> Self {
        let mut issuing = Self::of(apps, Purpose::Issuing);
        issuing.mounts.append(&mut self.mounts);
        issuing.apps.append(&mut self.apps);
        issuing
    }

    fn of<P: Into<Place>>(apps: impl IntoIterator<Item = (P, Arc<dyn App>)>, purpose: Purpose) -> Self {
        let mut router = Self { mounts: Vec::new(), apps: Vec::new() };
        for (place, app) in apps {
            let Place { hosts, prefix } = place.into();
            let prefix = Prefix::from(prefix.trim_end_matches('/'));
            let hosts = if hosts.is_empty() { vec![None] } else { hosts.into_iter().map(Some).collect() };
            router.mounts.extend(hosts.into_iter().map(|host| Mounted {
                host,
                prefix: prefix.clone(),
                app: Arc::clone(&app),
                noting: app.noting(),
                on_disconnect: app.on_disconnect(),
                entry: app.entry(),
                purpose,
            }));
            router.apps.push(app);
        }
        router
            .mounts
            .sort_by_key(|mounted| Reverse((specificity(mounted.host.as_ref()), mounted.prefix.len())));
        router
    }

    /// The app for a host as sent and a path with its percent-encoding undone.
    pub fn find(&self, host: Option<&[u8]>, path: &[u8]) -> Option<(MountIndex, &Mounted)> {
        let name = host.map(HostPattern::name_in);
        let is_for = |pattern: &HostPattern| name.is_some_and(|name| pattern.matches(name));
        let fits = |mounted: &Mounted| {
            mounted.host.as_ref().is_none_or(is_for) && is_below(path, mounted.prefix.as_bytes())
        };
        let index = self.mounts.iter().position(fits)?;
        self.mounts.get(index).map(|mounted| (MountIndex(index), mounted))
    }

    /// What [`find`](Self::find) found.
    pub fn mounted(&self, index: MountIndex) -> Option<&Mounted> {
        self.mounts.get(index.0)
    }

    /// Every app once.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<dyn App>> {
        self.apps.iter()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.mounts).finish()
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted")
            .field("host", &self.host)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A mount for certain hosts comes before one for all.
fn specificity(host: Option<&HostPattern>) -> (u8, usize) {
    host.map_or((0, 0), HostPattern::specificity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{AppError, BoxFuture, CallLimits};
    use crate::protocol::{Request, Response, ResponseBody};

    struct Nothing;

    impl App for Nothing {
        fn call(
            &self,
            _request: Box<Request>,
            _limits: CallLimits,
        ) -> BoxFuture<'_, Result<Response, AppError>> {
            Box::pin(async { Ok(Response::new(ResponseBody::Empty)) })
        }
    }

    /// Mounts, each a list of hosts and a prefix, in an order that must not matter.
    const MOUNTS: [(&[&str], &str); 9] = [
        (&[], "/"),
        (&[], "/static/"),
        (&["*.b.example"], "/"),
        (&["a.example", "www.a.example"], "/"),
        (&["a.example"], "/api"),
        (&["*.deep.b.example"], "/"),
        (&["x.b.example"], "/only"),
        (&["[::1]"], "/"),
        (&["static.example"], "/static/more"),
    ];

    fn router(order: impl Iterator<Item = usize>) -> Router {
        Router::new(order.map(|number| {
            let (hosts, prefix) = MOUNTS[number];
            let pattern = |host: &&str| match host.strip_prefix("*.") {
                Some(domain) => HostPattern::Below(domain.into()),
                None => HostPattern::Exact((*host).into()),
            };
            let hosts = hosts.iter().map(pattern).collect();
            (Place { hosts, prefix: prefix.into() }, Arc::new(Nothing) as Arc<dyn App>)
        }))
    }

    #[test]
    fn the_host_decides_before_the_prefix() {
        for router in [router(0..MOUNTS.len()), router((0..MOUNTS.len()).rev())] {
            assert_eq!(router.apps().count(), MOUNTS.len());
            for (host, path, expected) in [
                (None, "/", "*/"),
                (None, "/static/x", "*/static"),
                (Some(""), "/", "*/"),
                (Some("other.example"), "/api/x", "*/"),
                (Some("a.example"), "/", "a.example/"),
                (Some("A.EXAMPLE:8000"), "/", "a.example/"),
                (Some("a.example."), "/", "a.example/"),
                (Some("a.example.:80"), "/api/x", "a.example/api"),
                (Some("a.example"), "/apis", "a.example/"),
                (Some("a.example"), "/static/x", "a.example/"),
                (Some("www.a.example"), "/api/x", "www.a.example/"),
                (Some("b.example"), "/", "*/"),
                (Some(".b.example"), "/", "*/"),
                (Some("notb.example"), "/", "*/"),
                (Some("x.b.example"), "/", "*.b.example/"),
                (Some("X.y.B.example:1"), "/", "*.b.example/"),
                (Some("x.deep.b.example"), "/", "*.deep.b.example/"),
                (Some("deep.b.example"), "/", "*.b.example/"),
                (Some("x.b.example"), "/only/this", "x.b.example/only"),
                (Some("[::1]:8000"), "/", "[::1]/"),
                (Some("[::1]"), "/", "[::1]/"),
                (Some("[::2]"), "/", "*/"),
                (Some("static.example"), "/static/x", "*/static"),
                (Some("static.example"), "/static/more/x", "static.example/static/more"),
            ] {
                let (index, mounted) = router.find(host.map(str::as_bytes), path.as_bytes()).unwrap();
                let shown = mounted.host.as_ref().map_or_else(|| "*".into(), ToString::to_string);
                let prefix = if mounted.prefix.is_empty() { "/" } else { &mounted.prefix };
                assert_eq!(format!("{shown}{prefix}"), expected, "{host:?} {path}");
                assert_eq!(router.mounted(index).unwrap().prefix, mounted.prefix);
            }
        }
    }

    #[test]
    fn tokens_are_issued_on_every_host() {
        let issuing = |prefix: &str| (prefix.to_owned(), Arc::new(Nothing) as Arc<dyn App>);
        let router = router(0..MOUNTS.len()).with_issuing([issuing("/api/token/")]);
        assert_eq!(router.apps().count(), MOUNTS.len() + 1);
        for host in [None, Some("other.example"), Some("a.example"), Some("x.b.example"), Some("[::1]")] {
            for (path, expected) in [
                ("/api/token", Purpose::Issuing),
                ("/api/token/refresh/", Purpose::Issuing),
                ("/api/tokens", Purpose::Serving),
                ("/api/", Purpose::Serving),
            ] {
                let (index, mounted) = router.find(host.map(str::as_bytes), path.as_bytes()).unwrap();
                assert_eq!(mounted.purpose, expected, "{host:?} {path}");
                assert_eq!(router.mounted(index).unwrap().purpose, expected);
            }
        }
    }

    #[test]
    fn a_host_that_nothing_is_mounted_for_is_not_found() {
        let router = router([3, 4].into_iter());
        for host in [None, Some(&b"b.example"[..]), Some(b"aa.example"), Some(b"[a.example]")] {
            assert!(router.find(host, b"/").is_none());
        }
    }
}
