//! Users and groups: looking them up, becoming them, giving files to them.

use nix::unistd::{Gid, Group, Uid, User};
use std::ffi::{CStr, CString};
use std::io;
use std::path::Path;

/// Becomes a user and group for good, both given as names or numbers.
///
/// A user without a group brings its own primary group; a named user brings its supplementary groups, a bare number or
/// a group alone brings none.
///
/// # Errors
/// `NotFound` when there is no such name; `PermissionDenied` when this process may not change; any error leaves a
/// process that must not go on.
pub fn drop_to(user: Option<&str>, group: Option<&str>) -> io::Result<()> {
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    let account = user.map(find_user).transpose()?;
    let gid = match (group, &account) {
        (Some(group), _) => find_group(group)?,
        (None, Some(Account { gid: Some(gid), .. })) => *gid,
        (None, Some(account)) => {
            let text = format!("user {} has no account, so its group must be given too", account.uid);
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        (None, None) => return Ok(()),
    };
    let privileged = |error: nix::Error| {
        if error != nix::Error::EPERM {
            return io::Error::from(error);
        }
        let text = "only root (or CAP_SETUID and CAP_SETGID) may become another user or group";
        io::Error::new(io::ErrorKind::PermissionDenied, text)
    };
    let name = account.as_ref().and_then(|account| account.name.as_deref());
    // Supplementary groups first: they need the privilege that goes with the user (setgroups(2)).
    let groups = Uid::effective().is_root().then(|| groups_of(name, gid)).transpose()?;
    if let Some(groups) = &groups {
        nix::unistd::setgroups(groups).map_err(privileged)?;
    }
    nix::unistd::setresgid(gid, gid, gid).map_err(privileged)?;
    if let Some(account) = &account {
        nix::unistd::setresuid(account.uid, account.uid, account.uid).map_err(privileged)?;
    }
    verify(account.map(|account| account.uid), gid, groups.as_deref())
}

/// The group and, for a named user, its supplementary ones.
fn groups_of(name: Option<&CStr>, gid: Gid) -> io::Result<Vec<Gid>> {
    match name {
        Some(name) => Ok(nix::unistd::getgrouplist(name, gid)?),
        None => Ok(vec![gid]),
    }
}

/// The number of a user given by name or number.
///
/// # Errors
/// `NotFound` when there is no such user.
pub fn user_id(user: &str) -> io::Result<u32> {
    Ok(find_user(user)?.uid.as_raw())
}

/// The name of a user, or its number where it has none.
///
/// # Errors
/// When the accounts cannot be read.
pub fn user_name(uid: u32) -> io::Result<String> {
    Ok(User::from_uid(Uid::from_raw(uid))?.map_or_else(|| uid.to_string(), |user| user.name))
}

/// The numbers of a user given by name or number, and of its own group.
///
/// # Errors
/// `NotFound` when there is no such account.
pub fn user_and_group(user: &str) -> io::Result<(u32, u32)> {
    let account = find_user(user)?;
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("user {user} has no account"));
    Ok((account.uid.as_raw(), account.gid.ok_or_else(missing)?.as_raw()))
}

/// The number of a group given by name or number.
///
/// # Errors
/// `NotFound` when there is no such group.
pub fn group_id(group: &str) -> io::Result<u32> {
    Ok(find_group(group)?.as_raw())
}

/// The user that this process acts as.
pub fn effective_user() -> u32 {
    Uid::effective().as_raw()
}

/// Gives a file to a user and group, given by number (chown(2)).
///
/// # Errors
/// `PermissionDenied` for most who are not root.
pub fn give(path: &Path, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    Ok(nix::unistd::chown(path, user.map(Uid::from_raw), group.map(Gid::from_raw))?)
}

struct Account {
    uid: Uid,
    gid: Option<Gid>,
    name: Option<CString>,
}

fn find_user(user: &str) -> io::Result<Account> {
    let number = user.parse().ok().map(Uid::from_raw);
    let found = match number {
        Some(uid) => User::from_uid(uid)?,
        None => User::from_name(user)?,
    };
    match (found, number) {
        (Some(found), _) => {
            let name = CString::new(found.name).ok();
            Ok(Account { uid: found.uid, gid: Some(found.gid), name })
        }
        (None, Some(uid)) => Ok(Account { uid, gid: None, name: None }),
        (None, None) => Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no user {user:?}"))),
    }
}

fn find_group(group: &str) -> io::Result<Gid> {
    if let Ok(number) = group.parse() {
        return Ok(Gid::from_raw(number));
    }
    let found = Group::from_name(group)?;
    found
        .map(|found| found.gid)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no group {group:?}")))
}

/// Looks whether all ids are as they should be, and tries to become root again, which must fail.
fn verify(uid: Option<Uid>, gid: Gid, groups: Option<&[Gid]>) -> io::Result<()> {
    let kept = |what: String| io::Error::other(format!("privileges could not be given up for good: {what}"));
    let group = nix::unistd::getresgid()?;
    if [group.real, group.effective, group.saved].iter().any(|id| *id != gid) {
        return Err(kept(format!("the group is still another one than {gid}")));
    }
    for left in nix::unistd::getgroups()? {
        if groups.is_some_and(|groups| !groups.contains(&left)) {
            return Err(kept(format!("group {left} is left")));
        }
    }
    let Some(uid) = uid else { return Ok(()) };
    let user = nix::unistd::getresuid()?;
    if [user.real, user.effective, user.saved].iter().any(|id| *id != uid) {
        return Err(kept(format!("the user is still another one than {uid}")));
    }
    let (root, root_group) = (Uid::from_raw(0), Gid::from_raw(0));
    if !uid.is_root() && nix::unistd::setresuid(root, root, root).is_ok() {
        return Err(kept("user 0 can still be taken".to_owned()));
    }
    if !uid.is_root()
        && gid != root_group
        && nix::unistd::setresgid(root_group, root_group, root_group).is_ok()
    {
        return Err(kept("group 0 can still be taken".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_understood() {
        assert_eq!(user_id("root").unwrap(), 0);
        assert_eq!(user_id("0").unwrap(), 0);
        assert_eq!(group_id("root").unwrap(), 0);
        assert_eq!(group_id("54321").unwrap(), 54321);
        assert_eq!(user_name(0).unwrap(), "root");
        assert_eq!(user_name(54321).unwrap(), "54321");
        assert_eq!(user_and_group("root").unwrap(), (0, 0));
        assert_eq!(user_and_group("54321").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(user_id("no-such-user").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(group_id("no-such-group").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_number_without_an_account_needs_a_group() {
        assert_eq!(drop_to(Some("54321"), None).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
