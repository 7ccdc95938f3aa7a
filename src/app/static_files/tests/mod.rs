mod rules;

use super::*;
use crate::protocol::{Patience, Prefix, Target};
use bytes::Bytes;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, Version};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

const LIMITS: CallLimits =
    CallLimits { time: Duration::ZERO, queue: Duration::ZERO, patience: Patience::Wait };

/// A directory of files with everything around it that must not be served.
struct Site {
    base: PathBuf,
    files: StaticFiles,
}

impl Site {
    fn new(mount: &str) -> Self {
        Self::with(mount, &FileRules::default(), |_| {})
    }

    /// A site with more files, by these rules.
    fn with(mount: &str, rules: &FileRules, prepare: impl FnOnce(&Path)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("ferricorn-static-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let base = std::env::temp_dir().join(name);
        let root = base.join("root");
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        fs::create_dir_all(base.join("rootless")).unwrap();
        for outside in ["secret", "rootless/secret"] {
            fs::write(base.join(outside), "outside").unwrap();
        }
        for inside in [
            "a.txt",
            "sub/b.html",
            "sub/deep/c",
            "with space.css",
            "ü",
            "%2e",
            "semi;colon=1",
            ".hidden",
            "back\\slash",
        ] {
            fs::write(root.join(inside), "inside").unwrap();
        }
        fs::write(root.join("empty"), "").unwrap();
        for (target, link) in [
            ("../a.txt", "sub/up"),
            ("sub", "directory"),
            ("..", "parent"),
            ("../secret", "out"),
            ("../rootless", "sibling"),
            ("circle", "circle"),
            ("missing", "dangling"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        symlink(base.join("secret"), root.join("absolute-out")).unwrap();
        symlink(root.join("a.txt"), root.join("absolute-in")).unwrap();
        prepare(&root);
        let files = StaticFiles::new(&root, mount, rules).unwrap();
        Self { base, files }
    }

    fn send(&self, method: Method, target: &[u8], fields: &[(HeaderName, &str)]) -> Response {
        let mut request = Request::get("/");
        request.head = Box::new(head(method, target, fields));
        request.context.mount = Prefix::from(self.files.mount.as_str());
        match self
            .files
            .call(Box::new(request), LIMITS)
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(response) => response.unwrap(),
            Poll::Pending => panic!("files are answered at once"),
        }
    }

    fn status(&self, target: &str) -> u16 {
        self.send(Method::GET, target.as_bytes(), &[]).status().as_u16()
    }

    /// Makes the file's times old enough for strong validators: 1994-11-06T08:49:37Z.
    fn settle(&self, name: &str) {
        let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
        modify(&self.base.join("root").join(name), time);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.base).unwrap();
    }
}

fn modify(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn head(method: Method, target: &[u8], fields: &[(HeaderName, &str)]) -> RequestHead {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name.clone(), HeaderValue::from_str(value).unwrap());
    }
    let target = Target::parse(Bytes::copy_from_slice(target)).unwrap();
    RequestHead { method, target, version: Version::HTTP_11, fields: map, raw: Bytes::new() }
}

