//! How each type of value is read from what was written, and printed again.

use super::units::{parse_duration, show_duration};
use super::value::{Entry, Node, Value};
use super::words::words;
use super::{
    ArrayFormat, BindAddress, ByteSize, Coding, ControlSocket, Csrf, DatabaseUrl, EventLoopKind,
    ForwardedField, HostPattern, Interface, KeyUse, Lifespan, LogFormat, LogLevel, LogTarget, Mode,
    NamePattern, Preload, Preset, Rate, RequestContent, StaticRoot, StreamExpiry, WarmUpScheme,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// A type that a key can have.
pub(super) trait Setting: Sized {
    /// What belongs here, for people: `a duration such as "30s"`.
    fn takes() -> String;

    /// The value, or what is wrong with it.
    fn read(value: &Value) -> Result<Self, String>;

    /// TOML that reads as the same value.
    fn show(&self) -> toml::Value;
}

/// Puts what is expected beside what was found.
pub(super) fn mismatch<T: Setting>(value: &Value) -> String {
    format!("expected {}, found {value}", T::takes())
}

/// Reads a text through a parser, whose complaint is completed by what belongs here.
pub(super) fn parsed<T: Setting>(
    value: &Value,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    let text = value.text().ok_or_else(|| mismatch::<T>(value))?;
    parse(text).map_err(|problem| format!("{}: {problem}", mismatch::<T>(value)))
}

impl Setting for String {
    fn takes() -> String {
        "a text".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        match value.text() {
            Some(text) if text.contains('\0') => Err("a text with a NUL character".into()),
            Some(text) => Ok(text.into()),
            None => Err(format!("{}; write it in quotes", mismatch::<Self>(value))),
        }
    }

    fn show(&self) -> toml::Value {
        self.as_str().into()
    }
}

impl Setting for PathBuf {
    fn takes() -> String {
        "a path".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        match String::read(value)? {
            text if text.is_empty() => Err("the path is empty".into()),
            text => Ok(text.into()),
        }
    }

    fn show(&self) -> toml::Value {
        self.to_string_lossy().as_ref().into()
    }
}

impl Setting for bool {
    fn takes() -> String {
        "true or false".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        if let Value::Boolean(value) = value {
            return Ok(*value);
        }
        let loose = if let Value::Loose(text) = value { text.as_str() } else { "" };
        match loose {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(mismatch::<Self>(value)),
        }
    }

    fn show(&self) -> toml::Value {
        (*self).into()
    }
}

impl Setting for Preload {
    fn takes() -> String {
        "true, false or \"strict\"".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        if value.text() == Some("strict") {
            return Ok(Self::Strict);
        }
        let on = bool::read(value).map_err(|_| mismatch::<Self>(value))?;
        Ok(if on { Self::On } else { Self::Off })
    }

    fn show(&self) -> toml::Value {
        match self {
            Self::Off => false.into(),
            Self::On => true.into(),
            Self::Strict => "strict".into(),
        }
    }
}

macro_rules! numbers {
    ($($number:ty)*) => { $(
        impl Setting for $number {
            fn takes() -> String {
                "a whole number".into()
            }

            fn read(value: &Value) -> Result<Self, String> {
                let number = match value {
                    Value::Integer(number) => Self::try_from(*number).ok(),
                    Value::Loose(text) if !text.starts_with('+') => text.parse().ok(),
                    Value::Text(text) if text.parse::<Self>().is_ok() => {
                        return Err(format!("{}; write {text} without quotes", mismatch::<Self>(value)));
                    }
                    _ => None,
                };
                number.filter(|number| i64::try_from(*number).is_ok()).ok_or_else(|| {
                    let most = i64::try_from(Self::MAX).unwrap_or(i64::MAX);
                    format!("expected {} from 0 to {most}, found {value}", Self::takes())
                })
            }

            fn show(&self) -> toml::Value {
                // What `read` takes fits; a larger number could only come from a program.
                i64::try_from(*self).unwrap_or(i64::MAX).into()
            }
        }
    )* };
}

numbers! { u16 u32 u64 }

/// Types whose `parse` reads what they are shown as, each with what belongs there.
macro_rules! texts {
    ($($text:ty: $takes:literal)*) => { $(
        impl Setting for $text {
            fn takes() -> String {
                $takes.into()
            }

            fn read(value: &Value) -> Result<Self, String> {
                parsed(value, Self::parse)
            }

            fn show(&self) -> toml::Value {
                self.to_string().into()
            }
        }
    )* };
}

texts! {
    BindAddress: "an address such as \"127.0.0.1:8000\", \":8000\", \"unix:PATH\" or \"fd://3\""
    DatabaseUrl: "a URL such as \"sqlite:////absolute/file\""
    HostPattern: "a host such as \"a.example\" or \"*.a.example\""
    NamePattern: "a pattern such as \"assets/*\" or \"**.{hash}.js\""
    Rate: "a rate such as \"5/1m\""
}

impl Setting for ByteSize {
    fn takes() -> String {
        "a size such as \"1 MiB\"".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        if let Value::Integer(number) = value {
            return Err(format!("{}: the unit is missing: write \"{number} B\"", mismatch::<Self>(value)));
        }
        parsed(value, Self::parse)
    }

    fn show(&self) -> toml::Value {
        self.to_string().into()
    }
}

impl Setting for Duration {
    fn takes() -> String {
        "a duration such as \"30s\"".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        if let Value::Integer(number) = value {
            return Err(format!("{}: the unit is missing: write \"{number}s\"", mismatch::<Self>(value)));
        }
        parsed(value, parse_duration)
    }

    fn show(&self) -> toml::Value {
        show_duration(*self).into()
    }
}

impl Setting for Mode {
    fn takes() -> String {
        "a mode in octal such as \"0660\"".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        if let Value::Integer(_) = value {
            return Err(format!("{}; write the octal digits in quotes", mismatch::<Self>(value)));
        }
        parsed(value, Self::parse)
    }

    fn show(&self) -> toml::Value {
        self.to_string().into()
    }
}

impl Setting for LogTarget {
    fn takes() -> String {
        "a file, \"-\" for standard output, \"stderr\", or \"off\"".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        match value.text() {
            Some("off" | "") => Ok(Self::Off),
            Some("-") => Ok(Self::Stdout),
            Some("stderr") => Ok(Self::Stderr),
            Some(_) => PathBuf::read(value).map(Self::File),
            None => Err(mismatch::<Self>(value)),
        }
    }

    fn show(&self) -> toml::Value {
        match self {
            Self::Off => "off".into(),
            Self::Stdout => "-".into(),
            Self::Stderr => "stderr".into(),
            Self::File(path) => path.show(),
        }
    }
}

impl Setting for ControlSocket {
    fn takes() -> String {
        "\"auto\", \"off\", or a path".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        match value.text() {
            Some("auto") => Ok(Self::Auto),
            Some("off" | "") => Ok(Self::Off),
            Some(_) => PathBuf::read(value).map(Self::At),
            None => Err(mismatch::<Self>(value)),
        }
    }

    fn show(&self) -> toml::Value {
        match self {
            Self::Auto => "auto".into(),
            Self::Off => "off".into(),
            Self::At(path) => path.show(),
        }
    }
}

impl Setting for SystemTime {
    fn takes() -> String {
        "a time with its zone such as 2026-12-01T00:00:00Z".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        if let Value::Time(time) = value {
            return super::time::from_toml(time).ok_or_else(|| mismatch::<Self>(value));
        }
        let advice = if let Value::Text(_) = value { "; write it without quotes" } else { "" };
        Err(mismatch::<Self>(value) + advice)
    }

    fn show(&self) -> toml::Value {
        toml::Value::Datetime(super::time::to_toml(*self))
    }
}

/// Absent is written `""`, so that every key can be turned off where it has a default.
impl<T: Setting> Setting for Option<T> {
    fn takes() -> String {
        T::takes()
    }

    fn read(value: &Value) -> Result<Self, String> {
        if value.text() == Some("") { Ok(None) } else { T::read(value).map(Some) }
    }

    fn show(&self) -> toml::Value {
        self.as_ref().map_or_else(|| "".into(), Setting::show)
    }
}

/// A single text stands for a list of one; the environment separates by commas.
impl<T: Setting> Setting for Vec<T> {
    fn takes() -> String {
        format!("a list, each {}", T::takes())
    }

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(items) => items.iter().map(|item| T::read(&item.value)).collect(),
            Value::Loose(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(|item| T::read(&Value::Loose(item.into()))).collect()
            }
            Value::Text(_) => Ok(vec![T::read(value)?]),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Time(_) | Value::Table(_) => {
                Err(mismatch::<Self>(value))
            }
        }
    }

    fn show(&self) -> toml::Value {
        toml::Value::Array(self.iter().map(Setting::show).collect())
    }
}

