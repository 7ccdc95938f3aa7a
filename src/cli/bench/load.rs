//! The load: connections that each ask, read the answer, and ask again (a closed loop).
//!
//! A closed loop waits for slow answers instead of piling requests up behind them, so its percentiles are those of
//! the requests it made, not of requests arriving at a fixed rate (coordinated omission).

use super::interrupt::Interrupt;
use super::link::{Link, Target};
use super::response::Reply;
use super::tally::Tally;
use crate::sys::long_turns;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// How much load there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dose {
    /// Connections, at least one.
    pub(super) connections: u16,
    /// Threads that drive them, at least one.
    pub(super) threads: u16,
    /// Length of the round.
    pub(super) duration: Duration,
    /// Ends the round early, after so many requests.
    pub(super) requests: Option<u64>,
}

/// Loads a server for one round.
///
/// # Errors
/// This process could not make a runtime for its threads.
pub(super) fn load(target: &Target, dose: Dose, interrupt: &Interrupt) -> io::Result<Tally> {
    let budget = AtomicU64::new(dose.requests.unwrap_or(u64::MAX));
    let start = Instant::now();
    let round = Arc::new(Round { target: target.clone(), budget, start, end: start + dose.duration });
    let threads = dose.threads.min(dose.connections);
    let mut whole = Tally::default();
    thread::scope(|scope| {
        let drive_on = |number: u16| {
            let connections = dose.connections / threads + u16::from(number < dose.connections % threads);
            let round = Arc::clone(&round);
            scope.spawn(move || drive(&round, connections, interrupt))
        };
        let running: Vec<_> = (0..threads).map(drive_on).collect();
        for thread in running {
            let part = thread.join().map_err(|_| io::Error::other("a load thread has panicked"))??;
            whole.add(&part);
        }
        Ok::<(), io::Error>(())
    })?;
    let used_up = dose.requests.is_some_and(|requests| whole.begun >= requests);
    whole.length = if used_up { whole.last.min(dose.duration) } else { dose.duration };
    Ok(whole)
}

/// Asks once.
///
/// # Errors
/// Why there was no answer.
pub(super) fn ask(target: &Target, interrupt: &Interrupt) -> Result<Reply, String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut link = Link::default();
        let answer = tokio::time::timeout(ANSWER_LIMIT, link.exchange(target));
        tokio::select! {
            answer = answer => answer
                .map_err(|_| format!("no answer within {ANSWER_LIMIT:?}"))?
                .map_err(|error| error.to_string()),
            () = interrupt.wait() => Err("interrupted".into()),
        }
    })
}

/// What all connections of a round share.
#[derive(Debug)]
struct Round {
    target: Target,
    /// Requests that may still begin.
    budget: AtomicU64,
    start: Instant,
    end: Instant,
}

