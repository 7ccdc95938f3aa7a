//! One fetch: an answer of bounded size in bounded time, from where it was asked for.

use super::source::{Place, Source};
use super::tls;
use crate::auth::jwt::parse_object;
use crate::auth::keys::{JwkSetKey, parse_jwk_set_within};
use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, HOST, HeaderMap, LOCATION, USER_AGENT,
};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A set that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) text: Bytes,
    /// Keys of it that can prove tokens.
    pub(super) keys: usize,
    /// How long it need not be asked for again, if the answer says.
    pub(super) fresh: Option<Duration>,
    /// Keys of it that are left out, and why.
    pub(super) skipped: Vec<String>,
}

/// Why there is no set.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("it took longer than {0:?}")]
    TooSlow(Duration),
    #[error("{0}")]
    Address(&'static str),
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("it redirects to another origin, which is not followed")]
    Redirect,
    #[error("the answer is longer than {0} bytes, or was cut off")]
    TooLong(usize),
    #[error("the answer is encoded, which was not asked for")]
    Encoded,
    #[error("{0}")]
    Content(String),
}

/// Fetches the set of a source, and judges it.
pub(super) async fn fetch(source: &Source) -> Result<Fetched, FetchError> {
    let fetching = Box::pin(fetch_set(source));
    tokio::time::timeout(source.timeout, fetching).await.unwrap_or(Err(FetchError::TooSlow(source.timeout)))
}

async fn fetch_set(source: &Source) -> Result<Fetched, FetchError> {
    let url = match &source.place {
        Place::Set(url) => url.clone(),
        Place::Issuer(issuer) => discover(source, issuer).await?,
    };
    let (fields, text) = get(source, &url).await?;
    let keys = parse_jwk_set_within(&text, source.max_keys)
        .map_err(|problem| FetchError::Content(problem.to_string()))?;
    let (usable, skipped) = judge(keys);
    if usable == 0 {
        let why: String = skipped.first().map(|why| format!(": {why}")).unwrap_or_default();
        return Err(FetchError::Content(format!("the set holds no key that could prove a token{why}")));
    }
    Ok(Fetched { keys: usable, skipped, fresh: fresh_for(&fields), text })
}

/// Keys that can prove tokens, of a set that was judged before.
pub(super) fn usable_in(text: &[u8], source: &Source) -> usize {
    parse_jwk_set_within(text, source.max_keys).map_or(0, |keys| judge(keys).0)
}

/// How many keys can prove tokens, and why the others cannot. A set that has none must not take the place of a good one.
fn judge(keys: Vec<JwkSetKey>) -> (usize, Vec<String>) {
    let all = keys.len();
    let why_not = |key| match key {
        JwkSetKey::Usable(jwk) => {
            let name = jwk.kid.as_ref().map_or("a key without kid".into(), |kid| format!("key {kid:?}"));
            jwk.check().err().map(|problem| format!("{name} is left out: {problem}"))
        }
        JwkSetKey::Skipped(why) => Some(why),
        JwkSetKey::Refused(problem) => Some(problem.to_string()),
    };
    let skipped: Vec<String> = keys.into_iter().filter_map(why_not).collect();
    (all - skipped.len(), skipped)
}

/// OpenID Connect Discovery 4: the issuer's configuration, which must be that issuer's.
async fn discover(source: &Source, issuer: &str) -> Result<String, FetchError> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let (_, text) = get(source, &url).await?;
    let content = |text: &str| FetchError::Content(text.into());
    let members = parse_object(&text).map_err(|_| content("the OpenID configuration is no JSON object"))?;
    let member = |name: &str| members.get(name).and_then(Value::as_str);
    // 4.3: else one issuer could speak for another.
    if member("issuer") != Some(issuer) {
        return Err(content("the OpenID configuration is another issuer's"));
    }
    let set = member("jwks_uri").ok_or_else(|| content("the OpenID configuration names no jwks_uri"))?;
    Ok(set.to_owned())
}

