//! Where the store lies when nobody says where.

use super::sha256;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The file of a server that works in this directory, by what its environment says.
///
/// systemd names the directory of the service (StateDirectory=). Elsewhere it is one below the user's state
/// directory (XDG Base Directory Specification), named for the server's directory: two sites of one user must not
/// share their sessions. Without any it is a hidden file in the server's directory.
pub fn default_file(directory: &Path, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let path = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // systemd.exec(5): several directories are separated by colons.
    let services = variable("STATE_DIRECTORY").and_then(|list| std::env::split_paths(&list).next());
    if let Some(state) = services.filter(|path| path.is_absolute()) {
        return state.join("auth.db");
    }
    match path("XDG_STATE_HOME").or_else(|| path("HOME").map(|home| home.join(".local/state"))) {
        Some(state) => state.join("ferricorn").join(own_name(directory)).join("auth.db"),
        None => directory.join(".ferricorn-auth.db"),
    }
}

/// The directory's name, and of its whole path what tells it from others of that name.
fn own_name(directory: &Path) -> String {
    let last = directory.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy());
    let plain: String =
        last.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').take(40).collect();
    let hash = sha256(&[directory.as_os_str().as_bytes()]);
    let digits: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{plain}-{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_services_or_the_users() {
        for (variables, expected) in [
            (&[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("HOME", "/home/u")][..], "/var/lib/a/auth.db"),
            (&[("XDG_STATE_HOME", "/x"), ("HOME", "/home/u")], "/x/ferricorn/my-site-e80778c1/auth.db"),
            (
                &[("XDG_STATE_HOME", "relative"), ("HOME", "/home/u")],
                "/home/u/.local/state/ferricorn/my-site-e80778c1/auth.db",
            ),
            (&[("STATE_DIRECTORY", "")], "/srv/my-site/.ferricorn-auth.db"),
        ] {
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| v.into());
            assert_eq!(default_file(Path::new("/srv/my-site"), variable), Path::new(expected));
        }
        assert_ne!(own_name(Path::new("/a/site")), own_name(Path::new("/b/site")));
        assert!(own_name(Path::new("/")).starts_with("root-"));
    }
}
