//! What the rules of a mount change: codings, lifetimes, directories.

use super::*;
use crate::config::{Config, Sources};
use http::header::{ACCEPT_ENCODING, IF_MATCH};

/// The rules of a mount with these lines.
fn rules(lines: &str) -> FileRules {
    let text = format!("[[app]]\nstatic = \"files\"\n{lines}");
    let sources =
        Sources { file: Some(("x.toml".into(), text)), directory: "/".into(), ..Sources::default() };
    let Config { apps, .. } = crate::config::load(&sources).unwrap().config;
    apps.into_iter().next().unwrap().files
}

/// 1994-11-06T08:49:37Z and so many nanoseconds.
fn moment(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(784_111_777) + Duration::from_nanos(nanoseconds)
}

/// A site where `a.css` has all codings, each with its own name as content and an age that is right.
fn coded(lines: &str) -> Site {
    Site::with("", &rules(lines), |root| {
        for (name, content) in
            [("a.css", "plain"), ("a.css.br", "as br"), ("a.css.zst", "as zstd"), ("a.css.gz", "as gzip")]
        {
            fs::write(root.join(name), content).unwrap();
            modify(&root.join(name), moment(0));
        }
    })
}

fn get(site: &Site, target: &str, fields: &[(HeaderName, &str)]) -> Response {
    site.send(Method::GET, target.as_bytes(), fields)
}

#[test]
fn the_coding_that_the_client_likes_is_sent() {
    let site = coded("");
    for (accepted, expected, coding) in [
        ("gzip, deflate, br, zstd", "as br", Some("br")),
        ("gzip, zstd", "as zstd", Some("zstd")),
        ("gzip;q=0.9, br;q=0.8", "as gzip", Some("gzip")),
        ("br;q=0", "plain", None),
        ("identity", "plain", None),
        ("identity;q=0, *;q=0", "plain", None),
    ] {
        let response = get(&site, "/a.css", &[(ACCEPT_ENCODING, accepted)]);
        assert_eq!(content(&response), expected, "{accepted}");
        assert_eq!(field(&response, &CONTENT_ENCODING), coding, "{accepted}");
        assert_eq!(field(&response, &CONTENT_TYPE), Some("text/css; charset=utf-8"));
        assert_eq!(field(&response, &VARY), Some("accept-encoding"));
        let head = site.send(Method::HEAD, b"/a.css", &[(ACCEPT_ENCODING, accepted)]);
        assert_eq!((head.status(), head.headers()), (response.status(), response.headers()));
    }
    assert_eq!(content(&get(&site, "/a.css", &[])), "plain");
    assert_eq!(field(&get(&site, "/a.css", &[]), &VARY), Some("accept-encoding"));
}

#[test]
fn the_operator_chooses_the_codings() {
    let site = coded("precompressed = [\"gzip\", \"br\"]\n");
    for (accepted, expected) in [("gzip, br, zstd", "as gzip"), ("zstd", "plain"), ("zstd, br", "as br")] {
        assert_eq!(content(&get(&site, "/a.css", &[(ACCEPT_ENCODING, accepted)])), expected, "{accepted}");
    }
    let site = coded("precompressed = []\n");
    let response = get(&site, "/a.css", &[(ACCEPT_ENCODING, "br")]);
    assert_eq!((content(&response).as_str(), field(&response, &VARY)), ("plain", None));
}

#[test]
fn codings_that_cannot_be_right_are_not_sent() {
    let all = [(ACCEPT_ENCODING, "br, gzip")];
    let site = coded("");
    let root = site.base.join("root");
    for (original, coded, expected) in [
        (moment(0), moment(0), "as br"),
        (moment(0), moment(1_000_000_000), "as br"),
        // In whole seconds, as some tools keep times.
        (moment(500), moment(0), "as br"),
        // Rounded, as others do.
        (moment(500), moment(390), "as br"),
        (moment(5000), moment(4001), "as br"),
        (moment(5000), moment(4000), "as gzip"),
        (moment(1_000_000_000), moment(999_999_000), "as gzip"),
        (moment(1_000_000_000), moment(0), "as gzip"),
    ] {
        modify(&root.join("a.css"), original);
        modify(&root.join("a.css.br"), coded);
        modify(&root.join("a.css.gz"), original);
        assert_eq!(content(&get(&site, "/a.css", &all)), expected, "{original:?} {coded:?}");
    }
    // Empty, a directory, a link that leads out: the next best is sent.
    fs::write(root.join("a.css.br"), "").unwrap();
    assert_eq!(content(&get(&site, "/a.css", &all)), "as gzip");
    fs::remove_file(root.join("a.css.br")).unwrap();
    fs::create_dir(root.join("a.css.br")).unwrap();
    assert_eq!(content(&get(&site, "/a.css", &all)), "as gzip");
    fs::remove_file(root.join("a.css.gz")).unwrap();
    symlink("../secret", root.join("a.css.gz")).unwrap();
    let response = get(&site, "/a.css", &all);
    assert_eq!((content(&response).as_str(), field(&response, &CONTENT_ENCODING)), ("plain", None));
    // Without an original there is nothing of its name.
    fs::remove_file(root.join("a.css")).unwrap();
    assert_eq!(site.status("/a.css"), 404);
}

