//! A part of something, in hundredths.

use super::setting::{Setting, mismatch};
use super::value::Value;
use std::fmt;
use std::str::FromStr;

/// A part, written `"90%"`: 1 to 100 hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u8);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Setting for Percent {
    fn takes() -> String {
        "a part such as \"90%\"".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        let percent = hundredths(value).filter(|percent| (1..=100).contains(percent));
        percent.map(Self).ok_or_else(|| mismatch::<Self>(value))
    }

    fn show(&self) -> toml::Value {
        self.to_string().into()
    }
}

/// What stands before the `%`, where that is a number.
pub(in crate::config) fn hundredths<T: FromStr>(value: &Value) -> Option<T> {
    let number = value.text()?.strip_suffix('%').filter(|text| !text.starts_with('+'))?;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_are_printed() {
        for part in [1, 90, 100].map(Percent) {
            assert_eq!(Percent::read(&Value::Text(part.to_string())), Ok(part));
        }
        for text in ["", "90", "0%", "101%", "+9%", "-1%", "%", "9.5%"] {
            let error = Percent::read(&Value::Text(text.into())).unwrap_err();
            assert!(error.contains("\"90%\""), "{text}: {error}");
        }
    }
}
