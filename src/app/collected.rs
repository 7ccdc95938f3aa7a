//! The files that a Django project has collected: whether they can be served unasked, and what to say if not.

use crate::config::mount_prefix;
use std::path::{Path, PathBuf};

/// What a project's settings say, DEBUG being off and STATIC_ROOT set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// STATIC_URL
    pub url: String,
    /// STATIC_ROOT
    pub root: PathBuf,
    /// MEDIA_ROOT: what users have uploaded, which nobody serves unasked.
    pub media: Option<PathBuf>,
    /// The file of the settings module.
    pub settings: Option<PathBuf>,
}

/// What becomes of a project's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They are served under this prefix.
    Serve(String),
    /// They are served elsewhere: STATIC_URL names another host.
    Leave,
    /// They cannot be served; the text says why and what to do.
    Refuse(String),
}

impl Collection {
    /// Looks at the directory, and decides.
    pub fn judge(&self) -> Verdict {
        if !self.url.starts_with('/') || self.url.starts_with("//") {
            return Verdict::Leave;
        }
        let prefix = match mount_prefix(&self.url) {
            Ok(prefix) if prefix != "/" => prefix,
            // At "/" the files would hide the project.
            Ok(_) => {
                return Verdict::Refuse(format!("STATIC_URL is {:?}, where the project itself is", self.url));
            }
            Err(problem) => return Verdict::Refuse(format!("STATIC_URL: {problem}")),
        };
        let is_filled = std::fs::read_dir(&self.root).is_ok_and(|mut entries| entries.next().is_some());
        if !is_filled {
            return Verdict::Refuse(format!(
                "STATIC_ROOT ({}) is missing or empty; run `python manage.py collectstatic`",
                self.root.display()
            ));
        }
        if self.holds(self.settings.as_deref()) {
            return Verdict::Refuse(format!(
                "STATIC_ROOT ({}) holds the project's own code; give it a directory of its own",
                self.root.display()
            ));
        }
        if self.holds(self.media.as_deref()) {
            return Verdict::Refuse(format!(
                "STATIC_ROOT ({}) holds MEDIA_ROOT; keep uploads outside of it",
                self.root.display()
            ));
        }
        Verdict::Serve(prefix)
    }

    /// Whether a path, links followed, lies in the directory or is it.
    fn holds(&self, path: Option<&Path>) -> bool {
        let (Some(path), Ok(root)) = (path, self.root.canonicalize()) else { return false };
        path.canonicalize().is_ok_and(|path| path.starts_with(root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(change: impl FnOnce(&mut Collection, &Path)) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("collected");
        std::fs::create_dir_all(root.join("media")).unwrap();
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        std::fs::write(folder.path().join("settings.py"), "").unwrap();
        let settings = Some(folder.path().join("settings.py"));
        let mut collection = Collection { url: "/static/".into(), root, media: None, settings };
        change(&mut collection, folder.path());
        collection.judge()
    }

    #[test]
    fn collected_files_are_served_where_the_project_links_to_them() {
        assert_eq!(judged(|_, _| {}), Verdict::Serve("/static".into()));
        assert_eq!(judged(|collection, _| collection.url = "/a/b/".into()), Verdict::Serve("/a/b".into()));
        let media =
            |collection: &mut Collection, folder: &Path| collection.media = Some(folder.join("uploads"));
        assert_eq!(judged(media), Verdict::Serve("/static".into()));
    }

    #[test]
    fn files_of_another_host_are_left_to_it() {
        for url in ["https://cdn.example/static/", "//cdn.example/static/"] {
            assert_eq!(judged(|collection, _| collection.url = url.into()), Verdict::Leave, "{url}");
        }
    }

    #[test]
    fn what_nobody_should_see_is_never_served() {
        let refused = |change: fn(&mut Collection, &Path), part: &str| {
            let Verdict::Refuse(reason) = judged(change) else { panic!("{part}") };
            assert!(reason.contains(part), "{reason}");
        };
        refused(|collection, _| collection.url = "/".into(), "where the project itself is");
        refused(|collection, _| collection.url = "/a//b/".into(), "STATIC_URL");
        refused(|collection, folder| collection.root = folder.join("missing"), "collectstatic");
        refused(|collection, folder| collection.root = folder.join("empty"), "collectstatic");
        refused(|collection, folder| collection.root = folder.to_owned(), "own code");
        refused(|collection, _| collection.media = Some(collection.root.join("media")), "MEDIA_ROOT");
        refused(|collection, _| collection.media = Some(collection.root.clone()), "MEDIA_ROOT");
    }
}
