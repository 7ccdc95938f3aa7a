//! Text from outside, made harmless for logs: nothing here lets a line break or an escape sequence through.

use std::fmt::Write;

/// Appends text as it is, except for characters that move the cursor, break lines or reorder text.
pub(crate) fn push_text(out: &mut String, text: &str) {
    for character in text.chars() {
        push_character(out, character);
    }
}

/// Appends text in quotes; quotes and backslashes in it are escaped, so that its end is certain.
pub(crate) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        push_character(out, character);
    }
    out.push('"');
}

/// Appends a JSON string (RFC 8259 7), with everything escaped that [`push_text`] escapes.
pub(crate) fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            '\n' => out.push_str("\\n"),
            _ if is_harmful(character) => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    push(out, format_args!("\\u{unit:04x}"));
                }
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// What surrounds bytes that are written by [`push_bytes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Within {
    /// Spaces: no space and no quote is written.
    Spaces,
    /// Quotes: no quote is written.
    Quotes,
    /// Whatever an operator's pattern has around it, be it quotes, nothing, or a JSON string: escapes are JSON's.
    Pattern,
    /// A JSON string: what stands here is what a JSON parser gives back.
    Json,
}

/// Appends bytes a client sent: printable ASCII as it is, `\\`, and `\xNN` for every other byte (`\u00NN` and `\"` in
/// patterns).
///
/// What would be longer than `limit` is cut, and ends in "...".
pub(crate) fn push_bytes(out: &mut String, bytes: &[u8], within: Within, limit: usize) {
    let start = out.len();
    for byte in bytes {
        let before = out.len();
        match (byte, within) {
            (b'\\', Within::Json) => out.push_str("\\\\\\\\"),
            (b'\\', Within::Spaces | Within::Quotes | Within::Pattern) => out.push_str("\\\\"),
            (b'"', Within::Json | Within::Pattern) => out.push_str("\\\""),
            (b' ', Within::Spaces) | (b'"', Within::Spaces | Within::Quotes) => {
                push(out, format_args!("\\x{byte:02x}"));
            }
            (b' '..=b'~', _) => out.push(char::from(*byte)),
            (_, Within::Json) => push(out, format_args!("\\\\x{byte:02x}")),
            (_, Within::Pattern) => push(out, format_args!("\\u{byte:04x}")),
            (_, Within::Spaces | Within::Quotes) => push(out, format_args!("\\x{byte:02x}")),
        }
        if out.len() - start > limit {
            out.truncate(before);
            out.push_str("...");
            return;
        }
    }
}

/// Appends formatted text. Writing to a `String` cannot fail.
pub(crate) fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(arguments);
    debug_assert!(written.is_ok(), "a value's own formatting failed");
}

fn push_character(out: &mut String, character: char) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ if is_harmful(character) => match u32::from(character) {
            code @ 0..=0xff => push(out, format_args!("\\x{code:02x}")),
            code => push(out, format_args!("\\u{{{code:x}}}")),
        },
        _ => out.push(character),
    }
}

/// C0 and C1 controls, the Unicode line ends, and the marks that turn the order of text around
/// (CVE-2021-42574).
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(push: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        push(&mut out);
        out
    }

    #[test]
    fn harmful_characters_are_shown_instead_of_obeyed() {
        for (text, plain, quoted) in [
            ("Müller", "Müller", "\"Müller\""),
            ("a\nb\r\tc", "a\\nb\\r\\tc", "\"a\\nb\\r\\tc\""),
            ("\u{1b}[31m\0\u{7f}", "\\x1b[31m\\x00\\x7f", "\"\\x1b[31m\\x00\\x7f\""),
            ("\u{85}\u{2028}\u{202e}", "\\x85\\u{2028}\\u{202e}", "\"\\x85\\u{2028}\\u{202e}\""),
            ("say \"\\\"", "say \"\\\"", "\"say \\\"\\\\\\\"\""),
        ] {
            assert_eq!(pushed(|out| push_text(out, text)), plain);
            assert_eq!(pushed(|out| push_quoted(out, text)), quoted);
        }
    }

    #[test]
    fn json_strings_come_back_as_they_went_in() {
        for text in ["", "plain", "\"\\\n\r\t\u{8}", "\u{0}\u{1b}\u{7f}\u{85}\u{2028}\u{202e}", "ü 🦀"] {
            let json = pushed(|out| push_json(out, text));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert!(!json.chars().any(is_harmful), "{json}");
        }
    }

    #[test]
    fn every_byte_becomes_printable_ascii() {
        let all: Vec<u8> = (0..=255).collect();
        for within in [Within::Spaces, Within::Quotes, Within::Pattern, Within::Json] {
            let escaped = pushed(|out| push_bytes(out, &all, within, 4096));
            assert!(escaped.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{escaped}");
            assert_eq!(escaped.contains(' '), within != Within::Spaces);
            assert_eq!(escaped.contains('"'), matches!(within, Within::Json | Within::Pattern));
        }
    }

    #[test]
    fn bytes_can_be_told_from_their_escapes() {
        for (bytes, quotes, decoded) in [
            (&b"a b"[..], "a b", "a b"),
            (b"\\x0a", "\\\\x0a", "\\\\x0a"),
            (b"\x0a\xff", "\\x0a\\xff", "\\x0a\\xff"),
            (b"\"", "\\x22", "\""),
            (b"", "", ""),
        ] {
            assert_eq!(pushed(|out| push_bytes(out, bytes, Within::Quotes, 100)), quotes);
            let json = pushed(|out| push_bytes(out, bytes, Within::Json, 100));
            assert_eq!(serde_json::from_str::<String>(&format!("\"{json}\"")).unwrap(), decoded);
        }
    }

    #[test]
    fn values_in_patterns_are_json_to_whoever_writes_json() {
        for (bytes, expected) in
            [(&b"a b"[..], "a b"), (b"\"\\\n\x00\xe9", "\\\"\\\\\\u000a\\u0000\\u00e9"), (b"", "")]
        {
            let escaped = pushed(|out| push_bytes(out, bytes, Within::Pattern, 100));
            assert_eq!(escaped, expected);
            let read: String = serde_json::from_str(&format!("\"{escaped}\"")).unwrap();
            assert!(read.chars().map(u32::from).eq(bytes.iter().map(|byte| u32::from(*byte))));
        }
    }

    #[test]
    fn long_values_are_cut_between_escapes() {
        for (bytes, expected) in
            [(&b"abcd"[..], "abcd"), (b"abcde", "abcd..."), (b"abc\x00", "abc..."), (b"\x00\x00", "\\x00...")]
        {
            assert_eq!(pushed(|out| push_bytes(out, bytes, Within::Quotes, 4)), expected);
        }
    }
}
