//! What every server is asked.

use super::response::Expects;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};

/// A request, but for the authority.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// The method.
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    /// Further fields; a Host among them replaces the server's address.
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    /// The content; `None` for a request without.
    pub(super) content: Option<Bytes>,
}

impl Question {
    /// As sent to this authority.
    pub(super) fn bytes(&self, authority: &str) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        };
        let says = |wanted: &HeaderName| self.fields.iter().any(|(name, _)| name == wanted);
        if !says(&header::HOST) {
            line("Host", authority.as_bytes());
        }
        for (name, value) in &self.fields {
            line(name.as_str(), value.as_bytes());
        }
        if let Some(content) = &self.content {
            // As curl has it, whose command lines people have at hand.
            if !says(&header::CONTENT_TYPE) {
                line("Content-Type", b"application/x-www-form-urlencoded");
            }
            line("Content-Length", content.len().to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.content.as_deref().unwrap_or_default());
        bytes
    }

    /// The Host that is asked for, where it is not the server's address.
    pub(super) fn host(&self) -> Option<&[u8]> {
        let host = self.fields.iter().find(|(name, _)| name == header::HOST);
        host.map(|(_, value)| value.as_bytes())
    }

    /// What the answer looks like.
    pub(super) fn expects(&self) -> Expects {
        if self.method == Method::HEAD { Expects::HeadAlone } else { Expects::Content }
    }

    /// Whether each answer to it is like the one before. What changes something may be answered with what has changed.
    pub(super) fn is_safe(&self) -> bool {
        self.method.is_safe()
    }

    /// As the reader of a table is told: "GET /".
    pub(super) fn title(&self) -> String {
        match &self.content {
            Some(content) => format!("{} {} ({} bytes)", self.method, self.path, content.len()),
            None => format!("{} {}", self.method, self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_server_unless_told_otherwise() {
        let mut question =
            Question { method: Method::GET, path: "/a?b".into(), fields: Vec::new(), content: None };
        assert_eq!(question.bytes("127.0.0.1:1"), b"GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n");
        question.fields.push((header::HOST, HeaderValue::from_static("site")));
        assert_eq!(question.bytes("127.0.0.1:1"), b"GET /a?b HTTP/1.1\r\nhost: site\r\n\r\n");
    }

    #[test]
    fn content_comes_with_its_length_and_type() {
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (content, fields, expected) in [
            (
                "a=1",
                vec![],
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=1",
            ),
            ("{}", vec![json], "content-type: application/json\r\nContent-Length: 2\r\n\r\n{}"),
            ("", vec![], "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n\r\n"),
        ] {
            let content = Some(Bytes::from_static(content.as_bytes()));
            let question = Question { method: Method::POST, path: "/".into(), fields, content };
            let sent = String::from_utf8(question.bytes("h")).unwrap();
            assert_eq!(sent, format!("POST / HTTP/1.1\r\nHost: h\r\n{expected}"));
        }
    }
}
