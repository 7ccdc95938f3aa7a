//! `ferricorn jwt revoke`: an operator ends sessions, and with them their tokens.

use super::{Failure, Outcome, usage};
use crate::auth::store::feed::now_seconds;
use crate::auth::store::{Backend, EndReason, SessionId, SessionKey, StoreError, TokenHash};
use crate::cli::user::{self, AS_SERVER, Opened, open};
use crate::config::{Auth, UserKind};
use clap::Args;
use std::path::PathBuf;

/// End sessions: their refresh tokens at once, their access tokens within a second in every worker.
///
/// With auth.issue.revoke_access = false access tokens stay good until their exp.
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
    /// All sessions of the user who logs in by this name; not with kind = "python"
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// All sessions of the user whom tokens name so
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// One session, by the claim sid of its tokens
    #[arg(long, value_name = "SID")]
    sid: Option<String>,
    /// One session, by the claim jti of any of its refresh tokens, also one that was replaced
    #[arg(long, value_name = "JTI")]
    jti: Option<String>,
}

impl Revoke {
    pub(super) fn run(self) -> Outcome {
        let Opened { auth, place, mut store } = open(self.config)?;
        let store = store.as_mut();
        let ended = match self.which {
            Which { user: Some(name), .. } => by_name(&auth, store, &name)?,
            Which { id: Some(id), .. } => end(store, &id, None)?,
            Which { sid: Some(sid), .. } => by_session(store, &sid)?,
            Which { jti: Some(jti), .. } => by_token(&auth, store, &jti)?,
            Which { user: None, id: None, sid: None, jti: None } => {
                return Err(usage("name one: --user, --id, --sid or --jti"));
            }
        };
        match ended {
            0 => Err(Failure::Negative(format!("no such session goes on in {place}; {AS_SERVER}"))),
            ended => Ok(told(&auth, ended)),
        }
    }
}

fn told(auth: &Auth, ended: usize) -> String {
    let mut text = format!("{ended} session(s) ended\n");
    if !auth.issue.revoke_access {
        text.push_str("access tokens stay good until their exp (auth.issue.revoke_access = false)\n");
    }
    text
}

fn by_name(auth: &Auth, store: &mut dyn Backend, name: &str) -> Result<usize, Failure> {
    if auth.users.kind == UserKind::Python {
        return Err(usage(
            "with auth.users.kind = \"python\" the application alone knows who logs in by a name; name the user by --id, as tokens do",
        ));
    }
    Ok(user::log_out(auth, store, name)?)
}

fn by_session(store: &mut dyn Backend, sid: &str) -> Result<usize, Failure> {
    let id = SessionId::parse(sid).ok_or_else(|| usage("a sid has 32 digits, 0 to 9 and a to f"))?;
    end_one(store, SessionKey::Id(id)).map(Option::unwrap_or_default)
}

fn by_token(auth: &Auth, store: &mut dyn Backend, jti: &str) -> Result<usize, Failure> {
    end_one(store, SessionKey::Token(TokenHash::of(jti)))?.ok_or_else(|| {
        let mut problem = "there is no refresh token of that jti; the store does not know access tokens, which end with their \
             session (--sid)"
            .to_owned();
        if auth.issue.legacy_adopt {
            problem.push_str("; nor tokens of simplejwt that were not used here yet, which end when they are posted to blacklist/");
        }
        Failure::Negative(problem)
    })
}

/// `None`: there is none.
fn end_one(store: &mut dyn Backend, by: SessionKey) -> Result<Option<usize>, Failure> {
    // Sessions are ended by their user.
    let Some(session) = store.session(by).map_err(negative)? else { return Ok(None) };
    match end(store, &session.user, Some(session.id))? {
        0 => Err(Failure::Negative("that session has ended already".into())),
        ended => Ok(Some(ended)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::store::StorePlace;
    use crate::config::DatabaseUrl;

    /// A name that looks like somebody else's id would end that one's sessions.
    #[test]
    fn names_that_the_application_alone_knows_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace::at(DatabaseUrl::Sqlite(folder.path().join("auth.db")));
        let mut auth = Auth::default();
        auth.users.kind = UserKind::Python;
        let refused = by_name(&auth, place.open().unwrap().as_mut(), "7");
        assert!(matches!(&refused, Err(Failure::Usage(text)) if text.contains("--id")), "{refused:?}");
        auth.users.kind = UserKind::File;
        assert!(matches!(by_name(&auth, place.open().unwrap().as_mut(), "7"), Ok(0)));
    }
}
