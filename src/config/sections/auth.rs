//! `[auth]`: who may pass, and by which tokens.

use crate::config::setting::{Setting, parsed};
use crate::config::units::{parse_duration, show_duration};
use crate::config::value::Value;
use crate::config::{AuthStore, AuthUsers, ByteSize, HostPattern, Issue};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// `[auth]`
#[derive(Debug, Clone, PartialEq)]
pub struct Auth {
    /// Whether tokens are checked at all. Default: true once the section exists.
    pub enabled: bool,
    /// Bodies and statuses in the manner of. Default: simplejwt.
    pub preset: Preset,
    /// The realm of challenges. Default: "api".
    pub realm: String,
    /// Whether answers say what was wrong. Default: true.
    pub detail: bool,
    /// Whether a CORS preflight passes unchecked. Default: "allow".
    pub preflight: bool,
    /// What becomes of WebSockets and event streams when the token ends that opened them. Default: "close".
    pub stream_expiry: StreamExpiry,
    /// The close code that ends a WebSocket then. Default: 1008.
    pub ws_close_code: u16,
    /// Longest token looked at. Default: 8192 bytes.
    pub max_token_bytes: u32,
    /// Verified tokens remembered per worker (asymmetric algorithms only); 0 = none. Default: 10000.
    pub cache_entries: u32,
    /// Further request fields removed, besides those this configuration asserts.
    pub strip: Vec<String>,
    /// Where a token is looked for.
    pub extract: Extract,
    /// What the app is told.
    pub forward: Forward,
    /// Which pages of other origins may read refusals.
    pub cors: Cors,
    /// Tokens that the server issues itself.
    pub issue: Issue,
    /// Where their sessions are kept.
    pub store: AuthStore,
    /// Whom it issues them to.
    pub users: AuthUsers,
    /// Who issues tokens.
    pub providers: Vec<AuthProvider>,
    /// Who may pass where; the first match wins, the last rule covers "/".
    pub routes: Vec<AuthRoute>,
}

/// In whose manner refusals are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The JSON bodies of djangorestframework-simplejwt.
    SimpleJwt,
    /// RFC 9457 problem details.
    Strict,
}

/// `[auth.extract]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// Authorization schemes that carry a token, compared without case. Default: ["Bearer"].
    pub authorization: Vec<String>,
    /// Cookies that carry a token. Default: none.
    pub cookies: Vec<String>,
    /// Query parameters that carry a token, on routes with `allow_query`. Default: none.
    pub query: Vec<String>,
    /// Whether a WebSocket's `Sec-WebSocket-Protocol` may hold "bearer.TOKEN". Default: false.
    pub websocket_protocol: bool,
    /// What a request needs beside a cookie. Default: "same-origin".
    pub csrf: Csrf,
    /// Further origins whose pages may send a cookie's token.
    pub allowed_origins: Vec<String>,
}

impl Extract {
    /// The scheme that challenges name: the first one taken (RFC 9110 11.6.1: what is asked for is what would be accepted).
    pub fn scheme(&self) -> &str {
        self.authorization.first().map_or("Bearer", String::as_str)
    }
}

/// What a request needs beside a token in a cookie, if it can change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Csrf {
    /// It says that a page of this very origin sent it.
    SameOrigin,
    /// Nothing: the app has its own defence.
    Off,
}

/// What becomes of streams when the token ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamExpiry {
    /// They are ended.
    Close,
    /// They go on.
    Ignore,
}

/// `[auth.cors]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins whose pages may read refusals and obtain tokens; "*" = all, without credentials. Default: none.
    pub allowed_origins: Vec<String>,
}

/// `[auth.forward]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Claim given to the app as REMOTE_USER, where the provider names no other; `None` = not given.
    pub remote_user: Option<String>,
    /// Whether the app still sees the Authorization field. Default: "keep".
    pub keep_authorization: bool,
    /// Field name to claim, for apps that read identity from fields.
    pub headers: BTreeMap<String, String>,
    /// How arrays are written into fields. Default: "comma".
    pub arrays: ArrayFormat,
    /// Longest value of such a field; a longer one is left out. Default: 4 KiB.
    pub max_bytes: ByteSize,
}

/// How a claim that is an array is written into a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayFormat {
    /// Its items joined by commas, a comma within one percent-encoded.
    Comma,
    /// As JSON in ASCII.
    Json,
}

/// `[[auth.provider]]`
#[derive(Debug, Clone, PartialEq)]
pub struct AuthProvider {
    /// Name that rules use.
    pub name: String,
    /// The `iss` claim, compared exactly; required with several providers.
    pub issuer: Option<String>,
    /// Any of these in `aud`; empty: tokens with `aud` are refused; ["*"]: not checked.
    pub audiences: Vec<String>,
    /// Allowed algorithms; empty: exactly those of the configured keys.
    pub algorithms: Vec<String>,
    /// Tolerance for clocks, at most 300 s. Default: 0 s.
    pub leeway: Duration,
    /// Longest remaining life of a token. Default: 30 d.
    pub max_lifetime: Duration,
    /// Values of the `typ` member that are taken, compared without case. Default: ["JWT", "at+jwt"].
    pub typ: Vec<String>,
    /// The `token_type` claim; `None` = not checked. Default: "access".
    pub token_type: Option<String>,
    /// Claim that names the user. Default: "user_id".
    pub subject_claim: String,
    /// Claim of its tokens that is given to the app as REMOTE_USER; `None` = that of `[auth.forward]`.
    pub remote_user: Option<String>,
    /// Claims that must be there; `exp` always is one. Default: ["exp", "jti"].
    pub require: Vec<String>,
    /// How long what is known of a user of the server's own tokens is good for. Default: 30 s.
    pub user_state: UserState,
    /// Keys given here.
    pub keys: Vec<AuthKey>,
    /// A JWK set in a file.
    pub jwks_file: Option<PathBuf>,
    /// A JWK set that is fetched: https, or http from this machine.
    pub jwks_url: Option<String>,
    /// Whether the issuer's OpenID configuration names the JWK set.
    pub discovery: bool,
    /// How the set is fetched.
    pub jwks: JwksRules,
}

