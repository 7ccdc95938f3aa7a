//! The keys of `[auth]`, `[[auth.provider]]`, `[[auth.provider.key]]` and `[[auth.route]]`.

use super::keys;
use crate::config::setting::{Authorization, Preflight};
use crate::config::{
    ArrayFormat, Auth, AuthKey, AuthProvider, AuthStore, AuthUsers, ByteSize, Cors, Csrf, Extract, Forward,
    Hidden, Issue, JwksRules, KeySource, KeyUse, Preset, StreamExpiry, UserState,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

keys! {
    /// `[auth]`
    AUTH_KEYS: Auth;
    "enabled".enabled, Reload, "Whether tokens are checked at all.";
    "preset".preset, Reload,
        "In whose manner refusals are answered: \"simplejwt\" (the bodies of djangorestframework-simplejwt) \
         or \"strict\" (RFC 9457 problem details).";
    "realm".realm, Reload, "The realm of challenges.";
    "detail".detail, Reload, "Whether answers say what was wrong.";
    "preflight".preflight as Preflight, Reload,
        "Whether a CORS preflight passes unchecked (\"allow\") or is treated as any request (\"check\").";
    "stream_expiry".stream_expiry, Reload,
        "What becomes of WebSockets and event streams when the token ends that opened them: \"close\" or \"ignore\".";
    "ws_close_code".ws_close_code, Reload, "The close code that ends a WebSocket then.";
    "max_token_bytes".max_token_bytes, Reload, "Longest token looked at, in bytes.";
    "cache_entries".cache_entries, Reload,
        "Verified tokens remembered per worker (asymmetric algorithms only); 0 = none.";
    "strip".strip, Reload,
        "Further request fields removed, besides those that forward.headers asserts.";
    "extract.authorization".extract.authorization, Reload,
        "Authorization schemes that carry a token, compared without case; challenges name the first.";
    "extract.cookies".extract.cookies, Reload,
        "Cookies that carry a token, such as \"__Host-access\".";
    "extract.query".extract.query, Reload,
        "Query parameters that carry a token, on routes with allow_query alone: URLs end up in logs and histories.";
    "extract.websocket_protocol".extract.websocket_protocol, Reload,
        "Whether a WebSocket's Sec-WebSocket-Protocol may hold \"bearer.TOKEN\".";
    "extract.csrf".extract.csrf, Reload,
        "What a request that can change anything needs beside a cookie: \"same-origin\" (a page of this origin sent it), \
         or \"off\".";
    "extract.allowed_origins".extract.allowed_origins, Reload,
        "Further origins whose pages may send a cookie's token, such as \"https://app.example\".";
    "forward.remote_user".forward.remote_user, Reload,
        "Claim given to the app as REMOTE_USER; a token without it is refused. A provider may name another. Empty: not given.";
    "forward.authorization".forward.keep_authorization as Authorization, Reload,
        "Whether the app still sees the Authorization field: \"keep\" or \"strip\".";
    "forward.headers".forward.headers, Reload,
        "Field name to claim, for apps that read identity from fields; clients' own fields of these names are removed.";
    "forward.arrays".forward.arrays, Reload,
        "How arrays are written into these fields: \"comma\" (joined, a comma within an item percent-encoded) or \"json\".";
    "forward.max_bytes".forward.max_bytes, Reload, "Longest value of such a field; a longer one is left out.";
    "cors.allowed_origins".cors.allowed_origins, Reload,
        "Origins whose pages may read refusals and use the endpoints of [auth.issue], such as \"https://app.example\"; \
         \"*\": all, without credentials.";
    "issue.enabled".issue.enabled, Reload, "Whether the server issues tokens itself, to the users of auth.users.";
    "issue.prefix".issue.prefix, Reload,
        "Where it does: the prefix itself takes a name and a password, below it are refresh/, verify/, blacklist/, logout/ and sessions/. \
         The public keys of asymmetric algorithms are at /.well-known/jwks.json. No [[auth.route]] holds there.";
    "issue.provider".issue.provider, Reload,
        "The provider whose tokens are issued. Empty: the one that has a key with use = \"sign+verify\".";
    "issue.access".issue.access, Reload, "Life of an access token.";
    "issue.refresh".issue.refresh, Reload, "Life of a refresh token.";
    "issue.session_max".issue.session_max, Reload,
        "Longest life of a session: no refresh token lives on after it, however often it is exchanged.";
    "issue.rotate".issue.rotate, Reload,
        "Whether a refresh token is good for one refresh and replaced by it. Empty: by the preset, simplejwt no, strict yes.";
    "issue.reuse".issue.reuse, Reload,
        "What happens when a refresh token that was replaced comes again: \"revoke_family\" ends the session, since one of the \
         two who hold it is a thief; \"refuse\" only refuses it.";
    "issue.reuse_grace".issue.reuse_grace, Reload,
        "How long a replaced refresh token gets the same successor once more, for clients that refresh twice at once or lose an answer; at most 5m. In Redis and PostgreSQL the provider's leeway is added, and the sum bounded. 0s: it is reuse at once, and a client that loses an answer has to log in again.";
    "issue.revoke_access".issue.revoke_access, Reload,
        "Whether access tokens end with their session, within a second in every worker: they carry its name as the claim sid.";
    "issue.legacy_adopt".issue.legacy_adopt, Reload,
        "Whether a refresh token that was signed by this key and is in no session, as simplejwt's are, begins one, once.";
    "issue.set_cookies".issue.set_cookies, Reload,
        "Whether browsers get the tokens as cookies, too, __Host-access and __Host-refresh, which no script can read: refresh, logout and \
         sessions take them from there, and so do all routes (extract.csrf holds for it).";
    "issue.extra_claims".issue.extra_claims, Reload,
        "Claim to column of the user table, put into both tokens: { email = \"email\", staff = \"is_staff\" }.";
    "issue.hash_threads".issue.hash_threads, Reload, "Threads that compute password hashes, per worker.";
    "issue.hash_queue".issue.hash_queue, Reload, "Logins that may wait for them, per worker. Past it: 503.";
    "issue.limit.per_account".issue.limit.per_account, Reload,
        "Failed logins of one account, whatever the case of its letters, in all workers together. Past it: 429. Empty: no limit.";
    "issue.limit.per_ip".issue.limit.per_ip, Reload,
        "Failed logins from one address (of IPv6, one network of 64 bits), likewise.";
    "issue.limit.trust_proxy".issue.limit.trust_proxy, Reload,
        "By whose word that address is known: \"server\", as everywhere (server.forwarded_allow_ips), or \"never\": it is the peer's.";
    "store.url".store.url, Reload,
        "Where sessions are kept: \"sqlite:////absolute/file\", or for several machines \"redis://user:password@host:6379/0\" (rediss: by TLS; \
         redis+unix:///socket) or \"postgres://user:password@host/database?sslmode=verify-full\". Empty: the file auth.db in systemd's StateDirectory, else in a directory of this server's own below XDG_STATE_HOME or ~/.local/state. A password is not shown.";
    "store.on_error".store.on_error, Reload,
        "What becomes of requests with a token when nothing has been heard of the store for stale_max: \"closed\" (503), or \"open\" \
         (they pass by what was known last). Without it nobody logs in or refreshes in any case: 503.";
    "store.stale_max".store.stale_max, Reload, "How long what was last heard of the store is good for.";
    "users.kind".users.kind, Reload,
        "Whom tokens are issued to: \"own\", a table in the store that `ferricorn user` fills; \"django\", the table of a Django project, which is only read unless rehash is true; \
         \"python\", whom the project's own authenticate() lets in; \"file\", a file of lines NAME:HASH, as `htpasswd -B` writes it.";
    "users.url".users.url, Reload, "The database of that table: \"sqlite:////srv/app/db.sqlite3\" or \"postgres://user:password@host/database\". Empty: the store.";
    "users.file".users.file, Reload, "The file of kind = \"file\". What is changed in it is known at the next login; who is taken out of it, a second later.";
    "users.table".users.table, Reload, "Name of Django's table; another one with a custom AUTH_USER_MODEL.";
    "users.id_column".users.id_column, Reload, "Its column that tokens name users by. With kind \"python\" a unique field of the user model; \"id\" is the primary key, whatever its name.";
    "users.username_column".users.username_column, Reload,
        "Its column that users log in by; requests have it as the member of that name, unless username_field says otherwise.";
    "users.username_field".users.username_field, Reload,
        "What requests call the name that users log in by (USERNAME_FIELD), where it is not called as its column. Empty: as username_column; with kind \"own\" or \"file\" username.";
    "users.password_column".users.password_column, Reload, "Its column with the hash of the password.";
    "users.active_column".users.active_column, Reload, "Its column that says whether a user may log in. Empty: there is none.";
    "users.rehash".users.rehash, Reload,
        "Whether a password whose hash costs less than it should is hashed anew when its user logs in, and written into the table. It should cost what Django 5.2's own hashers ask \
         for (kind \"django\", by the algorithm that it has), or what `ferricorn user` writes (kind \"own\").";
}

keys! {
    /// `[[auth.provider]]`
    PROVIDER_KEYS: AuthProvider;
    "name".name, Reload, "Name that rules use.";
    "issuer".issuer, Reload, "The iss claim, compared exactly; required with several providers. Empty: not checked.";
    "audiences".audiences, Reload, "Any of these in aud; empty: tokens with aud are refused; [\"*\"]: not checked.";
    "algorithms".algorithms, Reload, "Allowed algorithms; empty: exactly those of the configured keys.";
    "leeway".leeway, Reload, "Tolerance for clocks, at most 300s.";
    "max_lifetime".max_lifetime, Reload, "Longest remaining life of a token.";
    "typ".typ, Reload, "Values of the typ member that are taken, compared without case.";
    "token_type".token_type, Reload, "The token_type claim. Empty: not checked, but that refresh tokens of this server open nothing.";
    "subject_claim".subject_claim, Reload, "Claim that names the user; \"sub\" for OpenID Connect.";
    "remote_user".remote_user, Reload, "Claim of its tokens that the app is given as REMOTE_USER. Empty: forward.remote_user.";
    "require".require, Reload, "Claims that must be there; exp always must.";
    "user_state".user_state, Reload,
        "How often a user of Django's table is looked up who comes with a token of the provider that issues: one that is gone, inactive, or has \
         another password is refused, and its sessions end. \"off\", \"always\" or a duration.";
    "jwks_file".jwks_file, Reload, "A JWK set in a file. Empty: none.";
    "jwks_url".jwks_url, Reload, "A JWK set that is fetched, by https or, from this machine, by http. Empty: none.";
    "discovery".discovery, Reload,
        "Whether issuer + \"/.well-known/openid-configuration\" names the JWK set, in place of jwks_url.";
    "jwks.refresh".jwks.refresh, Reload,
        "How often the set is fetched, where the answer's Cache-Control does not say (from 1m to 24h).";
    "jwks.min_refetch".jwks.min_refetch, Reload, "Least time between two fetches because of an unknown kid.";
    "jwks.timeout".jwks.timeout, Reload, "For one fetch, from connecting to the last byte.";
    "jwks.stale_if_error".jwks.stale_if_error, Reload,
        "How long a set is used after its last successful fetch while further ones fail.";
    "jwks.max_bytes".jwks.max_bytes, Reload, "Longest answer taken, in bytes.";
    "jwks.max_keys".jwks.max_keys, Reload, "Most keys in a set.";
    "jwks.ca_file".jwks.ca_file, Reload,
        "Certificate authorities in PEM, in place of the machine's. Empty: the machine's.";
}

keys! {
    /// `[[auth.provider.key]]`
    KEY_KEYS: KeyDraft;
    "kid".kid, Reload, "The kid that selects it.";
    "alg".alg, Reload, "Its one algorithm.";
    "use".r#use, Reload, "What it may be used for: \"verify\" or \"sign+verify\".";
    "secret".secret, Reload,
        "The secret, in the configuration itself, which others may be able to read: secret_file is better. One source per key.";
    "pem".pem, Reload, "A public key as PEM text, in the configuration itself.";
    "jwk".jwk, Reload, "A public JWK as JSON text, in the configuration itself.";
    "secret_env".secret_env, Reload, "Environment variable that holds the secret.";
    "secret_file".secret_file, Reload, "File whose content, less one line end, is the secret.";
    "secret_base64_file".secret_base64_file, Reload, "File that holds the secret in base64.";
    "pem_file".pem_file, Reload, "PEM file.";
    "pem_env".pem_env, Reload, "Environment variable that holds PEM text.";
    "jwk_file".jwk_file, Reload, "File that holds one JWK.";
    "sign_from".sign_from, Reload, "Of several keys with use = \"sign+verify\" the one with the latest time that has come signs; all verify, and are published.";
    "until".until, Reload, "From then on the key is not used: a time with its zone, 2026-12-01T00:00:00Z.";
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            enabled: true,
            preset: Preset::SimpleJwt,
            realm: "api".into(),
            detail: true,
            preflight: true,
            stream_expiry: StreamExpiry::Close,
            ws_close_code: 1008,
            max_token_bytes: 8192,
            cache_entries: 10_000,
            strip: Vec::new(),
            extract: Extract {
                authorization: vec!["Bearer".into()],
                cookies: Vec::new(),
                query: Vec::new(),
                websocket_protocol: false,
                csrf: Csrf::SameOrigin,
                allowed_origins: Vec::new(),
            },
            forward: Forward {
                remote_user: None,
                keep_authorization: true,
                headers: BTreeMap::new(),
                arrays: ArrayFormat::Comma,
                max_bytes: ByteSize(4 << 10),
            },
            cors: Cors::default(),
            issue: Issue::default(),
            store: AuthStore::default(),
            users: AuthUsers::default(),
            providers: Vec::new(),
            routes: Vec::new(),
        }
    }
}

