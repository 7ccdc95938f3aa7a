//! Reads the configuration from all its sources, in their order.

use super::build::{Assignment, Build};
use super::discover::{Discovery, discover};
use super::errors::{ConfigErrors, Origin, Origins, Problem};
use super::flags::Flags;
use super::schema::{AUTH_KEYS, Change, MountDraft, ROOT_KEYS};
use super::{AppTarget, Config, FileRules, Mount, check, environment, files, schema, value};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Everything a configuration is made of; nothing else has a part in it.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The defaults: [`Config::default`], or those of the program that embeds the server.
    pub base: Config,
    /// The file's name, for messages, and its text.
    pub file: Option<(PathBuf, String)>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The command line.
    pub flags: Flags,
    /// Where the server was started: what a relative `server.chdir` is relative to.
    pub directory: PathBuf,
}

/// A configuration and where its values came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where its values were set.
    pub origins: Origins,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// What is served though nobody has named it; `None` where an app is named.
    pub found: Option<String>,
}

/// Makes the configuration: default < file < environment < flag.
///
/// `PORT`, `WEB_CONCURRENCY` and `FORWARDED_ALLOW_IPS` replace defaults, as with Gunicorn: the file wins over them.
/// Pure: what the configuration names in the file system is not looked at.
///
/// # Errors
/// Everything that is wrong, at once. Nothing of the configuration should be used.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let (loaded, problems) = assemble(sources)?;
    ConfigErrors::check(problems)?;
    Ok(loaded)
}

/// Makes the configuration as far as it can be made, and says what is wrong with it.
fn assemble(sources: &Sources) -> Result<(Loaded, Vec<Problem>), ConfigErrors> {
    let base = sources.base.clone();
    let mut build = Build { config: base.clone(), base, ..Build::default() };
    if let Some((path, text)) = &sources.file {
        // What stands behind a syntax error cannot be told: nothing else is reported.
        build.file(&value::parse(path, text)?);
    }
    let mut later = environment::assignments(&sources.environment, &mut build.problems);
    later.extend(sources.flags.assignments());
    let set_later = |path: &str| later.iter().any(|assignment: &Assignment| assignment.path == path);
    for assignment in environment::defaults(&sources.environment) {
        let path = assignment.path.as_str();
        let failed = build.problems.iter().any(|problem| problem.key == path);
        if *build.origins.exact(path) == Origin::Default && !failed && !set_later(path) {
            build.assign(&assignment);
        }
    }
    for assignment in &later {
        build.assign(assignment);
    }
    build.problems.extend(sources.flags.worker_class_problem());
    apps_from_flags(&mut build, &sources.flags);
    if let Some(directory) = &mut build.config.server.chdir {
        *directory = sources.directory.join(&*directory);
    }
    check::contradictions(&mut build);
    let file = sources.file.as_ref().map(|(path, _)| path.clone());
    Ok((Loaded { config: build.config, origins: build.origins, file, found: None }, build.problems))
}

/// The positional APP, `--static` and `--env`.
fn apps_from_flags(build: &mut Build, flags: &Flags) {
    if let Some(target) = &flags.app {
        let origin = Origin::Flag("APP".into());
        match schema::app_target(target) {
            Ok(target) => mount(build, "/".into(), target, &origin),
            Err(message) => build.problem(&origin, "", message),
        }
    }
    let origin = Origin::Flag("--static".into());
    for (prefix, directory) in flags.directories(&mut build.problems) {
        match schema::mount_prefix(&prefix) {
            Ok(_) if directory.is_empty() => {
                build.problem(&origin, "", format!("{prefix}= names no directory; write {prefix}=DIRECTORY"))
            }
            Ok(prefix) => mount(build, prefix, AppTarget::Static(directory.into()), &origin),
            Err(message) => build.problem(&origin, "", message),
        }
    }
    let variables = flags.variables(&mut build.problems);
    for (number, app) in build.config.apps.iter_mut().enumerate().filter(|_| !variables.is_empty()) {
        app.env.extend(variables.clone());
        build.origins.set(format!("app[{number}].env"), Origin::Flag("--env".into()));
    }
    if let Some((interface, origin)) = flags.interface(&mut build.problems) {
        let python = |app: &Mount| matches!(app.target, AppTarget::Python(_));
        for (number, app) in build.config.apps.iter_mut().enumerate().filter(|(_, app)| python(app)) {
            app.interface = interface;
            build.origins.set(format!("app[{number}].interface"), origin.clone());
        }
    }
}

