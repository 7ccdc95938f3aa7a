//! The structure of the source, as a test: who may import whom, and where the sharp tools are kept.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};

/// What each part of `src/` may name in `crate::…`, besides itself; a path allows all below it.
///
/// Imports go one way, from what decides little to what knows much. `config` is everybody's: it is
/// data without behaviour.
const ALLOWED: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("config", &[]),
    // A worker is handed its listening sockets at birth, so the handoff has to name their type.
    ("contract", &["sys", "config", "net::listeners"]),
    ("telemetry", &["sys", "config", "contract"]),
    ("net", &["sys", "config", "contract", "telemetry"]),
    ("auth", &["sys", "config", "contract", "telemetry"]),
    ("protocol", &["sys", "config", "contract", "telemetry", "net", "auth"]),
    ("app", &["sys", "config", "contract", "telemetry", "net", "auth", "protocol"]),
    ("router", &["sys", "config", "contract", "telemetry", "net", "auth", "protocol", "app"]),
    ("middleware", &["sys", "config", "contract", "telemetry", "net", "auth", "protocol", "app"]),
    (
        "pipeline",
        &["sys", "config", "contract", "telemetry", "net", "auth", "protocol", "app", "router", "middleware"],
    ),
    (
        "worker",
        &[
            "sys",
            "config",
            "contract",
            "telemetry",
            "net",
            "auth",
            "protocol",
            "app",
            "router",
            "middleware",
            "pipeline",
        ],
    ),
    // The master must never be able to enter an app or to read a byte of HTTP.
    (
        "master",
        &[
            "sys",
            "config",
            "contract",
            "telemetry",
            "net::listeners",
            "net::bind",
            "net::socket_files",
            "net::written",
        ],
    ),
    ("admin", &["sys", "config", "contract", "telemetry", "auth"]),
    // `serve` is where a command becomes a running server.
    ("cli", &["sys", "config", "contract", "telemetry", "auth", "serve"]),
];

/// The only places that put master, worker and command line together; `fuzzing` lists laws of all parts.
const ROOTS: &[&str] = &["lib", "main", "serve", "server", "fuzzing"];

/// Single files that may name more than their part may.
const EXCEPTIONS: &[(&str, &[&str])] = &[
    // The extension module is the wheel's `main`: it hands the arguments to the command line.
    ("app/python/module.rs", &["cli"]),
    // The layer is found where Rust programs look for it; it is made of what the server itself puts before its apps.
    ("auth/mod.rs", &["middleware::bearer::layer"]),
    // `check` makes the very checker that a worker would make, so that it finds what a worker would.
    ("cli/check.rs", &["middleware::bearer"]),
    // The one-thread server that native apps are compared with: the app and the protocol without the server around.
    ("cli/bench/accept_loop.rs", &["app", "net", "protocol", "cli"]),
];

/// Names that may stand only in files below these paths.
const KEPT: &[(&str, &[&str])] = &[
    ("unsafe", &["sys/", "sys.rs", "app/python/ffi.rs"]),
    ("libc", &["sys/", "sys.rs"]),
    ("nix", &["sys/", "sys.rs"]),
    ("socket2", &["sys/", "sys.rs"]),
    ("pyo3", &["app/python/", "app/python.rs"]),
];

/// What the master's decisions are made of, besides one another: messages and names, nothing that acts.
const DECIDED_FROM: &[&str] = &[
    "config",
    "contract",
    "master::decide",
    "master::event",
    "master::pool",
    "sys::process::Pid",
    "sys::signals::Signal",
    "sys::wait::WaitOutcome",
];

/// What has no place in a function whose answer hangs on its arguments alone.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "tracing",
];

const LONGEST_FILE: usize = 400;

