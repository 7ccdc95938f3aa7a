//! What is posted, as the endpoints read it.

use super::input::{FieldProblem, Fields, Trim, Unreadable, at_most};
use crate::protocol::Content;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};

fn read(media_type: &'static str, text: &str) -> Result<Fields, Unreadable> {
    let mut head = HeaderMap::new();
    if !media_type.is_empty() {
        head.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    let content = if text.is_empty() { Content::Empty } else { Content::Memory(text.to_owned().into()) };
    Fields::read(&head, content)
}

const JSON: &str = "application/json";

#[test]
fn members_are_texts_as_the_framework_makes_them() {
    for (text, trim, expected) in [
        (r#"{"a":"x"}"#, Trim::Blanks, Ok("x")),
        (r#"{"a":" x\t"}"#, Trim::Blanks, Ok("x")),
        (r#"{"a":" x\t"}"#, Trim::Nothing, Ok(" x\t")),
        ("{\"a\":\"\u{a0}\\u001fx\u{3000}\"}", Trim::Blanks, Ok("x")),
        (r#"{"a":17}"#, Trim::Blanks, Ok("17")),
        (r#"{"a":1.5}"#, Trim::Blanks, Ok("1.5")),
        (r#"{"b":"x"}"#, Trim::Blanks, Err(FieldProblem::Missing)),
        ("", Trim::Blanks, Err(FieldProblem::Missing)),
        (r#"{"a":null}"#, Trim::Blanks, Err(FieldProblem::Null)),
        (r#"{"a":"  "}"#, Trim::Blanks, Err(FieldProblem::Blank)),
        (r#"{"a":""}"#, Trim::Nothing, Err(FieldProblem::Blank)),
        (r#"{"a":true}"#, Trim::Blanks, Err(FieldProblem::NoText)),
        (r#"{"a":["x"]}"#, Trim::Blanks, Err(FieldProblem::NoText)),
        (r#"{"a":"x\u0000"}"#, Trim::Blanks, Err(FieldProblem::Nul)),
    ] {
        let found = read(JSON, text).unwrap().text("a", trim);
        assert_eq!(found.as_deref(), expected.as_ref().map(|text| &**text), "{text}");
    }
}

#[test]
fn texts_are_as_long_as_they_have_letters() {
    assert!(at_most("é".repeat(254), 254).is_ok());
    assert_eq!(at_most("é".repeat(255), 254), Err(FieldProblem::TooLong(254)));
}

#[test]
fn what_cannot_be_read_is_said_in_the_frameworks_words() {
    for (media_type, text, expected) in [
        (JSON, "[]", "Invalid data. Expected a dictionary, but got list."),
        (JSON, "\"x\"", "Invalid data. Expected a dictionary, but got str."),
        (JSON, "1", "Invalid data. Expected a dictionary, but got int."),
        (JSON, "1.5", "Invalid data. Expected a dictionary, but got float."),
        (JSON, "true", "Invalid data. Expected a dictionary, but got bool."),
        (JSON, "null", "No data provided"),
        (
            JSON,
            "{",
            "JSON parse error - Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (JSON, "{\"a\":NaN}", "JSON parse error - Out of range float values are not JSON compliant: 'NaN'"),
        (JSON, "{\"a\":1,\"a\":1}", "JSON parse error - duplicate member"),
        ("text/plain", "x", "Unsupported media type \"text/plain\" in request."),
        ("", "x", "Unsupported media type \"\" in request."),
        ("multipart/form-data", "x", "Multipart form parse error - Invalid boundary"),
        ("application/x-www-form-urlencoded", "a=1&a=2", "The field \"a\" is there twice."),
    ] {
        let problem = read(media_type, text).unwrap_err().to_string();
        assert!(problem.starts_with(expected), "{media_type} {text}: {problem}");
    }
    assert_eq!(read(JSON, &" ".repeat(65_537)).unwrap_err(), Unreadable::TooLarge);
    assert!(read("Application/JSON; charset=utf-8", "{\"a\":\"x\"}").is_ok());
}
