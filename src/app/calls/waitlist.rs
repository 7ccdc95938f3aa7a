//! Who waits for an app thread, and whose turn it is. Pure: time is given, in nanoseconds of one clock.
//!
//! First come, first served, as long as that is of use to anybody. With more requests than can be served, everybody would
//! wait as long as the longest, and be served when nobody is there any more. So a queue that *stands*, deep and old, is
//! served from its other end: the newest first, whose clients are still there. One turn in [`OLDEST_ONE_IN`] remains the
//! oldest's, so that clients who never give up are not left waiting for ever by those who come again and again.
//!
//! Who has left is not served. TCP does not tell a client that has left from one that has nothing more to say and waits
//! (RFC 9293 3.6), except by when it ends its half of the connection: the latter right after its request, the former when
//! it has lost patience. So everybody is looked at early, and again when it is his turn.

use crate::sys::presence::Presence;
use std::collections::VecDeque;
use std::time::Duration;

/// What a queue may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueRules {
    /// The most that may wait.
    pub length: usize,
    /// From this age of the oldest on the newest is served first; zero: never.
    pub overload: Duration,
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// Too many wait.
    Full,
    /// It has waited too long.
    Late,
    /// Its client has left.
    Gone,
}

pub(super) struct Waitlist<T> {
    rules: QueueRules,
    /// How many must wait before the queue can be called a standing one.
    deep: usize,
    /// The oldest first.
    entries: VecDeque<Entry<T>>,
    /// Nobody is late before.
    due_ns: u64,
    turns: u32,
}

struct Entry<T> {
    item: T,
    since_ns: u64,
    /// When it is late; `u64::MAX`: never.
    until_ns: u64,
    seen: Seen,
}

/// What the early look at a client has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    NotYet,
    Open,
    HalfClosed,
}

