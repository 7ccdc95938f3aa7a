//! Requests that have ended workers: a few fingerprints in shared memory, put there by the master.
//!
//! A suspect is let in one at a time, so that the next ones learn what becomes of it. One that is answered is a suspect no
//! more: what every worker serves happens to be in some worker that crashes, now and then. One that has ended as many workers as the
//! limit says, and has not been answered in between, is refused for a time.
//!
//! Its place is before the requests in flight of each worker, in words that programs without a quarantine leave alone.

use crate::contract::entry::{Entry, Stage};
use crate::contract::scoreboard::{RecordIndex, Scoreboard};
use crate::sys::clock;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a request stands with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known against it.
    Clear,
    /// It has ended a worker, or was the only one that it can have been.
    Suspect(Suspect),
    /// It is refused for so long.
    Quarantined(Duration),
}

/// A suspect's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspect {
    place: usize,
    fingerprint: u64,
}

/// What a request's having ended a worker comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blamed {
    /// It is one of so many.
    Counted(u64),
    /// It is refused from now on.
    Quarantined,
}

impl Scoreboard {
    /// How a request stands; its target as sent.
    pub fn standing(&self, method: &[u8], target: &[u8]) -> Standing {
        let in_use = self.in_use().load(Ordering::Acquire);
        if in_use == 0 {
            return Standing::Clear;
        }
        let places = usize::try_from(in_use).unwrap_or(PLACES).min(self.places());
        let fingerprint = fingerprint(method, target);
        let Some(place) = (0..places).find(|place| self.word(*place, FINGERPRINT) == fingerprint) else {
            return Standing::Clear;
        };
        self.standing_of(Suspect { place, fingerprint })
    }

    /// The same, of one that was a suspect before.
    pub fn standing_of(&self, suspect: Suspect) -> Standing {
        let Suspect { place, fingerprint } = suspect;
        if self.word(place, FINGERPRINT) != fingerprint || self.word(place, ANSWERED) != 0 {
            return Standing::Clear;
        }
        let left = self.word(place, UNTIL).saturating_sub(clock::monotonic_ns());
        if left > 0 { Standing::Quarantined(Duration::from_nanos(left)) } else { Standing::Suspect(suspect) }
    }