impl Round {
    /// Whether one more request may begin.
    fn begins_another(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        Instant::now() < self.end
            && self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

/// Drives some of the connections on this thread.
fn drive(round: &Arc<Round>, connections: u16, interrupt: &Interrupt) -> io::Result<Tally> {
    // Each answer wakes this thread. Where it took the processor from a server in the middle of the next answer, caches and all,
    // that would be measured. Where it may not wait its turn, it does not.
    let _ = long_turns::interrupt_nobody();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let tally = Arc::new(Mutex::new(Tally::default()));
    // Not in a `LocalSet`, which wakes the thread that it runs on by a system call for each answer.
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn_on(client(Arc::clone(round), Arc::clone(&tally)), runtime.handle());
    }
    // Answers that come late still count as slow ones; those that do not come at all count as failures.
    let late = tokio::time::Instant::from_std(round.end + LATE_LIMIT);
    runtime.block_on(async {
        tokio::select! {
            _ = tokio::time::timeout_at(late, async { while clients.join_next().await.is_some() {} }) => {}
            () = interrupt.wait() => {}
        }
    });
    drop(runtime);
    Ok(std::mem::take(&mut *open(&tally)))
}

/// Nobody else wants it: all clients of a tally share a thread.
fn open(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection, made anew whenever the server has ended it.
async fn client(round: Arc<Round>, tally: Arc<Mutex<Tally>>) {
    let mut link = Link::default();
    while round.begins_another() {
        open(&tally).begun += 1;
        let asked = Instant::now();
        let answer = link.exchange(&round.target).await;
        let now = Instant::now();
        let failed = answer.is_err();
        {
            let mut tally = open(&tally);
            tally.connections += std::mem::take(&mut link.made);
            match answer {
                Ok(reply) => {
                    let at = (now <= round.end).then(|| now - round.start);
                    tally.answer(reply, now - asked, at);
                }
                Err(_) => tally.broken += 1,
            }
        }
        if failed {
            // A refused connection takes microseconds: without a pause this would be a load on the client alone.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The longest wait for the answer to a single question.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long after its end a round waits for answers.
const LATE_LIMIT: Duration = Duration::from_secs(5);
/// Between an error and the next attempt of its connection.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::super::link::Address;
    use super::super::response::Expects;
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};
    use std::os::unix::net::UnixListener;

    /// Answers so many requests on each connection, then closes it; serves until the process ends.
    fn server(per_connection: usize, answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    for _ in 0..per_connection {
                        // The head of a request, to its empty line.
                        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    fn play(address: SocketAddr, requests: u64) -> Tally {
        ask(Address::Tcp(address), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", requests)
    }

    fn ask(address: Address, request: &[u8], requests: u64) -> Tally {
        let target = Target { address, request: request.to_vec(), expects: Expects::Content };
        let duration = Duration::from_secs(20);
        let dose = Dose { connections: 3, threads: 2, duration, requests: Some(requests) };
        load(&target, dose, &Interrupt::never()).unwrap()
    }

    #[test]
    fn connections_are_kept_as_long_as_the_server_keeps_them() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let tally = play(server(usize::MAX, answer), 90);
        assert_eq!((tally.begun, tally.answers(), tally.in_time, tally.failed()), (90, 90, 90, 0));
        assert_eq!(tally.content, 180);
        // The others may have asked everything before the last one was scheduled.
        assert!((1..=3).contains(&tally.connections), "{}", tally.connections);
        assert!(
            tally.length > Duration::ZERO && tally.length < Duration::from_secs(20),
            "{:?}",
            tally.length
        );
    }

    #[test]
    fn a_connection_that_the_server_has_ended_is_made_anew() {
        // Without a word of warning: the next request finds it closed.
        let tally = play(server(1, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), 30);
        assert_eq!((tally.answers(), tally.failed(), tally.connections), (30, 0, 30));
        let tally = play(server(1, "HTTP/1.0 200 OK\r\n\r\nok"), 30);
        assert_eq!((tally.answers(), tally.failed(), tally.connections), (30, 0, 30));
    }

    #[test]
    fn content_is_sent_over_a_unix_socket() {
        let path = std::env::temp_dir().join(format!("ferricorn-load-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd";
        // As many bytes come back as were sent, so that an answer tells of the whole request.
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut asked = vec![0; request.len()];
                    while stream.read_exact(&mut asked).is_ok() {
                        assert_eq!(asked, request);
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                    }
                });
            }
        });
        let tally = ask(Address::Unix(path.clone()), request, 30);
        std::fs::remove_file(path).unwrap();
        assert_eq!((tally.answers(), tally.failed(), tally.content), (30, 0, 60));
    }

    #[test]
    fn failures_are_counted_and_not_answered() {
        let tally = play(server(1, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), 9);
        assert_eq!((tally.answers(), tally.refused, tally.broken), (9, 9, 0));
        let tally = play(server(1, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), 9);
        assert_eq!((tally.answers(), tally.broken, tally.failed()), (0, 9, 9));
        // The port of a client is taken, and nobody listens there.
        let client = std::net::TcpStream::connect(server(1, "")).unwrap();
        let tally = play(client.local_addr().unwrap(), 9);
        assert_eq!((tally.answers(), tally.broken, tally.connections), (0, 9, 0));
    }
}