impl<T> Waitlist<T> {
    pub(super) fn new(rules: QueueRules, threads: usize) -> Self {
        Self {
            rules,
            deep: threads.saturating_mul(DEEP),
            entries: VecDeque::new(),
            due_ns: u64::MAX,
            turns: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How long the oldest has waited.
    pub(super) fn oldest(&self, now_ns: u64) -> Duration {
        let since_ns = self.entries.front().map_or(now_ns, |entry| entry.since_ns);
        Duration::from_nanos(now_ns.saturating_sub(since_ns))
    }

    /// When somebody may be late.
    pub(super) fn due_ns(&self) -> u64 {
        if self.is_empty() { u64::MAX } else { self.due_ns }
    }

    /// Lets somebody wait who has come at `since_ns` and may wait for `limit`; zero: for ever.
    pub(super) fn push(&mut self, item: T, since_ns: u64, limit: Duration) {
        let until_ns = if limit.is_zero() {
            u64::MAX
        } else {
            since_ns.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
        };
        self.due_ns = self.due_ns.min(until_ns);
        let entry = Entry { item, since_ns, until_ns, seen: Seen::NotYet };
        match self.entries.back() {
            // It has waited in another worker before.
            Some(last) if last.since_ns > since_ns => {
                let place = self.entries.partition_point(|other| other.since_ns <= since_ns);
                self.entries.insert(place, entry);
            }
            _ => self.entries.push_back(entry),
        }
    }

    /// Who must go so that no more wait than may: whoever is least likely to be missed.
    pub(super) fn surplus(&mut self, now_ns: u64) -> Option<T> {
        if self.len() <= self.rules.length {
            return None;
        }
        let entry = if self.stands(now_ns) { self.entries.pop_front() } else { self.entries.pop_back() };
        entry.map(|entry| entry.item)
    }

    /// Whose turn it is; `is_there` is asked only of those who have waited for a while. Who is not served goes to `shed`.
    pub(super) fn next(
        &mut self,
        now_ns: u64,
        is_there: impl Fn(&T) -> Presence,
        shed: &mut Vec<(T, Shed)>,
    ) -> Option<T> {
        self.expire(now_ns, shed);
        loop {
            let from_end = self.stands(now_ns) && {
                self.turns = self.turns.wrapping_add(1);
                !self.turns.is_multiple_of(OLDEST_ONE_IN)
            };
            let entry = if from_end { self.entries.pop_back() } else { self.entries.pop_front() };
            let entry = entry?;
            if now_ns.saturating_sub(entry.since_ns) < PROMPT_NS {
                return Some(entry.item);
            }
            if !entry.has_left(&is_there) {
                return Some(entry.item);
            }
            shed.push((entry.item, Shed::Gone));
        }
    }

    /// Looks at those who have just come to wait, once, and takes out the oldest who have left; to be called every few
    /// milliseconds while somebody waits.
    pub(super) fn look(&mut self, now_ns: u64, is_there: impl Fn(&T) -> Presence, shed: &mut Vec<(T, Shed)>) {
        let new = self.entries.iter_mut().rev().take_while(|entry| entry.seen == Seen::NotYet);
        for entry in new.filter(|entry| now_ns.saturating_sub(entry.since_ns) >= EARLY_NS) {
            entry.seen = match is_there(&entry.item) {
                Presence::There => Seen::Open,
                Presence::HalfClosed | Presence::Gone => Seen::HalfClosed,
            };
        }
        // Who came first loses patience first, as a rule. Those who have left must not make the queue look like one
        // that stands.
        for _ in 0..LEAVE_AT_ONCE {
            if !self.entries.front().is_some_and(|entry| entry.has_left(&is_there)) {
                return;
            }
            shed.extend(self.entries.pop_front().map(|entry| (entry.item, Shed::Gone)));
        }
    }

    /// Takes out who has waited for too long.
    pub(super) fn expire(&mut self, now_ns: u64, shed: &mut Vec<(T, Shed)>) {
        if now_ns < self.due_ns {
            return;
        }
        let entries = std::mem::take(&mut self.entries).into_iter();
        let (late, wait): (VecDeque<_>, _) = entries.partition(|entry| entry.until_ns <= now_ns);
        self.entries = wait;
        shed.extend(late.into_iter().map(|entry| (entry.item, Shed::Late)));
        self.due_ns = self.entries.iter().map(|entry| entry.until_ns).min().unwrap_or(u64::MAX);
    }

    /// Takes out whoever this is.
    pub(super) fn remove(&mut self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let place = self.entries.iter().position(|entry| is_it(&entry.item))?;
        self.entries.remove(place).map(|entry| entry.item)
    }

    /// Takes out up to `count` of whom this holds, those whose turn comes first.
    pub(super) fn take(&mut self, now_ns: u64, count: usize, holds: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        let from_end = self.stands(now_ns);
        let mut looked = 0;
        while taken.len() < count && looked < self.entries.len() {
            let place = if from_end { self.entries.len() - 1 - looked } else { looked };
            if holds(&self.entries[place].item) {
                taken.extend(self.entries.remove(place).map(|entry| entry.item));
            } else {
                looked += 1;
            }
        }
        taken
    }

    /// Takes out the last to come of whom this holds.
    pub(super) fn take_last(&mut self, holds: impl Fn(&T) -> bool) -> Option<T> {
        let place = self.entries.iter().rposition(|entry| holds(&entry.item))?;
        self.entries.remove(place).map(|entry| entry.item)
    }

    /// Whether the queue is so deep and so old that those at its head are not helped any more.
    fn stands(&self, now_ns: u64) -> bool {
        !self.rules.overload.is_zero()
            && self.entries.len() > self.deep
            && self.entries.front().is_some_and(|oldest| {
                Duration::from_nanos(now_ns.saturating_sub(oldest.since_ns)) >= self.rules.overload
            })
    }
}

impl<T> Entry<T> {
    fn has_left(&self, is_there: impl Fn(&T) -> Presence) -> bool {
        match (is_there(&self.item), self.seen) {
            (Presence::There, _) | (Presence::HalfClosed, Seen::NotYet | Seen::HalfClosed) => false,
            (Presence::HalfClosed, Seen::Open) | (Presence::Gone, _) => true,
        }
    }
}

/// A queue no deeper than this for each thread is no overload, however old: its calls are slow ones.
const DEEP: usize = 10;

/// Of a standing queue every such turn is the oldest's: a sixteenth of the capacity is what fairness may cost.
const OLDEST_ONE_IN: u32 = 16;

/// Clients do not leave within this time, and asking costs a system call.
const PROMPT_NS: u64 = 5_000_000;

/// The most that one look takes out: those who wait for the lock meanwhile should not notice.
const LEAVE_AT_ONCE: usize = 64;

/// By then who has nothing more to say has said so, and hardly anybody has lost patience.
const EARLY_NS: u64 = 20_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const MS: u64 = 1_000_000;
    const RULES: QueueRules = QueueRules { length: 1000, overload: Duration::from_millis(500) };

    fn there(_: &u64) -> Presence {
        Presence::There
    }

    /// A list of those who came at these milliseconds; each is named by when it came.
    fn list(rules: QueueRules, came: impl IntoIterator<Item = u64>, limit_ms: u64) -> Waitlist<u64> {
        let mut list = Waitlist::new(rules, 1);
        came.into_iter().for_each(|ms| list.push(ms, ms * MS, Duration::from_millis(limit_ms)));
        list
    }

    fn next(list: &mut Waitlist<u64>, ms: u64) -> (Option<u64>, Vec<(u64, Shed)>) {
        let mut shed = Vec::new();
        let next = list.next(ms * MS, there, &mut shed);
        (next, shed)
    }

    #[test]
    fn first_come_first_served_whatever_way_they_came() {
        let mut list = list(RULES, [5, 1, 3, 2, 4], 0);
        let order: Vec<_> = std::iter::from_fn(|| next(&mut list, 6).0).collect();
        assert_eq!(order, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_standing_queue_is_served_from_its_other_end_with_a_turn_for_the_oldest() {
        let mut standing = list(RULES, 0..600, 0);
        let turns: Vec<_> = (0..32).filter_map(|_| next(&mut standing, 600).0).collect();
        assert_eq!(turns[..3], [599, 598, 597]);
        assert_eq!(turns.iter().filter(|turn| **turn < 300).collect::<Vec<_>>(), [&0, &1]);
        // Old but not deep, deep but not old, and where nobody wants it.
        assert_eq!(next(&mut list(RULES, 0..10, 0), 9000).0, Some(0));
        assert_eq!(next(&mut list(RULES, 0..400, 0), 499).0, Some(0));
        let never = QueueRules { overload: Duration::ZERO, ..RULES };
        assert_eq!(next(&mut list(never, 0..600, 0), 9000).0, Some(0));
    }

    #[test]
    fn who_has_waited_for_too_long_is_told_each_by_his_own_limit() {
        let mut list = list(RULES, [0, 10], 100);
        list.push(20, 20 * MS, Duration::from_millis(5));
        assert_eq!(list.due_ns(), 25 * MS);
        let mut shed = Vec::new();
        list.expire(24 * MS, &mut shed);
        assert_eq!(shed, []);
        list.expire(25 * MS, &mut shed);
        assert_eq!((shed.as_slice(), list.due_ns()), (&[(20, Shed::Late)][..], 100 * MS));
        assert_eq!(next(&mut list, 105), (Some(10), vec![(0, Shed::Late)]));
        assert_eq!(list.due_ns(), u64::MAX);
    }

    #[test]
    fn a_full_queue_refuses_the_newcomer_and_a_standing_one_its_oldest() {
        let few = QueueRules { length: 20, ..RULES };
        assert_eq!(list(few, 0..20, 0).surplus(30 * MS), None);
        assert_eq!(list(few, 0..21, 0).surplus(30 * MS), Some(20));
        assert_eq!(list(few, 0..21, 0).surplus(600 * MS), Some(0));
        let none = QueueRules { length: 0, ..RULES };
        assert_eq!(list(none, [7], 0).surplus(7 * MS), Some(7));
    }

    #[test]
    fn who_has_left_is_not_served_but_who_only_has_nothing_more_to_say_is() {
        let mut list = list(RULES, 0..5, 0);
        let early = |came: &u64| if *came == 1 { Presence::HalfClosed } else { Presence::There };
        let mut shed = Vec::new();
        list.look(30 * MS, early, &mut shed);
        // Too early for this one, which is served before anybody has looked.
        list.push(40, 40 * MS, Duration::ZERO);
        list.look(50 * MS, |came| if *came == 40 { Presence::HalfClosed } else { early(came) }, &mut shed);
        assert_eq!(shed, []);
        let late = |came: &u64| match came {
            0 => Presence::Gone,
            1 | 2 | 40 => Presence::HalfClosed,
            _ => Presence::There,
        };
        let mut order = Vec::new();
        list.look(90 * MS, late, &mut shed);
        assert_eq!(shed, [(0, Shed::Gone)], "the oldest, up to the first who is there");
        while let Some(next) = list.next(100 * MS, late, &mut shed) {
            order.push(next);
        }
        assert_eq!(
            (order.as_slice(), shed.as_slice()),
            (&[1, 3, 4, 40][..], &[(0, Shed::Gone), (2, Shed::Gone)][..])
        );
        assert!(list.is_empty());
    }

    #[test]
    fn those_who_may_move_are_those_whose_turn_is_next() {
        let even = |came: &u64| came.is_multiple_of(2);
        assert_eq!(list(RULES, 0..6, 0).take(6 * MS, 2, even), [0, 2]);
        let mut standing = list(RULES, 0..600, 0);
        assert_eq!(standing.take(600 * MS, 2, even), [598, 596]);
        assert_eq!(standing.len(), 598);
        assert_eq!(standing.take(600 * MS, 1000, even).len(), 298);
    }

    /// A server that serves one every 10 ms, asked three times as often by clients who wait a second, for ten seconds.
    fn served_in_time(rules: QueueRules, leaves: bool) -> (usize, usize) {
        let (mut list, mut shed) = (Waitlist::new(rules, 1), Vec::new());
        let (mut good, mut turns, mut waited_after) = (0, 0, 0);
        let mut asked = BTreeSet::new();
        for tick in 0..6000_u64 {
            let now = tick * 2 * MS;
            // From the tenth second on half of what can be served.
            let comes =
                if tick < 5000 { tick.is_multiple_of(3) || tick % 9 == 1 } else { tick.is_multiple_of(10) };
            if comes {
                asked.insert(now);
                list.push(now, now, Duration::from_secs(30));
                shed.extend(list.surplus(now).map(|who| (who, Shed::Full)));
            }
            let has_left = |came: &u64| {
                if leaves && now - came > 1000 * MS { Presence::HalfClosed } else { Presence::There }
            };
            if tick.is_multiple_of(10) {
                list.look(now, has_left, &mut shed);
            }
            if tick.is_multiple_of(5) {
                let Some(came) = list.next(now, has_left, &mut shed) else { continue };
                turns += usize::from(tick < 5000);
                good += usize::from(tick < 5000 && now - came < 990 * MS);
                waited_after = waited_after.max(if came > 10_000 * MS { now - came } else { 0 });
            }
        }
        assert!(asked.len() > 2 * turns, "it was no overload");
        assert!(waited_after < 600 * MS, "who came afterwards had to wait for {} ms", waited_after / MS);
        (good, turns)
    }

    #[test]
    fn most_turns_are_of_use_under_three_times_the_load_and_all_is_well_at_once_after() {
        for leaves in [true, false] {
            for length in [50, 10_000] {
                let (good, turns) = served_in_time(QueueRules { length, ..RULES }, leaves);
                assert!(good * 100 >= turns * 90, "{good} of {turns}, {leaves} {length}");
            }
        }
    }

    #[test]
    fn nobody_who_stays_waits_for_ever_behind_those_who_come_again() {
        // A closed loop: a hundred clients, each of whom asks again as soon as it is answered.
        let mut list = list(RULES, std::iter::repeat_n(0, 100).chain([1]), 0);
        let mut shed = Vec::new();
        for turn in 1..2000_u64 {
            let now = turn * 10 * MS;
            let came = list.next(now, there, &mut shed).unwrap();
            if came == 1 {
                return;
            }
            list.push(now / MS, now, Duration::ZERO);
        }
        panic!("it has waited for ever");
    }
}
