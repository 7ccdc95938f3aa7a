//! Forms, as browsers and `curl` post them.

use super::input::Unreadable;
use memchr::memmem;
use serde_json::{Map, Value};

/// `a=b&c=d` (URL Standard, "application/x-www-form-urlencoded parsing").
pub(super) fn urlencoded(bytes: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    let mut fields = Map::new();
    for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let value = pair.get(at + 1..).unwrap_or_default();
        insert(&mut fields, decoded(&pair[..at]), decoded(value).into())?;
    }
    Ok(fields)
}

/// `multipart/form-data` (RFC 7578); files are no texts.
pub(super) fn multipart(bytes: &[u8], parameters: &str) -> Result<Map<String, Value>, Unreadable> {
    let malformed = || Unreadable::Malformed("Multipart form parse error - the form is malformed".into());
    let boundary = parameter(parameters, "boundary").filter(|boundary| (1..=70).contains(&boundary.len()));
    let Some(boundary) = boundary else {
        let text = "Multipart form parse error - Invalid boundary in multipart: None";
        return Err(Unreadable::Malformed(text.into()));
    };
    let delimiter = format!("--{boundary}");
    let mut fields = Map::new();
    // RFC 2046 5.1.1: what stands before the first delimiter is nothing.
    let mut rest = match memmem::find(bytes, delimiter.as_bytes()) {
        Some(at) => &bytes[at + delimiter.len()..],
        None => return Err(malformed()),
    };
    let between = format!("\r\n{delimiter}");
    while !rest.starts_with(b"--") {
        rest = rest.strip_prefix(b"\r\n").ok_or_else(malformed)?;
        let end = memmem::find(rest, between.as_bytes()).ok_or_else(malformed)?;
        let (name, value) = part(&rest[..end]).ok_or_else(malformed)?;
        insert(&mut fields, name, value)?;
        rest = &rest[end + between.len()..];
    }
    Ok(fields)
}

/// Fields, an empty line, the content.
fn part(bytes: &[u8]) -> Option<(String, Value)> {
    let at = memmem::find(bytes, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..at]).ok()?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (kind, parameters) = disposition.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let value = match parameter(parameters, "filename") {
        Some(_) => Value::Object(Map::new()),
        None => String::from_utf8_lossy(&bytes[at + 4..]).into(),
    };
    Some((parameter(parameters, "name")?, value))
}

/// `; name=value` or `; name="value"`
fn parameter(parameters: &str, name: &str) -> Option<String> {
    parameters.split(';').find_map(|parameter| {
        let (found, value) = parameter.split_once('=')?;
        let value = value.trim();
        let plain = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        found.trim().eq_ignore_ascii_case(name).then(|| plain.to_owned())
    })
}

fn insert(fields: &mut Map<String, Value>, name: String, value: Value) -> Result<(), Unreadable> {
    if fields.contains_key(&name) {
        return Err(Unreadable::Twice(name.chars().take(100).collect()));
    }
    fields.insert(name, value);
    Ok(())
}

fn decoded(bytes: &[u8]) -> String {
    let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_encoding::percent_decode(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(text: &str, media_type: &str) -> Option<Value> {
        let read = match media_type.strip_prefix("multipart/form-data;") {
            Some(parameters) => multipart(text.as_bytes(), parameters),
            None => urlencoded(text.as_bytes()),
        };
        read.ok().map(Value::Object)
    }

    #[test]
    fn pairs_are_read() {
        for (text, expected) in [
            ("username=demo&password=a%20b+c%2Bd", json!({ "username": "demo", "password": "a b c+d" })),
            ("", json!({})),
            ("&&a&=b&c=d=e&", json!({ "a": "", "": "b", "c": "d=e" })),
            ("a=%ff%zz", json!({ "a": "\u{fffd}%zz" })),
        ] {
            assert_eq!(form(text, "urlencoded"), Some(expected), "{text}");
        }
        assert_eq!(form("a=1&a=2", "urlencoded"), None);
    }

    #[test]
    fn parts_are_read() {
        let part = |name: &str, value: &str| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let (a, b) = (part("a", "1\r\n2"), part("b", ""));
        let file = part("f\"; filename=\"x", "bytes");
        for (text, expected) in [
            (format!("{a}{b}--x--\r\n"), Some(json!({ "a": "1\r\n2", "b": "" }))),
            (format!("before\r\n{a}--x--"), Some(json!({ "a": "1\r\n2" }))),
            (format!("{file}--x--"), Some(json!({ "f": {} }))),
            ("--x--".into(), Some(json!({}))),
            (format!("{a}{a}--x--"), None),
            (a.clone(), None),
            ("--x\r\n\r\n\r\n--x--".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(form(&text, "multipart/form-data; boundary=x"), expected, "{text}");
            assert_eq!(form(&text, "multipart/form-data; boundary=\"x\""), expected, "{text}");
        }
        assert_eq!(form(&b, "multipart/form-data; charset=x"), None);
    }
}