/// Puts an app in the place of the one with this prefix, whose environment it inherits, or adds it.
fn mount(build: &mut Build, prefix: String, target: AppTarget, origin: &Origin) {
    let apps = &mut build.config.apps;
    let everywhere = |app: &Mount| app.hosts.is_empty() && app.mount == prefix;
    let number = apps.iter().position(everywhere).unwrap_or(apps.len());
    let at = format!("app[{number}]");
    let key = if matches!(target, AppTarget::Static(_)) { "static" } else { "target" };
    match apps.get_mut(number) {
        Some(app) => {
            // They are about a directory that is not served any more.
            if key == "target" {
                app.files = FileRules::default();
            }
            app.target = target;
        }
        None => {
            apps.push(Mount { mount: prefix, target, ..Mount::blank() });
            build.origins.set(format!("{at}.mount"), origin.clone());
            build.origins.set(at.as_str(), origin.clone());
        }
    }
    build.origins.set(format!("{at}.{key}"), origin.clone());
}

/// Whether the app at "/" is more than the default.
fn names_app(origins: &Origins) -> bool {
    ["app[0]", "app[0].target", "app[0].static"].iter().any(|key| *origins.exact(key) != Origin::Default)
}

impl Mount {
    pub(super) fn blank() -> Self {
        let MountDraft { hosts, mount, env_file, env, files, interface, request_content, .. } =
            MountDraft::default();
        let target = AppTarget::Native("hello".into());
        Self { hosts, mount, target, env_file, env, files, interface, request_content }
    }
}

/// Reads the configuration anew, from the same file and with the same environment and flags.
#[derive(Debug, Clone)]
pub struct Reloader {
    base: Config,
    default_file: DefaultFile,
    flags: Flags,
    environment: BTreeMap<String, String>,
    directory: PathBuf,
    /// What was read last.
    read: Option<(PathBuf, String)>,
    /// What is taken once in the place of the file.
    pinned: Option<Option<(PathBuf, String)>>,
    /// Whether the working directory is looked into when no app is named.
    looks_for_app: bool,
}

impl Reloader {
    /// Keeps these flags, this process's environment and the current directory, the latter by the name that the
    /// shell or the service manager has given it: a symbolic link in it is followed anew at each reload.
    ///
    /// # Errors
    /// When the current directory is not there any more.
    pub fn new(flags: Flags) -> std::io::Result<Self> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        let environment = std::env::vars_os().filter_map(text).collect();
        Ok(Self::with(flags, environment, start_directory()?))
    }

    /// The same with everything given.
    pub fn with(flags: Flags, environment: BTreeMap<String, String>, directory: PathBuf) -> Self {
        let (base, default_file) = (Config::default(), DefaultFile::Read);
        let looks_for_app = false;
        Self { base, default_file, flags, environment, directory, read: None, pinned: None, looks_for_app }
    }

    /// For one file, or none, without any flag.
    pub fn for_file(
        file: Option<PathBuf>,
        environment: BTreeMap<String, String>,
        directory: PathBuf,
    ) -> Self {
        Self::with(Flags { config: file, ..Flags::default() }, environment, directory)
    }

    /// The same over other defaults.
    pub fn over(self, base: Config) -> Self {
        Self { base, ..self }
    }

    /// The same without `ferricorn.toml`, unless a file is named.
    pub fn without_default_file(self) -> Self {
        Self { default_file: DefaultFile::Ignore, ..self }
    }

    /// The same, but where no app is named it is looked for in the working directory.
    pub fn looking_for_app(self) -> Self {
        Self { looks_for_app: true, ..self }
    }

    /// Where relative paths start.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The same, but the next time it takes this in the place of what the file holds, and does not look at the files that
    /// are named in it: another process has just done so.
    pub fn pinned(self, file: Option<(PathBuf, String)>) -> Self {
        Self { pinned: Some(file), ..self }
    }

    /// The file that was read last, and what it held; `None` where there is none.
    pub fn last_read(&self) -> Option<&(PathBuf, String)> {
        self.read.as_ref()
    }

    /// Reads the file, makes the configuration and looks at the files it names.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(&mut self) -> Result<Loaded, ConfigErrors> {
        let pinned = self.pinned.take();
        let is_pinned = pinned.is_some();
        self.read = match pinned {
            Some(file) => file,
            None => self.file()?,
        };
        let sources = Sources {
            base: self.base.clone(),
            file: self.read.clone(),
            environment: self.environment.clone(),
            flags: self.flags.clone(),
            directory: self.directory.clone(),
        };
        let (mut loaded, mut problems) = assemble(&sources)?;
        if self.looks_for_app && problems.is_empty() && !names_app(&loaded.origins) {
            problems.extend(self.find_app(&mut loaded));
        }
        if !is_pinned {
            problems.extend(files::problems(&loaded, &self.directory, &problems));
        }
        ConfigErrors::check(problems)?;
        Ok(loaded)
    }

    /// Serves the app of the working directory, if there is one; what is wrong is that it cannot be told which.
    fn find_app(&self, loaded: &mut Loaded) -> Option<Problem> {
        let demo = loaded.config.apps.first_mut()?;
        let is_set = |name: &str| self.environment.contains_key(name) || demo.env.contains_key(name);
        let directory = loaded.config.server.chdir.as_deref().unwrap_or(&self.directory);
        match discover(directory, is_set) {
            Discovery::Found { mut mount, what } => {
                // The variables of --env.
                mount.env.append(&mut demo.env);
                *demo = *mount;
                loaded.found = Some(what);
                None
            }
            none @ (Discovery::Several(_)
            | Discovery::Unsettled(_)
            | Discovery::Below(_)
            | Discovery::Nothing) => {
                let message = none.problem(&self.directory)?;
                Some(Problem::new(&Origin::Default, "", message))
            }
        }
    }

    /// The configuration as it stands now.
    ///
    /// # Errors
    /// Everything that is wrong: go on with the old configuration.
    pub fn reload(&mut self) -> Result<Config, ConfigErrors> {
        self.load().map(|loaded| loaded.config)
    }

    /// The named file, which must be there, or the default one, which need not.
    fn file(&self) -> Result<Option<(PathBuf, String)>, ConfigErrors> {
        let named = match (&self.flags.config, self.environment.get(environment::FILE_VARIABLE)) {
            (Some(path), _) => Some((path.clone(), Origin::Flag("--config".into()))),
            (None, Some(path)) if !path.is_empty() => {
                Some((path.into(), Origin::Environment(environment::FILE_VARIABLE.into())))
            }
            _ => None,
        };
        if named.is_none() && self.default_file == DefaultFile::Ignore {
            return Ok(None);
        }
        let (path, origin) = named.clone().unwrap_or_else(|| (DEFAULT_FILE.into(), Origin::Default));
        match std::fs::read_to_string(self.directory.join(&path)) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => Ok(None),
            Err(error) => {
                let message = format!("{}: cannot be read: {error}", path.display());
                Err(ConfigErrors::one(Problem::new(&origin, "", message)))
            }
        }
    }
}