/// The content that would be sent.
fn content(response: &Response) -> String {
    match response.body() {
        ResponseBody::Empty => String::new(),
        ResponseBody::Full(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        ResponseBody::File { file, offset, length } => {
            let mut bytes = vec![0; usize::try_from(*length).unwrap()];
            file.read_exact_at(&mut bytes, *offset).unwrap();
            String::from_utf8(bytes).unwrap()
        }
        ResponseBody::Stream(_) => panic!("files are not streams"),
    }
}

fn field<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn only_regular_files_beneath_the_directory_are_found() {
    let site = Site::new("/static/");
    let root = site.base.join("root");
    assert!(Command::new("mkfifo").arg(root.join("fifo")).status().unwrap().success());
    let socket = UnixListener::bind(root.join("socket")).unwrap();
    let long = format!("/static/{}", "x".repeat(300));
    for (target, expected) in [
        ("/static/a.txt", 200),
        ("/static/a.txt?v=1", 200),
        ("http://example.org/static/a.txt", 200),
        ("/static/sub/b.html", 200),
        ("/static//sub///b.html", 200),
        ("/static/sub%2Fb.html", 200),
        ("/%73tatic/a%2etxt", 200),
        ("/static/with%20space.css", 200),
        ("/static/%C3%BC", 200),
        ("/static/%252e", 200),
        ("/static/semi;colon=1", 200),
        ("/static/.hidden", 200),
        ("/static/empty", 200),
        ("/static/sub/up", 200),
        ("/static/directory/b.html", 200),
        ("/static/absolute-in", 200),
        ("/static", 404),
        ("/static/", 404),
        ("/static/sub", 404),
        ("/static/sub/", 404),
        ("/static/a.txt/", 404),
        ("/static/a.txt/b", 404),
        ("/staticky/a.txt", 404),
        ("/static/missing", 404),
        ("/a.txt", 404),
        ("/static/fifo", 404),
        ("/static/socket", 404),
        ("/static/circle", 404),
        ("/static/dangling", 404),
        (long.as_str(), 404),
        ("/static/../secret", 404),
        ("/static/sub/../a.txt", 404),
        ("/static/./a.txt", 404),
        ("/static/%2e%2e/secret", 404),
        ("/static/%2e%2e%2fsecret", 404),
        ("/static/..%5csecret", 404),
        ("/static/back%5cslash", 404),
        ("/static/back\\slash", 404),
        ("/static/a.txt%00", 404),
        ("/static//etc/passwd", 404),
        ("/static/%2fetc/passwd", 404),
        ("/static/out", 404),
        ("/static/absolute-out", 404),
        ("/static/parent/secret", 404),
        ("/static/sibling/secret", 404),
        ("*", 404),
    ] {
        assert_eq!(site.status(target), expected, "{target}");
    }
    drop(socket);
}

#[test]
fn files_at_the_root_of_the_site_need_no_prefix() {
    for mount in ["", "/"] {
        let site = Site::new(mount);
        assert_eq!((site.status("/a.txt"), site.status("/sub/b.html"), site.status("/")), (200, 200, 404));
    }
}

#[test]
fn no_path_whatever_leads_out() {
    let site = Site::new("/s");
    let pieces: Vec<&[u8]> = vec![
        b"/",
        b"//",
        b".",
        b"..",
        b"%2e",
        b"%2E%2e",
        b"%252e",
        b"%2f",
        b"%5c",
        b"\\",
        b"%00",
        b"a.txt",
        b"sub",
        b"deep",
        b"c",
        b"up",
        b"b.html",
        b"parent",
        b"sibling",
        b"out",
        b"absolute-out",
        b"absolute-in",
        b"directory",
        b"secret",
        b"root",
        b"rootless",
        b"etc/passwd",
        b"proc/self/cwd",
        b"\xc3\xbc",
        b"%ff",
        b"%",
        b"%2",
        b";",
        b"circle",
    ];
    // A linear congruential generator: the same paths in every run.
    let mut state = 1_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % limit
    };
    let (mut found, mut absent) = (0, 0);
    for _ in 0..30_000 {
        let mut path = b"/s/".to_vec();
        for index in 0..=below(5) {
            if index > 0 && below(4) > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(pieces[below(pieces.len())]);
        }
        let shown = String::from_utf8_lossy(&path).into_owned();
        match site.files.answer(&head(Method::GET, &path, &[]), Audience::Everyone) {
            Ok(response) if response.status() == StatusCode::OK => {
                assert_eq!(content(&response), "inside", "{shown}");
                found += 1;
            }
            Ok(response) => {
                assert_eq!(response.status(), StatusCode::NOT_FOUND, "{shown}");
                absent += 1;
            }
            Err(error) => panic!("{shown}: {error}"),
        }
    }
    assert!(found > 500 && absent > 5000, "{found} found, {absent} absent");
}

#[test]
fn directory_stays_the_one_that_was_opened() {
    let site = Site::new("");
    fs::rename(site.base.join("root"), site.base.join("moved")).unwrap();
    symlink(site.base.join("rootless"), site.base.join("root")).unwrap();
    assert_eq!((site.status("/a.txt"), site.status("/secret")), (200, 404));
}