/// A GET, with what redirects it within its own origin.
async fn get(source: &Source, url: &str) -> Result<(HeaderMap, Bytes), FetchError> {
    let mut uri: Uri = url.parse().map_err(|_| FetchError::Address("the URL is malformed"))?;
    for _ in 0..=REDIRECTS {
        let response = Box::pin(exchange(source, &uri)).await?;
        match response.status() {
            StatusCode::OK => {
                let (parts, body) = response.into_parts();
                return Ok((parts.headers, body));
            }
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => uri = redirected(&uri, response.headers())?,
            status => return Err(FetchError::Status(status)),
        }
    }
    Err(FetchError::Content("it redirects too often".into()))
}

/// Where a redirect leads: keys come from the origin that the operator has named, or not at all.
fn redirected(from: &Uri, fields: &HeaderMap) -> Result<Uri, FetchError> {
    let target = fields.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target: Uri = target.parse().map_err(|_| FetchError::Redirect)?;
    let mut parts = from.clone().into_parts();
    let same = |one: Option<&str>, other: Option<&str>| one.is_none() || one == other;
    let is_here = same(target.scheme_str(), from.scheme_str())
        && same(target.authority().map(AsRef::as_ref), from.authority().map(AsRef::as_ref));
    // A path must be absolute; "//other/x" is none (RFC 3986 4.2), though it is parsed as one.
    if !is_here || !target.path().starts_with('/') || target.path().starts_with("//") {
        return Err(FetchError::Redirect);
    }
    parts.path_and_query = target.into_parts().path_and_query;
    Uri::from_parts(parts).map_err(|_| FetchError::Redirect)
}

async fn exchange(source: &Source, uri: &Uri) -> Result<http::Response<Bytes>, FetchError> {
    let host = uri.host().ok_or(FetchError::Address("the URL names no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_tls = uri.scheme_str() == Some("https");
    let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    // Whoever is on the way could answer with keys of their own.
    if !is_tls && (!is_here || uri.scheme_str() != Some("http")) {
        return Err(FetchError::Address("only https is taken, and http from this machine"));
    }
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(FetchError::Connect)?;
    if is_tls {
        let stream = tls::connect(stream, host, source.ca_file.as_deref()).await.map_err(FetchError::Tls)?;
        ask(source, uri, stream).await
    } else {
        ask(source, uri, stream).await
    }
}

async fn ask<S>(source: &Source, uri: &Uri, stream: S) -> Result<http::Response<Bytes>, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("ferricorn/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Address("the URL is malformed"))?;
    let answered = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        if parts.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(FetchError::Encoded);
        }
        let body = Limited::new(body, source.max_bytes).collect().await;
        let body = body.map_err(|_| FetchError::TooLong(source.max_bytes))?.to_bytes();
        Ok(http::Response::from_parts(parts, body))
    };
    let mut answered = std::pin::pin!(answered);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        response = &mut answered => response,
        // It ends with the answer, or before it; the answer then says which.
        _ended = &mut connection => answered.await,
    }
}

/// RFC 9111 5.2.2.1: how long an answer is fresh.
fn fresh_for(fields: &HeaderMap) -> Option<Duration> {
    let directives = fields.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut found = None;
    for directive in directives.flat_map(|value| value.split(',')).map(|one| one.trim().to_ascii_lowercase())
    {
        match directive.as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            other => {
                let seconds =
                    other.strip_prefix("max-age=").and_then(|seconds| seconds.trim_matches('"').parse().ok());
                found = found.or(seconds.map(Duration::from_secs));
            }
        }
    }
    found
}

/// Within one origin.
const REDIRECTS: usize = 3;

/// Bytes of an answer's head.
const HEAD: usize = 16 << 10;

#[cfg(test)]
#[path = "client_tests.rs"]
pub(super) mod tests;
