//! Keys whose value is one of a few words.

/// A closed set of words.
macro_rules! words {
    ($($name:ident { $($variant:ident = $word:literal $(| $alias:literal)*),* })*) => { $(
        impl $crate::config::setting::Setting for $name {
            fn takes() -> String {
                ["one of", $(concat!("\"", $word, "\"")),*].join(" ")
            }

            fn read(value: &$crate::config::value::Value) -> Result<Self, String> {
                match value.text() {
                    $(Some($word $(| $alias)*) => Ok(Self::$variant),)*
                    Some(text) => Err(match $crate::config::suggest::nearest(text, [$($word),*].into_iter()) {
                        Some(word) => format!("{}; did you mean \"{word}\"?", $crate::config::setting::mismatch::<Self>(value)),
                        None => $crate::config::setting::mismatch::<Self>(value),
                    }),
                    None => Err($crate::config::setting::mismatch::<Self>(value)),
                }
            }

            fn show(&self) -> toml::Value {
                match self {
                    $(Self::$variant => $word.into(),)*
                }
            }
        }
    )* };
}

pub(super) use words;
