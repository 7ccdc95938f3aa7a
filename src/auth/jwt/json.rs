//! JSON as a security decision needs it: one reading only.
//!
//! RFC 8259 4 leaves duplicate members to the reader, and RFC 7515 5.2 lets a verifier refuse them: two
//! parsers that disagree about which one counts are a way around a check. They are refused at every depth.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// Why a text is not taken as JSON object.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Parses a JSON object: no duplicate members, at most 32 levels and 256 members in all.
///
/// # Errors
/// [`JsonError`] for anything else, and for whatever follows the object.
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    parse_object_within(text, MAX_MEMBERS)
}

/// The same with another limit on members, for key sets.
///
/// # Errors
/// [`JsonError`] likewise.
pub fn parse_object_within(text: &[u8], max_members: usize) -> Result<Map<String, Value>, JsonError> {
    let members = Cell::new(max_members);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let object = Strict { depth: 1, members: &members }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    match object {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(JsonError(serde_json::Error::custom("not an object")))
        }
    }
}

/// Levels of arrays and objects.
const MAX_DEPTH: usize = 32;
/// Members of all objects together.
const MAX_MEMBERS: usize = 256;

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    /// How many more members may come.
    members: &'a Cell<usize>,
}

impl Strict<'_> {
    /// The seed for what lies one level deeper.
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth > MAX_DEPTH {
            return Err(E::custom("nested too deeply"));
        }
        Ok(Self { depth: self.depth + 1, members: self.members })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let left =
                self.members.get().checked_sub(1).ok_or_else(|| A::Error::custom("too many members"))?;
            self.members.set(left);
            match object.entry(name) {
                Entry::Vacant(place) => _ = place.insert(entries.next_value_seed(deeper)?),
                Entry::Occupied(_) => return Err(A::Error::custom("duplicate member")),
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, taken: bool) {
        assert_eq!(parse_object(text.as_bytes()).is_ok(), taken, "{text:.80}");
    }

    #[test]
    fn objects_with_one_reading_are_taken() {
        check("{}", true);
        check(r#" {"a":1,"b":{"a":[1,2.5,-3,"x",null,true]}} "#, true);
        check(&format!("{}{}", r#"{"a":"#.repeat(31) + "{", "}".repeat(32)), true);
        let members = (0..256).map(|n| format!("\"m{n}\":0")).collect::<Vec<_>>().join(",");
        check(&format!("{{{members}}}"), true);
    }

    #[test]
    fn duplicate_members_are_refused_at_every_depth() {
        check(r#"{"a":1,"a":1}"#, false);
        check(r#"{"a":[{"b":{"c":1,"c":2}}]}"#, false);
        // The same name, written with an escape.
        check(r#"{"a":1,"\u0061":1}"#, false);
    }

    #[test]
    fn deep_and_wide_objects_are_refused() {
        check(&format!("{}{}", r#"{"a":"#.repeat(32) + "{", "}".repeat(33)), false);
        check(&format!(r#"{{"a":{}{}}}"#, "[".repeat(40), "]".repeat(40)), false);
        let members = (0..257).map(|n| format!("\"m{n}\":0")).collect::<Vec<_>>().join(",");
        check(&format!("{{{members}}}"), false);
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        for text in ["", "[]", "1", "\"a\"", "null", "{\"a\":NaN}", "{\"a\":1e400}", "{\"a\":Infinity}"] {
            check(text, false);
        }
        for text in
            ["{} {}", "{}x", "{\"a\":1,}", "{'a':1}", "{\"a\":01}", "\u{feff}{}", "{\"a\":\"\\ud800\"}"]
        {
            check(text, false);
        }
        assert!(parse_object(b"{\"a\":\"\xff\"}").is_err());
    }
}
