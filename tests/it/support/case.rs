//! The cases of `tests/corpus/http`, read from their files; its README describes the form.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of the corpus: what one client sends, and what it must get.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) source: Option<String>,
    pub(crate) nearest: Option<String>,
    pub(crate) expected: Vec<Expected>,
    pub(crate) then: Then,
    pub(crate) end: End,
    pub(crate) static_status: StaticStatus,
    pub(crate) bytes: Vec<u8>,
}

/// One answer that a case expects.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) statuses: Vec<u16>,
    /// First line of the echo; `None` when the answer is no echo.
    pub(crate) echo: Option<Vec<u8>>,
    pub(crate) fields: Vec<Vec<u8>>,
    pub(crate) absent: Vec<String>,
    pub(crate) body: Vec<u8>,
}

/// What becomes of the connection after the last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Closes,
    GoesOn,
}

/// What the client does after its last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    StaysOpen,
    ShutsDownWriting,
}

/// What the static app answers to the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StaticStatus {
    Is(u16),
    Skip,
}

/// Reads all cases of `taken` or `refused`, in the order of their names.
pub(crate) fn read_all(kind: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/http").join(kind);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .collect();
    paths.sort();
    let then = if kind == "refused" { Then::Closes } else { Then::GoesOn };
    paths.iter().map(|path| read(path, kind, then)).collect()
}

fn read(path: &Path, kind: &str, then: Then) -> Case {
    let stem = path.file_stem().expect("a name").to_string_lossy();
    let name = format!("{kind}/{stem}");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (head, message) = text.split_once("\n\n").unwrap_or_else(|| panic!("{name}: no empty line"));
    let bytes = unescape(&message.replace('\n', ""));
    let mut case = Case {
        name,
        source: None,
        nearest: None,
        expected: Vec::new(),
        then,
        end: End::StaysOpen,
        static_status: StaticStatus::Is(200),
        bytes,
    };
    for line in head.lines().skip(1) {
        let (key, value) = line
            .strip_prefix("# ")
            .and_then(|line| line.split_once(": "))
            .unwrap_or_else(|| panic!("{}: not understood: {line}", case.name));
        set(&mut case, key, value);
    }
    case
}

fn set(case: &mut Case, key: &str, value: &str) {
    match (key, value) {
        ("source", _) => case.source = Some(value.to_owned()),
        ("nearest", _) => case.nearest = Some(value.to_owned()),
        ("then", "closes") => case.then = Then::Closes,
        ("end", "shuts down writing") => case.end = End::ShutsDownWriting,
        ("static", "skip") => case.static_status = StaticStatus::Skip,
        ("static", _) => case.static_status = StaticStatus::Is(value.parse().expect("a status code")),
        ("expect", _) => {
            let statuses = value.split(" or ").map(|status| status.parse().expect("a status code")).collect();
            case.expected.push(Expected { statuses, ..Expected::default() });
        }
        _ => set_echo(case, key, value),
    }
}

fn set_echo(case: &mut Case, key: &str, value: &str) {
    let name = &case.name;
    let expected = case.expected.last_mut().unwrap_or_else(|| panic!("{name}: {key} before expect"));
    match (key, value) {
        ("echo", "nothing") => {}
        ("echo", _) => expected.echo = Some(unescape(value)),
        ("echo-field", _) => expected.fields.push(unescape(value)),
        ("echo-without", _) => expected.absent.push(value.to_owned()),
        ("echo-body", _) => expected.body = unescape(value),
        _ => panic!("{name}: not understood: {key}: {value}"),
    }
}

/// Undoes the escapes of the corpus.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let length = match escape.as_bytes().first().expect("something behind a backslash") {
            b'r' => push(&mut bytes, b'\r'),
            b'n' => push(&mut bytes, b'\n'),
            b't' => push(&mut bytes, b'\t'),
            b'\\' => push(&mut bytes, b'\\'),
            b'x' => {
                bytes.push(u8::from_str_radix(&escape[1..3], 16).expect("two hexadecimal digits"));
                3
            }
            b'{' => {
                let (repeat, _) = escape[1..].split_once('}').expect("a closing brace");
                let (count, text) = repeat.split_once('*').expect("COUNT*TEXT");
                bytes.extend(text.repeat(count.parse().expect("a count")).into_bytes());
                repeat.len() + 2
            }
            other => panic!("no escape: \\{}", char::from(*other)),
        };
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn push(bytes: &mut Vec<u8>, byte: u8) -> usize {
    bytes.push(byte);
    1
}

#[test]
fn escapes_are_undone() {
    assert_eq!(unescape(r"a\r\n\t\\\x00\xffb\{3*xy}c"), b"a\r\n\t\\\x00\xffbxyxyxyc");
}

#[test]
fn every_case_is_complete() {
    let taken = read_all("taken");
    let refused = read_all("refused");
    assert!(taken.len() >= 80 && refused.len() >= 150, "{} taken, {} refused", taken.len(), refused.len());
    for case in taken.iter().chain(&refused) {
        assert!(case.source.is_some(), "{}: no source", case.name);
        assert!(!case.expected.is_empty(), "{}: no expect", case.name);
    }
    for case in &refused {
        let last = case.expected.last().expect("checked above");
        assert!(last.statuses.iter().all(|status| *status >= 400), "{}: refused with {last:?}", case.name);
        let nearest = case.nearest.as_deref().unwrap_or_else(|| panic!("{}: no nearest", case.name));
        assert!(taken.iter().any(|other| other.name == nearest), "{}: no {nearest}", case.name);
    }
    for case in &taken {
        assert!(case.expected.iter().all(|expected| expected.statuses == [200]), "{}: not taken", case.name);
    }
}
