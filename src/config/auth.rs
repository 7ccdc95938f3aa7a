//! `[auth]`: who may pass, and by which tokens.

use std::collections::BTreeMap;
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
}

/// `[auth.forward]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Claim given to the app as REMOTE_USER; `None` = not given.
    pub remote_user: Option<String>,
    /// Whether the app still sees the Authorization field. Default: "keep".
    pub keep_authorization: bool,
    /// Field name to claim, for apps that read identity from fields.
    pub headers: BTreeMap<String, String>,
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
    /// Claims that must be there; `exp` always is one. Default: ["exp", "jti"].
    pub require: Vec<String>,
    /// Keys given here.
    pub keys: Vec<AuthKey>,
    /// A JWK set in a file.
    pub jwks_file: Option<PathBuf>,
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

/// `[[auth.route]]`
#[derive(Debug, Clone, PartialEq)]
pub struct AuthRoute {
    /// Path prefix, on path segment boundaries.
    pub prefix: String,
    /// Methods it holds for; empty = all.
    pub methods: Vec<String>,
    /// What a request needs to pass.
    pub require: Require,
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
}
