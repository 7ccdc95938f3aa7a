//! A directory as a page of links.

use crate::sys::openat::{Entry, EntryKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Names listed at most; reading them holds up the worker.
pub(super) const ENTRY_LIMIT: usize = 5000;

/// What is not written as it is in a path segment (RFC 3986 3.3), and in HTML.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The page, in HTML: directories first, each kind in the order of its bytes, names with a dot in front left out.
///
/// `name` is that of the directory beneath the mounted one. All references are relative.
pub(super) fn page(name: &Path, mut entries: Vec<Entry>) -> String {
    let is_cut = entries.len() >= ENTRY_LIMIT;
    // A name with a backslash cannot be asked for.
    entries.retain(|entry| {
        let name = entry.name.as_bytes();
        !name.starts_with(b".") && !name.contains(&b'\\')
    });
    entries.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    let title = escape(&format!("/{}", name.to_string_lossy()));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n"
    );
    if !name.as_os_str().is_empty() {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for Entry { name, kind } in &entries {
        let slash = match kind {
            EntryKind::Directory => "/",
            EntryKind::File => "",
        };
        let (reference, text) = (percent_encode(name.as_bytes(), SEGMENT), escape(&name.to_string_lossy()));
        // Writing to a String cannot fail.
        let _ = writeln!(page, "<li><a href=\"./{reference}{slash}\">{text}{slash}</a>");
    }
    page.push_str("</ul>\n");
    if is_cut {
        let _ = writeln!(page, "<p>There are more than the {ENTRY_LIMIT} names looked at.");
    }
    page
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn entry(name: &[u8], kind: EntryKind) -> Entry {
        Entry { name: OsStr::from_bytes(name).to_owned(), kind }
    }

    /// The items of the page of a directory, as they are written.
    fn items(name: &str, entries: Vec<Entry>) -> Vec<String> {
        let page = page(Path::new(name), entries);
        page.lines().filter_map(|line| line.strip_prefix("<li>")).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn directories_come_first_and_dot_files_not_at_all() {
        let entries = [(&b"b"[..], EntryKind::File), (b"a", EntryKind::File), (b"z", EntryKind::Directory)]
            .into_iter()
            .chain([(&b".git"[..], EntryKind::Directory), (b".env", EntryKind::File)]);
        let entries = entries.map(|(name, kind)| entry(name, kind)).collect();
        assert_eq!(
            items("sub", entries),
            [
                "<a href=\"../\">../</a>",
                "<a href=\"./z/\">z/</a>",
                "<a href=\"./a\">a</a>",
                "<a href=\"./b\">b</a>"
            ]
        );
    }

    #[test]
    fn names_can_be_nothing_but_names() {
        for (name, item) in [
            (
                &b"<script>alert('&\")"[..],
                "<a href=\"./%3Cscript%3Ealert%28%27%26%22%29\">&lt;script&gt;alert(&#39;&amp;&quot;)</a>",
            ),
            (b"javascript:x", "<a href=\"./javascript%3Ax\">javascript:x</a>"),
            (b"a b?c#d%41", "<a href=\"./a%20b%3Fc%23d%2541\">a b?c#d%41</a>"),
            ("ü".as_bytes(), "<a href=\"./%C3%BC\">ü</a>"),
            (b"\xff\n", "<a href=\"./%FF%0A\">\u{fffd}\u{fffd}</a>"),
        ] {
            assert_eq!(items("", vec![entry(name, EntryKind::File)]), [item]);
        }
        let page = page(Path::new("<b>"), Vec::new());
        assert!(page.contains("<title>/&lt;b&gt;</title>") && !page.contains("<b>"), "{page}");
    }

    #[test]
    fn a_list_that_is_cut_says_so() {
        let entries =
            |count: usize| (0..count).map(|n| entry(n.to_string().as_bytes(), EntryKind::File)).collect();
        assert!(page(Path::new(""), entries(ENTRY_LIMIT)).contains("more than"));
        assert!(!page(Path::new(""), entries(ENTRY_LIMIT - 1)).contains("more than"));
    }
}
