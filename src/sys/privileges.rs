//! Users and groups: looking them up, becoming them, giving files to them.

use nix::unistd::{Gid, Group, Uid, User};
use std::ffi::CString;
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
    // Supplementary groups first: they need the privilege that goes with the user (setgroups(2)).
    match account.as_ref().and_then(|account| account.name.as_deref()) {
        Some(name) if Uid::effective().is_root() => nix::unistd::initgroups(name, gid)?,
        None if Uid::effective().is_root() => nix::unistd::setgroups(&[gid])?,
        Some(_) | None => {}
    }
    nix::unistd::setresgid(gid, gid, gid)?;
    if let Some(account) = account {
        nix::unistd::setresuid(account.uid, account.uid, account.uid)?;
        verify_no_way_back(account.uid, gid)?;
    }
    Ok(())
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

/// Tries to become root again, which must fail.
fn verify_no_way_back(uid: Uid, gid: Gid) -> io::Result<()> {
    let user = nix::unistd::getresuid()?;
    let group = nix::unistd::getresgid()?;
    let changed = [user.real, user.effective, user.saved].iter().all(|id| *id == uid)
        && [group.real, group.effective, group.saved].iter().all(|id| *id == gid);
    let root = Uid::from_raw(0);
    if !changed || (!uid.is_root() && nix::unistd::setresuid(root, root, root).is_ok()) {
        return Err(io::Error::other("privileges could not be given up for good"));
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
