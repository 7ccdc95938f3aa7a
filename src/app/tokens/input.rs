//! What was posted: JSON or a form, read as Django REST framework reads it, and strictly where it is lenient.

use super::complaint::complaint;
use super::form;
use crate::auth::jwt::parse_object;
use crate::auth::users::typed::is_blank;
use crate::protocol::Content;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

/// The members of what was posted.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

/// Whether blanks around a text belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trim {
    /// As Django REST framework does it, with passwords, too.
    Blanks,
    /// It is taken as it is.
    Nothing,
}

/// Why a member cannot be taken, in the framework's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FieldProblem {
    #[error("This field is required.")]
    Missing,
    #[error("This field may not be null.")]
    Null,
    #[error("This field may not be blank.")]
    Blank,
    #[error("Not a valid string.")]
    NoText,
    #[error("Null characters are not allowed.")]
    Nul,
    #[error("Ensure this field has no more than {0} characters.")]
    TooLong(usize),
}

/// Why the whole cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("Invalid data. Expected a dictionary, but got {0}.")]
    NoObject(&'static str),
    #[error("No data provided")]
    Nothing,
    #[error("{0}")]
    Malformed(String),
    #[error("The field {0:?} is there twice.")]
    Twice(String),
    #[error("Unsupported media type \"{0}\" in request.")]
    MediaType(String),
    #[error("The request is too large.")]
    TooLarge,
}

impl Fields {
    pub(super) fn read(head: &HeaderMap, content: Content) -> Result<Self, Unreadable> {
        let bytes = match content {
            Content::Empty => return Ok(Self(Map::new())),
            Content::Memory(bytes) if bytes.len() <= LONGEST => bytes,
            Content::Memory(_) | Content::File { .. } => return Err(Unreadable::TooLarge),
        };
        let declared = head.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (media_type, parameters) = declared.split_once(';').unwrap_or((declared, ""));
        match media_type.trim().to_ascii_lowercase().as_str() {
            _ if bytes.is_empty() => Ok(Self(Map::new())),
            "application/json" => json(&bytes).map(Self),
            "application/x-www-form-urlencoded" => form::urlencoded(&bytes).map(Self),
            "multipart/form-data" => form::multipart(&bytes, parameters).map(Self),
            _ => Err(Unreadable::MediaType(shown(declared))),
        }
    }

    /// A member as text.
    pub(super) fn text(&self, name: &str, trim: Trim) -> Result<String, FieldProblem> {
        let text = match self.0.get(name) {
            None => return Err(FieldProblem::Missing),
            Some(Value::Null) => return Err(FieldProblem::Null),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => return Err(FieldProblem::NoText),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(text)) => text.clone(),
        };
        let text = match trim {
            Trim::Blanks => text.trim_matches(is_blank).to_owned(),
            Trim::Nothing => text,
        };
        if text.is_empty() {
            return Err(FieldProblem::Blank);
        }
        if text.contains('\0') { Err(FieldProblem::Nul) } else { Ok(text) }
    }
}

/// A text of limited length.
pub(super) fn at_most(text: String, letters: usize) -> Result<String, FieldProblem> {
    if text.chars().count() > letters { Err(FieldProblem::TooLong(letters)) } else { Ok(text) }
}

fn json(bytes: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    let malformed = |error: &dyn std::fmt::Display| {
        let complaint = complaint(bytes).unwrap_or_else(|| error.to_string());
        Unreadable::Malformed(format!("JSON parse error - {complaint}"))
    };
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return parse_object(bytes).map_err(|error| malformed(&error));
    }
    match serde_json::from_slice::<Value>(bytes) {
        Err(error) => Err(malformed(&error)),
        Ok(Value::Null) => Err(Unreadable::Nothing),
        Ok(Value::Bool(_)) => Err(Unreadable::NoObject("bool")),
        Ok(Value::Number(number)) if number.is_f64() => Err(Unreadable::NoObject("float")),
        Ok(Value::Number(_)) => Err(Unreadable::NoObject("int")),
        Ok(Value::String(_)) => Err(Unreadable::NoObject("str")),
        Ok(Value::Array(_)) => Err(Unreadable::NoObject("list")),
        Ok(Value::Object(members)) => Ok(members),
    }
}

/// What is sent back of a client's words.
fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(100).collect()
}

/// More than any token or password takes.
const LONGEST: usize = 64 << 10;
