//! `[timeouts]`: how long anything may take.

use std::time::Duration;

/// `[timeouts]`
#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    /// From the first byte of a head to its end. Default: 30 s. Past it: 408.
    pub head: Duration,
    /// Between two reads of request content. Default: 60 s. Past it: 408.
    pub body: Duration,
    /// Between two requests on a kept-alive connection. Default: 75 s. 0: connections are not kept.
    pub keep_alive: Duration,
    /// Time a request may spend in the app: until the head of its response, then from piece to piece. Default: 30 s;
    /// 0 = no limit. Past it: 504, or the end of a response that has begun.
    pub request: Duration,
    /// Time a request may wait for an app thread. Default: 30 s; 0 = no limit. Past it: 503.
    pub queue: Duration,
    /// From which wait on a long queue is served from its other end. Default: 500 ms; 0 = never.
    pub overload: Duration,
    /// Between two writes that a client accepts. Default: 60 s.
    pub write: Duration,
    /// Time running requests have to end when a worker leaves. Default: 30 s.
    pub graceful: Duration,
    /// The same for answers of unknown length. Default: as `graceful`.
    pub drain_streaming: Option<Duration>,
    /// The same for connections that have changed their protocol. Default: as `graceful`.
    pub drain_websocket: Option<Duration>,
    /// Time between being told to stop and taking nothing new. Default: 0 s.
    pub lame_duck: Duration,
    /// Time an idle kept-alive connection has, when a worker leaves, for a request already on its way. Default: 2 s.
    pub drain_idle: Duration,
    /// From the fork of a worker to its being ready. Default: 2 min.
    pub boot: Duration,
    /// Time for `workers.check_command`. Default: 1 min.
    pub check: Duration,
    /// From the beginning of a reload to its end. Default: 10 min.
    pub reload: Duration,
    /// How long a worker's event loop may stand still. Default: 1 min; 0 = for ever.
    pub heartbeat: Duration,
}

impl Timeouts {
    /// How long a worker that leaves may be there at most.
    pub fn longest_drain(&self) -> Duration {
        [self.drain_streaming, self.drain_websocket].into_iter().flatten().fold(self.graceful, Duration::max)
    }
}
