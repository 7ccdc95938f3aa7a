//! `workers.warm_up`: requests that a new worker answers before it is ready.

use crate::config::setting::{Setting, mismatch};
use crate::config::value::{Entry, Value};

/// A request that a new worker answers itself before it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmUp {
    /// The target: path and query.
    pub path: String,
    /// The Host field. Default: localhost.
    pub host: String,
    /// The scheme the app is told. Default: http.
    pub scheme: WarmUpScheme,
    /// The status code that it must be answered with; `None`: any from 200 to 399.
    pub status: Option<u16>,
}

/// The scheme that an app is told of a warm-up request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WarmUpScheme {
    /// Plain.
    #[default]
    Http,
    /// As behind a proxy that speaks TLS.
    Https,
}

impl Setting for WarmUp {
    fn takes() -> String {
        "a path such as \"/\", or { path = \"/\", host = \"a.example\", scheme = \"https\", status = 200 }"
            .into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        let mut request =
            Self { path: String::new(), host: LOCALHOST.into(), scheme: WarmUpScheme::Http, status: None };
        match value {
            Value::Text(path) | Value::Loose(path) => request.path.clone_from(path),
            Value::Table(entries) => entries.iter().try_for_each(|entry| request.set(entry))?,
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Time(_) | Value::List(_) => {
                return Err(mismatch::<Self>(value));
            }
        }
        // What would not come through in one piece as the target of a request line.
        let is_target =
            |text: &str| text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_target(&request.path) {
            return Err(format!(
                "{:?} is no path of a request; write \"/path?query\", percent-encoded",
                request.path
            ));
        }
        Ok(request)
    }

    fn show(&self) -> toml::Value {
        let mut table = toml::Table::new();
        table.insert("path".into(), self.path.show());
        if self.host != LOCALHOST {
            table.insert("host".into(), self.host.show());
        }
        if self.scheme != WarmUpScheme::Http {
            table.insert("scheme".into(), self.scheme.show());
        }
        if let Some(status) = self.status {
            table.insert("status".into(), status.show());
        }
        if table.len() == 1 { self.path.show() } else { toml::Value::Table(table) }
    }
}

impl WarmUp {
    fn set(&mut self, Entry { name, node }: &Entry) -> Result<(), String> {
        match name.as_str() {
            "path" => self.path = String::read(&node.value)?,
            "host" => {
                self.host = String::read(&node.value)?;
                if self.host.is_empty() || !self.host.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(format!("host: {:?} is no host", self.host));
                }
            }
            "scheme" => self.scheme = Setting::read(&node.value)?,
            "status" => match u16::read(&node.value)? {
                status @ 200..=599 => self.status = Some(status),
                status => return Err(format!("status: {status} is no status code of a final answer")),
            },
            other => {
                return Err(format!(
                    "{other:?} is no part of a request; there are path, host, scheme, status"
                ));
            }
        }
        Ok(())
    }
}

const LOCALHOST: &str = "localhost";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::parse;
    use std::path::Path;

    fn read(text: &str) -> Result<WarmUp, String> {
        let entries = parse(Path::new("x"), &format!("x = {text}")).unwrap();
        WarmUp::read(&entries[0].node.value)
    }

    #[test]
    fn requests_are_read_as_they_are_shown() {
        for text in [
            "\"/\"",
            "\"/a?b=%20\"",
            "{ host = \"a.example\", path = \"/\" }",
            "{ path = \"/\", scheme = \"https\", status = 401 }",
        ] {
            let request = read(text).unwrap();
            assert_eq!(read(&crate::config::print::inline(&request.show())), Ok(request), "{text}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (text, problem) in [
            ("1", "expected a path"),
            ("\"a\"", "is no path"),
            ("\"/a b\"", "is no path"),
            ("\"/\\r\\nX: y\"", "is no path"),
            ("{ host = \"a\" }", "is no path"),
            ("{ path = \"/\", host = \"a\\r\\nb\" }", "is no host"),
            ("{ path = \"/\", scheme = \"ftp\" }", "one of"),
            ("{ path = \"/\", status = 100 }", "no status code"),
            ("{ path = \"/\", method = \"PUT\" }", "no part of a request"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
