//! Tokens that browsers keep as cookies, out of the reach of scripts (`auth.issue.set_cookies`).

use crate::auth::Reason;
use crate::auth::cookies::{ACCESS_COOKIE, REFRESH_COOKIE, cookies, forgotten, kept};
use crate::auth::issue::{Issued, Pair};
use crate::auth::sender::{Sender, SenderRule, Site};
use crate::config::Auth;
use crate::protocol::{Request, Response};
use http::HeaderValue;
use http::header::SET_COOKIE;

/// Sets the cookies, and reads them.
#[derive(Debug)]
pub(super) struct Jar {
    senders: SenderRule,
}

/// A token that came by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Access,
    Refresh,
}

/// Whether the browser that has sent a request keeps what the answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    Kept,
    /// A page of another site sent it: it would log its visitors in as somebody else, or out.
    Nothing,
}

impl Jar {
    /// `None`: this configuration has no cookies.
    pub(super) fn new(auth: &Auth) -> Option<Self> {
        auth.sets_cookies().then(|| Self { senders: SenderRule::new(&auth.extract) })
    }

    /// What may be set for whoever has sent this.
    pub(super) fn keeping(&self, request: &Request) -> Keeping {
        match self.senders.sender(&request.head.fields, site(request)) {
            Sender::Ours | Sender::Unknown => Keeping::Kept,
            Sender::Foreign => Keeping::Nothing,
        }
    }

    /// The token that a browser has sent of its own accord.
    ///
    /// # Errors
    /// There are two, or a page of another site may have made it do so.
    pub(super) fn token(&self, request: &Request, kind: Kind) -> Result<Option<String>, Reason> {
        let fields = &request.head.fields;
        let mut found = cookies(fields).filter(|(name, _)| *name == kind.name().as_bytes());
        let Some((_, value)) = found.next().filter(|(_, value)| !value.is_empty()) else { return Ok(None) };
        if found.next().is_some() {
            return Err(Reason::CredentialRepeated);
        }
        self.senders.judge_cookie(&request.head.method, fields, site(request))?;
        let token = std::str::from_utf8(value).map_err(|_| Reason::Shape)?;
        Ok(Some(token.to_owned()))
    }
}

impl Keeping {
    /// The browser keeps these tokens in place of those that it has.
    pub(super) fn keep(self, pair: &Pair, response: &mut Response) {
        let cookie = |kind: Kind, issued: &Issued| kept(kind.name(), &issued.token, issued.seconds);
        let refresh = pair.refresh.as_ref().and_then(|issued| cookie(Kind::Refresh, issued));
        self.set([cookie(Kind::Access, &pair.access), refresh], response);
    }

    /// The browser has none any more.
    pub(super) fn forget(self, response: &mut Response) {
        self.set([Kind::Access, Kind::Refresh].map(|kind| forgotten(kind.name())), response);
    }

    fn set(self, cookies: [Option<HeaderValue>; 2], response: &mut Response) {
        if self == Self::Kept {
            for cookie in cookies.into_iter().flatten() {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Access => ACCESS_COOKIE,
            Self::Refresh => REFRESH_COOKIE,
        }
    }
}

fn site(request: &Request) -> Site<'_> {
    Site { host: request.head.host(), scheme: request.context.scheme.as_str() }
}