/// Whether `ferricorn.toml` is read when no file is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DefaultFile {
    Read,
    Ignore,
}

/// Which keys differ between two configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys whose change a reload takes.
    pub reloaded: Vec<String>,
    /// Keys whose change waits for the next start.
    pub restart: Vec<String>,
}

impl Changes {
    /// Compares the configuration that runs with a new one.
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut changes = Self::default();
        for key in ROOT_KEYS.iter().filter(|key| (key.show)(old) != (key.show)(new)) {
            match key.change {
                Change::Reload => changes.reloaded.push(key.path.into()),
                Change::Restart => changes.restart.push(key.path.into()),
            }
        }
        match (&old.auth, &new.auth) {
            (Some(old), Some(new)) => {
                let changed = AUTH_KEYS.iter().filter(|key| (key.show)(old) != (key.show)(new));
                changes.reloaded.extend(changed.map(|key| format!("auth.{}", key.path)));
                let lists = [
                    ("auth.provider", old.providers != new.providers),
                    ("auth.route", old.routes != new.routes),
                ];
                changes
                    .reloaded
                    .extend(lists.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.into()));
            }
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => changes.reloaded.push("auth".into()),
        }
        let lists = [("app", old.apps != new.apps), ("route", old.routes != new.routes)];
        changes.reloaded.extend(lists.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.into()));
        changes
    }
}

/// `PWD` where it names the current directory (POSIX, pwd -L), else its name without symbolic links.
fn start_directory() -> std::io::Result<PathBuf> {
    let current = std::env::current_dir()?;
    let named = std::env::var_os("PWD").map(PathBuf::from).filter(|named| named.is_absolute());
    let is_same = |named: &PathBuf| std::fs::canonicalize(named).is_ok_and(|real| real == current);
    Ok(named.filter(is_same).unwrap_or(current))
}

/// Where a relative path of this configuration starts.
pub(super) fn base<'a>(config: &'a Config, directory: &'a Path) -> &'a Path {
    config.server.chdir.as_deref().unwrap_or(directory)
}

/// Read from the working directory when no file is named.
const DEFAULT_FILE: &str = "ferricorn.toml";
