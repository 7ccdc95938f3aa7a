use super::*;
use crate::contract::entry::Client;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

fn arrival<'a>(method: &'a str, target: &'a [u8]) -> Arrival<'a> {
    let client = Some(Client { address: [127, 0, 0, 1].into(), port: Some(50_000) });
    let method = method.as_bytes();
    Arrival { id: 7, method, target, is_cut: false, client, received: Instant::now(), stage: Stage::App }
}

fn board() -> &'static Board {
    Board::new(OwnCells::alone().unwrap())
}

#[test]
fn a_request_is_in_the_table_until_nobody_holds_it() {
    let board = board();
    let flight = board.note(&arrival("GET", b"/x"));
    let other = flight.clone();
    drop(flight);
    let entry = board.entries().remove(0);
    assert_eq!((entry.id, entry.stage, entry.thread), (7, Stage::App, None));
    assert_eq!((entry.method, entry.target, entry.is_cut), (b"GET".to_vec(), b"/x".to_vec(), false));
    assert_eq!(entry.client.unwrap().to_string(), "127.0.0.1:50000");
    other.enter_app(4711);
    let entry = other.entry().unwrap();
    assert_eq!((entry.stage, entry.thread), (Stage::App, Some(4711)));
    other.set_stage(Stage::Writing);
    assert_eq!(other.entry().unwrap().stage, Stage::App, "the thread is still in there");
    other.leave_app();
    assert_eq!(other.entry().unwrap().stage, Stage::Writing);
    other.enter_app(4712);
    other.leave_app();
    let entry = other.entry().unwrap();
    assert_eq!(
        (entry.stage, entry.thread),
        (Stage::Writing, None),
        "nobody has begun to write, and the app is through"
    );
    drop(other);
    assert_eq!(board.entries(), []);
}

#[tokio::test]
async fn a_request_ends_when_it_is_told_to_and_no_other_does() {
    let board = board();
    assert!(board.cancel(7).is_none(), "there is none yet");
    let flight = board.note(&arrival("GET", b"/x"));
    let other = board.note(&Arrival { id: 8, ..arrival("GET", b"/y") });
    let serving = tokio::spawn({
        let flight = flight.clone();
        async move { flight.unless_cancelled(&Bell::default(), std::future::pending::<()>()).await }
    });
    assert_eq!(flight.unless_cancelled(&Bell::default(), std::future::ready(1)).await, Some(1));
    let mut ended = board.cancel(7).unwrap();
    assert_eq!(serving.await.unwrap(), None);
    assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Empty), "one holds it still");
    drop(flight);
    assert!(ended.await.is_err() && board.entry(7).is_none());
    // Its cell has another request now, which was not meant.
    let next = board.note(&Arrival { id: 9, ..arrival("GET", b"/z") });
    for flight in [next, other] {
        let mut yields = 0;
        let waiting = poll_fn(|cx| {
            yields += 1;
            cx.waker().wake_by_ref();
            if yields < 3 { Poll::Pending } else { Poll::Ready(()) }
        });
        assert_eq!(flight.unless_cancelled(&Bell::default(), waiting).await, Some(()));
    }
}

/// Part of a task may have a waker of its own, and a connection may come to another task.
#[tokio::test]
async fn a_bell_wakes_whoever_waits_last() {
    let board = board();
    let (flight, bell) = (board.note(&arrival("GET", b"/x")), Bell::default());
    let mut waiting = Box::pin(flight.unless_cancelled(&bell, std::future::pending::<()>()));
    // This task, somebody else, and this task again.
    assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await.is_pending());
    let nobody = &mut Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(nobody).is_pending());
    let (ended, ()) = tokio::join!(waiting, async { drop(board.cancel(7)) });
    assert_eq!(ended, None);
}

