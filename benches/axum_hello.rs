//! One axum router on one thread, under Ferricorn or under `axum::serve`, so that the difference is the server.
//!
//! `axum_hello ferricorn FLAGS…` or `axum_hello axum ADDRESS`
#![expect(
    clippy::print_stderr,
    reason = "the lines that tell the load generator where to go, and what failed"
)]

use axum::Router;
use axum::routing::get;
use ferricorn::Server;
use std::io;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().and_then(|word| word.into_string().ok()).as_deref() {
        Some("ferricorn") => {
            let arguments = ["axum_hello ferricorn".into()].into_iter().chain(arguments);
            Server::new(|_| async { Ok(router()) }).main(arguments)
        }
        Some("axum") => {
            let address = arguments.next().and_then(|address| address.into_string().ok());
            match serve_by_axum(address.as_deref().unwrap_or("127.0.0.1:0")) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            }
        }
        _ => {
            eprintln!("usage: axum_hello ferricorn FLAGS... | axum ADDRESS");
            ExitCode::from(2)
        }
    }
}

fn router() -> Router {
    Router::new().route("/", get(|| async { "Hello, World!" }))
}

fn serve_by_axum(address: &str) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        eprintln!("listening at http://{}\nready:", listener.local_addr()?);
        axum::serve(listener, router()).await
    })
}
