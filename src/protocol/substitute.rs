//! Answers of the server's own, in place of an app's.

use super::request::{Response, text_response};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use std::borrow::Cow;

/// What the server answers where no app does.
///
/// It is not yet what is sent: [`Handler::in_place`](super::Handler::in_place) makes that of it, with what its reader needs.
/// So no answer of this kind can be sent without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitute {
    status: StatusCode,
    text: Cow<'static, str>,
    retry_after: Option<u64>,
}

impl Substitute {
    /// With a status code and a sentence for whoever reads it.
    pub fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), retry_after: None }
    }

    /// In place of an app that has failed: no more than that, the error log has the rest.
    pub fn failed() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The application failed to answer.")
    }

    /// To a request that an operator has told to end.
    pub fn cancelled() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "The request was cancelled by the operator.")
    }

    /// Says that it is worth trying again after so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As plain text.
    pub fn plain(&self) -> Response {
        self.complete(text_response(self.status, format!("{}\n", self.text)))
    }

    /// The same said in other words, with what belongs to it whatever the words are.
    pub fn complete(&self, mut words: Response) -> Response {
        *words.status_mut() = self.status;
        let seconds = self.retry_after.map(HeaderValue::from);
        words.headers_mut().extend(seconds.map(|seconds| (RETRY_AFTER, seconds)));
        words
    }
}
