//! The apps that come with the server: `hello`, `echo` and `status`.

use super::{App, AppError, BoxFuture, CallLimits};
use crate::protocol::{Content, Noting, Request, RequestHead, Response, ResponseBody};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use std::io::Read;
use std::sync::Arc;

/// Makes the text that `status` shows: JSON.
pub type Status = Arc<dyn Fn() -> String + Send + Sync>;

/// The demo app of this name; `None` when there is none.
pub fn native(name: &str, status: &Status) -> Option<Arc<dyn App>> {
    Some(match name {
        "hello" => Arc::new(Hello),
        "echo" => Arc::new(Echo),
        "status" => Arc::new(ShowStatus(Arc::clone(status))),
        _ => return None,
    })
}

/// Answers "Hello, World!".
struct Hello;

impl App for Hello {
    fn call(&self, _request: Box<Request>, _limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
        Box::pin(std::future::ready(Ok(answer(Bytes::from_static(b"Hello, World!"), TEXT))))
    }

    fn noting(&self) -> Noting {
        Noting::IfItWaits
    }
}

/// Answers with the request as it was understood: a line with method and target, the fields in lower case, an
/// empty line, the content.
struct Echo;

impl App for Echo {
    fn call(&self, request: Box<Request>, _limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
        Box::pin(async move {
            let mut text = describe(&request.head);
            match request.content {
                Content::Empty => {}
                Content::Memory(bytes) => text.extend_from_slice(&bytes),
                Content::File { mut file, .. } => {
                    file.read_to_end(&mut text).map_err(|error| AppError::Failed(error.to_string()))?;
                }
            }
            Ok(answer(text.into(), UTF_8_TEXT))
        })
    }

    fn noting(&self) -> Noting {
        Noting::IfItWaits
    }
}

/// Answers with the state of the workers, as JSON.
struct ShowStatus(Status);

impl App for ShowStatus {
    fn call(&self, _request: Box<Request>, _limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
        let text = (self.0)();
        Box::pin(std::future::ready(Ok(answer(text.into(), JSON))))
    }

    fn noting(&self) -> Noting {
        Noting::IfItWaits
    }
}

fn describe(head: &RequestHead) -> Vec<u8> {
    let mut text = Vec::with_capacity(head.raw.len() + 64);
    text.extend_from_slice(head.method.as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(head.target.raw());
    text.push(b'\n');
    for (name, value) in &head.fields {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
    text.push(b'\n');
    text
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
const UTF_8_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn answer(content: Bytes, content_type: HeaderValue) -> Response {
    let mut response = Response::new(ResponseBody::Full(content));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
