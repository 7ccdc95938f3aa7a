//! What a worker's answers come to: counted in its record by the worker, compared by the master while a canary is tried.
//!
//! How long answers take is only looked at then. Geometric means are compared: they tell that everything takes three times
//! as long, and are not moved by a few answers that take a thousand times as long as the others. They need sums of
//! logarithms alone, so a worker of a program that did not count yet has zeros where this one looks.

use crate::contract::scoreboard::{Record, RecordIndex, Scoreboard};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What a worker has counted since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers whose time was taken.
    pub answers: u64,
    /// Answers of the apps with a status code from 500 on.
    pub errors: u64,
    /// Sum of [`logarithm`]s of their times.
    pub logs: u64,
    /// Sum of the squares of these, in [`UNIT`]s as well.
    pub squares: u64,
}

/// What a worker has to do with the canary that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// None is tried.
    None,
    /// It is one of so many that the canary is compared with.
    Old(u16),
    /// It is the canary.
    Canary,
}

/// A worker's own record, as it counts its answers.
#[derive(Debug)]
pub struct Ledger {
    scoreboard: Scoreboard,
    record: RecordIndex,
    /// Counts the kept-alive connections that it is asked of.
    turn: AtomicU32,
}

impl Tally {
    /// What has been counted since an earlier look.
    pub fn since(self, before: Self) -> Self {
        let less = |now: u64, before: u64| now.saturating_sub(before);
        Self {
            answers: less(self.answers, before.answers),
            errors: less(self.errors, before.errors),
            logs: less(self.logs, before.logs),
            squares: less(self.squares, before.squares),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            answers: self.answers.saturating_add(other.answers),
            errors: self.errors.saturating_add(other.errors),
            logs: self.logs.saturating_add(other.logs),
            squares: self.squares.saturating_add(other.squares),
        }
    }

    /// Counts one answer.
    pub fn add(&mut self, took: Duration, is_error: bool) {
        let log = logarithm(took);
        *self = self.plus(Self { answers: 1, errors: is_error.into(), logs: log, squares: square(log) });
    }
}

impl Record<'_> {
    /// What the worker has counted.
    pub fn tally(self) -> Tally {
        let get = |field: usize| self.tally_words()[field].load(Ordering::Relaxed);
        Tally { answers: get(ANSWERS), errors: get(ERRORS), logs: get(LOGS), squares: get(SQUARES) }
    }

    /// What the worker has to do with a canary.
    pub fn part(self) -> Part {
        match self.tally_words()[PART].load(Ordering::Relaxed) {
            0 => Part::None,
            CANARY => Part::Canary,
            workers => Part::Old(u16::try_from(workers).unwrap_or(u16::MAX)),
        }
    }

    /// Gives the worker its part. For the master.
    pub fn set_part(self, part: Part) {
        let value = match part {
            Part::None => 0,
            Part::Old(workers) => workers.max(1).into(),
            Part::Canary => CANARY,
        };
        self.tally_words()[PART].store(value, Ordering::Relaxed);
    }
}

impl Ledger {
    /// That of the worker whose record this is.
    pub fn new(scoreboard: Scoreboard, record: RecordIndex) -> Self {
        // So that not all workers lend their first connections.
        let turn = AtomicU32::new(u32::try_from(record.number()).unwrap_or(0));
        Self { scoreboard, record, turn }
    }

    /// The time, where somebody wants to know how long answers take.
    pub fn began(&self) -> Option<Instant> {
        (self.record().part() != Part::None).then(Instant::now)
    }

    /// Counts an answer of an app.
    pub fn answered(&self, began: Option<Instant>, is_error: bool) {
        let add = |field: usize, amount: u64| {
            self.record().tally_words()[field].fetch_add(amount, Ordering::Relaxed);
        };
        if is_error {
            add(ERRORS, 1);
        }
        if let Some(began) = began {
            let log = logarithm(began.elapsed());
            add(ANSWERS, 1);
            add(LOGS, log);
            add(SQUARES, square(log));
        }
    }

    /// Whether a kept-alive connection should be served by another worker for a while, so that a canary gets its share of
    /// them and none keeps the requests of one client to itself; `stays` is the connection's own: until when it is not asked.
    ///
    /// An old worker lends as many as leave each worker the same share. The canary gives them all back after a while.
    pub fn lends(&self, stays: &mut Option<Instant>) -> bool {
        let part = self.record().part();
        if part == Part::None {
            *stays = None;
            return false;
        }
        let now = Instant::now();
        if stays.is_some_and(|until| now < until) {
            return false;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // Not all at once.
        let is_new = stays.replace(now + STAY + STAY / 8 * (turn % 8)).is_none();
        match part {
            _ if is_new => false,
            Part::None => false,
            Part::Canary => true,
            Part::Old(workers) => turn.is_multiple_of(workers.max(1).into()),
        }
    }

    fn record(&self) -> Record<'_> {
        self.scoreboard.record(self.record)
    }
}

