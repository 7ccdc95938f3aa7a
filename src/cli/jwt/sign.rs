//! `ferricorn jwt sign`

use super::source::{self, KeyArguments, algorithm, seconds};
use super::{Failure, Outcome, usage};
use crate::auth::jwt::{encode_base64url, parse_object};
use crate::auth::keys::{VerifyingKey, random_id};
use crate::auth::{Algorithm, unix_seconds};
use clap::Args;
use serde_json::{Map, Value};
use std::io::Read;
use std::time::SystemTime;

/// Sign a token.
#[derive(Debug, Args)]
pub(super) struct Sign {
    #[command(flatten)]
    key: KeyArguments,
    /// Algorithm; default: the key's own or the usual one of its kind
    #[arg(long, value_name = "ALG", value_parser = algorithm)]
    alg: Option<Algorithm>,
    /// Name of the key in the token's header
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
    /// Life of the token; its exp is written unless the claims hold one
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "5m")]
    expires: u32,
    /// Claims as one JSON object; "-" reads it from standard input
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// One claim; the value is JSON, or else text
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
}

impl Sign {
    pub(super) fn run(&self, input: &mut dyn Read) -> Outcome {
        let source = self
            .key
            .source()
            .ok_or_else(|| usage("name a key: --secret-env, --secret-file, --pem or --jwk"))?;
        let found = source::read(&source, self.alg)?;
        let signing = found
            .pair
            .signing
            .as_ref()
            .ok_or_else(|| usage("that is a public key; signing needs the private one"))?;
        // The same guards as for verifying: what the server would refuse is not signed with.
        VerifyingKey::new(None, found.algorithm, &found.pair.public).map_err(usage)?;
        let mut header = Map::new();
        header.insert("alg".into(), found.algorithm.name().into());
        header.insert("typ".into(), "JWT".into());
        if let Some(kid) = self.kid.as_ref().or(found.kid.as_ref()) {
            source::check_kid(Some(kid))?;
            header.insert("kid".into(), kid.as_str().into());
        }
        let message = format!("{}.{}", part(&header)?, part(&self.claims(SystemTime::now(), input)?)?);
        let signature = signing.sign(found.algorithm, message.as_bytes()).map_err(usage)?;
        Ok(format!("{message}.{signature}\n"))
    }

    fn claims(&self, now: SystemTime, input: &mut dyn Read) -> Result<Map<String, Value>, Failure> {
        let text = match self.claims.as_deref() {
            Some("-") => {
                let mut text = String::new();
                input.take(LONGEST).read_to_string(&mut text).map_err(usage)?;
                text
            }
            Some(text) => text.to_owned(),
            None => "{}".to_owned(),
        };
        let mut claims =
            parse_object(text.as_bytes()).map_err(|error| usage(format!("--claims: {error}")))?;
        for claim in &self.claim {
            let (name, text) =
                claim.split_once('=').ok_or_else(|| usage(format!("--claim {claim:?}: write NAME=VALUE")))?;
            let value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
            claims.insert(name.into(), value);
        }
        // Whole seconds since 1970: far below 2^53, so nothing is lost.
        #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 fit")]
        let now = unix_seconds(now) as i64;
        claims.entry("iat").or_insert_with(|| now.into());
        claims.entry("exp").or_insert_with(|| (now + i64::from(self.expires)).into());
        if !claims.contains_key("jti") {
            let id = random_id().map_err(usage)?;
            claims.insert("jti".into(), id.into());
        }
        Ok(claims)
    }
}

/// The longest claims that are read: more than any server takes.
const LONGEST: u64 = 1 << 20;

fn part(members: &Map<String, Value>) -> Result<String, Failure> {
    serde_json::to_vec(members).map(encode_base64url).map_err(usage)
}
