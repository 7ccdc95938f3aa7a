//! Where the service must be able to write.

use crate::config::{BindAddress, Config, LogTarget};
use std::path::{Component, Path, PathBuf};

/// The directories of a service: what systemd makes for it, and what it must leave writable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Writable {
    /// Names below /run, made at each start.
    pub(super) runtime: Vec<String>,
    /// Names below /var/log.
    pub(super) logs: Vec<String>,
    /// Directories that are there.
    pub(super) paths: Vec<PathBuf>,
}

impl Writable {
    /// What the server itself writes; `name` is the service's.
    pub(super) fn of_server(name: &str, config: &Config, directory: &Path) -> Self {
        let mut writable = Self::default();
        writable.add_runtime(name);
        for address in &config.server.bind {
            match address {
                BindAddress::Unix(path) => writable.add_parent(name, &directory.join(path)),
                BindAddress::Tcp { .. } | BindAddress::Inherited(_) => {}
            }
        }
        for target in [&config.log.error, &config.log.access] {
            match target {
                LogTarget::File(path) => writable.add_parent(name, &directory.join(path)),
                LogTarget::Off | LogTarget::Stdout | LogTarget::Stderr => {}
            }
        }
        if let Some(path) = &config.server.pid_file {
            writable.add_parent(name, &directory.join(path));
        }
        writable
    }

    /// Adds a directory, unless systemd makes it for this service anyway or one above it is there.
    pub(super) fn add(&mut self, name: &str, path: &Path) {
        let path = path.components().collect::<PathBuf>();
        match top(&path) {
            Some((Root::Run, top)) => self.add_runtime(&top),
            Some((Root::Log, top)) if top == name => self.logs = vec![top],
            // StateDirectory=NAME is in every unit.
            Some((Root::Lib, top)) if top == name => {}
            Some((Root::Log | Root::Lib, _)) | None => {
                if !self.paths.iter().any(|there| path.starts_with(there)) {
                    self.paths.retain(|there| !there.starts_with(&path));
                    self.paths.push(path);
                }
            }
        }
    }

    fn add_parent(&mut self, name: &str, path: &Path) {
        if let Some(parent) = path.parent() {
            self.add(name, parent);
        }
    }

    fn add_runtime(&mut self, name: &str) {
        if !self.runtime.iter().any(|there| there == name) {
            self.runtime.push(name.to_owned());
        }
    }
}

/// Where systemd makes directories for services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Run,
    Log,
    Lib,
}

/// The directory right below one of the roots that a path is in.
fn top(path: &Path) -> Option<(Root, String)> {
    let roots =
        [("/run", Root::Run), ("/var/run", Root::Run), ("/var/log", Root::Log), ("/var/lib", Root::Lib)];
    roots.iter().find_map(|(root, kind)| match path.strip_prefix(root).ok()?.components().next()? {
        Component::Normal(top) => Some((*kind, top.to_str()?.to_owned())),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;
    use crate::config::{Sources, load};

    #[test]
    fn the_server_writes_sockets_logs_and_its_pid() {
        let flags = Flags {
            bind: vec!["unix:/run/web/http.sock".into(), ":80".into()],
            error_logfile: Some("/var/log/site/error.log".into()),
            access_logfile: Some("logs/access.log".into()),
            pid: Some("/run/site/pid".into()),
            ..Flags::default()
        };
        let config = load(&Sources { flags, ..Sources::default() }).unwrap().config;
        let expected = Writable {
            runtime: vec!["site".into(), "web".into()],
            logs: vec!["site".into()],
            paths: vec!["/srv/x/logs".into()],
        };
        assert_eq!(Writable::of_server("site", &config, Path::new("/srv/x")), expected);
    }

    #[test]
    fn directories_within_others_are_not_repeated() {
        let mut writable = Writable::default();
        for path in
            ["/srv/a/media", "/srv/a/media/x", "/var/lib/site/db", "/var/lib/other", "/srv/a/", "/srv/ab"]
        {
            writable.add("site", Path::new(path));
        }
        let expected = ["/var/lib/other", "/srv/a", "/srv/ab"].map(PathBuf::from);
        assert_eq!(writable.paths, expected);
    }
}
