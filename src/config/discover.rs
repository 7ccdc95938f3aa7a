//! The app of a directory, where nobody has named one: by what frameworks and their tutorials call it.
//!
//! The text of the files alone is looked at, as none of it may run in this process.

use super::{AppTarget, Mount};
use std::path::{Path, PathBuf};

/// What a directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Discovery {
    /// One app, and how to say what it is.
    Found { mount: Box<Mount>, what: String },
    /// Files of which each could be meant, each with its app.
    Several(Vec<String>),
    /// A Django project whose manage.py does not settle which settings are meant: those that it names.
    Unsettled(Vec<String>),
    /// None, but directories of Django projects.
    Below(Vec<PathBuf>),
    /// Nothing.
    Nothing,
}

impl Discovery {
    /// Why nothing can be served yet, and what to do, where that is so; paths are told from `directory` on.
    pub(super) fn problem(&self, directory: &Path) -> Option<String> {
        let example = |names: &[String]| names.first().cloned().unwrap_or_default();
        Some(match self {
            Self::Found { .. } | Self::Nothing => return None,
            Self::Several(targets) => format!(
                "no app is named, and {} could be meant; name one: ferricorn serve {}",
                targets.join(" and "),
                example(targets)
            ),
            Self::Unsettled(names) if names.len() > 1 => format!(
                "no app is named, and manage.py names several settings, {}; say which: ferricorn serve -e DJANGO_SETTINGS_MODULE={}",
                names.join(" and "),
                example(names)
            ),
            Self::Unsettled(names) => format!(
                "no app is named, and manage.py chooses its settings as it runs; say which: ferricorn serve -e DJANGO_SETTINGS_MODULE={}",
                names.first().map_or("MODULE", String::as_str)
            ),
            Self::Below(places) => {
                let told =
                    |place: &PathBuf| place.strip_prefix(directory).unwrap_or(place).display().to_string();
                let names: Vec<String> = places.iter().map(told).collect();
                format!(
                    "no app is named, and none is here, but a Django project in {}; serve it by: ferricorn serve --chdir {}",
                    names.join(" and in "),
                    example(&names)
                )
            }
        })
    }
}

/// Looks for an app. `is_set` says whether a variable is in the environment.
pub(super) fn discover(directory: &Path, is_set: impl Fn(&str) -> bool) -> Discovery {
    // A Django project has a wsgi.py, too, but in its package.
    if let Some(text) = read(directory, "manage.py").filter(|text| text.contains(SETTINGS)) {
        return django(&text, is_set);
    }
    for names in CANDIDATES {
        let mut found = names.iter().filter_map(|name| Some((name, callable_of(&read(directory, name)?)?)));
        let Some((name, callable)) = found.next() else { continue };
        let others: Vec<String> = found.map(|(name, callable)| target(name, callable)).collect();
        let first = target(name, callable);
        if !others.is_empty() {
            return Discovery::Several([vec![first], others].concat());
        }
        let mount = Mount { target: AppTarget::Python(first.clone()), ..Mount::blank() };
        return Discovery::Found { what: format!("the app {first} of {name}"), mount: Box::new(mount) };
    }
    let below = projects_below(directory);
    if below.is_empty() { Discovery::Nothing } else { Discovery::Below(below) }
}

/// Directories of this one that hold a Django project, as where a repository has the code in `src`.
fn projects_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let is_project = |path: &PathBuf| read(path, "manage.py").is_some_and(|text| text.contains(SETTINGS));
    let mut found: Vec<PathBuf> =
        entries.take(LOOKED_AT).flatten().map(|entry| entry.path()).filter(is_project).collect();
    found.sort();
    found
}

fn django(manage: &str, is_set: impl Fn(&str) -> bool) -> Discovery {
    let mut mount = Mount { target: AppTarget::Python(DJANGO.into()), ..Mount::blank() };
    let project = "the Django project of manage.py, with the settings";
    // The environment wins, as it does with manage.py.
    if is_set(SETTINGS) {
        return Discovery::Found { mount: Box::new(mount), what: format!("{project} that {SETTINGS} names") };
    }
    match settings_of(manage).as_slice() {
        [Some(settings)] => {
            mount.env.insert(SETTINGS.into(), (*settings).into());
            Discovery::Found { mount: Box::new(mount), what: format!("{project} {settings}") }
        }
        named => Discovery::Unsettled(named.iter().flatten().map(|name| (*name).to_owned()).collect()),
    }
}