#[test]
fn compressed_types_and_codings_themselves_have_no_codings() {
    let site = Site::with("", &rules(""), |root| {
        for name in ["a.png", "a.png.br", "a.css.gz", "a.css.gz.br"] {
            fs::write(root.join(name), name).unwrap();
        }
    });
    for name in ["a.png", "a.css.gz"] {
        let response = get(&site, &format!("/{name}"), &[(ACCEPT_ENCODING, "br")]);
        assert_eq!(content(&response), name);
        assert_eq!((field(&response, &VARY), field(&response, &CONTENT_ENCODING)), (None, None), "{name}");
    }
    assert_eq!(field(&get(&site, "/a.css.gz", &[]), &CONTENT_TYPE), Some("application/gzip"));
}

#[test]
fn each_coding_has_parts_and_conditions_of_its_own() {
    let site = coded("");
    let gzip = (ACCEPT_ENCODING, "gzip");
    let tag = |fields: &[(HeaderName, &str)]| field(&get(&site, "/a.css", fields), &ETAG).unwrap().to_owned();
    let (plain, zipped) = (tag(&[]), tag(std::slice::from_ref(&gzip)));
    assert_eq!((plain.as_str(), zipped.as_str()), ("\"2ebc98a1.0-5\"", "\"2ebc98a1.0-7-gzip\""));
    for (fields, status, range, expected) in [
        (vec![gzip.clone(), (RANGE, "bytes=3-4")], 206, Some("bytes 3-4/7"), "gz"),
        (vec![gzip.clone(), (RANGE, "bytes=-2")], 206, Some("bytes 5-6/7"), "ip"),
        (vec![gzip.clone(), (RANGE, "bytes=7-")], 416, Some("bytes */7"), "Range Not Satisfiable\n"),
        (vec![(RANGE, "bytes=3-4")], 206, Some("bytes 3-4/5"), "in"),
        (vec![gzip.clone(), (RANGE, "bytes=3-4"), (IF_RANGE, &zipped)], 206, Some("bytes 3-4/7"), "gz"),
        // Parts of different codings are never put together.
        (vec![gzip.clone(), (RANGE, "bytes=3-4"), (IF_RANGE, &plain)], 200, None, "as gzip"),
        (vec![gzip.clone(), (IF_NONE_MATCH, &zipped)], 304, None, ""),
        (vec![gzip.clone(), (IF_NONE_MATCH, &plain)], 200, None, "as gzip"),
        (vec![(IF_NONE_MATCH, &zipped)], 200, None, "plain"),
        (vec![gzip.clone(), (IF_MATCH, &plain)], 412, None, "Precondition Failed\n"),
    ] {
        let response = get(&site, "/a.css", &fields);
        assert_eq!(response.status().as_u16(), status, "{fields:?}");
        assert_eq!(field(&response, &CONTENT_RANGE), range, "{fields:?}");
        assert_eq!(content(&response), expected, "{fields:?}");
        let described = matches!(status, 200 | 206 | 304);
        assert_eq!(field(&response, &VARY), described.then_some("accept-encoding"), "{fields:?}");
        let is_coded = matches!(status, 200 | 206) && fields[0] == gzip;
        assert_eq!(field(&response, &CONTENT_ENCODING), is_coded.then_some("gzip"), "{fields:?}");
    }
}

const YEAR: &str = "public, max-age=31536000, immutable";
const MANIFEST: &str =
    r#"{"paths": {"css/a.css": "css/a.1f2e3d4c5b6a.css", "b.css": "b.css"}, "version": "1.1", "hash": ""}"#;

