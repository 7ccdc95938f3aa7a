//! What native apps are compared with: one thread that accepts a connection, answers it, and accepts the next.
//!
//! The app and the HTTP code are those of the server itself; what is missing is everything else: workers, a
//! supervisor, tokens, limits by route, and connections at the same time. Each connection is closed after its answer,
//! as a server of one thread must do to let the next client in; it does not wait until that client has noticed.

use crate::app::{App, AppError, CallLimits, native};
use crate::config::{Config, Timeouts};
use crate::net::{Connection, Drain, Local, Peer, Stream};
use crate::protocol::h1::{self, Settings};
use crate::protocol::{
    Admitted, Answer, Attempt, Entry, Exchange, Halt, Handler, LengthRule, Noting, OnDisconnect, Opening,
    Parcel, Patience, Relayed, Request, RequestContext, RequestHead, RequestId, Substitute,
};
use http::StatusCode;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::Notify;

/// Serves a native app until it is killed.
///
/// # Errors
/// There is no such app, or no socket for it.
pub(super) fn serve(name: &str, config: &Config) -> io::Result<()> {
    let status: crate::app::Status = Arc::new(|| "{}".to_owned());
    let name = name.strip_prefix("native:").unwrap_or(name);
    let app = native(name, &status).ok_or_else(|| io::Error::other(format!("no native app {name:?}")))?;
    let timeouts = Timeouts { keep_alive: Duration::ZERO, ..config.timeouts.clone() };
    let settings = Arc::new(Settings { limits: config.limits.clone(), timeouts });
    let drain = Arc::new(Drain::default());
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        crate::cli::print(&format!("listening at http://{address}\n"));
        loop {
            let Ok((stream, peer)) = listener.accept().await else { continue };
            let connection = Connection {
                stream: Stream::Tcp(stream),
                peer: Peer::Address(peer),
                local: Local::Address(address),
            };
            let answered = Arc::new(Notify::new());
            let handler = Alone {
                app: Arc::clone(&app),
                body_limit: config.limits.body.0,
                answered: Arc::clone(&answered),
            };
            let (settings, drain) = (Arc::clone(&settings), Arc::clone(&drain));
            let serving = h1::serve(connection, Opening::Fresh, settings, drain, Arc::new(handler));
            tokio::select! {
                // What is left of it is to see the client leave.
                () = answered.notified() => {}
                _ = tokio::spawn(serving) => {}
            }
        }
    })
}

/// Hands every request to one app.
struct Alone {
    app: Arc<dyn App>,
    body_limit: u64,
    /// Told when the answer has been written.
    answered: Arc<Notify>,
}

impl Handler for Alone {
    type Route = ();

    fn admit(&self, _: &mut RequestHead, _: &mut RequestContext, _: Attempt) -> Result<Admitted<()>, Halt> {
        Ok(Admitted {
            route: (),
            body_limit: self.body_limit,
            length: LengthRule::Any,
            noting: Noting::IfItWaits,
            on_disconnect: OnDisconnect::Finish,
            entry: Entry::Complete,
        })
    }

    async fn respond(&self, (): &(), request: Box<Request>, patience: Patience) -> Answer {
        let limits = CallLimits { time: Duration::ZERO, queue: Duration::ZERO, patience };
        match self.app.call(request, limits).await {
            Ok(response) => Answer::Response(Box::new(response)),
            Err(AppError::Busy(request)) => Answer::Busy(request),
            Err(
                error @ (AppError::Failed(_)
                | AppError::TooSlow(_)
                | AppError::CutOff(_)
                | AppError::Shed(..)),
            ) => Answer::InPlace(Substitute::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        }
    }

    fn identify(&self) -> RequestId {
        RequestId(0)
    }

    fn keeps_records(&self) -> bool {
        // Without records, nobody says when an exchange is over.
        true
    }

    fn finish(&self, _: &Exchange<'_>) {
        self.answered.notify_one();
    }

    fn relay(&self, _: BorrowedFd<'_>, _: Parcel<'_>) -> Relayed {
        Relayed::Stayed
    }
}
