//! `ferricorn jwt decode` and `ferricorn jwt verify`

use super::source::{self, KeyArguments, algorithm, seconds};
use super::{Failure, Outcome, printable, usage};
use crate::auth::jwt::{decode_base64url, is_key_id};
use crate::auth::{Algorithm, Provider, unix_seconds, verify};
use crate::cli::enter;
use crate::config::{AuthKey, AuthProvider, Flags, KeyUse, Reloader};
use clap::Args;
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Show what a token says.
#[derive(Debug, Args)]
pub(super) struct Decode {
    /// The token; without it, it is read from standard input
    token: Option<String>,
    /// Print one JSON object: {"header": …, "payload": …}
    #[arg(long)]
    json: bool,
}

/// Verify a token.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The token; without it, it is read from standard input
    token: Option<String>,
    #[command(flatten)]
    key: KeyArguments,
    /// Judge as the provider of this configuration file does, by its keys and rules
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of that provider, where there are several
    #[arg(long, value_name = "NAME", requires = "config")]
    provider: Option<String>,
    /// File that holds a JWK set
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Algorithm; default: the key's own or the usual one of its kind
    #[arg(long, value_name = "ALG", value_parser = algorithm)]
    alg: Option<Algorithm>,
    /// Name that the token has to call the key by; default: the JWK's, else any
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
    /// The one issuer; default: any
    #[arg(long, value_name = "ISS")]
    issuer: Option<String>,
    /// Audience that must be named ("*": any); default: tokens with an audience are refused
    #[arg(long, value_name = "AUD")]
    audience: Vec<String>,
    /// The token_type claim; default: not checked
    #[arg(long, value_name = "TYPE")]
    token_type: Option<String>,
    /// Tolerance for clocks
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "0s")]
    leeway: u32,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Decode {
    pub(super) fn run(&self, input: &mut dyn Read) -> Outcome {
        let token = token(self.token.as_deref(), input)?;
        let mut parts = token.split('.');
        let (Some(header), Some(payload), true) = (parts.next(), parts.next(), parts.count() == 1) else {
            return Err(Failure::Negative("that is no signed token: it needs three parts".into()));
        };
        if self.json {
            let part = |part: &str| serde_json::from_slice::<Value>(&decode_base64url(part)?).ok();
            let (Some(header), Some(payload)) = (part(header), part(payload)) else {
                return Err(Failure::Negative("its header or payload is no JSON in base64url".into()));
            };
            return Ok(format!(
                "{}\n",
                printable(&json!({ "header": header, "payload": payload }).to_string())
            ));
        }
        let header =
            shown(header).ok_or_else(|| Failure::Negative("its header is no JSON in base64url".into()))?;
        let payload =
            shown(payload).ok_or_else(|| Failure::Negative("its payload is no JSON in base64url".into()))?;
        Ok(format!("header (not verified):\n{header}\npayload (not verified):\n{payload}\n"))
    }
}

