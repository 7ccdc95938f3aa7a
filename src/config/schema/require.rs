//! Values of `[auth]` that have several shapes, or are not shown.

use crate::config::setting::{Authorization, Preflight, Setting, mismatch};
use crate::config::value::{Entry, Node, Value};
use crate::config::{ClaimRule, Hidden, Require};

impl Setting for Require {
    fn takes() -> String {
        "\"none\", \"optional\", \"try\", a provider's name, { any = [\"NAME\"] } or { all = [\"NAME\"] }"
            .into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => match text.as_str() {
                "none" => Ok(Self::None),
                "optional" => Ok(Self::Optional),
                "try" => Ok(Self::Try),
                "" => Err(mismatch::<Self>(value)),
                name => Ok(Self::Any(vec![name.into()])),
            },
            Value::Table(entries) => match entries.as_slice() {
                [Entry { name, node }] if name == "any" || name == "all" => match Vec::read(&node.value)? {
                    names if names.is_empty() => {
                        Err(format!("{name} names no provider; for a public route write \"none\""))
                    }
                    names if name == "any" || names.len() == 1 => Ok(Self::Any(names)),
                    names => Ok(Self::All(names)),
                },
                _ => Err(mismatch::<Self>(value)),
            },
            Value::List(_) => Err(format!("{}; write {{ any = [...] }}", mismatch::<Self>(value))),
            Value::Loose(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Time(_) => {
                Err(mismatch::<Self>(value))
            }
        }
    }

    fn show(&self) -> toml::Value {
        match self {
            Self::None => "none".into(),
            Self::Optional => "optional".into(),
            Self::Try => "try".into(),
            Self::Any(names) => match names.as_slice() {
                [name] => name.as_str().into(),
                _ => table("any", names.show()),
            },
            Self::All(names) => table("all", names.show()),
        }
    }
}

impl Setting for ClaimRule {
    fn takes() -> String {
        "a value, { equals = VALUE }, { in = [...] }, { contains = VALUE }, { contains_any = [...] }, \
         { contains_all = [...] } or { present = true }"
            .into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        let Value::Table(entries) = value else { return json(value).map(Self::Equals) };
        let [Entry { name, node: Node { value: operand, .. } }] = entries.as_slice() else {
            return Err(mismatch::<Self>(value));
        };
        match (name.as_str(), operand) {
            ("equals", operand) => json(operand).map(Self::Equals),
            ("contains", operand) => json(operand).map(Self::Contains),
            ("in" | "one_of", Value::List(items)) => list(items).map(Self::OneOf),
            ("contains_any", Value::List(items)) => list(items).map(Self::ContainsAny),
            ("contains_all", Value::List(items)) => list(items).map(Self::ContainsAll),
            ("present", Value::Boolean(true)) => Ok(Self::Present),
            _ => Err(mismatch::<Self>(value)),
        }
    }

    fn show(&self) -> toml::Value {
        let array = |values: &[serde_json::Value]| toml::Value::Array(values.iter().map(scalar).collect());
        match self {
            Self::Equals(value) => scalar(value),
            Self::OneOf(values) => table("in", array(values)),
            Self::Contains(value) => table("contains", scalar(value)),
            Self::ContainsAny(values) => table("contains_any", array(values)),
            Self::ContainsAll(values) => table("contains_all", array(values)),
            Self::Present => table("present", true.into()),
        }
    }
}

fn table(name: &str, value: toml::Value) -> toml::Value {
    toml::Value::Table([(name.to_owned(), value)].into_iter().collect())
}

fn list(items: &[Node]) -> Result<Vec<serde_json::Value>, String> {
    if items.is_empty() {
        return Err("the list is empty: no claim would do".into());
    }
    items.iter().map(|item| json(&item.value)).collect()
}

/// A claim is compared with texts, whole numbers and booleans: fractions have no exact spelling.
fn json(value: &Value) -> Result<serde_json::Value, String> {
    match value {
        Value::Text(text) => Ok(text.as_str().into()),
        Value::Integer(number) => Ok((*number).into()),
        Value::Boolean(value) => Ok((*value).into()),
        other @ (Value::Loose(_) | Value::Float(_) | Value::Time(_) | Value::List(_) | Value::Table(_)) => {
            Err(format!("a claim is compared with a text, a whole number, true or false, found {other}"))
        }
    }
}

fn scalar(value: &serde_json::Value) -> toml::Value {
    match value {
        serde_json::Value::Bool(value) => (*value).into(),
        serde_json::Value::Number(number) => number.as_i64().unwrap_or(i64::MAX).into(),
        serde_json::Value::String(text) => text.as_str().into(),
        // `json` makes no others; a program that does gets their JSON text.
        other @ (serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_)) => {
            other.to_string().into()
        }
    }
}

impl From<bool> for Preflight {
    fn from(allow: bool) -> Self {
        if allow { Self::Allow } else { Self::Check }
    }
}

impl From<Preflight> for bool {
    fn from(preflight: Preflight) -> Self {
        preflight == Preflight::Allow
    }
}

impl From<bool> for Authorization {
    fn from(keep: bool) -> Self {
        if keep { Self::Keep } else { Self::Strip }
    }
}

impl From<Authorization> for bool {
    fn from(authorization: Authorization) -> Self {
        authorization == Authorization::Keep
    }
}

/// It is read as any text, and printed as none.
impl Setting for Hidden {
    fn takes() -> String {
        String::takes()
    }

    fn read(value: &Value) -> Result<Self, String> {
        String::read(value).map(Self)
    }

    fn show(&self) -> toml::Value {
        "(hidden)".into()
    }
}
