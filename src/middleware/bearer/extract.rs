//! Where a token stands in a request, and what a browser must prove with one that it sends by itself.

use crate::auth::Reason;
use crate::auth::cookies::{ACCESS_COOKIE, REFRESH_COOKIE, cookies, pairs, split};
use crate::auth::sender::{SenderRule, Site};
use crate::config::Auth;
use crate::middleware::asked::Asked;
use crate::protocol::Target;
use http::header::{
    AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};

/// Finds tokens.
#[derive(Debug)]
pub(super) struct Extractor {
    schemes: Vec<String>,
    cookies: Vec<String>,
    /// A cookie that is removed with them and opens nothing: the refresh token that this server has set.
    hidden: Option<&'static str>,
    query: Vec<String>,
    protocol: Protocol,
    /// Which pages may send a cookie's token.
    senders: SenderRule,
}

/// Whether `Sec-WebSocket-Protocol` may hold a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Read,
    Ignored,
}

/// Whether a route takes a token from the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    Taken,
    Ignored,
}

/// The tokens of a request: hardly ever more than one.
#[derive(Debug, Default)]
pub(super) struct Tokens<'r> {
    first: Option<&'r str>,
    more: Vec<&'r str>,
}

impl<'r> Tokens<'r> {
    fn add(&mut self, token: &'r str) {
        match self.first {
            None => self.first = Some(token),
            Some(_) => self.more.push(token),
        }
    }

    /// The only one.
    ///
    /// # Errors
    /// [`Reason::CredentialRepeated`] where there are several: which of them an app reads is anybody's guess.
    pub(super) fn only(&self) -> Result<Option<&'r str>, Reason> {
        if self.more.is_empty() { Ok(self.first) } else { Err(Reason::CredentialRepeated) }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'r str> + '_ {
        self.first.iter().chain(&self.more).copied()
    }
}

impl Extractor {
    pub(super) fn new(config: &Auth) -> Self {
        let extract = &config.extract;
        let mut cookies = extract.cookies.clone();
        // Whoever sets them reads them.
        if config.sets_cookies() && !cookies.iter().any(|name| name == ACCESS_COOKIE) {
            cookies.push(ACCESS_COOKIE.into());
        }
        Self {
            schemes: extract.authorization.clone(),
            cookies,
            hidden: config.sets_cookies().then_some(REFRESH_COOKIE),
            query: extract.query.clone(),
            protocol: if extract.websocket_protocol { Protocol::Read } else { Protocol::Ignored },
            senders: SenderRule::new(extract),
        }
    }

