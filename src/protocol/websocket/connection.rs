//! A connection after its handshake: messages in and out, pings, the end (RFC 6455 5.5, 7).

use super::frame::{self, Coding, Opcode};
use super::reader::{Event, Reader};
use super::{Close, Deflate, Message, Rules, Violation, deflate};
use bytes::{Buf, BufMut, BytesMut};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

/// The app's side of a connection.
pub trait Port: Send {
    /// Ready when there is room for a message.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// A message has arrived.
    fn message(&mut self, message: Message);

    /// The next thing to be sent.
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<Outgoing>;

    /// So many bytes of what was to be sent are on their way.
    fn sent(&mut self, bytes: usize);
}

/// What an app sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A message.
    Message(Message),
    /// The end of the connection.
    Close(Close),
}

/// How a connection has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The client's status code and reason; 1005 where it gave none, 1006 where it left without saying so, ours where we
    /// have ended it.
    pub close: Close,
}

/// Serves a connection to its end.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, rules: Rules, mut port: impl Port) -> Ended {
    let mut pump = Pump {
        stream,
        reader: Reader::new(rules.max_message, rules.deflate),
        rules,
        received: BytesMut::new(),
        out: BytesMut::new(),
        stage: Stage::Open,
        pinged: false,
        held_up: false,
        alarm: Box::pin(sleep_until(Instant::now() + first_pause(&rules))),
    };
    let close = poll_fn(|cx| pump.poll(cx, &mut port)).await;
    // What is closed with unread bytes in it is reset, which can destroy our last frame (RFC 6455 7.1.1).
    pump.linger().await;
    Ended { close }
}

struct Pump<S> {
    stream: S,
    reader: Reader,
    rules: Rules,
    received: BytesMut,
    out: BytesMut,
    stage: Stage,
    /// A ping is on its way, and not answered.
    pinged: bool,
    /// The app has no room for what the client sends, so that an answer to a ping is not read either.
    held_up: bool,
    /// When the next ping is due, or an answer overdue.
    alarm: Pin<Box<Sleep>>,
}

