//! Health checks on the listeners of the apps: answered before anything else is looked at, and not logged.

use crate::config::Admin;
use crate::protocol::{RequestHead, Response, text_response};
use http::{HeaderValue, Method, StatusCode, header};
use std::fmt;

/// The paths that are not the apps'.
pub struct HealthPaths {
    live: Option<String>,
    ready: Option<String>,
    is_ready: Box<dyn Fn() -> bool + Send + Sync>,
}

impl HealthPaths {
    /// Those of a configuration; `is_ready` tells whether the whole server should be sent requests.
    pub fn new(admin: &Admin, is_ready: Box<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self { live: admin.live_path.clone(), ready: admin.ready_path.clone(), is_ready }
    }

    /// Whether a request is a health check, and none of the apps'.
    pub fn has(&self, method: &Method, path: &[u8]) -> bool {
        matches!(*method, Method::GET | Method::HEAD)
            && [&self.live, &self.ready].into_iter().flatten().any(|own| own.as_bytes() == path)
    }

    /// The answer to a health check; `None` for every other request.
    pub fn answer(&self, head: &RequestHead) -> Option<Response> {
        let path = head.target.path();
        if !self.has(&head.method, path) {
            return None;
        }
        let is_live = self.live.as_ref().is_some_and(|live| live.as_bytes() == path);
        let (status, text) = if is_live || (self.is_ready)() {
            (StatusCode::OK, "ok\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        };
        let mut response = text_response(status, text);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }
}

impl fmt::Debug for HealthPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthPaths")
            .field("live", &self.live)
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}
