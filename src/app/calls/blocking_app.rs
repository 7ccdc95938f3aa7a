//! What the queue calls.

use super::Answering;
use crate::app::AppError;
use crate::protocol::Request;

/// Something whose calls block the thread they are made on.
pub trait BlockingApp: Send + Sync + 'static {
    /// Answers one request by `answering`, before it returns or later.
    ///
    /// # Errors
    /// Why there will be no answer.
    fn call(&self, request: Box<Request>, answering: &Answering) -> Result<(), AppError>;
}