impl Verify {
    pub(super) fn run(&self, input: &mut dyn Read) -> Outcome {
        let token = token(self.token.as_deref(), input)?;
        let (provider, longest) = match &self.config {
            Some(path) => self.configured(path)?,
            None => (self.provider(&token)?, MAX_TOKEN_BYTES),
        };
        let mut warnings = Vec::new();
        let provider = Provider::new(&provider, &mut warnings)
            .map_err(|errors| usage(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        let now = unix_seconds(SystemTime::now());
        let verified = verify(&token, longest, &[&provider], now).map_err(|refusal| {
            let reason = refusal.reason;
            let (code, step, explanation) = (reason.code(), reason.step(), reason.explanation());
            if self.json {
                return Failure::Json(
                    json!({ "good": false, "step": step, "reason": code, "explanation": explanation }),
                );
            }
            Failure::Negative(format!("refused at {step} ({code}): {explanation}"))
        })?;
        if self.json {
            let (algorithm, kid) = (verified.algorithm.name(), verified.kid.as_deref());
            return Ok(format!(
                "{}\n",
                json!({ "good": true, "alg": algorithm, "kid": kid, "claims": verified.claims })
            ));
        }
        let claims = serde_json::to_string_pretty(&verified.claims).map_err(usage)?;
        let kid = verified.kid.as_deref().map_or_else(String::new, |kid| format!(", key {kid:?}"));
        Ok(format!("good ({}{kid})\n{}\n", verified.algorithm, printable(&claims)))
    }

    /// The provider that the arguments describe: keys and tokens are judged as by the server.
    fn provider(&self, token: &str) -> Result<AuthProvider, Failure> {
        let mut keys = Vec::new();
        match (self.key.source(), &self.jwks) {
            (Some(source), None) => {
                let found = source::read(&source, self.alg)?;
                keys.push(AuthKey {
                    // A key without a name has been chosen by who typed it, whatever the token calls it.
                    kid: self.kid.clone().or(found.kid).or_else(|| kid_of(token)),
                    alg: found.algorithm.name().into(),
                    r#use: KeyUse::Verify,
                    source,
                    sign_from: None,
                    until: None,
                });
            }
            (None, Some(_)) => {}
            (None, None) | (Some(_), Some(_)) => return Err(usage(ONE_SOURCE)),
        }
        Ok(AuthProvider {
            name: "command line".into(),
            issuer: self.issuer.clone(),
            audiences: self.audience.clone(),
            algorithms: self.alg.iter().map(|algorithm| algorithm.name().to_owned()).collect(),
            leeway: Duration::from_secs(self.leeway.into()),
            // The life of a token is the server's policy; here the question is whether it is good.
            max_lifetime: Duration::from_secs(LAST_SECOND),
            token_type: self.token_type.clone(),
            subject_claim: String::new(),
            require: vec!["exp".into()],
            keys,
            jwks_file: self.jwks.clone(),
            ..AuthProvider::default()
        })
    }
}

impl Verify {
    /// The provider as the server would have it, and how long its tokens may be.
    fn configured(&self, path: &Path) -> Result<(AuthProvider, usize), Failure> {
        if self.key.source().is_some() || self.jwks.is_some() {
            return Err(usage(ONE_SOURCE));
        }
        let own_rules = self.alg.is_some()
            || self.kid.is_some()
            || self.issuer.is_some()
            || self.token_type.is_some()
            || !self.audience.is_empty()
            || self.leeway != 0;
        if own_rules {
            return Err(usage("with --config the provider's own rules hold; leave the others out"));
        }
        let flags = Flags { config: Some(path.to_owned()), ..Flags::default() };
        let loaded = Reloader::new(flags).map_err(usage)?.load().map_err(usage)?;
        enter(&loaded.config).map_err(usage)?;
        let auth = loaded.config.auth.ok_or_else(|| usage("the configuration has no [auth]"))?;
        let longest = usize::try_from(auth.max_token_bytes).unwrap_or(usize::MAX);
        let wanted =
            |provider: &AuthProvider| self.provider.as_ref().is_none_or(|name| *name == provider.name);
        let mut found = auth.providers.into_iter().filter(wanted);
        match (found.next(), found.next()) {
            (Some(provider), None) => Ok((provider, longest)),
            (Some(_), Some(_)) => Err(usage("there are several providers; choose one by --provider")),
            (None, _) => Err(usage("the configuration has no such provider")),
        }
    }
}

/// The token from the argument or from standard input, blanks around it taken away.
fn token(argument: Option<&str>, input: &mut dyn Read) -> Result<String, Failure> {
    let mut text = String::new();
    match argument {
        Some(argument) if argument != "-" => text.push_str(argument),
        Some(_) | None => {
            input.take(MAX_INPUT_BYTES).read_to_string(&mut text).map_err(usage)?;
        }
    }
    Ok(text.trim().to_owned())
}

/// The name of the key in a token's header, where it is one that a key can have.
fn kid_of(token: &str) -> Option<String> {
    let header: Value = serde_json::from_slice(&decode_base64url(token.split('.').next()?)?).ok()?;
    header.get("kid")?.as_str().filter(|kid| is_key_id(kid)).map(str::to_owned)
}

fn shown(part: &str) -> Option<String> {
    let value: Value = serde_json::from_slice(&decode_base64url(part)?).ok()?;
    serde_json::to_string_pretty(&value).ok().map(|text| printable(&text))
}

const ONE_SOURCE: &str =
    "name one: --secret-env, --secret-file, --secret-base64-file, --pem, --jwk, --jwks or --config";
const MAX_TOKEN_BYTES: usize = 8192;
const MAX_INPUT_BYTES: u64 = 1 << 20;
/// 9999-12-31T23:59:59Z
const LAST_SECOND: u64 = 253_402_300_799;