/// What is said of a file's lifetime.
fn cache_control(lines: &str, manifest: Option<&str>, name: &str) -> Option<String> {
    let site = Site::with("", &rules(lines), |root| {
        let file = root.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "inside").unwrap();
        if let Some(manifest) = manifest {
            fs::write(root.join("staticfiles.json"), manifest).unwrap();
        }
    });
    let response = get(&site, &format!("/{name}"), &[]);
    assert_eq!(response.status(), StatusCode::OK);
    field(&response, &CACHE_CONTROL).map(ToOwned::to_owned)
}

#[test]
fn names_are_immutable_on_evidence_alone() {
    for (lines, manifest, name, expected) in [
        ("", Some(MANIFEST), "css/a.1f2e3d4c5b6a.css", Some(YEAR)),
        ("", Some(MANIFEST), "css/a.css", None),
        // Listed, but under its own name: no hash.
        ("", Some(MANIFEST), "b.css", None),
        // Looks hashed, and nobody says that it is.
        ("", Some(MANIFEST), "css/b.1f2e3d4c5b6a.css", None),
        ("", None, "css/a.1f2e3d4c5b6a.css", None),
        ("immutable = [\"css/**\"]", None, "css/x/y.css", Some(YEAR)),
        ("immutable = [\"**.{hash}.css\"]", None, "css/b.1f2e3d4c5b6a.css", Some(YEAR)),
        ("immutable = [\"**.{hash}.css\"]", None, "css/b.css", None),
        ("max_age = \"1h\"", None, "b.css", Some("public, max-age=3600")),
        ("max_age = \"0s\"", None, "b.css", Some("no-cache")),
        ("max_age = \"1h\"", Some(MANIFEST), "css/a.1f2e3d4c5b6a.css", Some(YEAR)),
        // A list that cannot be read is none.
        ("max_age = \"1h\"", Some("{\"paths\": ["), "b.css", Some("public, max-age=3600")),
        ("", Some("{}"), "b.css", None),
        ("", Some("{\"paths\": {\"a\": 1}}"), "b.css", None),
    ] {
        assert_eq!(cache_control(lines, manifest, name).as_deref(), expected, "{lines} {manifest:?} {name}");
    }
}

#[test]
fn lifetimes_hold_for_parts_and_unchanged_files_and_not_for_absent_ones() {
    let site = coded("max_age = \"1m\"\nimmutable = [\"a.css\"]\n");
    let tag = "\"2ebc98a1.0-5\"";
    for (target, fields, status, expected) in [
        ("/a.css", vec![(RANGE, "bytes=1-2")], 206, Some(YEAR)),
        ("/a.css", vec![(IF_NONE_MATCH, tag)], 304, Some(YEAR)),
        ("/a.css", vec![(ACCEPT_ENCODING, "br")], 200, Some(YEAR)),
        ("/a.css.br", vec![], 200, Some("public, max-age=60")),
        ("/a.css", vec![(IF_MATCH, "\"x\"")], 412, None),
        ("/missing", vec![], 404, None),
    ] {
        let response = get(&site, target, &fields);
        assert_eq!(response.status().as_u16(), status, "{target} {fields:?}");
        assert_eq!(field(&response, &CACHE_CONTROL), expected, "{target} {fields:?}");
    }
}

#[test]
fn what_a_token_opened_is_kept_by_its_client_alone() {
    let site = coded("max_age = \"1m\"\nimmutable = [\"a.css\"]\n");
    for (target, expected) in
        [("/a.css", "private, max-age=31536000, immutable"), ("/a.txt", "private, max-age=60")]
    {
        let head = head(Method::GET, target.as_bytes(), &[]);
        let response = site.files.answer(&head, Audience::Client).unwrap();
        assert_eq!(field(&response, &CACHE_CONTROL), Some(expected));
    }
}

/// A site with one directory that has an index and one that has none.
fn with_directories(mount: &str, lines: &str) -> Site {
    Site::with(mount, &rules(lines), |root| {
        fs::create_dir_all(root.join("docs/a:b")).unwrap();
        fs::create_dir(root.join("docs/a dir")).unwrap();
        for name in ["index.html", "docs/index.html", "docs/index.html.gz", "docs/a:b/index.html"] {
            fs::write(root.join(name), name).unwrap();
        }
        // Not an index, whatever its name.
        fs::create_dir(root.join("sub/index.html")).unwrap();
        symlink("..", root.join("docs/up")).unwrap();
    })
}

