//! Cookies that carry tokens: how they are read, and how a browser is told to keep them.

#[cfg(feature = "issue")]
use http::HeaderValue;
use http::header::{COOKIE, HeaderMap};

/// The cookie of an access token that this server has set.
///
/// RFC 6265bis 4.1.3.2: a browser takes a cookie of such a name from its very host alone, over TLS, for all paths.
pub const ACCESS_COOKIE: &str = "__Host-access";

/// The cookie of a refresh token that this server has set.
pub const REFRESH_COOKIE: &str = "__Host-refresh";

/// Names and values of a request's cookies, quotes taken away.
pub fn cookies(fields: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    pairs(fields).filter_map(split)
}

/// RFC 6265 5.4, read as servers read it: pairs between semicolons.
pub fn pairs(fields: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = fields.get_all(COOKIE).iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii))
}

/// Name and value of a pair; `None` where there is no "=".
pub fn split(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = memchr::memchr(b'=', pair)?;
    let value = pair[equals + 1..].trim_ascii_start();
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some((pair[..equals].trim_ascii_end(), quoted.unwrap_or(value)))
}

/// What has a browser keep a token for so many seconds, where no script and no other site reads it.
#[cfg(feature = "issue")]
pub fn kept(name: &str, token: &str, seconds: i64) -> Option<HeaderValue> {
    let text = format!("{name}={token}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::try_from(text).ok()
}

/// What has a browser forget a token.
#[cfg(feature = "issue")]
pub fn forgotten(name: &str) -> Option<HeaderValue> {
    kept(name, "", 0)
}