#[test]
fn get_describes_the_file_and_head_says_the_same() {
    let site = Site::new("");
    site.settle("sub/b.html");
    let get = site.send(Method::GET, b"/sub/b.html", &[]);
    for (name, expected) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (ACCEPT_RANGES, "bytes"),
        (LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (ETAG, "\"2ebc98a1.0-6\""),
    ] {
        assert_eq!(field(&get, &name), Some(expected));
    }
    assert_eq!(content(&get), "inside");
    let head = site.send(Method::HEAD, b"/sub/b.html", &[(RANGE, "bytes=0-1")]);
    assert_eq!((head.status(), head.headers()), (get.status(), get.headers()));
    assert!(matches!(head.body(), ResponseBody::File { offset: 0, length: 6, .. }));
}

#[test]
fn other_methods_are_told_which_there_are() {
    let site = Site::new("");
    for (method, expected) in [("OPTIONS", 204), ("POST", 405), ("DELETE", 405), ("PURGE", 405), ("get", 405)]
    {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for target in ["/a.txt", "/missing"] {
            let response = site.send(method.clone(), target.as_bytes(), &[]);
            assert_eq!(response.status().as_u16(), expected, "{method}");
            assert_eq!(field(&response, &ALLOW), Some("GET, HEAD, OPTIONS"));
        }
    }
}

#[test]
fn parts_and_conditions_come_out_as_responses() {
    let site = Site::new("");
    site.settle("a.txt");
    let (tag, date) = ("\"2ebc98a1.0-6\"", "Sun, 06 Nov 1994 08:49:37 GMT");
    for (fields, status, range, expected) in [
        (vec![(RANGE, "bytes=1-3")], 206, Some("bytes 1-3/6"), "nsi"),
        (vec![(RANGE, "bytes=-2")], 206, Some("bytes 4-5/6"), "de"),
        (vec![(RANGE, "bytes=4-"), (IF_RANGE, tag)], 206, Some("bytes 4-5/6"), "de"),
        (vec![(RANGE, "bytes=4-"), (IF_RANGE, date)], 206, Some("bytes 4-5/6"), "de"),
        (vec![(RANGE, "bytes=4-"), (IF_RANGE, "\"old\"")], 200, None, "inside"),
        (vec![(RANGE, "bytes=6-")], 416, Some("bytes */6"), "Range Not Satisfiable\n"),
        (vec![(RANGE, "bytes=0-1,3-4")], 200, None, "inside"),
        (vec![(RANGE, "nonsense")], 200, None, "inside"),
        (vec![(IF_NONE_MATCH, tag)], 304, None, ""),
        (vec![(IF_NONE_MATCH, tag), (RANGE, "bytes=1-3")], 304, None, ""),
        (vec![(IF_MODIFIED_SINCE, date)], 304, None, ""),
        (vec![(http::header::IF_MATCH, "\"old\"")], 412, None, "Precondition Failed\n"),
    ] {
        let response = site.send(Method::GET, b"/a.txt", &fields);
        assert_eq!(response.status().as_u16(), status, "{fields:?}");
        assert_eq!(field(&response, &CONTENT_RANGE), range, "{fields:?}");
        assert_eq!(content(&response), expected, "{fields:?}");
        let described = matches!(status, 200 | 206 | 304);
        assert_eq!(field(&response, &ETAG), described.then_some(tag), "{fields:?}");
        assert_eq!(field(&response, &CONTENT_TYPE).is_some(), status != 304, "{fields:?}");
    }
}

#[test]
fn a_file_just_written_has_a_weak_tag() {
    let site = Site::new("");
    let response = site.send(Method::GET, b"/a.txt", &[]);
    let tag = field(&response, &ETAG).unwrap();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = site.send(Method::GET, b"/a.txt", &[(IF_NONE_MATCH, tag)]);
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    let site = Site::new("");
    let path = site.base.join("root/a.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // root reads everything.
    let expected = if File::open(&path).is_ok() { 200 } else { 403 };
    assert_eq!(site.status("/a.txt"), expected);
}

#[test]
fn a_directory_that_is_none_is_an_error_that_names_it() {
    let site = Site::new("");
    for name in ["missing", "root/a.txt"] {
        let path = site.base.join(name);
        let error = StaticFiles::new(&path, "/", &FileRules::default()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("static directory {}: ", path.display())), "{error}");
    }
}
