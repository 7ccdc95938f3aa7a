use super::*;
use crate::net::Drain;
use crate::protocol::Content;
use http::{HeaderMap, Method, Request as HttpRequest};
use http_body::Frame;
use std::collections::VecDeque;
use std::future::{Ready, poll_fn, ready};
use std::sync::Arc;
use std::time::Duration;

/// A service that answers with the given content, whatever it is asked.
#[derive(Clone)]
struct Answers(Arc<dyn Fn(HttpRequest<Body>) -> Script + Send + Sync>);

/// Frames in their order; `Wait` is not ready for one poll.
struct Script(VecDeque<Step>, Option<u64>);

enum Step {
    Data(&'static str),
    Trailers,
    Wait,
    /// Never ready again.
    Hang,
    Fail,
}

impl HttpBody for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(match self.0.pop_front() {
            None => None,
            Some(Step::Data(text)) => Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))),
            Some(Step::Trailers) => Some(Ok(Frame::trailers(HeaderMap::new()))),
            Some(Step::Fail) => Some(Err("no more")),
            Some(Step::Hang) => {
                self.0.push_front(Step::Hang);
                return Poll::Pending;
            }
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.1.map_or_else(http_body::SizeHint::new, http_body::SizeHint::with_exact)
    }
}

impl Service<HttpRequest<Body>> for Answers {
    type Response = http::Response<Script>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        ready(Ok(http::Response::new((self.0)(request))))
    }
}

fn request(content: Content) -> Box<Request> {
    let mut request = Box::new(Request::get("/a|b?c"));
    request.head.method = Method::PUT;
    request.head.fields.insert("x-a", http::HeaderValue::from_static("1"));
    request.context.scheme = Scheme::Https;
    request.content = content;
    request
}

const LIMITS: CallLimits =
    CallLimits { time: Duration::ZERO, queue: Duration::ZERO, patience: crate::protocol::Patience::Wait };

async fn call(script: impl Fn() -> Script + Send + Sync + 'static) -> Result<Response, AppError> {
    let service = Answers(Arc::new(move |_| script()));
    ServiceApp::new(service, Arc::new(Drain::default()).watch()).call(request(Content::Empty), LIMITS).await
}

async fn pieces(response: Response) -> Vec<Result<Bytes, StreamAborted>> {
    let ResponseBody::Stream(mut stream) = response.into_body() else { panic!("no stream") };
    let mut pieces = Vec::new();
    while let Some(piece) = poll_fn(|cx| stream.poll_next(cx)).await {
        let is_end = piece.is_err();
        pieces.push(piece);
        if is_end {
            break;
        }
    }
    pieces
}

#[tokio::test]
async fn a_request_keeps_everything_the_client_and_the_server_say() {
    let service = Answers(Arc::new(|request| {
        let (head, body) = request.into_parts();
        assert_eq!((head.method, head.uri.to_string().as_str()), (Method::PUT, "/a|b?c"));
        assert_eq!(head.headers["x-a"], "1");
        let info = head.extensions.get::<ConnectInfo>().unwrap();
        assert_eq!((info.peer, info.scheme), (Peer::Unix, Scheme::Https));
        assert!(!info.draining.has_begun());
        assert!(matches!(body.into_content(), Content::Memory(bytes) if &bytes[..] == b"text"));
        Script(VecDeque::new(), Some(0))
    }));
    let app = ServiceApp::new(service, Arc::new(Drain::default()).watch());
    let content = Content::Memory(Bytes::from_static(b"text"));
    let response = app.call(request(content), LIMITS).await.unwrap();
    assert!(matches!(response.body(), ResponseBody::Empty));
}

#[tokio::test]
async fn content_that_is_there_goes_out_with_the_head() {
    let whole = call(|| Script([Step::Data("abc")].into(), Some(3))).await.unwrap();
    assert!(matches!(whole.body(), ResponseBody::Full(bytes) if &bytes[..] == b"abc"));
    let nothing = call(|| Script([Step::Trailers].into(), None)).await.unwrap();
    assert!(matches!(nothing.body(), ResponseBody::Empty));
}

#[tokio::test]
async fn content_in_pieces_is_streamed_in_order() {
    let script = || {
        let steps = [Step::Data("a"), Step::Wait, Step::Data("b"), Step::Trailers, Step::Data("c")];
        Script(steps.into(), None)
    };
    let got: Vec<_> = pieces(call(script).await.unwrap()).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(got, ["a", "b", "c"]);
    let late = || Script([Step::Wait, Step::Data("z")].into(), None);
    assert_eq!(pieces(call(late).await.unwrap()).await, [Ok(Bytes::from_static(b"z"))]);
}

#[tokio::test]
async fn a_failure_before_the_head_is_an_answer_and_later_it_is_none() {
    let early = call(|| Script([Step::Fail].into(), None)).await;
    assert!(matches!(early, Err(AppError::Failed(text)) if text == "no more"));
    let later = call(|| Script([Step::Data("a"), Step::Fail].into(), None)).await.unwrap();
    assert_eq!(pieces(later).await, [Ok(Bytes::from_static(b"a")), Err(StreamAborted)]);
}

#[tokio::test]
async fn a_panic_is_a_failure_of_this_request() {
    let failed = call(|| panic!("no {}", "luck")).await;
    assert!(matches!(failed, Err(AppError::Failed(text)) if text == "the app panicked: no luck"));
}

#[tokio::test]
async fn a_piece_that_does_not_come_ends_the_response() {
    let service = Answers(Arc::new(|_| {
        Script([Step::Data("a"), Step::Wait, Step::Data("b"), Step::Hang].into(), None)
    }));
    let limits = CallLimits { time: Duration::from_millis(5), ..LIMITS };
    let app = ServiceApp::new(service, Arc::new(Drain::default()).watch());
    let response = app.call(request(Content::Empty), limits).await.unwrap();
    let expected = [Ok(Bytes::from_static(b"a")), Ok(Bytes::from_static(b"b")), Err(StreamAborted)];
    assert_eq!(pieces(response).await, expected);
}

/// A service that is not ready at first, or never, and whose answer takes one more poll, or never comes.
#[derive(Clone)]
struct Slow {
    ready_after: Option<u8>,
    answers: bool,
}

impl Service<HttpRequest<Body>> for Slow {
    type Response = http::Response<Script>;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, &'static str>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        match self.ready_after {
            None => Poll::Pending,
            Some(0) => Poll::Ready(Ok(())),
            Some(polls) => {
                self.ready_after = Some(polls - 1);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn call(&mut self, _: HttpRequest<Body>) -> Self::Future {
        assert_eq!(self.ready_after, Some(0), "called before it was ready");
        let answers = self.answers;
        Box::pin(async move {
            if !answers {
                return std::future::pending().await;
            }
            tokio::task::yield_now().await;
            Ok(http::Response::new(Script([Step::Data("a")].into(), Some(1))))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_counts_from_the_offer_to_the_head() {
    let hour = Duration::from_secs(3600);
    let slow = |ready_after, answers, time| {
        let app = ServiceApp::new(Slow { ready_after, answers }, Arc::new(Drain::default()).watch());
        async move { app.call(request(Content::Empty), CallLimits { time, ..LIMITS }).await }
    };
    for time in [hour, Duration::ZERO] {
        let response = slow(Some(2), true, time).await.unwrap();
        assert!(matches!(response.into_body(), ResponseBody::Full(_)));
    }
    for (ready_after, answers) in [(None, true), (Some(1), false)] {
        let late = slow(ready_after, answers, hour).await.unwrap_err();
        assert!(matches!(late, AppError::TooSlow(limit) if limit == hour), "{late}");
    }
}
