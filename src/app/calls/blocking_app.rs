//! What the queue calls.

use super::Answering;
use crate::app::AppError;
use crate::protocol::{Request, Response};

/// Something whose calls block the thread they are made on.
pub trait BlockingApp: Send + Sync + 'static {
    /// Answers one request; `None` when `answering` has been used or will be, for a response that goes on.
    fn call(&self, request: Box<Request>, answering: &Answering) -> Option<Result<Response, AppError>>;
}