/// Whether users are looked up when they come with a token that this server has issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserState {
    /// They are not.
    Off,
    /// At each request.
    Always,
    /// When the last look is so long ago.
    Every(Duration),
}

impl UserState {
    /// How long a look is good for; `None`: there is none.
    pub fn good_for(self) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::Always => Some(Duration::ZERO),
            Self::Every(time) => Some(time),
        }
    }
}

impl Setting for UserState {
    fn takes() -> String {
        "\"off\", \"always\" or a duration such as \"30s\"".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        parsed(value, |text| match text {
            "off" => Ok(Self::Off),
            "always" => Ok(Self::Always),
            _ => parse_duration(text).map(Self::Every),
        })
    }

    fn show(&self) -> toml::Value {
        match self {
            Self::Off => "off".into(),
            Self::Always => "always".into(),
            Self::Every(time) => show_duration(*time).into(),
        }
    }
}

/// `jwks` of `[[auth.provider]]`: how a key set is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksRules {
    /// How often, where the answer's Cache-Control does not say. Default: 10 min.
    pub refresh: Duration,
    /// Least time between two fetches because of an unknown kid. Default: 30 s.
    pub min_refetch: Duration,
    /// For one fetch, from connecting to the last byte. Default: 5 s.
    pub timeout: Duration,
    /// How long a set is used after its last successful fetch. Default: 24 h.
    pub stale_if_error: Duration,
    /// Longest answer taken, in bytes. Default: 262144.
    pub max_bytes: u32,
    /// Most keys in a set. Default: 64.
    pub max_keys: u16,
    /// Certificate authorities in PEM, in place of the machine's.
    pub ca_file: Option<PathBuf>,
}

/// `[[auth.provider.key]]`
#[derive(Debug, Clone, PartialEq)]
pub struct AuthKey {
    /// The `kid` that selects it.
    pub kid: Option<String>,
    /// Its one algorithm.
    pub alg: String,
    /// What it may be used for. Default: verify.
    pub r#use: KeyUse,
    /// Where its material is.
    pub source: KeySource,
    /// From then on it signs in the place of those before it; it verifies all the time.
    pub sign_from: Option<SystemTime>,
    /// From then on the key is not used.
    pub until: Option<SystemTime>,
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// `"verify"`
    Verify,
    /// `"sign+verify"`
    SignAndVerify,
}

/// Where key material is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The secret in the configuration itself.
    Secret(Hidden),
    /// PEM text in the configuration itself.
    Pem(String),
    /// A JWK in the configuration itself.
    Jwk(String),
    /// An environment variable that holds the secret.
    SecretEnv(String),
    /// A file whose content, less one line end, is the secret.
    SecretFile(PathBuf),
    /// A file that holds the secret in base64.
    SecretBase64File(PathBuf),
    /// A PEM file.
    PemFile(PathBuf),
    /// An environment variable that holds PEM text.
    PemEnv(String),
    /// A file that holds one JWK.
    JwkFile(PathBuf),
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// `[[auth.route]]`
#[derive(Debug, Clone, PartialEq)]
pub struct AuthRoute {
    /// Path prefix, on path segment boundaries.
    pub prefix: String,
    /// Hosts it holds for; empty = all.
    pub hosts: Vec<HostPattern>,
    /// Methods it holds for; empty = all.
    pub methods: Vec<String>,
    /// What a request needs to pass.
    pub require: Require,
    /// Whether a token may stand in the query.
    pub allow_query: bool,
    /// Scopes that must all be there.
    pub scopes_all: Vec<String>,
    /// Scopes of which one must be there; empty = not checked.
    pub scopes_any: Vec<String>,
    /// Rules on single claims, by dotted path.
    pub claims: BTreeMap<String, ClaimRule>,
}

/// What a request needs to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Require {
    /// Nothing: the route is public.
    None,
    /// A token may be missing; a bad one is still refused.
    Optional,
    /// A bad token counts as none.
    Try,
    /// A good token of one of these providers.
    Any(Vec<String>),
    /// Good tokens, one of each of these providers.
    All(Vec<String>),
}

/// A rule on one claim.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimRule {
    /// The claim is this value.
    Equals(serde_json::Value),
    /// The claim is one of these values.
    OneOf(Vec<serde_json::Value>),
    /// The claim is an array that holds this value.
    Contains(serde_json::Value),
    /// The claim is an array that holds one of these values.
    ContainsAny(Vec<serde_json::Value>),
    /// The claim is an array that holds all of these values.
    ContainsAll(Vec<serde_json::Value>),
    /// The claim is there, and not null.
    Present,
}
