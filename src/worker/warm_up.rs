//! Requests that a new worker answers itself before it says that it is ready.

use super::BootFailure;
use crate::config::{Config, WarmUp, WarmUpScheme};
use crate::contract::exit::ExitReason;
use crate::pipeline::Pipeline;
use crate::protocol::flight::Flight;
use crate::protocol::h1;
use crate::protocol::{
    Answer, Attempt, BodyStream, Content, Halt, Handler, Local, Patience, Peer, Prefix, Request,
    RequestContext, ResponseBody, Scheme, StreamAborted,
};
use bytes::Bytes;
use http::StatusCode;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// Answers the warm-up requests, one after the other, through everything that a client's request passes through.
///
/// # Errors
/// The first one that is not answered as it should be, and what came instead.
pub(super) async fn answer_all(pipeline: &Pipeline, config: &Config) -> Result<(), BootFailure> {
    for wanted in &config.workers.warm_up {
        let begun = Instant::now();
        let came = answer(pipeline, config, wanted).await;
        let problem = match came {
            Ok(status) if is_wanted(wanted, status) => {
                let (path, took) = (wanted.path.as_str(), begun.elapsed());
                tracing::debug!(path, ?took, "a warm-up request was answered with {}", status.as_u16());
                continue;
            }
            Ok(status) => format!("was answered with {}", status.as_u16()),
            Err(problem) => problem,
        };
        let WarmUp { path, host, .. } = wanted;
        let expected =
            wanted.status.map_or_else(|| "any from 200 to 399".to_owned(), |status| status.to_string());
        let text = format!("the warm-up request for {path} (Host: {host}) {problem}; expected: {expected}");
        return Err(BootFailure { reason: ExitReason::BootFailed, text });
    }
    Ok(())
}

fn is_wanted(wanted: &WarmUp, status: StatusCode) -> bool {
    match wanted.status {
        Some(expected) => status.as_u16() == expected,
        None => (200..400).contains(&status.as_u16()),
    }
}

/// The status code that a request is answered with, its content made to the end; or why there is none.
async fn answer(pipeline: &Pipeline, config: &Config, wanted: &WarmUp) -> Result<StatusCode, String> {
    let WarmUp { path, host, scheme, .. } = wanted;
    let raw = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ferricorn/{} (warm-up)\r\nAccept: */*\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut head = h1::head_of(Bytes::from(raw), &config.limits)
        .map_err(|rejection| format!("is malformed: {rejection}"))?;
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut context = RequestContext {
        id: pipeline.identify(),
        peer: Peer::Address(loopback),
        local: Local::Unix(Arc::default()),
        scheme: match scheme {
            WarmUpScheme::Http => Scheme::Http,
            WarmUpScheme::Https => Scheme::Https,
        },
        forwarded: None,
        identity: None,
        mount: Prefix::default(),
        received: Instant::now(),
        waits_since: None,
        socket: None,
        flight: Flight::unnoted(),
    };
    let mut attempt = Attempt::First;
    let admitted = loop {
        match pipeline.admit(&mut head, &mut context, attempt) {
            Ok(admitted) => break admitted,
            Err(Halt::Answer(response)) => return Ok(response.status()),
            Err(Halt::Wait(what)) => what.await,
        }
        attempt = Attempt::Last;
    };
    let request =
        Request { head, content: Content::Empty, upload: None, context, upgrade: None, interim: None };
    match pipeline.respond(&admitted.route, Box::new(request), Patience::Wait).await {
        Answer::Response(response) => {
            let (parts, body) = response.into_parts();
            if let ResponseBody::Stream(stream) = body {
                exhaust(stream).await.map_err(|error| format!("was not answered to the end: {error}"))?;
            }
            Ok(parts.status)
        }
        Answer::InPlace(answer) => Ok(answer.status()),
        // Not reached: a request that waits is answered.
        Answer::Busy(_) | Answer::Nothing => Err("found no thread".into()),
    }
}

async fn exhaust(mut stream: BodyStream) -> Result<(), StreamAborted> {
    while let Some(piece) = poll_fn(|context| stream.poll_next(context)).await {
        piece?;
    }
    Ok(())
}
