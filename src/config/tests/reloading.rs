//! Reading from the file system: what must be there, and reading it again.

use crate::config::{Flags, Loaded, Reloader, WorkerCount};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ferricorn-config-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn reloader(&self, flags: Flags, environment: &[(&str, &str)]) -> Reloader {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Reloader::with(flags, environment.iter().map(pair).collect(), self.0.clone())
    }

    fn load(&self) -> Result<Loaded, String> {
        self.reloader(Flags::default(), &[]).load().map_err(|errors| errors.to_string())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_default_file_may_be_missing_and_a_named_one_may_not() {
    let directory = Directory::new("named");
    assert_eq!(directory.load().unwrap().file, None);
    let named = Flags { config: Some("other.toml".into()), ..Flags::default() };
    let errors = directory.reloader(named.clone(), &[]).load().unwrap_err().to_string();
    assert!(errors.starts_with("flag --config: other.toml: cannot be read"), "{errors}");
    let variable = [("FERRICORN_CONFIG", "other.toml")];
    let errors = directory.reloader(Flags::default(), &variable).load().unwrap_err().to_string();
    assert!(errors.starts_with("env FERRICORN_CONFIG: other.toml: cannot be read"), "{errors}");
    directory.write("other.toml", "workers.count = 3\n");
    for mut reloader in [directory.reloader(named, &[]), directory.reloader(Flags::default(), &variable)] {
        assert_eq!(reloader.reload().unwrap().workers.count, WorkerCount::Exactly(3));
    }
}

#[test]
fn a_reload_reads_anew_under_the_same_flags() {
    let directory = Directory::new("anew");
    directory.write("ferricorn.toml", "workers.count = 2\nserver.backlog = 10\n");
    let flags = Flags { workers: Some("7".into()), ..Flags::default() };
    let mut reloader = directory.reloader(flags, &[]);
    assert_eq!(reloader.reload().unwrap().server.backlog, 10);
    directory.write("ferricorn.toml", "workers.count = 3\nserver.backlog = 20\n");
    let config = reloader.reload().unwrap();
    assert_eq!((config.server.backlog, config.workers.count), (20, WorkerCount::Exactly(7)));
    directory.write("ferricorn.toml", "workers.count = \n");
    assert!(reloader.reload().unwrap_err().to_string().starts_with("ferricorn.toml:1: "));
}

#[test]
fn everything_that_is_named_must_be_there() {
    let directory = Directory::new("there");
    directory.write("file", "");
    directory.write("bad.env", "A=1\nB\n");
    directory.write(
        "ferricorn.toml",
        "[server]\npid_file = \"no/x.pid\"\nbacklog = 0\n[log]\naccess = \"no/access.log\"\n[python]\npath = [\"no\"]\n\
         [[app]]\nmount = \"/a\"\nstatic = \"no\"\n[[app]]\nmount = \"/b\"\nstatic = \"file\"\n\
         [[app]]\ntarget = \"hello\"\nenv_file = \"no.env\"\n[[app]]\nmount = \"/c\"\ntarget = \"echo\"\n\
         env_file = \"bad.env\"\n\
         [auth]\n[[auth.provider]]\nname = \"a\"\njwks_file = \"no.json\"\n[[auth.provider.key]]\nalg = \"HS256\"\n\
         secret_file = \"no.key\"\n[[auth.route]]\nprefix = \"/\"\nrequire = \"a\"\n",
    );
    let errors = directory.load().unwrap_err();
    let keys: Vec<&str> = errors.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    let expected = [
        "server.pid_file",
        "app[3].env_file",
        "server.backlog",
        "log.access",
        "python.path",
        "app[0].static",
        "app[1].static",
        "app[2].env_file",
        "auth.provider[0].jwks_file",
        "auth.provider[0].key[0].secret_file",
    ];
    assert_eq!(keys, expected, "{errors}");
    assert!(errors.contains("ferricorn.toml:10: app[0].static: the directory no cannot be used"), "{errors}");
    assert!(errors.contains("bad.env:2: app[3].env_file: the line is not of the form"), "{errors}");
}

#[test]
fn relative_paths_start_in_the_working_directory_of_the_app() {
    let directory = Directory::new("chdir");
    std::fs::create_dir_all(directory.0.join("site/files")).unwrap();
    directory.write("site/x.env", "A=file\nB=file\n");
    directory.write(
        "ferricorn.toml",
        "server.chdir = \"site\"\n[[app]]\nstatic = \"files\"\nenv_file = \"x.env\"\nenv = { B = \"here\" }\n",
    );
    let config = directory.load().unwrap().config;
    let base = config.server.chdir.clone().unwrap();
    assert!(base.ends_with("site") && base.is_absolute());
    let expected = [("A", "file"), ("B", "here")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(config.apps[0].environment(&base).unwrap(), BTreeMap::from(expected));
    assert!(config.apps[0].environment(Path::new("/")).is_err());
}
