//! Streams end with the token that opened them: else an event stream or a WebSocket opened once would go on for days.

use crate::protocol::{BodyStream, Piece, Pieces, Response, ResponseBody};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Ready when the token no longer holds.
pub type End = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Has an event stream end when `end` says so; any other content is left alone: half of a download is worse than one that
/// lasts longer than its token.
pub fn limit(response: Response, end: impl FnOnce() -> Option<End>) -> Response {
    if !matches!(response.body(), ResponseBody::Stream(_)) || !is_event_stream(response.headers()) {
        return response;
    }
    let Some(end) = end() else { return response };
    response.map(|body| match body {
        ResponseBody::Stream(stream) => {
            ResponseBody::Stream(BodyStream::asked(Until { stream, end: Some(end) }))
        }
        other @ (ResponseBody::Empty | ResponseBody::Full(_) | ResponseBody::File { .. }) => other,
    })
}

/// HTML, 9.2.1: the media type of server-sent events.
fn is_event_stream(fields: &HeaderMap) -> bool {
    let media_type = fields.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// A stream up to a moment. It ends as if it were complete: an event stream may end anywhere, and clients come again.
struct Until {
    stream: BodyStream,
    /// `None` once it has come.
    end: Option<End>,
}

impl Pieces for Until {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let Some(end) = &mut self.end else { return Poll::Ready(None) };
        if end.as_mut().poll(cx).is_ready() {
            self.end = None;
            return Poll::Ready(None);
        }
        self.stream.poll_next(cx)
    }

    fn suffices(mut self: Pin<&mut Self>) {
        self.stream.suffices();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::future::poll_fn;
    use tokio::sync::oneshot;

    async fn next(response: &mut Response) -> Option<Piece> {
        let ResponseBody::Stream(stream) = response.body_mut() else { panic!("no stream") };
        poll_fn(|cx| stream.poll_next(cx)).await
    }

    #[tokio::test]
    async fn event_stream_ends_with_its_token_and_no_other_content_does() {
        for (media_type, ends) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("text/event-streams", false),
            ("text/csv", false),
        ] {
            let (sender, stream) = BodyStream::queue(4);
            let mut response = Response::new(ResponseBody::Stream(stream));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            let (expire, expired) = oneshot::channel::<()>();
            let mut response = limit(response, || Some(Box::pin(async move { drop(expired.await) })));
            sender.send(b"1").unwrap();
            assert_eq!(next(&mut response).await, Some(Ok(Bytes::from_static(b"1"))));
            sender.send(b"2").unwrap();
            drop(expire);
            let after = next(&mut response).await;
            assert_eq!(after.is_none(), ends, "{media_type}");
            drop(response);
            assert!(sender.send(b"3").is_err(), "the app learns that nobody listens");
        }
    }
}