impl Default for JwksRules {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(10 * 60),
            min_refetch: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            stale_if_error: Duration::from_secs(24 * 60 * 60),
            max_bytes: 256 << 10,
            max_keys: 64,
            ca_file: None,
        }
    }
}

impl Default for AuthProvider {
    fn default() -> Self {
        blank_provider()
    }
}

/// A provider of which nothing has been said.
pub(in crate::config) fn blank_provider() -> AuthProvider {
    AuthProvider {
        name: String::new(),
        issuer: None,
        audiences: Vec::new(),
        algorithms: Vec::new(),
        leeway: Duration::ZERO,
        max_lifetime: Duration::from_secs(30 * 24 * 60 * 60),
        typ: vec!["JWT".into(), "at+jwt".into()],
        token_type: Some("access".into()),
        subject_claim: "user_id".into(),
        remote_user: None,
        require: vec!["exp".into(), "jti".into()],
        user_state: UserState::Every(Duration::from_secs(30)),
        keys: Vec::new(),
        jwks_file: None,
        jwks_url: None,
        discovery: false,
        jwks: JwksRules::default(),
    }
}

/// An `[[auth.provider.key]]` as it is written.
#[derive(Debug, Clone)]
pub(in crate::config) struct KeyDraft {
    kid: Option<String>,
    alg: Option<String>,
    r#use: KeyUse,
    secret: Option<Hidden>,
    pem: Option<String>,
    jwk: Option<String>,
    secret_env: Option<String>,
    secret_file: Option<PathBuf>,
    secret_base64_file: Option<PathBuf>,
    pem_file: Option<PathBuf>,
    pem_env: Option<String>,
    jwk_file: Option<PathBuf>,
    sign_from: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl Default for KeyDraft {
    fn default() -> Self {
        Self {
            kid: None,
            alg: None,
            r#use: KeyUse::Verify,
            secret: None,
            pem: None,
            jwk: None,
            secret_env: None,
            secret_file: None,
            secret_base64_file: None,
            pem_file: None,
            pem_env: None,
            jwk_file: None,
            sign_from: None,
            until: None,
        }
    }
}

impl From<&AuthKey> for KeyDraft {
    fn from(key: &AuthKey) -> Self {
        let mut draft = Self { kid: key.kid.clone(), alg: Some(key.alg.clone()), ..Self::default() };
        (draft.r#use, draft.sign_from, draft.until) = (key.r#use, key.sign_from, key.until);
        match key.source.clone() {
            KeySource::Secret(secret) => draft.secret = Some(secret),
            KeySource::Pem(text) => draft.pem = Some(text),
            KeySource::Jwk(text) => draft.jwk = Some(text),
            KeySource::SecretEnv(name) => draft.secret_env = Some(name),
            KeySource::SecretFile(path) => draft.secret_file = Some(path),
            KeySource::SecretBase64File(path) => draft.secret_base64_file = Some(path),
            KeySource::PemFile(path) => draft.pem_file = Some(path),
            KeySource::PemEnv(name) => draft.pem_env = Some(name),
            KeySource::JwkFile(path) => draft.jwk_file = Some(path),
        }
        draft
    }
}

impl KeyDraft {
    /// The key, or the key of the file that is wrong and why.
    pub(in crate::config) fn finish(self) -> Result<AuthKey, (&'static str, String)> {
        let mut sources = [
            ("secret", self.secret.map(KeySource::Secret)),
            ("pem", self.pem.map(KeySource::Pem)),
            ("jwk", self.jwk.map(KeySource::Jwk)),
            ("secret_env", self.secret_env.map(KeySource::SecretEnv)),
            ("secret_file", self.secret_file.map(KeySource::SecretFile)),
            ("secret_base64_file", self.secret_base64_file.map(KeySource::SecretBase64File)),
            ("pem_file", self.pem_file.map(KeySource::PemFile)),
            ("pem_env", self.pem_env.map(KeySource::PemEnv)),
            ("jwk_file", self.jwk_file.map(KeySource::JwkFile)),
        ]
        .into_iter()
        .filter_map(|(name, source)| Some((name, source?)));
        let Some((_, source)) = sources.next() else {
            let names =
                "secret_env, secret_file, secret_base64_file, pem_file, pem_env, jwk_file, secret, pem, jwk";
            return Err(("", format!("the key has no source; write one of {names}")));
        };
        if let Some((second, _)) = sources.next() {
            return Err((second, "a key has one source; split it in two keys or remove one".into()));
        }
        let Some(alg) = self.alg else {
            return Err(("alg", "missing; name its one algorithm: alg = \"HS256\"".into()));
        };
        if self.sign_from.is_some() && self.r#use != KeyUse::SignAndVerify {
            return Err(("sign_from", "the key does not sign; write use = \"sign+verify\"".into()));
        }
        let (sign_from, until) = (self.sign_from, self.until);
        Ok(AuthKey { kid: self.kid, alg, r#use: self.r#use, source, sign_from, until })
    }
}