/// The binary logarithm of a time in nanoseconds, in [`UNIT`]s; between powers of two it is a straight line.
///
/// `SLACK` is added to each time: which of two short times is the longer one says little of an app.
pub fn logarithm(time: Duration) -> u64 {
    let time = u64::try_from((time + SLACK).as_nanos()).unwrap_or(u64::MAX).max(1);
    let whole = time.ilog2();
    // The highest bit goes, and the next ones stay.
    let rest = (time << (u64::BITS - 1 - whole) << 1) >> (u64::BITS - UNIT.ilog2());
    u64::from(whole) * UNIT + rest
}

/// The time whose [`logarithm`] this is.
pub fn time_of(logarithm: f64) -> Duration {
    let bits = logarithm / UNIT_F;
    let nanoseconds = bits.floor().exp2() * (1.0 + bits.fract());
    Duration::try_from_secs_f64(nanoseconds / 1e9).unwrap_or_default().saturating_sub(SLACK)
}

fn square(logarithm: u64) -> u64 {
    logarithm * logarithm / UNIT
}

/// What a logarithm of one is.
pub const UNIT: u64 = 1 << 10;

/// The same.
pub const UNIT_F: f64 = 1024.0;

/// A quarter of a millisecond.
const SLACK: Duration = Duration::from_micros(250);

/// How long a connection stays with a worker while a canary is tried: so long, to twice as long.
const STAY: Duration = Duration::from_millis(100);

const ERRORS: usize = 0;
const ANSWERS: usize = 1;
const LOGS: usize = 2;
const SQUARES: usize = 3;
/// 0: none is tried; else how many old workers there are, or [`CANARY`].
const PART: usize = 4;
const CANARY: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::slot::{Generation, Slot};

    fn ledger() -> (Scoreboard, RecordIndex, Ledger) {
        let scoreboard = Scoreboard::new(1).unwrap();
        let index = scoreboard.free_record().unwrap();
        scoreboard.record(index).claim(Slot(1), Generation(1));
        let ledger = Ledger::new(scoreboard.clone(), index);
        (scoreboard, index, ledger)
    }

    #[test]
    fn logarithms_grow_and_are_undone() {
        let mut before = 0;
        for microseconds in [0_u64, 100, 1000, 3000, 10_000, 30_000, 1_000_000, 3_000_000_000] {
            let time = Duration::from_micros(microseconds);
            let log = logarithm(time);
            assert!(log > before);
            before = log;
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let back = time_of(log as f64).as_secs_f64();
            assert!(
                (back - time.as_secs_f64()).abs() <= time.as_secs_f64() / 500.0 + 1e-6,
                "{time:?} {back}"
            );
        }
        assert_eq!(logarithm(Duration::MAX - SLACK), 63 * UNIT + UNIT - 1);
    }

    #[test]
    fn times_are_taken_while_a_canary_is_tried_and_errors_always() {
        let (scoreboard, index, ledger) = ledger();
        ledger.answered(ledger.began(), true);
        assert_eq!(scoreboard.record(index).tally(), Tally { errors: 1, ..Tally::default() });
        scoreboard.record(index).set_part(Part::Old(3));
        ledger.answered(ledger.began(), false);
        let tally = scoreboard.record(index).tally();
        assert_eq!((tally.answers, tally.errors), (1, 1));
        assert!(tally.logs >= logarithm(Duration::ZERO));
        scoreboard.record(index).set_part(Part::None);
        assert_eq!(ledger.began(), None);
    }

    #[test]
    fn each_worker_keeps_its_share_of_connections() {
        let (scoreboard, index, ledger) = ledger();
        let lent = || (0..12).filter(|_| ledger.lends(&mut Some(Instant::now()))).count();
        assert_eq!(lent(), 0);
        scoreboard.record(index).set_part(Part::Old(3));
        assert_eq!(lent(), 4);
        scoreboard.record(index).set_part(Part::Canary);
        assert_eq!(lent(), 12);
        let mut stays = None;
        assert!(!ledger.lends(&mut stays), "it has just come");
        assert!(stays > Some(Instant::now()), "and stays for a while");
    }
}
