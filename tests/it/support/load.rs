//! Clients that go on asking while something happens to the server.

use super::{Address, Connection};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Whether a client keeps its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    KeptAlive,
    Closed,
}

/// Clients, each with one request at a time.
#[derive(Debug)]
pub(crate) struct Load {
    clients: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Starts so many clients of each kind.
    pub(crate) fn start(address: &Address, clients: usize, kinds: &[Reuse]) -> Self {
        let shared = Arc::new(Shared::default());
        let clients = kinds
            .iter()
            .flat_map(|reuse| std::iter::repeat_n(*reuse, clients))
            .map(|reuse| {
                let (address, shared) = (address.clone(), Arc::clone(&shared));
                thread::spawn(move || client(&address, reuse, &shared))
            })
            .collect();
        let load = Self { clients, shared };
        load.goes_on();
        load
    }

    /// Waits until each client has had further answers, on the average.
    #[track_caller]
    pub(crate) fn goes_on(&self) {
        let target = self.shared.answered.load(Ordering::Relaxed) + 5 * self.clients.len() as u64;
        super::until("more requests are answered", || self.shared.answered.load(Ordering::Relaxed) >= target);
    }

    /// Stops the clients; how many requests were answered, and why others failed.
    pub(crate) fn stop(mut self) -> (u64, Vec<String>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("a client that does not panic");
        }
        let failures = std::mem::take(&mut *self.shared.failures.lock().expect("no panic under the lock"));
        (self.shared.answered.load(Ordering::Relaxed), failures)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn client(address: &Address, reuse: Reuse, shared: &Shared) {
    let mut kept = None;
    while !shared.stop.load(Ordering::Relaxed) {
        match ask(address, reuse, &mut kept) {
            Ok(()) => _ = shared.answered.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                kept = None;
                let mut failures = shared.failures.lock().expect("no panic under the lock");
                failures.push(format!("{reuse:?}: {error}"));
            }
        }
        // The load is bounded: not more than a thousand requests a second from each client.
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// One request. A kept connection that the server has closed is replaced before anything is sent: what a client
/// could see is no failure.
fn ask(address: &Address, reuse: Reuse, kept: &mut Option<Connection>) -> io::Result<()> {
    let mut connection = match kept.take_if(|kept| !kept.is_closed()) {
        Some(connection) => connection,
        None => address.connect()?,
    };
    let option = match reuse {
        Reuse::KeptAlive => "keep-alive",
        Reuse::Closed => "close",
    };
    let request = format!(
        "POST /load HTTP/1.1\r\nHost: a.example\r\nConnection: {option}\r\nContent-Length: 5\r\n\r\nhello"
    );
    connection.send(request.as_bytes())?;
    let answer = connection.answer()?;
    if answer.status != 200
        || !answer.text().starts_with("POST /load\n")
        || !answer.text().ends_with("\nhello")
    {
        return Err(io::Error::other(format!("answered {answer:?}")));
    }
    if reuse == Reuse::KeptAlive && !answer.closes() {
        *kept = Some(connection);
    }
    Ok(())
}