    /// Begins to serve a suspect, unless some worker does already.
    pub fn try_suspect(&self, suspect: Suspect, by: RecordIndex) -> bool {
        let word = &self.quarantine_words(suspect.place)[TRIED_BY];
        word.compare_exchange(0, mark(by), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// A suspect that was tried has been answered.
    pub fn acquit(&self, suspect: Suspect) {
        if self.word(suspect.place, FINGERPRINT) == suspect.fingerprint {
            self.set(suspect.place, ANSWERED, 1);
        }
    }

    /// A suspect is not served any more.
    pub fn leave_suspect(&self, suspect: Suspect, by: RecordIndex) {
        let word = &self.quarantine_words(suspect.place)[TRIED_BY];
        // Unless it is another's by now.
        let _ = word.compare_exchange(mark(by), 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// A request has ended its worker. For the master.
    pub fn blame(&self, request: &Entry, (limit, time): (u16, Duration)) -> Blamed {
        let (now, limit) = (clock::monotonic_ns(), u64::from(limit));
        let fingerprint = fingerprint(&request.method, &request.target);
        let place = self.place_for(fingerprint, now);
        let is_known = self.word(place, FINGERPRINT) == fingerprint
            && self.word(place, ANSWERED) == 0
            && self.word(place, LAST).saturating_add(nanoseconds(MEMORY)) > now;
        let deaths = if is_known { self.word(place, DEATHS) + 1 } else { 1 };
        // Nobody takes what is being written for somebody else's.
        self.set(place, FINGERPRINT, 0);
        let blamed = if deaths >= limit { Blamed::Quarantined } else { Blamed::Counted(deaths) };
        let until = if blamed == Blamed::Quarantined { now.saturating_add(nanoseconds(time)) } else { 0 };
        self.set(place, UNTIL, until);
        // Once its time is over one more is enough.
        self.set(place, DEATHS, deaths.min(limit.saturating_sub(1)));
        self.set(place, LAST, now);
        self.set(place, ANSWERED, 0);
        self.set(place, FINGERPRINT, fingerprint);
        let places = u64::try_from(place + 1).unwrap_or(0);
        self.in_use().fetch_max(places, Ordering::AcqRel);
        blamed
    }

    /// A worker has ended: what it tried can be tried again. For the master, once the worker's requests have been blamed.
    pub fn release_suspects(&self, by: RecordIndex) {
        for place in 0..self.places() {
            let _ = self.quarantine_words(place)[TRIED_BY].compare_exchange(
                mark(by),
                0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
        }
    }

    /// The place of a fingerprint: its own, else a free one, else that which has been quiet for the longest time.
    fn place_for(&self, fingerprint: u64, now: u64) -> usize {
        let is = |wanted: u64| (0..self.places()).find(|place| self.word(*place, FINGERPRINT) == wanted);
        let age = |place: &usize| now.saturating_sub(self.word(*place, LAST));
        is(fingerprint).or_else(|| is(0)).or_else(|| (0..self.places()).max_by_key(age)).unwrap_or(0)
    }

    /// A small server has less room.
    fn places(&self) -> usize {
        PLACES.min(self.record_count())
    }

    fn word(&self, place: usize, word: usize) -> u64 {
        self.quarantine_words(place)[word].load(Ordering::Acquire)
    }

    fn set(&self, place: usize, word: usize, value: u64) {
        self.quarantine_words(place)[word].store(value, Ordering::Release);
    }

    fn in_use(&self) -> &AtomicU64 {
        &self.quarantine_words(0)[IN_USE]
    }
}

/// The request that has ended a worker, where it is certain which: the only one that was in an app, and known as a whole.
///
/// An app that blocks no thread may be at work on an answer that has begun, too.
pub fn culprit(entries: &[Entry]) -> Option<&Entry> {
    let mut in_app = entries.iter().filter(|entry| entry.stage == Stage::App);
    let only = in_app.next().filter(|entry| in_app.next().is_none() && !entry.is_cut)?;
    let may_be_another = || entries.iter().any(|entry| entry.stage == Stage::Writing);
    (only.thread.is_some() || !may_be_another()).then_some(only)
}

/// Method and target, query included; never 0.
fn fingerprint(method: &[u8], target: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    // As much of a method as the table of requests in flight has.
    (&method[..method.len().min(METHOD_ROOM)], target).hash(&mut hasher);
    hasher.finish().max(1)
}

fn mark(record: RecordIndex) -> u64 {
    u64::try_from(record.number()).unwrap_or(u64::MAX).saturating_add(1)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Requests that are known at once.
pub(super) const PLACES: usize = 32;

/// A request that has ended a worker and is not heard of for so long is forgotten.
const MEMORY: Duration = Duration::from_secs(3600);

const METHOD_ROOM: usize = 16;

/// 0: the place is free. Written by the master, as all but the last two.
const FINGERPRINT: usize = 0;
const DEATHS: usize = 1;
/// Until when it is refused, by `sys::clock::monotonic_ns`.
const UNTIL: usize = 2;
const LAST: usize = 3;
/// Whether it was answered since. Written by workers, and by the master when it blames it anew.
const ANSWERED: usize = 4;
/// The worker that serves it; 0: nobody.
const TRIED_BY: usize = 5;
/// Of the first place: how many places have ever been used.
const IN_USE: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str) -> Entry {
        let (method, target) = (method.as_bytes().to_vec(), target.as_bytes().to_vec());
        let stage = Stage::App;
        Entry { id: 7, method, target, is_cut: false, client: None, stage, thread: None, since_ns: 0 }
    }

    const RULE: (u16, Duration) = (3, Duration::from_secs(60));

    #[test]
    fn a_request_is_refused_after_so_many_workers() {
        let board = Scoreboard::new(16).unwrap();
        let bad = request("GET", "/segv?x=1");
        assert_eq!(board.standing(b"GET", b"/segv?x=1"), Standing::Clear);
        assert_eq!(board.blame(&bad, RULE), Blamed::Counted(1));
        assert_eq!(board.blame(&bad, RULE), Blamed::Counted(2));
        assert!(matches!(board.standing(b"GET", b"/segv?x=1"), Standing::Suspect(_)));
        assert_eq!(board.blame(&bad, RULE), Blamed::Quarantined);
        assert!(matches!(board.standing(b"GET", b"/segv?x=1"), Standing::Quarantined(_)));
        for (method, target) in [("POST", "/segv?x=1"), ("GET", "/segv"), ("GET", "/")] {
            assert_eq!(board.standing(method.as_bytes(), target.as_bytes()), Standing::Clear);
        }
    }

    #[test]
    fn once_its_time_is_over_one_more_is_enough() {
        let board = Scoreboard::new(16).unwrap();
        let bad = request("GET", "/segv");
        let rule = (2, Duration::ZERO);
        assert_eq!(board.blame(&bad, rule), Blamed::Counted(1));
        assert_eq!(board.blame(&bad, rule), Blamed::Quarantined);
        assert!(matches!(board.standing(b"GET", b"/segv"), Standing::Suspect(_)));
        assert_eq!(board.blame(&bad, rule), Blamed::Quarantined);
    }

    #[test]
    fn an_answer_acquits() {
        let board = Scoreboard::new(16).unwrap();
        let good = request("GET", "/");
        let by = board.free_record().unwrap();
        for _ in 0..10 {
            assert_eq!(board.blame(&good, RULE), Blamed::Counted(1));
            let Standing::Suspect(suspect) = board.standing(b"GET", b"/") else { panic!("no suspect") };
            assert!(board.try_suspect(suspect, by));
            assert!(!board.try_suspect(suspect, by), "one at a time");
            board.acquit(suspect);
            board.leave_suspect(suspect, by);
            assert_eq!(board.standing(b"GET", b"/"), Standing::Clear);
        }
    }

    #[test]
    fn what_a_dead_worker_tried_can_be_tried_again() {
        let board = Scoreboard::new(16).unwrap();
        let by = board.free_record().unwrap();
        board.blame(&request("GET", "/"), RULE);
        let Standing::Suspect(suspect) = board.standing(b"GET", b"/") else { panic!("no suspect") };
        assert!(board.try_suspect(suspect, by));
        board.release_suspects(by);
        assert!(board.try_suspect(suspect, by));
    }

    #[test]
    fn the_table_has_an_end_and_forgets_the_oldest() {
        let board = Scoreboard::new(16).unwrap();
        for number in 0..100 {
            board.blame(&request("GET", &format!("/{number}")), (1, Duration::from_secs(60)));
        }
        let refused = |number: usize| {
            matches!(board.standing(b"GET", format!("/{number}").as_bytes()), Standing::Quarantined(_))
        };
        assert_eq!((0..100).filter(|number| refused(*number)).count(), PLACES);
        assert!(refused(99) && !refused(0));
        let mut flights = Vec::new();
        let index = board.free_record().unwrap();
        assert_eq!(board.in_flight(index), flights.split_off(0), "nothing of it is taken for a request");
        board.own_cells(index);
        assert!(refused(99), "nor does a new worker clear it");
    }

    #[test]
    fn only_who_was_alone_in_the_app_is_blamed() {
        let (one, other) = (request("GET", "/a"), request("GET", "/b"));
        let queued = Entry { stage: Stage::Queued, ..other.clone() };
        let cut = Entry { is_cut: true, ..one.clone() };
        assert_eq!(culprit(&[queued, one.clone()]), Some(&one));
        assert_eq!(culprit(&[one, other]), None);
        assert_eq!(culprit(&[cut]), None);
        assert_eq!(culprit(&[]), None);
    }

    #[test]
    fn beside_an_answer_that_has_begun_who_blocks_a_thread_alone_is_blamed() {
        let one = request("GET", "/a");
        let blocking = Entry { thread: Some(12), ..one.clone() };
        let writing = Entry { stage: Stage::Writing, ..request("GET", "/b") };
        assert_eq!(culprit(&[writing.clone(), one]), None);
        assert_eq!(culprit(&[writing, blocking.clone()]), Some(&blocking));
    }
}
