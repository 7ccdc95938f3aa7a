//! Responses before the one that counts (RFC 9110 15.2): early hints (RFC 8297).

use http::HeaderMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a client can be told before its answer is there.
#[derive(Debug, Clone, Default)]
pub struct Interim(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Looked at each time the connection is woken; the lock is taken only where there is something.
    has_some: AtomicBool,
    hints: Mutex<Vec<HeaderMap>>,
}

impl Interim {
    /// Gives the fields of one response 103; the connection must be woken. Past a limit they are dropped: they are hints.
    pub fn hint(&self, fields: HeaderMap) {
        let mut hints = self.0.hints.lock().unwrap_or_else(PoisonError::into_inner);
        if hints.len() < HINTS_MAX {
            hints.push(fields);
            self.0.has_some.store(true, Ordering::Release);
        }
    }

    pub(crate) fn has_some(&self) -> bool {
        self.0.has_some.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) -> Vec<HeaderMap> {
        self.0.has_some.store(false, Ordering::Release);
        std::mem::take(&mut *self.0.hints.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// More than any page has use for.
const HINTS_MAX: usize = 16;