/// Where a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Open,
    /// We have said that it ends, and wait for the client to say so too.
    Closing(Close),
    /// Both have, or the client is beyond hope: what is left to be written is written.
    Over(Close),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pump<S> {
    fn poll(&mut self, cx: &mut Context<'_>, port: &mut impl Port) -> Poll<Close> {
        loop {
            self.take_outgoing(cx, port);
            let written = self.write(cx, port);
            if let Err(close) = written {
                return Poll::Ready(close);
            }
            if let Stage::Over(close) = &self.stage
                && self.out.is_empty()
            {
                return Poll::Ready(close.clone());
            }
            let read = self.read(cx, port);
            let rung = self.alarm(cx);
            // Whatever has changed may let something else go on.
            if read == Progress::None && rung == Progress::None {
                return Poll::Pending;
            }
        }
    }

    fn take_outgoing(&mut self, cx: &mut Context<'_>, port: &mut impl Port) {
        while self.stage == Stage::Open && self.out.len() < OUT_MAX {
            match port.poll_outgoing(cx) {
                Poll::Pending => return,
                Poll::Ready(Outgoing::Message(message)) => self.put(&message),
                Poll::Ready(Outgoing::Close(close)) => self.begin_close(close),
            }
        }
    }

    fn put(&mut self, message: &Message) {
        let (opcode, content) = match message {
            Message::Text(content) => (Opcode::Text, content),
            Message::Binary(content) => (Opcode::Binary, content),
        };
        let worth_it = self.rules.deflate == Deflate::Offered && content.len() >= deflate::WORTH;
        match worth_it.then(|| deflate::deflate(content)).flatten() {
            Some(short) => frame::put(&mut self.out, opcode, Coding::Deflated, &short),
            None => frame::put(&mut self.out, opcode, Coding::Plain, content),
        }
    }

    fn begin_close(&mut self, close: Close) {
        self.put_close(Some(&close));
        self.alarm.as_mut().reset(Instant::now() + CLOSING);
        self.stage = Stage::Closing(close);
    }

    fn put_close(&mut self, close: Option<&Close>) {
        let mut content = BytesMut::new();
        // 1005 stands for none, and is never sent.
        if let Some(close) = close.filter(|close| close.code != NO_STATUS) {
            content.put_u16(close.code);
            content.put_slice(close.reason.as_bytes());
        }
        frame::put(&mut self.out, Opcode::Close, Coding::Plain, &content);
    }

    /// Writes what it can.
    fn write(&mut self, cx: &mut Context<'_>, port: &mut impl Port) -> Result<(), Close> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0) | Err(_)) => return Err(self.lost()),
                Poll::Ready(Ok(written)) => {
                    self.out.advance(written);
                    port.sent(written);
                }
            }
            self.take_outgoing(cx, port);
        }
        Ok(())
    }

    /// Reads for as long as there is room for what is read.
    fn read(&mut self, cx: &mut Context<'_>, port: &mut impl Port) -> Progress {
        let mut progress = Progress::None;
        loop {
            if matches!(self.stage, Stage::Over(_)) || self.out.len() >= OUT_MAX {
                return progress;
            }
            self.held_up = self.stage == Stage::Open && port.poll_room(cx).is_pending();
            if self.held_up {
                return progress;
            }
            match self.reader.next(&mut self.received) {
                Ok(Some(event)) => {
                    self.handle(event, port);
                    progress = Progress::Some;
                    continue;
                }
                Ok(None) => {}
                Err(violation) => {
                    self.refuse(violation);
                    return Progress::Some;
                }
            }
            self.received.reserve(READ_SIZE);
            match pin!(self.stream.read_buf(&mut self.received)).poll(cx) {
                Poll::Pending => return progress,
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.stage = Stage::Over(self.lost());
                    self.out.clear();
                    return Progress::Some;
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    fn handle(&mut self, event: Event, port: &mut impl Port) {
        match event {
            // RFC 6455 5.5.1: what comes after our close is of no interest.
            Event::Message(message) if self.stage == Stage::Open => port.message(message),
            Event::Message(_) => {}
            Event::Ping(content) => frame::put(&mut self.out, Opcode::Pong, Coding::Plain, &content),
            Event::Pong => {
                if self.pinged && self.stage == Stage::Open {
                    self.pinged = false;
                    self.alarm.as_mut().reset(Instant::now() + self.rules.ping_interval);
                }
            }
            Event::Close(close) => {
                if self.stage == Stage::Open {
                    // RFC 6455 5.5.1: the code is given back.
                    self.put_close(close.as_ref());
                }
                let ours = match &self.stage {
                    Stage::Closing(ours) => Some(ours.clone()),
                    Stage::Open | Stage::Over(_) => None,
                };
                let close = close.unwrap_or_else(|| Close::new(NO_STATUS, ""));
                self.stage = Stage::Over(ours.unwrap_or(close));
            }
        }
    }

    /// RFC 6455 7.1.7: the client is told why, and no longer listened to.
    fn refuse(&mut self, violation: Violation) {
        let close = Close::new(violation.code(), &violation.to_string());
        if self.stage == Stage::Open {
            self.put_close(Some(&close));
        }
        self.stage = Stage::Over(close);
    }

    fn alarm(&mut self, cx: &mut Context<'_>) -> Progress {
        if self.alarm.as_mut().poll(cx).is_pending() {
            return Progress::None;
        }
        match &self.stage {
            // Nothing more can be written in time.
            Stage::Over(close) | Stage::Closing(close) => {
                self.stage = Stage::Over(close.clone());
                self.out.clear();
            }
            Stage::Open if self.pinged && self.held_up => {
                self.alarm.as_mut().reset(Instant::now() + self.rules.ping_timeout);
            }
            Stage::Open if self.pinged => {
                let close = Close::new(1011, "the answer to a ping is overdue");
                self.put_close(Some(&close));
                self.alarm.as_mut().reset(Instant::now() + CLOSING);
                self.stage = Stage::Over(close);
            }
            Stage::Open => {
                let Rules { ping_interval, ping_timeout, .. } = self.rules;
                let pause = if ping_interval.is_zero() {
                    NEVER
                } else {
                    frame::put(&mut self.out, Opcode::Ping, Coding::Plain, b"");
                    self.pinged = !ping_timeout.is_zero();
                    if self.pinged { ping_timeout } else { ping_interval }
                };
                self.alarm.as_mut().reset(Instant::now() + pause);
            }
        }
        Progress::Some
    }

    /// What stands for a connection that has ended without a word.
    fn lost(&self) -> Close {
        match &self.stage {
            Stage::Closing(close) | Stage::Over(close) => close.clone(),
            Stage::Open => Close::new(ABNORMAL, ""),
        }
    }

    /// Ends our side, and reads on for a while.
    async fn linger(&mut self) {
        let until = Instant::now() + LINGER;
        let reading = async {
            let _ended = poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await;
            let mut read = 0;
            while read < LINGER_BYTES {
                self.received.clear();
                match self.stream.read_buf(&mut self.received).await {
                    Ok(0) | Err(_) => return,
                    Ok(bytes) => read += bytes,
                }
            }
        };
        let _in_time = tokio::time::timeout_at(until, reading).await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Some,
    None,
}

fn first_pause(rules: &Rules) -> Duration {
    if rules.ping_interval.is_zero() { NEVER } else { rules.ping_interval }
}

/// Room for reading: most messages fit.
const READ_SIZE: usize = 4 << 10;

/// Bytes of frames that wait to be written before the app's next message is taken.
const OUT_MAX: usize = 64 << 10;

/// How long the client's last word is waited for (RFC 6455 7.1.1).
const CLOSING: Duration = Duration::from_secs(5);

/// How long, and how much of it, an ended connection is still read.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// Longer than any process lives.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// RFC 6455 7.4.1: the client gave no status code.
const NO_STATUS: u16 = 1005;

/// RFC 6455 7.4.1: the connection has ended without a close frame.
const ABNORMAL: u16 = 1006;