/// What `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")` says, on one line or on several, as formatters break it;
/// or an assignment; each once. `None` where it is computed.
fn settings_of(manage: &str) -> Vec<Option<&str>> {
    let named = manage.match_indices(SETTINGS).filter_map(|(at, _)| {
        let (before, behind) = (&manage[..at], &manage[at + SETTINGS.len()..]);
        let is_comment = before.rsplit('\n').next()?.trim_start().starts_with('#');
        let before = before.strip_suffix(['"', '\''])?.trim_end();
        let behind = behind.strip_prefix(['"', '\''])?.trim_start();
        let value = if before.ends_with("setdefault(") {
            behind.strip_prefix(',')
        } else if before.ends_with("environ[") {
            behind.strip_prefix(']')?.trim_start().strip_prefix('=').filter(|value| !value.starts_with('='))
        } else {
            None
        }?;
        (!is_comment).then(|| literal(value.trim_start()))
    });
    let mut once = Vec::new();
    for name in named {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once
}

/// The name of a module that stands in quotes, and alone.
fn literal(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let (name, behind) = text[1..].split_once(quote)?;
    let is_module = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    // Not the beginning of a longer expression.
    let is_whole = behind.trim_start_matches([' ', '\t', ',']).starts_with([')', '\n', '\r', '#', ';']);
    (is_module && (is_whole || behind.is_empty())).then_some(name)
}

/// What a module calls its app, as far as its text tells: a name that it assigns or imports, or a factory.
fn callable_of(text: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|name| text.lines().any(|line| defines(line, name))).or_else(|| {
        FACTORIES.into_iter().find(|factory| {
            let head = factory.trim_end_matches(')');
            text.lines().any(|line| line.strip_prefix("def ").is_some_and(|rest| rest.starts_with(head)))
        })
    })
}

fn defines(line: &str, name: &str) -> bool {
    if let Some(rest) = line.strip_prefix(name) {
        let rest = rest.trim_start();
        return rest.starts_with(':') || rest.starts_with('=') && !rest.starts_with("==");
    }
    let words = |text: &str, separator: fn(char) -> bool| {
        text.split(separator).any(|word| word.rsplit(" as ").next().unwrap_or(word).trim() == name)
    };
    if let Some((_, imported)) = line.strip_prefix("from ").and_then(|rest| rest.split_once(" import ")) {
        return words(imported, |c| matches!(c, ',' | '(' | ')'));
    }
    let defined = ["def ", "async def ", "class "].iter().find_map(|keyword| line.strip_prefix(keyword));
    defined.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with(['(', ':']))
}

fn target(file: &str, callable: &str) -> String {
    format!("{}:{callable}", file.trim_end_matches(".py"))
}

fn read(directory: &Path, name: &str) -> Option<String> {
    let path = directory.join(name);
    let is_short = std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= LONGEST);
    if is_short { std::fs::read_to_string(path).ok() } else { None }
}