    /// Every token in the places that are looked at.
    pub(super) fn tokens<'r>(&self, asked: &Asked<'r>, query: Query) -> Result<Tokens<'r>, Reason> {
        let mut tokens = Tokens::default();
        if let Some(token) = self.authorization(asked.fields)? {
            tokens.add(token);
        }
        if !self.cookies.is_empty() {
            let mut found = cookies(asked.fields).filter(|(name, _)| self.is_cookie(name));
            let (first, second) = (found.next(), found.next());
            if second.is_some() {
                return Err(Reason::CredentialRepeated);
            }
            // An empty one is what some sites leave behind at a logout.
            if let Some((_, value)) = first.filter(|(_, value)| !value.is_empty()) {
                tokens.add(text(value)?);
                let site = Site { host: asked.host, scheme: asked.scheme.as_str() };
                self.senders.judge_cookie(asked.method, asked.fields, site)?;
            }
        }
        if query == Query::Taken {
            for (_, value) in parameters(asked.target.query()).filter(|(name, _)| self.is_parameter(name)) {
                tokens.add(text(value)?);
            }
        }
        if self.protocol == Protocol::Read {
            for protocol in protocols(asked.fields) {
                if let Some(token) = protocol.strip_prefix(BEARER_PROTOCOL) {
                    tokens.add(text(token)?);
                }
            }
        }
        Ok(tokens)
    }

    fn authorization<'r>(&self, fields: &'r HeaderMap) -> Result<Option<&'r str>, Reason> {
        let mut values = fields.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Reason::CredentialRepeated);
        }
        let Some((scheme, rest)) = split_scheme(value) else { return Ok(None) };
        if !self.handles(scheme) {
            return Ok(None);
        }
        text(rest).map(Some)
    }

    /// Removes what the tokens stand in, and leaves everything else of these fields. A target stays as it is.
    pub(super) fn remove(&self, fields: &mut HeaderMap) {
        // Credentials of other schemes are the app's own business.
        let ours = |value: &HeaderValue| split_scheme(value).is_some_and(|(scheme, _)| self.handles(scheme));
        if fields.get_all(AUTHORIZATION).iter().any(ours) {
            fields.remove(AUTHORIZATION);
        }
        let is_token =
            |name: &[u8]| self.is_cookie(name) || self.hidden.is_some_and(|hidden| hidden.as_bytes() == name);
        let reads_cookies = !self.cookies.is_empty();
        if reads_cookies && cookies(fields).any(|(name, _)| is_token(name)) {
            let kept = pairs(fields).filter(|pair| !split(pair).is_some_and(|(name, _)| is_token(name)));
            let kept: Vec<Vec<u8>> = kept.map(<[u8]>::to_vec).collect();
            replace(fields, &COOKIE, &kept.join(&b"; "[..]));
        }
        let is_ours = |protocol: &&[u8]| protocol.starts_with(BEARER_PROTOCOL);
        if self.protocol == Protocol::Read && protocols(fields).any(|protocol| is_ours(&protocol)) {
            let kept: Vec<Vec<u8>> =
                protocols(fields).filter(|protocol| !is_ours(protocol)).map(<[u8]>::to_vec).collect();
            replace(fields, &SEC_WEBSOCKET_PROTOCOL, &kept.join(&b", "[..]));
        }
    }

    /// A target without the tokens in its query, for logs; `None` where it holds none.
    pub(super) fn without_tokens(&self, target: &Target) -> Option<Target> {
        let query = self.query_without_tokens(target.query())?;
        Target::parse([target.path(), b"?", &query].concat().into())
    }

    /// The same with the address that a `Referer` field holds: a page whose own address had a token tells it to the next one.
    pub(super) fn referer_without_tokens(&self, referer: &[u8]) -> Option<Vec<u8>> {
        let (before, query) = referer.split_at(memchr::memchr(b'?', referer)? + 1);
        Some([before, &self.query_without_tokens(query)?].concat())
    }

    fn query_without_tokens(&self, query: &[u8]) -> Option<Vec<u8>> {
        // Some apps and clients part them by ";", too.
        let parts = || query.split_inclusive(|byte| matches!(byte, b'&' | b';'));
        let named = |part: &[u8]| {
            let equals = memchr::memchr(b'=', part)?;
            self.is_parameter(&part[..equals]).then_some(equals)
        };
        if self.query.is_empty() || parts().all(|part| named(part).is_none()) {
            return None;
        }
        let mut shown = Vec::with_capacity(query.len());
        for part in parts() {
            match named(part) {
                Some(equals) => {
                    shown.extend_from_slice(&part[..=equals]);
                    shown.extend_from_slice(b"***");
                    shown.extend(part.last().filter(|last| matches!(last, b'&' | b';')));
                }
                None => shown.extend_from_slice(part),
            }
        }
        Some(shown)
    }

    /// RFC 9110 11.1: schemes have no case.
    fn handles(&self, scheme: &str) -> bool {
        self.schemes.iter().any(|ours| ours.eq_ignore_ascii_case(scheme))
    }

    fn is_cookie(&self, name: &[u8]) -> bool {
        self.cookies.iter().any(|ours| ours.as_bytes() == name)
    }

    fn is_parameter(&self, name: &[u8]) -> bool {
        // An app may read "access%5Ftoken" as the parameter: it counts as one here, too.
        let name = percent_encoding::percent_decode(name);
        self.query.iter().any(|ours| name.clone().eq(ours.bytes()))
    }
}

/// A token of other bytes than ASCII is judged as one that is malformed.
fn text(token: &[u8]) -> Result<&str, Reason> {
    let text = std::str::from_utf8(token).map_err(|_| Reason::Shape)?;
    if token.is_empty() || memchr::memchr3(b' ', b'\t', b',', token).is_some() {
        return Err(Reason::CredentialMalformed);
    }
    Ok(text)
}

fn replace(fields: &mut HeaderMap, name: &HeaderName, value: &[u8]) {
    fields.remove(name);
    // It is made of what stood in a field.
    if let Some(value) = HeaderValue::from_bytes(value).ok().filter(|value| !value.is_empty()) {
        fields.insert(name, value);
    }
}

/// The scheme and what follows it, blanks taken away; `None` for an empty value.
fn split_scheme(value: &HeaderValue) -> Option<(&str, &[u8])> {
    let value = value.as_bytes().trim_ascii();
    let end = value.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(value.len());
    let scheme = std::str::from_utf8(&value[..end]).ok().filter(|scheme| !scheme.is_empty())?;
    Some((scheme, value[end..].trim_ascii()))
}

/// The parameters of a query, as sent.
fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').map(|pair| match memchr::memchr(b'=', pair) {
        Some(equals) => (&pair[..equals], &pair[equals + 1..]),
        None => (pair, &b""[..]),
    })
}

/// What a WebSocket client offers to speak (RFC 6455 11.3.4).
fn protocols(fields: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let is_websocket = fields
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket"));
    let values = fields.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter(move |_| is_websocket);
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
}

const BEARER_PROTOCOL: &[u8] = b"bearer.";

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