impl<T: Setting> Setting for BTreeMap<String, T> {
    fn takes() -> String {
        format!("a table whose values are each {}", T::takes())
    }

    fn read(value: &Value) -> Result<Self, String> {
        let Value::Table(entries) = value else { return Err(mismatch::<Self>(value)) };
        let pair = |Entry { name, node: Node { value, .. } }: &Entry| {
            let value = T::read(value).map_err(|problem| format!("{name}: {problem}"))?;
            Ok((name.clone(), value))
        };
        entries.iter().map(pair).collect()
    }

    fn show(&self) -> toml::Value {
        toml::Value::Table(self.iter().map(|(name, value)| (name.clone(), value.show())).collect())
    }
}

words! {
    // Gunicorn has two more levels; they mean the nearest of ours.
    LogLevel { Error = "error" | "critical", Warn = "warn" | "warning", Info = "info", Debug = "debug", Trace = "trace" }
    LogFormat { Text = "text", Json = "json" }
    Coding { Brotli = "br", Zstd = "zstd", Gzip = "gzip" }
    ForwardedField {
        For = "x-forwarded-for", Proto = "x-forwarded-proto", Host = "x-forwarded-host", Port = "x-forwarded-port",
        Ssl = "x-forwarded-ssl", Protocol = "x-forwarded-protocol", Forwarded = "forwarded"
    }
    Interface { Auto = "auto", Wsgi = "wsgi", Asgi = "asgi" }
    Lifespan { Auto = "auto", On = "on", Off = "off" }
    RequestContent { Complete = "complete", Stream = "stream" }
    EventLoopKind { Auto = "auto", Asyncio = "asyncio", Uvloop = "uvloop" }
    StaticRoot { Auto = "auto", Off = "off" }
    Preset { SimpleJwt = "simplejwt", Strict = "strict" }
    StreamExpiry { Close = "close", Ignore = "ignore" }
    Csrf { SameOrigin = "same-origin", Off = "off" }
    ArrayFormat { Comma = "comma", Json = "json" }
    KeyUse { Verify = "verify", SignAndVerify = "sign+verify" }
    WarmUpScheme { Http = "http", Https = "https" }
    Preflight { Allow = "allow", Check = "check" }
    Authorization { Keep = "keep", Strip = "strip" }
}

/// `auth.preflight` as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preflight {
    Allow,
    Check,
}

/// `auth.forward.authorization` as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authorization {
    Keep,
    Strip,
}