#[test]
fn directories_answer_with_their_index() {
    let site = with_directories("/s", "index = \"index.html\"\n");
    for (target, status, expected) in [
        ("/s/", 200, "index.html"),
        ("/s//", 200, "index.html"),
        ("/s/docs/", 200, "docs/index.html"),
        ("/s/docs//", 200, "docs/index.html"),
        ("/s/docs/up/", 200, "index.html"),
        ("/s", 301, "./s/"),
        ("/s?a=b", 301, "./s/?a=b"),
        ("/s/docs", 301, "./docs/"),
        ("/s//docs", 301, "./docs/"),
        ("/s/docs?next=//x", 301, "./docs/?next=//x"),
        ("/s/docs/a:b", 301, "./a:b/"),
        ("/s/docs%2Fa:b", 301, "./docs%2Fa:b/"),
        ("/s/docs/a%20dir", 404, ""),
        ("/s/docs/a%20dir/", 404, ""),
        ("/s/docs%2F", 404, ""),
        ("/s/sub", 404, ""),
        ("/s/sub/", 404, ""),
        ("/s/a.txt/", 404, ""),
        ("/s/missing/", 404, ""),
        ("/s/parent/", 404, ""),
        ("/s/sibling", 404, ""),
        ("/s/../", 404, ""),
    ] {
        let response = get(&site, target, &[]);
        assert_eq!(response.status().as_u16(), status, "{target}");
        match status {
            200 => assert_eq!(content(&response), expected, "{target}"),
            301 => assert_eq!(field(&response, &LOCATION), Some(expected), "{target}"),
            _ => {}
        }
        assert_eq!(field(&response, &LOCATION).is_some(), status == 301, "{target}");
    }
    let response = get(&site, "/s/docs/", &[(ACCEPT_ENCODING, "gzip")]);
    assert_eq!(content(&response), "docs/index.html.gz");
    assert_eq!(field(&response, &CONTENT_TYPE), Some("text/html; charset=utf-8"));
    let head = site.send(Method::HEAD, b"/s/docs", &[]);
    assert_eq!((head.status().as_u16(), field(&head, &LOCATION)), (301, Some("./docs/")));
}

#[test]
fn directories_are_listed_where_that_is_asked_for() {
    let site = with_directories("/s", "listing = true\nindex = \"index.html\"\n");
    assert_eq!(content(&get(&site, "/s/docs/", &[])), "docs/index.html");
    assert_eq!(field(&get(&site, "/s/sub", &[]), &LOCATION), Some("./sub/"));
    let page = get(&site, "/s/sub/", &[]);
    assert_eq!(field(&page, &CONTENT_TYPE), Some("text/html; charset=utf-8"));
    let text = content(&page);
    for (part, expected) in [
        ("<title>/sub</title>", true),
        ("href=\"../\"", true),
        ("href=\"./deep/\"", true),
        ("href=\"./b.html\"", true),
        ("href=\"./up\"", true),
        ("secret", false),
    ] {
        assert_eq!(text.contains(part), expected, "{part} in {text}");
    }
    for (target, status) in
        [("/s/a.txt/", 404), ("/s/missing/", 404), ("/s/parent/", 404), ("/s/docs/up/sub/", 200)]
    {
        assert_eq!(site.status(target), status, "{target}");
    }

    let site = with_directories("", "listing = true\n");
    let text = content(&get(&site, "/", &[]));
    let absent = [".hidden", "\"../\"", "out", "sibling", "parent", "circle", "dangling"];
    assert!(absent.iter().all(|name| !text.contains(&format!("./{name}\""))), "{text}");
    assert!(text.contains("href=\"./docs/\"") && text.contains("href=\"./absolute-in\""), "{text}");
    // Whatever is listed can be asked for.
    for reference in text.split("href=\"./").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert_eq!(site.status(&format!("/{reference}")), 200, "{reference}");
    }
    assert_eq!(site.send(Method::HEAD, b"/", &[]).status(), StatusCode::OK);
}

#[test]
fn directories_stay_hidden_by_default() {
    let site = with_directories("/s", "");
    for target in ["/s", "/s/", "/s/docs", "/s/docs/", "/s/sub/"] {
        assert_eq!(site.status(target), 404, "{target}");
    }
}