/// What those who serve name so comes before what may be anything.
const CANDIDATES: [&[&str]; 2] = [&["wsgi.py", "asgi.py"], &["app.py", "main.py"]];
const NAMES: [&str; 2] = ["application", "app"];
/// Those that `flask run` knows.
const FACTORIES: [&str; 2] = ["create_app()", "make_app()"];
/// Does what the settings say; see `python/ferricorn/django_project.py`.
const DJANGO: &str = "ferricorn.django_project:application()";
const SETTINGS: &str = "DJANGO_SETTINGS_MODULE";
/// Modules that say what the app is are short.
const LONGEST: u64 = 1 << 20;
/// Entries of a directory that are looked at for projects: a repository has fewer at its top.
const LOOKED_AT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a directory with these files holds, as text.
    fn play(name: &str, files: &[(&str, &str)]) -> String {
        let directory =
            std::env::temp_dir().join(format!("ferricorn-discover-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for (file, text) in files {
            let path = directory.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = discover(&directory, |variable| variable == SETTINGS && name.contains("set"));
        std::fs::remove_dir_all(&directory).unwrap();
        match found {
            Discovery::Found { mount, .. } => match mount.target {
                AppTarget::Python(target) => format!("{target} {:?}", mount.env.values().collect::<Vec<_>>()),
                AppTarget::Native(_) | AppTarget::Static(_) => panic!("no Python app"),
            },
            Discovery::Several(targets) => format!("several: {}", targets.join(", ")),
            Discovery::Unsettled(names) => format!("one of {names:?}"),
            Discovery::Below(places) => {
                let names = places.iter().filter_map(|place| place.strip_prefix(&directory).ok()?.to_str());
                format!("below: {}", names.collect::<Vec<_>>().join(", "))
            }
            Discovery::Nothing => "nothing".into(),
        }
    }

    const MANAGE: &str =
        "import os\ndef main():\n    os.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", 'my_site.settings')\n";

    #[test]
    fn a_django_project_is_known_by_its_manage_py() {
        let django = "ferricorn.django_project:application()";
        assert_eq!(play("django", &[("manage.py", MANAGE)]), format!("{django} [\"my_site.settings\"]"));
        assert_eq!(play("django-set", &[("manage.py", MANAGE)]), format!("{django} []"));
        let with_app = [("manage.py", MANAGE), ("app.py", "app = 1\n")];
        assert_eq!(play("django-and-app", &with_app), format!("{django} [\"my_site.settings\"]"));
        let found = |settings: &str| format!("{django} [{settings:?}]");
        for (number, (manage, settings)) in [
            ("os.environ.setdefault(\n    'DJANGO_SETTINGS_MODULE',\n    'a.b',\n)\n", found("a.b")),
            ("os.environ['DJANGO_SETTINGS_MODULE'] = 'a.b'  # as ever\n", found("a.b")),
            ("# os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'old')\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'new')", found("new")),
            // Computed, or one of several: for the operator to say.
            ("os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'a.' + name)\n", "one of []".into()),
            ("os.environ.setdefault('DJANGO_SETTINGS_MODULE', f'a.{name}')\n", "one of []".into()),
            ("os.environ.setdefault('DJANGO_SETTINGS_MODULE', name)\n", "one of []".into()),
            ("s('DJANGO_SETTINGS_MODULE')\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'a.b')\n", found("a.b")),
            ("x.setdefault('DJANGO_SETTINGS_MODULE', 'a')\nx.setdefault('DJANGO_SETTINGS_MODULE', 'b')\n", "one of [\"a\", \"b\"]".into()),
            ("x.setdefault('DJANGO_SETTINGS_MODULE', 'a')\nos.environ['DJANGO_SETTINGS_MODULE'] = name\n", "one of [\"a\"]".into()),
            ("from site_paths import set_up  # sets DJANGO_SETTINGS_MODULE\n", "one of []".into()),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(play(&format!("django-{number}"), &[("manage.py", manage)]), settings, "{manage}");
        }
        let other = [("manage.py", "print('not Django')\n"), ("app.py", "app = 1\n")];
        assert_eq!(play("flask-manage", &other), "app:app []");
    }

    #[test]
    fn other_apps_are_known_by_the_names_that_tutorials_give() {
        for (number, (file, text, expected)) in [
            ("app.py", "app = Flask(__name__)\n", "app:app []"),
            ("app.py", "app: Flask = make()\n", "app:app []"),
            ("main.py", "app=FastAPI()\n", "main:app []"),
            ("wsgi.py", "from site import create as app\n", "wsgi:app []"),
            ("wsgi.py", "from site import (x, application)\n", "wsgi:application []"),
            ("app.py", "def application(environ, start_response):\n", "app:application []"),
            ("app.py", "async def app(scope, receive, send):\n", "app:app []"),
            ("app.py", "def create_app():\n    app = Flask()\n", "app:create_app() []"),
            ("app.py", "def create_app(settings=None):\n", "app:create_app() []"),
            ("app.py", "apple = 1\nif app == 2: pass\n    app = 3\nimport app\n", "nothing"),
            ("other.py", "app = 1\n", "nothing"),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(play(&format!("name-{number}"), &[(file, text)]), expected, "{text}");
        }
    }

    #[test]
    fn what_is_made_for_servers_wins_and_equals_are_all_named() {
        let both = [("wsgi.py", "from app import app\n"), ("app.py", "app = 1\n"), ("main.py", "app = 1\n")];
        assert_eq!(play("rank", &both), "wsgi:app []");
        assert_eq!(play("several", &both[1..]), "several: app:app, main:app");
        assert_eq!(play("nothing", &[]), "nothing");
        let below = [
            ("b/manage.py", MANAGE),
            ("a/manage.py", MANAGE),
            ("c/manage.py", ""),
            ("d/e/manage.py", MANAGE),
        ];
        assert_eq!(play("below", &below), "below: a, b");
    }
}
