//! `ferricorn jwt revoke`: an operator ends sessions, and with them their tokens.

use super::{Failure, Outcome, usage};
use crate::auth::store::feed::now_seconds;
use crate::auth::store::{Backend, EndReason, SessionId, StoreError, TokenHash, TokenState};
use crate::cli::user::{self, open};
use clap::Args;
use std::path::PathBuf;

/// End sessions: access tokens end within a second in every worker, refresh tokens at once.
#[derive(Debug, Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    which: Which,
    /// Configuration file; default: as for "serve"
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// All sessions of the user who logs in by this name, as `ferricorn user logout` ends them
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// All sessions of the user whom tokens name so
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// One session, by the claim sid of its tokens
    #[arg(long, value_name = "SID")]
    sid: Option<String>,
    /// One session, by the claim jti of a refresh token
    #[arg(long, value_name = "JTI")]
    jti: Option<String>,
}

impl Revoke {
    pub(super) fn run(self) -> Outcome {
        let (auth, mut store) = open(self.config)?;
        let store = store.as_mut();
        let ended = match self.which {
            Which { user: Some(name), .. } => user::log_out(&auth, store, &name)?,
            Which { id: Some(id), .. } => end(store, &id, None)?,
            Which { sid: Some(sid), .. } => by_session(store, &sid)?,
            Which { jti: Some(jti), .. } => by_token(store, &jti)?,
            Which { user: None, id: None, sid: None, jti: None } => {
                return Err(usage("name one: --user, --id, --sid or --jti"));
            }
        };
        Ok(format!("{ended} session(s) ended\n"))
    }
}

fn by_session(store: &mut dyn Backend, sid: &str) -> Result<usize, Failure> {
    let id = SessionId::parse(sid).ok_or_else(|| usage("a sid has 32 digits, 0 to 9 and a to f"))?;
    let sessions = store.sessions(None, now_seconds()).map_err(negative)?;
    // Sessions are kept by their user.
    let session = sessions.into_iter().find(|session| session.id == id);
    let session =
        session.ok_or_else(|| Failure::Negative("there is no such session, or it has ended".into()))?;
    end(store, &session.user, Some(id))
}

fn by_token(store: &mut dyn Backend, jti: &str) -> Result<usize, Failure> {
    match store.end_by_token(TokenHash::of(jti), None, now_seconds()).map_err(negative)? {
        TokenState::Live => Ok(1),
        TokenState::Ended => Ok(0),
        TokenState::Unknown => Err(Failure::Negative(
            "there is no refresh token of that jti; the store does not know access tokens, which end with their session (--sid)"
                .into(),
        )),
    }
}

fn end(store: &mut dyn Backend, user: &str, which: Option<SessionId>) -> Result<usize, Failure> {
    store.end(user, which, (EndReason::Operator, now_seconds())).map_err(negative)
}

#[expect(clippy::needless_pass_by_value, reason = "it is the function that map_err takes")]
fn negative(error: StoreError) -> Failure {
    Failure::Negative(error.to_string())
}

impl From<user::Failure> for Failure {
    fn from(failure: user::Failure) -> Self {
        match failure {
            user::Failure::Usage(text) => Self::Usage(text),
            user::Failure::Negative(text) => Self::Negative(text),
        }
    }
}