#[test]
fn imports_go_one_way() {
    let wrong = findings(Path::new("src"), |file, code| {
        let module = module_of(file);
        if ROOTS.contains(&module.as_str()) {
            return Vec::new();
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else {
            return vec![format!("`{module}` is not in the table of imports")];
        };
        let exceptions = EXCEPTIONS.iter().filter(|(name, _)| *name == file).flat_map(|(_, more)| *more);
        let allowed: Vec<&str> = allowed.iter().chain(exceptions).copied().collect();
        crate_paths(code).into_iter().filter(|path| !permits(&module, &allowed, path)).collect()
    });
    assert!(wrong.is_empty(), "imports that the table does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn sharp_tools_stay_where_they_are_kept() {
    let wrong = findings(Path::new("src"), |file, code| {
        KEPT.iter()
            .filter(|(_, places)| !places.iter().any(|place| file.starts_with(place)))
            .filter(|(word, _)| identifiers(code).any(|identifier| identifier == *word))
            .map(|(word, places)| format!("`{word}` belongs in {places:?} only"))
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_master_decides_without_a_look_at_the_world() {
    let wrong = findings(Path::new("src/master/decide"), |file, code| {
        if file.starts_with("tests/") {
            return Vec::new();
        }
        // Who may see something is no import.
        let code = code.split("#[cfg(test)]").next().unwrap().replace("pub(in crate::master)", "");
        let paths =
            crate_paths(&code).into_iter().filter(|path| !permits("master::decide", DECIDED_FROM, path));
        let words = IMPURE.iter().filter(|word| code.contains(*word)).map(|word| (*word).to_owned());
        paths.chain(words).collect()
    });
    assert!(wrong.is_empty(), "decisions hang on more than what has happened:\n{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut wrong = Vec::new();
    for root in ["src", "tests"] {
        for file in rust_files(Path::new(root)) {
            let lines = read(&file).lines().count();
            if lines > LONGEST_FILE {
                wrong.push(format!("{}: {lines} lines, {LONGEST_FILE} are allowed", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let markers = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
    ];
    let mut wrong = Vec::new();
    for root in ["src", "tests"] {
        for file in rust_files(Path::new(root)) {
            let text = read(&file);
            for (number, line) in text.lines().enumerate() {
                if markers.iter().any(|marker| line.contains(marker.as_str())) {
                    wrong.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tests_that_the_threats_name_are_there() {
    let page = read(Path::new("docs/threats.md"));
    let rust = ["src", "tests"].into_iter().flat_map(|root| rust_files(Path::new(root)));
    let mut sources: String = rust.map(|file| read(&file)).collect();
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    for entry in fs::read_dir(python).unwrap() {
        sources += &fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
    }
    let rows = page.lines().filter(|line| line.starts_with("| T"));
    let mut named = 0;
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit('|').next().unwrap();
        for name in tests.split('`').skip(1).step_by(2) {
            named += 1;
            let is_there =
                [format!("fn {name}("), format!("def {name}(")].iter().any(|text| sources.contains(text));
            assert!(is_there, "docs/threats.md names {name}, which is no test");
        }
    }
    assert!(named > 40, "{named} tests are named");
}

#[test]
fn scanner_sees_every_form_of_an_import() {
    let code = code_of(
        "use crate::{app::{App, Call}, net, protocol::h1::Head as H};\nlet x = crate::sys::f(); // crate::no\n",
    );
    assert_eq!(crate_paths(&code), ["app::App", "app::Call", "net", "protocol::h1::Head", "sys::f"]);
    assert!(permits("master", &["net::listeners"], "net::listeners::Set"));
    assert!(!permits("master", &["net::listeners"], "net::accept"));
    assert!(!permits("master", &["net::listeners"], "net"));
}

#[test]
fn scanner_skips_comments_and_strings() {
    for (text, code) in [
        (r#"a("//"); // b"#, r#"a(""); "#),
        ("a // b\nc / d", "a \nc / d"),
        (r#"('"', unsafe)"#, "('', unsafe)"),
        (r#"("unsafe \" still", x)"#, r#"("", x)"#),
        (r##"r#"a " b"# c"##, r##"r#"" c"##),
        (r#"r"\" c"#, r#"r"" c"#),
    ] {
        assert_eq!(code_of(text), code, "{text}");
    }
}

/// What `judge` has against the code of each file; its path is relative to `root`.
fn findings(root: &Path, judge: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let files = rust_files(root);
    assert!(!files.is_empty(), "{} holds no Rust files", root.display());
    let mut found = Vec::new();
    for file in files {
        let code = code_of(&read(&file));
        let relative = file.strip_prefix(root).unwrap().to_str().unwrap();
        found.extend(
            judge(relative, &code).into_iter().map(|problem| format!("{}: {problem}", file.display())),
        );
    }
    found
}

/// The part of `src/` that a file belongs to: `net/bind.rs` and `net.rs` both to `net`.
fn module_of(file: &str) -> String {
    let first = file.split('/').next().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn permits(module: &str, allowed: &[&str], path: &str) -> bool {
    std::iter::once(&module).chain(allowed).any(|prefix| {
        path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

/// Every path that is named behind `crate::`, groups taken apart.
fn crate_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        // `$crate::` and `some_crate::` are something else.
        let before = code[..at].chars().next_back();
        if before.is_none_or(|character| !character.is_alphanumeric() && character != '_' && character != '$')
        {
            expand("", &code[at + found.len()..], &mut paths);
        }
    }
    paths
}

/// Adds the paths that begin `text`; returns what follows them.
fn expand<'a>(prefix: &str, text: &'a str, paths: &mut Vec<String>) -> &'a str {
    let end =
        text.find(|character: char| !character.is_alphanumeric() && character != '_' && character != ':');
    let (path, rest) = text.split_at(end.unwrap_or(text.len()));
    let Some(mut rest) = rest.strip_prefix('{') else {
        paths.push(format!("{prefix}{}", path.trim_end_matches("::")));
        return rest;
    };
    loop {
        rest = rest.trim_start_matches(|character: char| character == ',' || character.is_whitespace());
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let before = rest;
        rest = expand(&format!("{prefix}{path}"), rest, paths);
        // `as name`, `*`: not a path; the next item begins after the next comma or brace.
        rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
        assert!(rest.len() < before.len(), "an import group without its end: {before}");
    }
}

fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character: char| !character.is_alphanumeric() && character != '_')
}

/// The code without line comments and without what stands in string literals.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '/']) {
        let (before, found) = rest.split_at(at);
        code.push_str(before);
        rest = if found.starts_with("//") {
            &found[found.find('\n').unwrap_or(found.len())..]
        } else if found.starts_with('/') {
            code.push('/');
            found.trim_start_matches('/')
        } else if before.ends_with('\'') || before.ends_with("'\\") {
            // The character '"' begins no string.
            &found[1..]
        } else {
            code.push_str("\"\"");
            behind_string(before, &found[1..])
        };
    }
    code + rest
}

/// What follows a string literal whose opening quote stands between `before` and `text`.
fn behind_string<'a>(before: &str, text: &'a str) -> &'a str {
    let hashes = before.len() - before.trim_end_matches('#').len();
    if before.trim_end_matches('#').ends_with('r') {
        let end = format!("\"{}", "#".repeat(hashes));
        return text.find(&end).map_or("", |at| &text[at + end.len()..]);
    }
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut directories = vec![root.join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

fn read(file: &Path) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
