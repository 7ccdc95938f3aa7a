//! The scripts that the server runs, each alone.

use crate::auth::store::StoreError;
use ::redis::{Connection, FromRedisValue};
use std::sync::LazyLock;

/// What all names of keys begin with. The braces have a cluster keep all of them in one place, where a script finds them.
pub(super) const KEYS: &str = "{ferricorn}:";

/// A script, with what all share before it.
pub(super) struct Script(LazyLock<::redis::Script>);

impl Script {
    /// Runs it. It is sent to the server when that does not know it yet.
    pub(super) fn run<T: FromRedisValue>(
        &self,
        connection: &mut Connection,
        arguments: &[String],
    ) -> Result<T, StoreError> {
        Ok(self.0.key(KEYS).arg(arguments).invoke(connection)?)
    }
}

macro_rules! scripts {
    ($($name:ident = $file:literal)*) => {
        $(pub(super) static $name: Script = Script(LazyLock::new(|| {
            ::redis::Script::new(concat!(include_str!("common.lua"), include_str!($file)))
        }));)*
    };
}

scripts! {
    BEGIN = "begin.lua"
    EXCHANGE = "exchange.lua"
    LOOK = "look.lua"
    END_BY_TOKEN = "end_by_token.lua"
    END = "end.lua"
    SESSION = "session.lua"
    SESSIONS = "sessions.lua"
    REHASHED = "rehashed.lua"
    FAILED = "failed.lua"
    SWEEP = "sweep.lua"
    CHANGE_USER = "change_user.lua"
    KEPT_VERSION = "version.lua"
}
