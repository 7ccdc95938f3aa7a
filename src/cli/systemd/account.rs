//! Which user the service runs as.

use super::Arguments;
use crate::config::Server;
use crate::sys::privileges;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The user of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// One that exists only while the service runs.
    Dynamic,
    /// One that is there.
    Named {
        /// Its name or number.
        user: String,
        /// Its group; `None`: the user's own.
        group: Option<String>,
    },
}

/// What was asked for, or what stands to reason; and a note about it.
pub(super) fn infer(
    arguments: &Arguments,
    server: &Server,
    directory: &Path,
) -> io::Result<(Account, Option<String>)> {
    if arguments.dynamic_user {
        return Ok((Account::Dynamic, None));
    }
    if let Some(user) = &server.user {
        privileges::user_id(user)?;
        return Ok((Account::Named { user: user.clone(), group: server.group.clone() }, None));
    }
    let named = |user: String, reason: &str| {
        let note = format!("User={user}: {reason}; --user or --dynamic-user says otherwise");
        (Account::Named { user, group: server.group.clone() }, Some(note))
    };
    let own = std::fs::metadata("/proc/self")?.uid();
    let owner = std::fs::metadata(directory)?.uid();
    if own != 0 {
        return Ok(named(privileges::user_name(own)?, "that is who you are"));
    }
    if owner != 0 {
        let reason = format!("it owns {}", directory.display());
        return Ok(named(privileges::user_name(owner)?, &reason));
    }
    let reason = format!("{} is root's, and a web app must not be", directory.display());
    if privileges::user_id(WEB_USER).is_ok() {
        return Ok(named(WEB_USER.to_owned(), &reason));
    }
    Ok((Account::Dynamic, Some(format!("DynamicUser=yes: {reason}; --user says otherwise"))))
}

/// Debian's user for web servers.
const WEB_USER: &str = "www-data";