#[test]
fn texts_of_every_length_survive_as_far_as_there_is_room() {
    let board = board();
    let bytes: Vec<u8> = (0..=255).collect();
    let long = [b'M'; 99];
    for length in 0..=bytes.len() {
        // Filled before with what must not show through.
        drop(board.note(&arrival("LONGESTMETHODEVER", &[b'z'; 256])));
        let method = std::str::from_utf8(&long[..length % 20 + 1]).unwrap();
        let entry = board.note(&arrival(method, &bytes[..length])).entry().unwrap();
        let kept = length.min(176);
        assert_eq!((entry.target.as_slice(), entry.is_cut), (&bytes[..kept], length > 176));
        assert_eq!(entry.method, method.as_bytes()[..method.len().min(16)]);
    }
}

#[test]
fn clients_of_every_kind_survive() {
    let board = board();
    let clients =
        [("192.0.2.1", Some(1)), ("192.0.2.1", None), ("2001:db8::9", Some(65_535)), ("::", Some(0))];
    let clients = clients.map(|(address, port)| Client { address: address.parse().unwrap(), port });
    for client in clients.into_iter().map(Some).chain([None]) {
        let flight = board.note(&Arrival { client, ..arrival("GET", b"/") });
        assert_eq!(flight.entry().unwrap().client, client);
    }
}

#[test]
fn requests_without_room_are_not_noted() {
    let board = board();
    let flights: Vec<_> = (0..CELLS + 3).map(|_| board.note(&arrival("GET", b"/"))).collect();
    assert_eq!(board.entries().len(), CELLS);
    let without = flights.iter().filter(|flight| flight.entry().is_none()).count();
    assert_eq!(without, 3);
    drop(flights);
    assert!(board.note(&arrival("GET", b"/")).entry().is_some());
}

#[test]
fn requests_that_arrive_leave_room_for_those_that_have() {
    let board = board();
    let arriving = Arrival { stage: Stage::Reading, ..arrival("POST", b"/") };
    let mut flights: Vec<_> = (0..CELLS).map(|_| board.note(&arriving)).collect();
    let room = usize::try_from(READING_CELLS).unwrap();
    assert_eq!(board.entries().len(), room);
    flights.extend((room..CELLS).map(|_| board.note(&arrival("GET", b"/"))));
    assert_eq!(board.entries().len(), CELLS);
    // One that has arrived by now is noted after all.
    flights.pop();
    let mut late = board.note(&arriving);
    assert!(late.is_unnoted());
    board.note_in(&mut late, &arrival("POST", b"/late"));
    assert_eq!(late.entry().unwrap().target, b"/late");
}

/// Whoever reads while others write sees one request or none, never parts of two.
#[test]
fn no_entry_is_torn() {
    let board = board();
    let over = AtomicBool::new(false);
    let letter = |id: u64| b"abcdefgh"[usize::try_from(id % 8).unwrap()];
    // As far as a cell has room: 176 bytes.
    let length = |id: u64| usize::try_from(id % 176 + 1).unwrap();
    let address = |id: u64| IpAddr::from(u128::from(id).to_be_bytes()).to_canonical();
    let torn = std::thread::scope(|threads| {
        for writer in 0..2_u64 {
            let (board, over) = (&board, &over);
            threads.spawn(move || {
                let mut id = writer;
                while !over.load(Ordering::Relaxed) {
                    let target = vec![letter(id); length(id)];
                    let client = Some(Client { address: address(id), port: Some(1) });
                    drop(board.note(&Arrival { id, client, ..arrival("GET", &target) }));
                    id += 2;
                }
            });
        }
        let is_whole = |entry: &Entry| {
            entry.target == vec![letter(entry.id); length(entry.id)]
                && entry.client.is_some_and(|client| client.address == address(entry.id))
        };
        let mut seen = 0;
        let mut torn = None;
        while seen < 2_000 && torn.is_none() {
            let entries = board.entries();
            seen += entries.len();
            torn = entries.into_iter().find(|entry| !is_whole(entry));
        }
        over.store(true, Ordering::Relaxed);
        torn
    });
    assert_eq!(torn, None);
}
