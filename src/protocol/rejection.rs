//! Every refusal the server makes on its own, with its status code (RFC 9110 15.5, 15.6).

use super::substitute::Substitute;
use http::StatusCode;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A line does not end in CR LF, or holds a CR or LF elsewhere.
    #[error("bare CR or LF in the head")]
    LineEnd,
    /// A control byte other than TAB.
    #[error("control byte in the head")]
    ControlByte,
    /// The first line is no request line.
    #[error("malformed request line")]
    RequestLine,
    /// The target is in a form that this method does not take, or holds a byte it may not.
    #[error("malformed request target")]
    Target,
    /// A field line is malformed: name, colon, or obs-fold.
    #[error("malformed field line")]
    FieldLine,
    /// Content-Length is repeated, malformed, or beside Transfer-Encoding.
    #[error("bad Content-Length")]
    ContentLength,
    /// Transfer-Encoding is repeated, malformed, or sent in HTTP/1.0.
    #[error("bad Transfer-Encoding")]
    TransferEncoding,
    /// A transfer coding other than chunked.
    #[error("unknown transfer coding")]
    UnknownCoding,
    /// Host is missing, repeated or no host.
    #[error("missing or bad Host")]
    Host,
    /// The chunked content is malformed.
    #[error("malformed chunk")]
    Chunk,
    /// The connection ended within the content.
    #[error("content ended early")]
    ContentEnd,
    /// The head took too long.
    #[error("the head took too long")]
    HeadTimeout,
    /// The content took too long.
    #[error("the content took too long")]
    ContentTimeout,
    /// This route wants to know the content's length beforehand.
    #[error("length required")]
    LengthRequired,
    /// The content is past its limit.
    #[error("content too large")]
    ContentTooLarge,
    /// The target is past its limit.
    #[error("target too long")]
    TargetTooLong,
    /// An expectation other than 100-continue.
    #[error("unknown expectation")]
    Expectation,
    /// Head or number of fields past their limit.
    #[error("head too large")]
    HeadTooLarge,
    /// CONNECT: this is no proxy.
    #[error("CONNECT is not served")]
    Connect,
    /// A version of HTTP that is not spoken here.
    #[error("HTTP version not supported")]
    Version,
    /// The content could not be stored.
    #[error("no room for the content")]
    Storage,
}

impl Rejection {
    /// The status code that says it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::LineEnd
            | Self::ControlByte
            | Self::RequestLine
            | Self::Target
            | Self::FieldLine
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::Host
            | Self::Chunk
            | Self::ContentEnd => StatusCode::BAD_REQUEST,
            Self::HeadTimeout | Self::ContentTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::ContentTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnknownCoding | Self::Connect => StatusCode::NOT_IMPLEMENTED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Storage => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The answer: the status code and one line that says why, without repeating client bytes.
    pub fn answer(self) -> Substitute {
        Substitute::new(self.status(), self.to_string())
    }
}
