//! Content-Type by the end of a file's name.
//!
//! An own table rather than a crate's thousand lines of types: what sites serve, by the IANA registry.

use std::path::Path;

/// The media type of a file, by its extension, compared without case.
pub(super) fn of(name: &Path) -> &'static str {
    let extension = name.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let known = TYPES.iter().find(|(ends, _)| ends.iter().any(|end| end.eq_ignore_ascii_case(extension)));
    known.map_or("application/octet-stream", |(_, media_type)| media_type)
}

/// Whether the content of such files is compressed already, so that no coding of them is looked for.
pub(super) fn is_compressed(media_type: &str) -> bool {
    let (kind, subtype) = media_type.split_once('/').unwrap_or((media_type, ""));
    match kind {
        "audio" | "video" => true,
        "image" => !matches!(subtype, "svg+xml" | "bmp" | "vnd.microsoft.icon" | "tiff"),
        "font" => subtype.starts_with("woff"),
        "application" => matches!(subtype, "gzip" | "zstd" | "zip" | "epub+zip"),
        _ => false,
    }
}

/// Text is UTF-8, and says so; JSON always is (RFC 8259 8.1), and XML says it itself.
const TYPES: [(&[&str], &str); 46] = [
    (&["html", "htm"], "text/html; charset=utf-8"),
    (&["css"], "text/css; charset=utf-8"),
    // RFC 9239: the other names of JavaScript are obsolete.
    (&["js", "mjs"], "text/javascript; charset=utf-8"),
    (&["json", "map"], "application/json"),
    (&["svg"], "image/svg+xml"),
    (&["png"], "image/png"),
    (&["jpg", "jpeg"], "image/jpeg"),
    (&["gif"], "image/gif"),
    (&["webp"], "image/webp"),
    (&["avif"], "image/avif"),
    (&["ico"], "image/vnd.microsoft.icon"),
    (&["bmp"], "image/bmp"),
    (&["tif", "tiff"], "image/tiff"),
    (&["apng"], "image/apng"),
    (&["woff2"], "font/woff2"),
    (&["woff"], "font/woff"),
    (&["ttf"], "font/ttf"),
    (&["otf"], "font/otf"),
    (&["eot"], "application/vnd.ms-fontobject"),
    (&["txt", "log"], "text/plain; charset=utf-8"),
    (&["md"], "text/markdown; charset=utf-8"),
    (&["csv"], "text/csv; charset=utf-8"),
    (&["vtt"], "text/vtt; charset=utf-8"),
    (&["ics"], "text/calendar; charset=utf-8"),
    (&["xml"], "application/xml"),
    (&["xhtml"], "application/xhtml+xml"),
    (&["atom"], "application/atom+xml"),
    (&["rss"], "application/rss+xml"),
    (&["webmanifest"], "application/manifest+json"),
    (&["jsonld"], "application/ld+json"),
    (&["geojson"], "application/geo+json"),
    (&["wasm"], "application/wasm"),
    (&["pdf"], "application/pdf"),
    (&["zip"], "application/zip"),
    (&["gz", "tgz"], "application/gzip"),
    (&["zst"], "application/zstd"),
    (&["tar"], "application/x-tar"),
    (&["mp3"], "audio/mpeg"),
    (&["m4a"], "audio/mp4"),
    (&["ogg", "oga", "opus"], "audio/ogg"),
    (&["wav"], "audio/wav"),
    (&["flac"], "audio/flac"),
    (&["mp4", "m4v"], "video/mp4"),
    (&["webm"], "video/webm"),
    (&["ogv"], "video/ogg"),
    (&["epub"], "application/epub+zip"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_go_by_the_last_extension() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("css/app.1f2e.CSS", "text/css; charset=utf-8"),
            ("app.js.map", "application/json"),
            ("a.tar.gz", "application/gzip"),
            ("logo.svg", "image/svg+xml"),
            ("README", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("a.html.unknown", "application/octet-stream"),
            ("a.", "application/octet-stream"),
        ] {
            assert_eq!(of(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn codings_are_looked_for_where_they_help() {
        for (name, expected) in [
            ("a.css", false),
            ("a.svg", false),
            ("a.wasm", false),
            ("a.ttf", false),
            ("a.unknown", false),
            ("a.ico", false),
            ("a.png", true),
            ("a.woff2", true),
            ("a.mp4", true),
            ("a.zip", true),
            ("a.css.gz", true),
            ("a.css.zst", true),
        ] {
            assert_eq!(is_compressed(of(Path::new(name))), expected, "{name}");
        }
    }

    #[test]
    fn every_type_is_a_field_value_and_every_extension_stands_once() {
        let mut seen = std::collections::HashSet::new();
        for (extensions, media_type) in TYPES {
            assert!(http::HeaderValue::from_str(media_type).is_ok() && media_type.contains('/'));
            assert!(extensions.iter().all(|extension| seen.insert(*extension)), "{extensions:?}");
        }
    }
}
